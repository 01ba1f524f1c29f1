"""The sessions that this process watches, over one connection a node (``docs/contracts/observation.md`` 4)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Final

from lash_core.errors import LashError, LiveReplayClosedError
from lash_core.model.session_observation import LiveReplayConfig, LiveReplayGapReason
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.live_reads import LiveReads
from lash_core.redis_store.live_session import LiveSession
from lash_core.redis_store.live_subscription import LiveSubscription
from lash_core.redis_store.server_time import server_time_ms
from lash_core.redis_store.subscriptions import Subscriptions
from lash_core.store.live_replay_store import LiveGap, LiveReplaySubscribeResult, LiveSubscribed

SWEEP_SECONDS: Final = 10.0
"""How often the tails of all watched sessions are compared: a message may be lost, and then costs no more than this."""

LINGER_SECONDS: Final = 2.0
"""How long a session is heard after its last watcher left: a page that reloads comes back at once."""

SUBSCRIBE_TRIES: Final = 3
"""A session that is deleted while somebody begins to watch it begins another life."""

_log = logging.getLogger(__name__)


class LiveHub:
    """Hears one channel for each watched session. Belongs to one event loop.

    Args:
        context: one namespace.
        reads: of its rings.
        config: bounds of a ring in this process.
    """

    def __init__(self, context: RedisContext, reads: LiveReads, config: LiveReplayConfig) -> None:
        self.closed = False
        self._context = context
        self._reads = reads
        self._config = config
        self._watched: dict[str, LiveSession] = {}
        self._subscriptions: Subscriptions | None = None
        self._sweep_now = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def subscribe(self, session_id: str, position: int) -> LiveReplaySubscribeResult:
        """A stream behind a position. Raises: LashError: the store failed. LiveReplayClosedError."""
        for _ in range(SUBSCRIBE_TRIES):
            watched = self._of(session_id)
            watched.users += 1
            try:
                await self._begin(watched)
                found = await watched.attach(position)
            finally:
                watched.leave()
            if self.closed:
                raise LiveReplayClosedError
            if not isinstance(found, LiveReplayGapReason):
                return LiveSubscribed(LiveSubscription(watched, found))
            if not watched.has_ended:
                return LiveGap(found)
        return LiveGap(LiveReplayGapReason.UNAVAILABLE)

    async def trim(self, session_id: str) -> None:
        """Drop what is too old here too. Raises: LashError: the store failed."""
        watched = self._watched.get(session_id)
        if watched is not None:
            watched.ring.trim(await server_time_ms(self._context))

    async def sweep(self) -> None:
        """Compare the tails of all watched sessions with the server's; what is too old here goes.

        Raises:
            LashError: the store failed.
        """
        known = [one for one in self._watched.values() if one.has_begun]
        if not known:
            return
        tails = await self._reads.tails([one.session_id for one in known])
        now_ms = await server_time_ms(self._context)
        for one in known:
            one.look_at(tails[one.session_id])
            one.ring.trim(now_ms)

    async def close(self) -> None:
        """End all subscriptions. May be called twice."""
        self.closed = True
        ending = [self._sweeper, *self._tasks, *(watched.end() for watched in self._watched.values())]
        self._sweeper = None
        self._watched.clear()
        tasks = [task for task in ending if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        subscriptions, self._subscriptions = self._subscriptions, None
        if subscriptions is not None:
            await subscriptions.close()

    # -- one session ---------------------------------------------------------------------------------------

    def _of(self, session_id: str) -> LiveSession:
        if self.closed:
            raise LiveReplayClosedError
        watched = self._watched.get(session_id)
        if watched is None:
            watched = LiveSession(session_id, self._reads, self._config, self._drop)
            watched.on_unused = lambda: self._linger(watched)
            self._watched[session_id] = watched
        return watched

    async def _begin(self, watched: LiveSession) -> None:
        async with watched.starting:
            if watched.has_begun or watched.has_ended:
                return
            await self._hearing().subscribe(self._channel(watched), watched.hear)
            try:
                await watched.begin()
            except BaseException:
                await self._hearing().unsubscribe(self._channel(watched), watched.hear)
                raise

    def _hearing(self) -> Subscriptions:
        if self.closed:
            raise LiveReplayClosedError
        if self._subscriptions is None:
            self._subscriptions = Subscriptions(self._context.connection)
            self._subscriptions.on_reconnect = self._sweep_now.set
            self._sweeper = asyncio.create_task(self._keep_sweeping(), name="lash-live-sweep")
        return self._subscriptions

    def _channel(self, watched: LiveSession) -> str:
        return self._context.keyspace.of_session(watched.session_id).live_channel(watched.session_id)

    def _linger(self, watched: LiveSession) -> None:
        if not self.closed and not watched.has_ended:
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._drop_unused, watched)

    def _drop_unused(self, watched: LiveSession) -> None:
        if watched.users == 0 and not watched.has_ended and not self.closed:
            watched.end()
            self._drop(watched)

    def _drop(self, watched: LiveSession) -> None:
        """Hear it no more: nobody watches it, or it was deleted and who comes next begins with another life of it."""
        if self._watched.get(watched.session_id) is watched:
            del self._watched[watched.session_id]
        if self._subscriptions is not None:
            self._spawn(self._subscriptions.unsubscribe(self._channel(watched), watched.hear))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the safety net ------------------------------------------------------------------------------------

    async def _keep_sweeping(self) -> None:
        while True:
            # Not ``wait_for``: in Python 3.11 it can swallow a cancel, and closing would wait for ever.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._sweep_now.wait()
            self._sweep_now.clear()
            try:
                await self.sweep()
            except LashError as error:
                _log.warning("live events at %s cannot be compared: %s", self._context.connection.where, error)
