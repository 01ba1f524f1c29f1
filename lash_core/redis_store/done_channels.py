"""Who waits for which process: one sharded subscription a channel, shared by all waiters of a registry (DESIGN 3.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from lash_core.errors import LashError
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.subscriptions import Subscriptions


class DoneChannels:
    """Counts the waiters of each channel. A message is a hint: waiters poll behind it, so a lost one costs latency."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._subscriptions: Subscriptions | None = None
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncGenerator[asyncio.Event]:
        """An event that is set whenever something may have happened; the subscription is there when this is entered."""
        heard = asyncio.Event()
        await self._enter(channel, heard)
        try:
            yield heard
        finally:
            await asyncio.shield(self._leave(channel, heard))

    async def close(self) -> None:
        """End all subscriptions; waiters go on by polling. May be called twice."""
        subscriptions, self._subscriptions = self._subscriptions, None
        if subscriptions is not None:
            await subscriptions.close()

    async def _enter(self, channel: str, heard: asyncio.Event) -> None:
        # One subscription at a time: the first waiter of a channel must not be overtaken by the last one's leaving.
        async with self._lock:
            waiters = self._waiters.setdefault(channel, set())
            waiters.add(heard)
            if len(waiters) > 1:
                return
            if self._subscriptions is None:
                self._subscriptions = Subscriptions(self._connection)
                self._subscriptions.on_reconnect = self._wake_all
            try:
                await self._subscriptions.subscribe(channel, self._hear)
            except LashError:
                # Polling finds everything; only promptness is lost while the server or the role refuses channels.
                return

    async def _leave(self, channel: str, heard: asyncio.Event) -> None:
        async with self._lock:
            waiters = self._waiters.get(channel, set())
            waiters.discard(heard)
            if waiters:
                return
            self._waiters.pop(channel, None)
            if self._subscriptions is not None:
                try:
                    await self._subscriptions.unsubscribe(channel)
                except LashError:
                    return

    def _hear(self, channel: str, _message: str) -> None:
        for heard in self._waiters.get(channel, ()):
            heard.set()

    def _wake_all(self) -> None:
        for waiters in self._waiters.values():
            for heard in waiters:
                heard.set()
