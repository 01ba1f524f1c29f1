"""Live replay in this process (``docs/contracts/observation.md`` 3): rings for one process life.

Nothing here is durable, and no other program sees it. Appends are done when the call returns, from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from lash_core.clock import Clock, SystemClock
from lash_core.errors import (
    InvalidArgumentError,
    InvalidJsonError,
    LiveReplayClosedError,
    LiveReplayFailedError,
    LiveReplayStoreError,
)
from lash_core.memory_store.broadcast_ring import BroadcastRing
from lash_core.model.ids import check_id
from lash_core.model.observation_codec import payload_bytes
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    LiveReplayConfig,
    LiveReplayGapReason,
    SessionObservationEvent,
    SessionObservationEventPayload,
    TurnActivityPayload,
)
from lash_core.store.live_replay_bounds import FORGOTTEN_KEPT_MS, check_append, check_event_bytes, checked_revision
from lash_core.store.live_replay_store import (
    LiveAppend,
    LiveAppended,
    LiveAppendOutcome,
    LiveAppendStale,
    LiveGap,
    LiveReplayed,
    LiveReplayResult,
    LiveReplaySubscribeResult,
    LiveSubscribed,
)

InMemoryLiveReplayStoreConfig = LiveReplayConfig


@dataclass(slots=True)
class _SessionRing:
    """A session's ring, and what is known of its writers. Guarded by the store's lock."""

    ring: BroadcastRing
    generation: int = 0
    activity_open: bool = False
    last_commit: tuple[int, int] = field(default=(0, 0))
    forgotten_at_ms: int | None = None

    def is_told(self, append: LiveAppend) -> bool:
        """The commit that ended what the append is about is in the ring."""
        revision, position = self.last_commit
        has_commit = any(isinstance(payload, CommittedPayload) for payload in append.payloads)
        return position > 0 and append.revision < revision and not has_commit

    def is_over(self, now_ms: int) -> bool:
        """Nobody misses it: nothing ever came and nobody listens, or it was deleted a day ago."""
        if self.ring.subscribed or len(self.ring):
            return False
        if self.forgotten_at_ms is not None:
            return now_ms - self.forgotten_at_ms > FORGOTTEN_KEPT_MS
        return self.ring.tail == 0 and self.generation == 0


class InMemoryLiveReplayStore:
    """``FleetLiveReplayStore`` for one program, for one process life.

    Args:
        config: the bounds of each session's ring.
        clock: decides ages; the machine's by default.
    """

    def __init__(self, config: LiveReplayConfig | None = None, *, clock: Clock | None = None) -> None:
        self.config = config or LiveReplayConfig()
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._sessions: dict[str, _SessionRing] = {}
        self._closed = False

    # -- appends -----------------------------------------------------------------------------------------

    def append_now(
        self, session_id: str, revision: int, payload: SessionObservationEventPayload
    ) -> SessionObservationEvent:
        """``append`` without waiting. Raises: as it."""
        return self._append(LiveAppend(session_id, revision, (payload,)), [_size(payload)]).events[0]

    def append_live_now(self, append: LiveAppend) -> LiveAppended | LiveAppendStale:
        """One item of ``append_many`` without waiting. Atomic.

        Raises:
            LiveReplayStoreError: the store was closed, or a payload is not JSON.
        """
        check_append(append)
        sizes = [_size(payload) for payload in append.payloads]
        with self._lock:
            session = self._writable(append.session_id)
            if 0 < append.generation < session.generation:
                return LiveAppendStale(session.generation)
            if append.generation and session.is_told(append):
                return LiveAppendStale(append.generation, session.last_commit[0])
            return self._append(append, sizes)

    async def append(
        self, session_id: str, revision: int, payload: SessionObservationEventPayload
    ) -> SessionObservationEvent:
        """Append one event."""
        return self.append_now(session_id, revision, payload)

    async def append_many(self, appends: Sequence[LiveAppend]) -> tuple[LiveAppendOutcome, ...]:
        """Append for several sessions; one outcome each."""
        return tuple(self._outcome(append) for append in appends)

    async def append_commit_once(
        self, session_id: str, revision: int, payload: CommittedPayload, *, frame_id: str | None = None
    ) -> SessionObservationEvent | None:
        """Append a ``committed`` that nobody appended yet."""
        at_revision = checked_revision(revision)
        with self._lock:
            session = self._writable(session_id)
            if session.last_commit[1] and session.last_commit[0] >= at_revision:
                return None
            if frame_id is not None:
                switched = AgentFrameSwitchedPayload(frame_id)
                self._push(session, session_id, at_revision, switched, _size(switched))
            return self._push(session, session_id, at_revision, payload, _size(payload))

    def _outcome(self, append: LiveAppend) -> LiveAppendOutcome:
        try:
            return self.append_live_now(append)
        except LiveReplayStoreError as error:
            return error

    def _append(self, append: LiveAppend, sizes: Sequence[int]) -> LiveAppended:
        revision = checked_revision(append.revision)
        with self._lock:
            session = self._writable(append.session_id)
            took_over = session.activity_open and append.generation > session.generation
            session.generation = max(session.generation, append.generation)
            if append.dropped:
                session.ring.skip_to(session.ring.tail + append.dropped)
            events = tuple(
                self._push(session, append.session_id, revision, payload, size)
                for payload, size in zip(append.payloads, sizes, strict=True)
            )
        return LiveAppended(events, took_over)

    def _push(
        self,
        session: _SessionRing,
        session_id: str,
        revision: SessionRevision,
        payload: SessionObservationEventPayload,
        size: int,
    ) -> SessionObservationEvent:
        position = session.ring.tail + 1
        cursor = SessionCursor.new(session_id, revision, position)
        event = SessionObservationEvent(session_id, revision, cursor, payload)
        if isinstance(payload, CommittedPayload):
            session.last_commit = (int(revision), position)
            session.activity_open = False
        elif isinstance(payload, TurnActivityPayload):
            session.activity_open = True
        session.forgotten_at_ms = None
        session.ring.push(position, event, size=size, at_ms=self._clock.now_ms())
        return event

    # -- reads -------------------------------------------------------------------------------------------

    async def replay_after_cursor(self, cursor: SessionCursor) -> LiveReplayResult:
        """The events behind the cursor."""
        parts = SessionCursor(cursor).parse()
        session = self._session(parts.session_id)
        if session is None:
            return LiveReplayed(()) if parts.live_position == 0 else LiveGap(LiveReplayGapReason.UNAVAILABLE)
        events = session.ring.events_after(parts.live_position)
        return LiveGap(events) if isinstance(events, LiveReplayGapReason) else LiveReplayed(events)

    async def subscribe_after_cursor(self, cursor: SessionCursor) -> LiveReplaySubscribeResult:
        """The stream behind the cursor."""
        parts = SessionCursor(cursor).parse()
        with self._lock:
            if parts.live_position and self._session(parts.session_id) is None:
                return LiveGap(LiveReplayGapReason.UNAVAILABLE)
            ring = self._writable(parts.session_id).ring
            reason = ring.gap_after(parts.live_position)
            return LiveGap(reason) if reason else LiveSubscribed(ring.subscribe(parts.live_position))

    async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
        """The cursor at the tail."""
        session = self._session(session_id)
        return SessionCursor.new(session_id, checked_revision(revision), 0 if session is None else session.ring.tail)

    async def last_commit(self, session_id: str) -> tuple[int, int]:
        """Revision and position of the newest ``committed``."""
        session = self._session(session_id)
        return (0, 0) if session is None else session.last_commit

    # -- upkeep ------------------------------------------------------------------------------------------

    async def trim_session(self, session_id: str) -> None:
        """Drop what is too old."""
        session = self._session(session_id)
        if session is not None:
            session.ring.trim(self._clock.now_ms())

    async def trim_idle(self, limit: int) -> int:
        """Drop what is too old, and deleted sessions whose day is over; how many rings had something to drop."""
        now_ms = self._clock.now_ms()
        looked_at = 0
        with self._lock:
            for session_id, session in tuple(self._sessions.items()):
                if looked_at >= limit:
                    break
                dropped = session.ring.trim(now_ms)
                if session.is_over(now_ms):
                    del self._sessions[session_id]
                elif not dropped:
                    continue
                looked_at += 1
        return looked_at

    async def forget_session(self, session_id: str) -> None:
        """The session was deleted: its events go, its subscribers end."""
        self.forget_session_now(session_id)

    def forget_session_now(self, session_id: str) -> None:
        """``forget_session`` without waiting.

        The tail moves on by one, so that a cursor at the old tail finds a gap too, and never another life's events.
        """
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None or self._closed:
                return
            session.ring.close(forget=True)
            ring = BroadcastRing(self.config, tail=session.ring.tail + 1, lock=self._lock)
            self._sessions[session_id] = _SessionRing(ring, session.generation, forgotten_at_ms=self._clock.now_ms())

    async def close(self) -> None:
        """End all subscriptions. May be called twice."""
        with self._lock:
            self._closed = True
            for session in self._sessions.values():
                session.ring.close()

    def _session(self, session_id: str) -> _SessionRing | None:
        with self._lock:
            self._refuse_closed()
            return self._sessions.get(session_id)

    def _writable(self, session_id: str) -> _SessionRing:
        with self._lock:
            self._refuse_closed()
            session = self._sessions.get(session_id)
            if session is None:
                _check_session_id(session_id)
                session = self._sessions[session_id] = _SessionRing(BroadcastRing(self.config, lock=self._lock))
            return session

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LiveReplayClosedError


def _check_session_id(session_id: str) -> None:
    try:
        check_id(session_id, field="session_id", subject="session id")
    except InvalidArgumentError as error:
        raise LiveReplayFailedError(error.message, field=error.field, value=error.value) from error


def _size(payload: SessionObservationEventPayload) -> int:
    try:
        size = payload_bytes(payload)
    except InvalidJsonError as error:
        raise LiveReplayFailedError(error.message, field=error.field, value=error.value) from error
    check_event_bytes(size)
    return size
