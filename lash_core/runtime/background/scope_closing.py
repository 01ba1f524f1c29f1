"""Closing a scope from code that does not wait (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

import asyncio
import logging

from lash_core.runtime.background.task_host import BackgroundTaskHost

_log = logging.getLogger(__name__)
_closing: set[asyncio.Task[None]] = set()


def close_soon(host: BackgroundTaskHost | None, scope_key: str) -> None:
    """Close a scope in the running loop, at its next turn. Without a host or a loop there is nothing to close."""
    if host is None:
        return
    host.leave_scope(scope_key)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    task = loop.create_task(_close(host, scope_key), name="close background tasks")
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def _close(host: BackgroundTaskHost, scope_key: str) -> None:
    try:
        await host.close_scope(scope_key)
    except Exception:  # noqa: BLE001 - nobody waits who could be told
        _log.warning("background tasks of scope %s were not closed", scope_key, exc_info=True)
