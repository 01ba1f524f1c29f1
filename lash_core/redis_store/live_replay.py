"""Live replay on Redis: rings for all programs of the fleet (``docs/contracts/observation.md`` 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lash_core.errors import LashError, LiveReplayClosedError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import LiveReplayConfig, LiveReplayGapReason
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.live_appends import LiveAppends, failed
from lash_core.redis_store.live_hub import LiveHub
from lash_core.redis_store.live_reads import LiveReads
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import server_time_ms
from lash_core.store.live_replay_bounds import FORGOTTEN_KEPT_MS, checked_revision
from lash_core.store.live_replay_store import LiveGap, LiveReplayed, LiveReplayResult, LiveReplaySubscribeResult

RINGS_A_CALL: Final = 50
"""Rings that one script looks at: a server is busy with them for about 1 ms."""


class RedisLiveReplayStore(LiveAppends):
    """``FleetLiveReplayStore`` over Redis. Belongs to one event loop.

    Args:
        context: one namespace.
        config: bounds of a ring, kept by whoever appends to it; those of the settings by default.
    """

    def __init__(self, context: RedisContext, config: LiveReplayConfig | None = None) -> None:
        chosen = config or context.settings.live_replay
        super().__init__(context, chosen)
        self._reads = LiveReads(context)
        self._hub = LiveHub(context, self._reads, chosen)

    @property
    def config(self) -> LiveReplayConfig:
        """The bounds of a ring."""
        return self._config

    async def replay_after_cursor(self, cursor: SessionCursor) -> LiveReplayResult:
        """The events behind a cursor. Raises: SessionCursorError: malformed. LiveReplayStoreError."""
        place = SessionCursor(cursor).parse()
        self._check_open()
        try:
            _, stored = await self._reads.stored_after(place.session_id, place.live_position)
            if isinstance(stored, LiveReplayGapReason):
                return LiveGap(stored)
            events = await self._reads.events(place.session_id, stored, self._reads.views(place.session_id))
        except LashError as error:
            raise failed(error) from error
        return LiveGap(events) if isinstance(events, LiveReplayGapReason) else LiveReplayed(tuple(events))

    async def subscribe_after_cursor(self, cursor: SessionCursor) -> LiveReplaySubscribeResult:
        """As ``replay_after_cursor``, followed by what comes. Raises: as it."""
        place = SessionCursor(cursor).parse()
        self._check_open()
        try:
            return await self._hub.subscribe(place.session_id, place.live_position)
        except LashError as error:
            raise failed(error) from error

    async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
        """The cursor at the tail. Raises: LiveReplayStoreError."""
        self._check_open()
        try:
            at_revision = checked_revision(revision)
            tail = await self._reads.tail(session_id)
        except LashError as error:
            raise failed(error) from error
        return SessionCursor.new(session_id, at_revision, tail.tail)

    async def last_commit(self, session_id: str) -> tuple[int, int]:
        """Revision and position of the newest ``committed``; (0, 0) without one. Raises: LiveReplayStoreError."""
        self._check_open()
        try:
            tail = await self._reads.tail(session_id)
        except LashError as error:
            raise failed(error) from error
        return tail.commit_revision, tail.commit_position

    async def trim_session(self, session_id: str) -> None:
        """Drop what is too old. Safe to repeat. Raises: LiveReplayStoreError."""
        self._check_open()
        try:
            await self._context.scripts.run(
                [self._trim_call(self._context.keyspace.of_session(session_id).index, [session_id])]
            )
            await self._hub.trim(session_id)
        except LashError as error:
            raise failed(error) from error

    async def trim_idle(self, limit: int) -> int:
        """Drop what is too old in rings that nobody appends to, and records of sessions that are gone for a day.

        Each partition is atomic. Safe to repeat. Returns how many rings were looked at. Raises: LiveReplayStoreError.
        """
        self._check_open()
        try:
            now_ms = await server_time_ms(self._context)
            idle = [keys.live_idle for keys in self._context.keyspace.partitions]
            due = ("-inf", now_ms, "LIMIT", 0, max(limit, 0))
            replies = await self._context.connection.read([Command(key, ("ZRANGEBYSCORE", key, *due)) for key in idle])
            calls: list[Call] = []
            looked_at = 0
            for index, session_ids in enumerate(replies):
                chosen = session_ids[: max(limit, 0) - looked_at]
                looked_at += len(chosen)
                for start in range(0, len(chosen), RINGS_A_CALL):
                    calls.append(self._trim_call(index, chosen[start : start + RINGS_A_CALL]))
            await self._context.scripts.run(calls)
        except LashError as error:
            raise failed(error) from error
        return looked_at

    async def close(self) -> None:
        """End all subscriptions. The connection is the stores'. May be called twice."""
        await self._hub.close()

    async def _run(self, calls: Sequence[Call], *, repeatable: bool = False) -> list[Any]:
        if self._hub.closed:
            return [LiveReplayClosedError() for _ in calls]
        return await super()._run(calls, repeatable=repeatable)

    def _check_open(self) -> None:
        if self._hub.closed:
            raise LiveReplayClosedError

    def _trim_call(self, partition: int, session_ids: list[str]) -> Call:
        keys = self._context.keyspace.partitions[partition]
        names = [key for name in session_ids for key in (keys.live_ring(name), keys.session_head(name))]
        args = (self._config.max_age_ms, FORGOTTEN_KEPT_MS, *session_ids)
        return Call("trim_live_rings", (keys.live_tails, keys.live_idle, *names), args)
