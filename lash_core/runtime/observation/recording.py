"""What a recorded event became: known at once, or when the writer has flushed it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from lash_core.model.session_observation import SessionObservationEvent


class Recording:
    """One event on its way into the ring. Nobody has to await it.

    Awaiting answers the event as it is in the ring, or None: it is not there (logged). It never raises, and any number
    of tasks of one event loop may wait.
    """

    __slots__ = ("_event", "_is_done", "_waiter")

    def __init__(self) -> None:
        self._event: SessionObservationEvent | None = None
        self._is_done = False
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    def settled(cls, event: SessionObservationEvent | None) -> Recording:
        """One that is over."""
        recording = cls()
        recording.settle(event)
        return recording

    @property
    def is_done(self) -> bool:
        """True when it is in the ring, or will never be."""
        return self._is_done

    @property
    def event(self) -> SessionObservationEvent | None:
        """The event in the ring; None while it is not there."""
        return self._event

    def settle(self, event: SessionObservationEvent | None) -> None:
        """Say what became of it; the writer's part. The first word counts."""
        if self._is_done:
            return
        self._event, self._is_done = event, True
        waiter = self._waiter
        if waiter is None:
            return
        if waiter.get_loop() is running_loop():
            _wake(waiter)
            return
        with suppress(RuntimeError):  # its loop is closed: nobody waits there any more
            waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    def __await__(self) -> Generator[Any, None, SessionObservationEvent | None]:
        if not self._is_done:
            waiter = self._waiter
            if waiter is None:
                waiter = self._waiter = asyncio.get_running_loop().create_future()
            # Asked again: it may have been settled by another thread since. Shielded: one of who wait may be cancelled.
            if not self._is_done:
                yield from asyncio.shield(waiter).__await__()
        return self._event


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop of this thread; None where none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
