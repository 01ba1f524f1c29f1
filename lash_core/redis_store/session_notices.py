"""Hearing that a session changed, on its sharded channel."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.done_channels import DoneChannels


class RedisSessionNotices:
    """``SessionNotices``: the scripts that commit, enqueue and cancel publish on the session's channel."""

    def __init__(self, context: RedisContext) -> None:
        self._keyspace = context.keyspace
        self._channels = DoneChannels(context.connection)

    def listening(self, session_id: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set whenever the session may have changed."""
        return self._channels.listening(self._keyspace.of_session(session_id).session_channel(session_id))

    async def close(self) -> None:
        """End the subscriptions. May be called twice."""
        await self._channels.close()
