"""Asks the plugins of a session, all at once and for a bounded time: none of them holds the session up for ever.

``docs/contracts/sessions.md`` 2.14, 3.4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Mapping
from typing import Any, TypeVar

from lash_core.runtime.cancellation import CancellationToken

_log = logging.getLogger(__name__)
T = TypeVar("T")

HOOK_MS_MAX = 150_000
"""Longest wait for what a hook answers: a server of tools may take 120 s to connect, and a turn waits for it."""
EVENT_MS_MAX = 60_000
"""Longest wait for plugins that are told of something: the commit of a turn waits for them."""
GRACE_MS = 300
"""After the token fired plugins may end by themselves, before their tasks are cancelled: a turn is down within 2 s."""
LAST_GRACE_MS = 200
"""After the cancel of their tasks."""


async def ask_plugins(
    asked: Mapping[str, Coroutine[Any, Any, T]],
    what: str,
    *,
    token: CancellationToken | None = None,
    within_ms: int = HOOK_MS_MAX,
) -> list[tuple[str, T]]:
    """What they answer, in the order of ``asked``. One that fails or does not end in time is logged and left out.

    Args:
        asked: plugin id → its answer to come.
        what: `in` which hook or `on` which event, for the log.
        token: once it fires, what has not ended shortly after is cut short.
        within_ms: what has not ended by then is cut short.
    """
    tasks = {plugin_id: asyncio.ensure_future(answer) for plugin_id, answer in asked.items()}
    try:
        await _ended(tasks.values(), token, within_ms)
    finally:
        left = [task for task in tasks.values() if not task.done()]
        for task in left:
            task.cancel()
            task.add_done_callback(_drop)
    if left:
        await asyncio.wait(left, timeout=LAST_GRACE_MS / 1_000)
    answers: list[tuple[str, T]] = []
    for plugin_id, task in tasks.items():
        if task in left:
            _log.error("plugin %s did not end in time %s; it is not waited for", plugin_id, what)
        elif task.cancelled():
            _log.error("plugin %s failed %s: it cancelled itself", plugin_id, what)
        elif isinstance(error := task.exception(), Exception):
            _log.error("plugin %s failed %s", plugin_id, what, exc_info=error)
        else:
            answers.append((plugin_id, task.result()))
    return answers


async def _ended(tasks: Collection[asyncio.Future[Any]], token: CancellationToken | None, within_ms: int) -> None:
    """Wait until all have ended, their time is over, or a short while after the token fired."""
    if not tasks:
        return
    if token is None:
        await asyncio.wait(tasks, timeout=within_ms / 1_000)
        return
    told, ended = asyncio.ensure_future(token.wait()), asyncio.ensure_future(asyncio.wait(tasks))
    try:
        await asyncio.wait((told, ended), timeout=within_ms / 1_000, return_when=asyncio.FIRST_COMPLETED)
        if told.done() and not ended.done():
            await asyncio.wait((ended,), timeout=GRACE_MS / 1_000)
    finally:
        told.cancel()
        ended.cancel()


def _drop(task: asyncio.Future[Any]) -> None:
    """An error of what nobody waits for is not to be reported as never retrieved."""
    if not task.cancelled():
        task.exception()
