"""The cancel token of a run: fired once, from any thread, with a reason."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class CancellationToken:
    """Tells running code that it is to end. Cooperative: nothing is stopped by force.

    Firing it twice changes nothing; the first reason stays. Reading it costs no lock.
    """

    __slots__ = ("_callbacks", "_cancelled", "_lock", "_reason")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._reason: str | None = None
        self._callbacks: list[Callable[[], None]] | None = None

    @property
    def cancelled(self) -> bool:
        """True once it was fired."""
        return self._cancelled

    @property
    def reason(self) -> str | None:
        """What the first caller of ``cancel`` gave, or None."""
        return self._reason

    def cancel(self, reason: str | None = None) -> bool:
        """Fire the token; callbacks run in this thread. False when it was fired before. Safe from any thread."""
        with self._lock:
            if self._cancelled:
                return False
            self._reason = reason
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            _call(callback)
        return True

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when the token is fired, at once when it was already.

        The callback runs in the thread that fires; one that belongs to a loop uses ``call_soon_threadsafe``.

        Returns:
            A function that takes the callback out again; it may be called at any time and more than once.
        """
        with self._lock:
            if not self._cancelled:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return lambda: self._forget(callback)
        _call(callback)
        return _nothing

    async def wait(self) -> str | None:
        """Wait until the token is fired and return the reason. The caller bounds the wait."""
        if self._cancelled:
            return self._reason
        loop = asyncio.get_running_loop()
        fired = asyncio.Event()
        forget = self.on_cancel(lambda: _tell(loop, fired))
        try:
            await fired.wait()
        finally:
            forget()
        return self._reason

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if self._callbacks and callback in self._callbacks:
                self._callbacks.remove(callback)

    def __repr__(self) -> str:
        return f"CancellationToken(cancelled={self._cancelled}, reason={self._reason!r})"


def _nothing() -> None:
    """There is nothing to take out."""


def _tell(loop: asyncio.AbstractEventLoop, fired: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(fired.set)


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - whatever a listener does
        # One broken listener must not keep the others, or the caller, from hearing of the cancel.
        _log.exception("a cancel callback failed")
