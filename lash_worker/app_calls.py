"""Calls a declared function so that a cancel or a timeout ends it once, and says how it ended (DESIGN 6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.process.blocking import ThreadBridge
from lash_worker.thread_pool import Raised, ThreadOutcome, ThreadPool

TIMEOUT_REASON = "timeout"

Deliver = Callable[[Callable[[], None]], None]
"""Takes what interrupts a function, and calls it at once or when its replay is over. In the loop's thread."""


def _at_once(interrupt: Callable[[], None]) -> None:
    interrupt()


class CallStoppedError(Exception):
    """The function ended because it was told to. ``timed_out`` says by what."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("timed out" if timed_out else "cancelled")
        self.timed_out = timed_out


class _StopWatch:
    """Watches token and time of one call. ``fire`` and ``disarm`` run in the loop's thread only."""

    __slots__ = (
        "_armed",
        "_deliver",
        "_fired",
        "_forget",
        "_interrupt",
        "_loop",
        "_task",
        "_timer",
        "_token",
        "timed_out",
    )

    def __init__(
        self,
        token: CancellationToken,
        timeout_ms: int | None,
        task: asyncio.Task[Any] | None,
        interrupt: Callable[[], None] | None = None,
        deliver: Deliver | None = None,
    ) -> None:
        self._token = token
        self._task = task
        self._deliver = deliver or _at_once
        # A function in a thread that waits for nothing of lash's looks at the token itself.
        self._interrupt = self._fire if task is not None else interrupt
        self._armed = True
        self._fired = False
        self.timed_out = False
        self._loop = asyncio.get_running_loop()
        self._timer = None if not timeout_ms else self._loop.call_later(timeout_ms / 1_000, self._time_out)
        self._forget = None
        if self._interrupt is not None and deliver is not None and token.cancelled:
            # Before the function starts: it must not pass the place where this is due.
            self._arrive()
        elif self._interrupt is not None:
            self._forget = token.on_cancel(self._tell)

    def _tell(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrive)

    def _arrive(self) -> None:
        if self._armed and self._interrupt is not None:
            self._deliver(self._interrupt)

    def _fire(self) -> None:
        if self._armed and self._task is not None:
            # The task is suspended inside the function, so that is where the CancelledError arrives.
            self._fired = True
            self._task.cancel()

    def _time_out(self) -> None:
        self.timed_out = self._token.cancel(TIMEOUT_REASON)

    def disarm(self) -> None:
        """Stop watching and take back the task's own cancel, so that only others' count."""
        if not self._armed:
            return
        self._armed = False
        if self._timer is not None:
            self._timer.cancel()
        if self._forget is not None:
            self._forget()
        if self._fired and self._task is not None:
            self._task.uncancel()
        # They refer back to this object, and it to the whole run: garbage that only a full collection would find.
        self._forget = self._interrupt = None


async def call_coroutine(
    call: Callable[[], Any], token: CancellationToken, timeout_ms: int | None, *, deliver: Deliver | None = None
) -> Any:
    """Await ``call()`` in the caller's task.

    Args:
        call: makes the coroutine.
        token: cancels it when it is fired.
        timeout_ms: fires the token.
        deliver: decides when a cancel interrupts the function; at once by default.

    Raises:
        CallStoppedError: the token fired or the time was over, and CancelledError left the function.
        asyncio.CancelledError: the caller's task was cancelled by somebody else.
        Exception: what the function raised.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("process functions run in asyncio tasks")
    cancels_before = task.cancelling()
    watch = _StopWatch(token, timeout_ms, task, deliver=deliver)
    try:
        return await call()
    except asyncio.CancelledError:
        watch.disarm()
        if task.cancelling() > cancels_before:
            raise
        if token.cancelled:
            raise CallStoppedError(timed_out=watch.timed_out) from None
        raise FunctionCancelledError from None
    finally:
        watch.disarm()


class FunctionCancelledError(Exception):
    """A CancelledError left the function although nobody cancelled the process: one of its own tasks was."""

    def __init__(self) -> None:
        super().__init__("CancelledError: a task of the function was cancelled by the function itself")


async def call_in_thread(
    call: Callable[[], Any],
    token: CancellationToken,
    timeout_ms: int | None,
    pool: ThreadPool,
    *,
    bridge: ThreadBridge | None = None,
    deliver: Deliver | None = None,
) -> Any:
    """Run ``call()`` in a thread and wait until it returns, whatever happens to the caller's task meanwhile.

    A cancel reaches a thread that waits through ``bridge`` there, once, when ``deliver`` says so. When the task is
    cancelled, the bridge is closed and the token is fired, so that the function sees it, and the wait goes on: the slot
    is free only when the thread is. A second cancel of the task gives the thread up.

    Raises:
        CallStoppedError: CancelledError left the function after the token fired or the time was over.
        asyncio.CancelledError: the caller's task was cancelled; raised when the thread has returned.
        Exception: what the function raised.
    """
    watch = _StopWatch(token, timeout_ms, None, None if bridge is None else bridge.cancel_once, deliver)
    try:
        future = pool.submit(call)
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            if bridge is not None:
                bridge.close()
            token.cancel("stopped by the worker")
            await asyncio.wait([future])
            raise
    finally:
        watch.disarm()
    outcome: ThreadOutcome = future.result()
    if not isinstance(outcome, Raised):
        return outcome.value
    if isinstance(outcome.error, asyncio.CancelledError):
        if token.cancelled:
            raise CallStoppedError(timed_out=watch.timed_out)
        raise FunctionCancelledError
    raise outcome.error
