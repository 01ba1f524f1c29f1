"""One watcher of a session: a position in the ring that this process has of it."""

from __future__ import annotations

import asyncio
import contextlib

from lash_core.errors import LiveReplayClosedError, SubscriberLaggedError
from lash_core.redis_store.live_session import LiveSession
from lash_core.store.live_replay_store import SubscriptionItem


class LiveSubscription:
    """A position in a watched session (``LiveReplaySubscription``). One task at a time may read it."""

    __slots__ = ("__weakref__", "_ended", "_loop", "_ring", "_stream", "_watched")

    def __init__(self, watched: LiveSession, position: int) -> None:
        self._ended = False
        self._loop = asyncio.get_running_loop()
        self._watched = watched
        self._ring = watched.ring
        self._stream = self._ring.subscribe(position)
        watched.users += 1

    def __aiter__(self) -> LiveSubscription:
        return self

    async def __anext__(self) -> SubscriptionItem:
        """The next item; waits for it."""
        item = await anext(self._stream)
        if item.__class__ is not LiveReplayClosedError:
            return item
        ring = self._watched.ring
        if ring is self._ring or self._ended:
            self._end()
            return item
        self._ring, self._stream = ring, ring.subscribe(ring.first - 1)
        return SubscriberLaggedError(1)

    async def aclose(self) -> None:
        """Stop. May be called twice; a wait under way ends."""
        self._end()
        await self._stream.aclose()

    def __del__(self) -> None:
        # Who breaks out of an ``async for`` leaves it to this, in whatever thread.
        self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._watched.leave)
