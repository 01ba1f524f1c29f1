"""Live replay: a bounded ring of a session's newest events, for those who watch (``docs/contracts/observation.md`` 3).

Best effort by design: nothing here may fail or slow a commit, and what is lost is a gap that says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from lash_core.errors.observation import LiveReplayClosedError, LiveReplayStoreError, SubscriberLaggedError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    CommittedPayload,
    LiveReplayGapReason,
    SessionGap,
    SessionObservationEvent,
    SessionObservationEventPayload,
)

SubscriptionItem = SessionObservationEvent | SubscriberLaggedError | LiveReplayClosedError
"""What a stream yields: an event, how many were missed (the stream goes on behind them), or its end."""


class LiveReplaySubscription(Protocol):
    """Events behind a cursor, the kept ones first and then as they come: no hole that is not told, no duplicate.

    Belongs to the event loop that subscribed. It holds a position and no events, so that any number costs little.
    """

    def __aiter__(self) -> AsyncIterator[SubscriptionItem]:
        """Itself."""
        ...

    async def __anext__(self) -> SubscriptionItem:
        """The next item; waits for it. Ends after a ``LiveReplayClosedError``, and after ``aclose``."""
        ...

    async def aclose(self) -> None:
        """Stop. May be called twice; a wait under way ends."""
        ...


@dataclass(frozen=True, slots=True)
class LiveReplayed:
    """The events behind the cursor, maybe none."""

    events: tuple[SessionObservationEvent, ...]


@dataclass(frozen=True, slots=True)
class LiveSubscribed:
    """The stream behind the cursor."""

    subscription: LiveReplaySubscription


@dataclass(frozen=True, slots=True)
class LiveGap:
    """Not all events behind the cursor are there."""

    reason: LiveReplayGapReason


LiveReplayResult = LiveReplayed | LiveGap
LiveReplaySubscribeResult = LiveSubscribed | LiveGap

SessionObservationSubscription = LiveSubscribed | SessionGap
"""What a watcher who subscribes is answered: the stream, or where the session stands when not all of it is there."""


@runtime_checkable
class LiveReplayStore(Protocol):
    """Rings of sessions. A host may bring its own with these five verbs."""

    async def append(
        self, session_id: str, revision: int, payload: SessionObservationEventPayload
    ) -> SessionObservationEvent:
        """Append one event at ``tail + 1``, drop what is over the bounds, tell the subscribers.

        Not safe to repeat: a repeat is another event. Raises: LiveReplayStoreError.
        """
        ...

    async def replay_after_cursor(self, cursor: SessionCursor) -> LiveReplayResult:
        """The events behind a position ``P``.

        No ring: ``P > 0`` is unavailable, 0 is empty. ``P > tail``: unavailable. An empty ring with ``P < tail``, or
        ``P + 1`` before the first kept event: trimmed.

        Raises:
            SessionCursorError: malformed. LiveReplayStoreError.
        """
        ...

    async def subscribe_after_cursor(self, cursor: SessionCursor) -> LiveReplaySubscribeResult:
        """As ``replay_after_cursor``, followed by what comes. Raises: as it."""
        ...

    async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
        """The cursor at the tail; position 0 for a session without a ring. Raises: LiveReplayStoreError."""
        ...

    async def trim_session(self, session_id: str) -> None:
        """Drop what is too old. Safe to repeat. Raises: LiveReplayStoreError."""
        ...


@dataclass(frozen=True, slots=True)
class LiveAppend:
    """Events of one session, in order.

    Attributes:
        generation: of the session lease under which they happened; 0 = not under a lease. Once a higher one wrote, a
            lower one writes nothing more, and once a commit of a higher revision is in the ring, nothing but a commit.
        dropped: events before these that their writer had to drop: the ring is emptied and goes on behind them, so
            that older cursors find a gap.
        texts: what ``encode_payload`` says of each payload, where its writer has it already ("" = not); () = of none.
    """

    session_id: str
    revision: int
    payloads: tuple[SessionObservationEventPayload, ...]
    generation: int = 0
    dropped: int = 0
    texts: tuple[str, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LiveAppended:
    """They are in the ring.

    ``took_over``: the ring has activity of an older generation behind the last commit, which nobody retracted yet.
    """

    events: tuple[SessionObservationEvent, ...]
    took_over: bool = False


@dataclass(frozen=True, slots=True)
class LiveAppendStale:
    """Nothing was appended, and nothing of this generation (and revision) ever will be.

    Attributes:
        generation: the highest one that wrote.
        committed: revision of the last commit, where that ended what the append is about; 0 = a newer generation did.
    """

    generation: int
    committed: int = 0


LiveAppendOutcome = LiveAppended | LiveAppendStale | LiveReplayStoreError


@runtime_checkable
class FleetLiveReplayStore(LiveReplayStore, Protocol):
    """Rings that any program of the fleet appends to and reads. ``stores.live_replay`` is one in both back ends."""

    async def append_many(self, appends: Sequence[LiveAppend]) -> tuple[LiveAppendOutcome, ...]:
        """Append for several sessions in one pipeline: one outcome each, in order. Each is atomic; none is repeated."""
        ...

    async def append_commit_once(
        self, session_id: str, revision: int, payload: CommittedPayload, *, frame_id: str | None = None
    ) -> SessionObservationEvent | None:
        """Append a ``committed``, unless one of this or a newer revision is there already (None). Safe to repeat.

        Args:
            session_id: the session.
            revision: its head revision after the commit.
            payload: what it says.
            frame_id: the current frame, where the commit changed it: an ``agent_frame_switched`` comes right before.

        Raises:
            LiveReplayStoreError.
        """
        ...

    async def last_commit(self, session_id: str) -> tuple[int, int]:
        """Revision and position of the newest ``committed`` in the ring's life; (0, 0) when there was none."""
        ...

    async def forget_session(self, session_id: str) -> None:
        """The session was deleted: its events go; its subscribers end. Old cursors find a gap for a day. Repeatable."""
        ...

    async def trim_idle(self, limit: int) -> int:
        """Drop events that are too old in rings that nobody appends to any more; how many rings were looked at."""
        ...

    async def close(self) -> None:
        """End all subscriptions and give connections back. May be called twice."""
        ...
