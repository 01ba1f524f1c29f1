"""Observations and events without a store."""

from __future__ import annotations

from typing import Any

from lash_core.model.base import JsonValue
from lash_core.model.message import Message
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    CommittedPayload,
    LiveReplayGap,
    LiveReplayGapReason,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    TurnActivityPayload,
)
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.model.turn_activity import TurnActivity, TurnEvent, TurnEventKind


def view_of(*texts: str, frame_id: str = "f") -> SessionReadView:
    """A session whose user said this."""
    state = RuntimeSessionState(session_id="chat", current_agent_frame_id=frame_id, turn_index=len(texts))
    for number, text in enumerate(texts):
        message = Message.user(text, message_id=f"m{number}-{text}")
        state.session_graph.append_message(message, agent_frame_id=frame_id, timestamp_ms=0)
    return SessionReadView.from_persisted_state(state)


def observed(*texts: str, revision: int = 1, position: int = 0) -> SessionObservation:
    """Where it stands."""
    return SessionObservation(view_of(*texts), SessionCursor.new("chat", revision, position))


def event_of(payload: Any, *, revision: int = 1, position: int = 1) -> SessionObservationEvent:
    """An event."""
    cursor = SessionCursor.new("chat", revision, position)
    return SessionObservationEvent("chat", SessionRevision(revision), cursor, payload)


def doing(
    kind: TurnEventKind, correlation_id: str = "c", *, revision: int = 1, position: int = 1, **facts: JsonValue
) -> SessionObservationEvent:
    """An activity."""
    activity = TurnActivity(id="a", correlation_id=correlation_id, event=TurnEvent(kind, facts))
    return event_of(TurnActivityPayload(activity), revision=revision, position=position)


def saying(text: str, correlation_id: str = "c", *, revision: int = 1, position: int = 1) -> SessionObservationEvent:
    """A piece of text."""
    return doing("assistant_prose_delta", correlation_id, revision=revision, position=position, text=text)


def committed(*texts: str, revision: int = 2, position: int = 9) -> SessionObservationEvent:
    """A commit."""
    return event_of(CommittedPayload(view_of(*texts)), revision=revision, position=position)


def gap_of(observation: SessionObservation) -> SessionGap:
    """A gap behind an old cursor."""
    old = SessionCursor.new("chat", 0, 1)
    latest = observation.cursor
    reason = LiveReplayGapReason.TRIMMED
    return SessionGap(observation, LiveReplayGap("chat", old, latest, latest.parse().revision, reason))
