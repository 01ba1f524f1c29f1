"""Hearing that a session changed, in one program, from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from lash_core.memory_store.hub import Waiter


class MemorySessionNotices:
    """``SessionNotices``: the store calls ``tell`` with each commit, enqueue, cancel and release.

    Args:
        on_change: told of the same, for the workers of this program; None: there are none.
    """

    def __init__(self, on_change: Callable[[str], None] | None = None) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._waiters: dict[str, set[Waiter]] = {}

    @asynccontextmanager
    async def listening(self, session_id: str) -> AsyncGenerator[asyncio.Event]:
        """An event that is set whenever the session may have changed."""
        waiter = Waiter()
        with self._lock:
            self._waiters.setdefault(session_id, set()).add(waiter)
        try:
            yield waiter.event
        finally:
            with self._lock:
                waiters = self._waiters[session_id]
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[session_id]

    def tell(self, session_id: str) -> None:
        """The session changed. From any thread; whoever calls may hold locks of its own."""
        with self._lock:
            waiters = tuple(self._waiters.get(session_id, ()))
        for waiter in waiters:
            waiter.wake()
        if self._on_change is not None:
            self._on_change(session_id)

    async def close(self) -> None:
        """Nothing to give back. May be called twice."""
