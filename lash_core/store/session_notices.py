"""Hearing that a session changed (``docs/contracts/session_fleet.md`` 4). A lost notice costs latency, never safety."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable


@runtime_checkable
class SessionNotices(Protocol):
    """A client's ear for sessions: commits, and changes of their queues."""

    def listening(self, session_id: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set whenever the session may have changed.

        Subscribed to on entry, if that is possible; who waits for it reads the state after entering and goes on
        polling behind it.
        """
        ...

    async def close(self) -> None:
        """Give connections back. May be called twice."""
        ...
