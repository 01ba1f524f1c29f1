"""Reading rings on Redis (``docs/contracts/observation.md`` 4), by plain commands: an observer may run no script."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from lash_core.errors import CorruptRecordError
from lash_core.model.observation_codec import CommittedReference, decode_payload
from lash_core.model.session_observation import LiveReplayGapReason, SessionObservationEvent
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.live_appends import live_event
from lash_core.redis_store.live_commits import CommittedViews
from lash_core.redis_store.live_ring import (
    LiveTail,
    StoredEvent,
    decode_entries,
    decode_tails,
    entries_command,
    tail_command,
)

_log = logging.getLogger(__name__)

EVENTS_A_READ: Final = 500
"""Of one read: a server is busy with them for less than a ms."""


class LiveReads:
    """Records and events of rings.

    Args:
        context: one namespace.
    """

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    def views(self, session_id: str) -> CommittedViews:
        """What resolves the commits of one reader of a session."""
        return CommittedViews(self._context, session_id)

    async def tail(self, session_id: str) -> LiveTail:
        """The record of one ring. Raises: LashError: the store failed, CorruptRecordError."""
        return (await self.tails([session_id]))[session_id]

    async def tails(self, session_ids: Iterable[str]) -> dict[str, LiveTail]:
        """The records of many rings, a command for each partition. Raises: as ``tail``."""
        groups: dict[str, list[str]] = {}
        for session_id in session_ids:
            groups.setdefault(self._context.keyspace.of_session(session_id).live_tails, []).append(session_id)
        commands = [tail_command(self._context.keyspace.of_session(group[0]), group) for group in groups.values()]
        replies = await self._context.connection.read(commands)
        return {
            session_id: tail
            for (key, group), reply in zip(groups.items(), replies, strict=True)
            for session_id, tail in zip(group, decode_tails(reply, key=key), strict=True)
        }

    async def stored_after(
        self, session_id: str, position: int, last: int | None = None
    ) -> tuple[LiveTail, list[StoredEvent] | LiveReplayGapReason]:
        """The record, then the events behind a position (up to ``last``), or why they are not all there.

        The record is read first: what comes or goes meanwhile is seen in the events. Raises: as ``tail``.
        """
        keys = self._context.keyspace.of_session(session_id)
        end = "+" if last is None else last
        page = entries_command(keys, session_id, position + 1, end, EVENTS_A_READ)
        tails, reply = await self._context.connection.read([tail_command(keys, [session_id]), page])
        (tail,) = decode_tails(tails, key=keys.live_tails)
        reason = tail.gap_after(position)
        if reason is not None:
            return tail, reason
        found = decode_entries(reply, key=page.key)
        while len(reply) == EVENTS_A_READ:
            page = entries_command(keys, session_id, found[-1].position + 1, end, EVENTS_A_READ)
            (reply,) = await self._context.connection.read([page])
            found += decode_entries(reply, key=page.key)
        wanted = tail.tail if last is None else min(last, tail.tail)
        start = position if tail.known else (found[0].position - 1 if found else position)
        if (found[-1].position if found else position) < wanted and tail.known:
            return tail, LiveReplayGapReason.TRIMMED
        dense = all(stored.position == start + place for place, stored in enumerate(found, 1))
        return tail, found if dense else LiveReplayGapReason.TRIMMED

    async def events(
        self, session_id: str, stored: Sequence[StoredEvent], views: CommittedViews
    ) -> list[SessionObservationEvent] | LiveReplayGapReason:
        """Events decoded and resolved, or why one of them cannot be. Raises: as ``tail``."""
        found: list[SessionObservationEvent] = []
        for one in stored:
            event = await self.event(session_id, one, views)
            if isinstance(event, LiveReplayGapReason):
                return event
            found.append(event)
        return found

    async def event(
        self, session_id: str, stored: StoredEvent, views: CommittedViews
    ) -> SessionObservationEvent | LiveReplayGapReason:
        """One event, or why it cannot be shown: its history is gone, it is unreadable. Raises: as ``tail``."""
        event = decoded_event(session_id, stored)
        if not isinstance(event, CommittedReference):
            return event
        try:
            payload = await views.resolved(event)
        except CorruptRecordError as error:
            return _unreadable(session_id, stored, error)
        if payload is None:
            return LiveReplayGapReason.TRIMMED
        return live_event(session_id, stored.revision, stored.position, payload)


def decoded_event(
    session_id: str, stored: StoredEvent
) -> SessionObservationEvent | CommittedReference | LiveReplayGapReason:
    """An event without reading anything; a reference has to be resolved, and what this release cannot read is a gap."""
    try:
        payload = decode_payload(stored.payload)
    except CorruptRecordError as error:
        return _unreadable(session_id, stored, error)
    if isinstance(payload, CommittedReference):
        return payload
    return live_event(session_id, stored.revision, stored.position, payload)


def _unreadable(session_id: str, stored: StoredEvent, error: CorruptRecordError) -> LiveReplayGapReason:
    _log.warning("session %s: event %d cannot be shown: %s", session_id, stored.position, error)
    return LiveReplayGapReason.UNAVAILABLE
