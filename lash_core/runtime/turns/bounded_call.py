"""Runs a tool's code so that a cancel or the end of its time ends it, whatever the code does.

``docs/contracts/sessions.md`` 3.4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from lash_core.runtime.cancellation import CancellationToken

_log = logging.getLogger(__name__)

GRACE_MS = 500
"""After its token was fired code may end by itself, before its task is cancelled: a turn is torn down within 2 s."""
LAST_GRACE_MS = 250
"""After each of the two cancels of the task."""
TIMEOUT_REASON = "timeout"


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How the code ended.

    Attributes:
        how: ``returned`` a value; ``raised`` an error; ``stopped``: CancelledError left it, or it never ended.
        timed_out: its time was over before it ended.
    """

    how: Literal["returned", "raised", "stopped"]
    value: Any = None
    error: Exception | None = None
    timed_out: bool = False


async def call_bounded(code: Coroutine[Any, Any, Any], token: CancellationToken, timeout_ms: int | None) -> CallEnd:
    """Run ``code`` in a task of its own until it ends, or until it was told to and the grace is over.

    Code that does not end is left alone and logged: its thread or task cannot be taken away from it.

    Args:
        code: of the tool.
        token: tells the code to end; fired here when the time is over.
        timeout_ms: longest run; None = no limit.

    Raises:
        asyncio.CancelledError: the caller was cancelled; the code was told and given its grace.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(code)
    fired = asyncio.Event()
    timed_out = False

    def time_out() -> None:
        nonlocal timed_out
        timed_out = token.cancel(TIMEOUT_REASON)

    forget = token.on_cancel(lambda: None if loop.is_closed() else _call_soon(loop, fired))
    timer = None if timeout_ms is None else loop.call_later(timeout_ms / 1_000, time_out)
    told = asyncio.ensure_future(fired.wait())
    try:
        await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await _end(task, GRACE_MS)
    except asyncio.CancelledError:
        token.cancel("stopped")
        await _end(task, 0)
        raise
    finally:
        forget()
        told.cancel()
        if timer is not None:
            timer.cancel()
    return _end_of(task, timed_out=timed_out)


async def _end(task: asyncio.Future[Any], grace_ms: int) -> None:
    if grace_ms:
        await asyncio.wait((task,), timeout=grace_ms / 1_000)
    for _ in range(2):
        # A function in a thread holds its task until it returns; the second cancel gives the thread up.
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=LAST_GRACE_MS / 1_000)
    if not task.done():
        _log.warning("a tool's code does not end although it was told to; it is left alone")
        task.add_done_callback(_drop)


def _end_of(task: asyncio.Future[Any], *, timed_out: bool) -> CallEnd:
    if not task.done() or task.cancelled():
        return CallEnd("stopped", timed_out=timed_out)
    error = task.exception()
    if isinstance(error, Exception):
        return CallEnd("raised", error=error, timed_out=timed_out)
    if error is not None:
        raise error
    return CallEnd("returned", task.result(), timed_out=timed_out)


def _call_soon(loop: asyncio.AbstractEventLoop, fired: asyncio.Event) -> None:
    loop.call_soon_threadsafe(fired.set)


def _drop(task: asyncio.Future[Any]) -> None:
    """Take the result of what nobody waits for: an error there is not to be reported as never retrieved."""
    if not task.cancelled():
        task.exception()
