"""What watchers of a session are told (``docs/contracts/observation.md`` 2). Pure; shared, never copied."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field

from lash_core.model.base import Model
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_state import SessionReadView
from lash_core.model.turn_activity import TurnActivity


class SessionQueueEventKind(StrEnum):
    """What happened to a session's queue. Work that is put back is ``enqueued`` again."""

    ENQUEUED = "enqueued"
    CANCELLED = "cancelled"


class SessionProcessEventKind(StrEnum):
    """What happened to the processes that a session has handles on."""

    STARTED = "started"
    CANCELLED = "cancelled"


class LiveReplayGapReason(StrEnum):
    """``trimmed``: the events were there and were dropped. ``unavailable``: this store never had them, or not yet."""

    TRIMMED = "trimmed"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class TurnActivityPayload:
    """One activity of a turn. Provisional until a ``committed`` follows."""

    type: ClassVar[str] = "turn_activity"
    activity: TurnActivity


@dataclass(frozen=True, slots=True)
class CommittedPayload:
    """The session was stored: what is provisional is over, and this is what it says."""

    type: ClassVar[str] = "committed"
    read_view: SessionReadView


@dataclass(frozen=True, slots=True)
class AgentFrameSwitchedPayload:
    """The current frame changed; comes right before the ``committed`` that changed it."""

    type: ClassVar[str] = "agent_frame_switched"
    frame_id: str


@dataclass(frozen=True, slots=True)
class QueueChangedPayload:
    """Batches came into the queue, or were taken out of it by a cancel."""

    type: ClassVar[str] = "queue_changed"
    kind: SessionQueueEventKind
    batch_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProcessChangedPayload:
    """The list of process handles changed."""

    type: ClassVar[str] = "process_changed"
    kind: SessionProcessEventKind
    process_ids: tuple[str, ...]


SessionObservationEventPayload = (
    TurnActivityPayload | CommittedPayload | AgentFrameSwitchedPayload | QueueChangedPayload | ProcessChangedPayload
)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SessionObservationEvent:
    """One event; ``cursor`` is the position behind it, to resume from."""

    session_id: str
    revision: SessionRevision
    cursor: SessionCursor
    payload: SessionObservationEventPayload

    @property
    def position(self) -> int:
        """Its live position: 1 for the first one."""
        return self.cursor.parse().live_position

    def to_json_value(self) -> dict[str, Any]:
        """The event as a JSON object, history included; ``payload`` has its ``type``. Raises: InvalidJsonError."""
        from lash_core.model.observation_codec import encode_event  # noqa: PLC0415 - that module builds on this one

        return json.loads(encode_event(self))


@dataclass(frozen=True, slots=True)
class SessionObservation:
    """The whole session, and the cursor to go on from."""

    read_view: SessionReadView
    cursor: SessionCursor

    def to_json_value(self) -> dict[str, Any]:
        """The observation as a JSON object, history included."""
        from lash_core.model.observation_codec import observation_value  # noqa: PLC0415 - as above

        return observation_value(self)


@dataclass(frozen=True, slots=True)
class LiveReplayGap:
    """Events between two cursors cannot be replayed."""

    session_id: str
    requested_cursor: SessionCursor
    latest_cursor: SessionCursor
    latest_revision: SessionRevision
    reason: LiveReplayGapReason

    def to_json_value(self) -> dict[str, Any]:
        """The gap as a JSON object."""
        return {
            "session_id": self.session_id,
            "requested_cursor": str(self.requested_cursor),
            "latest_cursor": str(self.latest_cursor),
            "latest_revision": int(self.latest_revision),
            "reason": self.reason.value,
        }


@dataclass(frozen=True, slots=True)
class SessionReplayed:
    """All events behind the cursor, maybe none."""

    type: ClassVar[str] = "replayed"
    events: tuple[SessionObservationEvent, ...]

    def to_json_value(self) -> dict[str, Any]:
        """The answer as a JSON object, histories included."""
        return {"type": self.type, "events": [event.to_json_value() for event in self.events]}


@dataclass(frozen=True, slots=True)
class SessionGap:
    """Not all events behind the cursor are there: go on from this observation, which is newer."""

    type: ClassVar[str] = "gap"
    observation: SessionObservation
    gap: LiveReplayGap

    def to_json_value(self) -> dict[str, Any]:
        """The answer as a JSON object, history included."""
        return {
            "type": self.type,
            "observation": self.observation.to_json_value(),
            "gap": self.gap.to_json_value(),
        }

    @property
    def cursor(self) -> SessionCursor:
        """The observation's: where to go on from, as any item of a watch has one."""
        return self.observation.cursor


SessionResume = SessionReplayed | SessionGap

WatchItem = SessionObservation | SessionObservationEvent | SessionGap
"""What a watch yields: where the session stands, what happens, and what could not be replayed."""


class LiveReplayConfig(Model):
    """How much of a session's events is kept for those who reconnect. Not durable, and never part of history.

    Attributes:
        max_events_per_session: also how far a subscriber may fall behind. 0 = nothing is replayed; who listens and
            keeps up hears everything.
        max_age_ms: older events go, on append and on ``trim_session``.
        max_bytes_per_session: of the events as JSON text; the newest event stays whatever its size.
    """

    max_events_per_session: int = Field(default=2048, ge=0, le=1_000_000, kw_only=False)
    max_age_ms: int = Field(default=120_000, ge=0, kw_only=False)
    max_bytes_per_session: int = Field(default=2 * 1024 * 1024, ge=1)
