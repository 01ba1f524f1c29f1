"""Who waits for which process, over one set of sharded subscriptions a registry (DESIGN 3.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from lash_core.errors import LashError
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.subscriptions import Subscriptions

SUBSCRIBE_SECONDS = 1.0
"""How long a waiter tries to subscribe before it goes on by polling alone, which finds everything later."""


class DoneChannels:
    """Wakes the waiters of a channel. A message is a hint: waiters poll behind it, so a lost one costs latency."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._subscriptions: Subscriptions | None = None
        self._waiters: set[asyncio.Event] = set()

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncGenerator[asyncio.Event]:
        """An event that is set whenever something may have happened; subscribed to, if possible, on entry."""
        heard = asyncio.Event()

        def hear(_channel: str, _message: str) -> None:
            heard.set()

        if self._subscriptions is None:
            self._subscriptions = Subscriptions(self._connection)
            self._subscriptions.on_reconnect = self._wake_all
        subscriptions = self._subscriptions
        self._waiters.add(heard)
        try:
            try:
                async with asyncio.timeout(SUBSCRIBE_SECONDS):
                    await subscriptions.subscribe(channel, hear)
            except (LashError, TimeoutError):
                # Only promptness is lost while the server is away or the role has no channels.
                heard.clear()
            yield heard
        finally:
            self._waiters.discard(heard)
            try:
                await subscriptions.unsubscribe(channel, hear)
            except LashError:
                heard.clear()

    async def close(self) -> None:
        """End all subscriptions; waiters go on by polling. May be called twice."""
        subscriptions, self._subscriptions = self._subscriptions, None
        if subscriptions is not None:
            await subscriptions.close()

    def _wake_all(self) -> None:
        for heard in self._waiters:
            heard.set()
