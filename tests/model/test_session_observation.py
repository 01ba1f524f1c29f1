"""What a watch yields says from where to go on, whatever it is."""

from __future__ import annotations

from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    LiveReplayGap,
    LiveReplayGapReason,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    SessionReplayed,
    WatchItem,
)
from lash_core.model.session_state import RuntimeSessionState, SessionReadView


def test_every_item_of_a_watch_has_the_cursor_to_go_on_from() -> None:
    """A gap's is that of the observation that it brings, not the one that was asked for."""
    old, now = SessionCursor.new("chat", 1, 1), SessionCursor.new("chat", 2, 9)
    view = SessionReadView.from_persisted_state(RuntimeSessionState(session_id="chat", current_agent_frame_id="f"))
    gap = LiveReplayGap("chat", old, SessionCursor.new("chat", 2, 8), SessionRevision(2), LiveReplayGapReason.TRIMMED)
    items: list[WatchItem] = [
        SessionObservation(view, now),
        SessionObservationEvent("chat", SessionRevision(2), now, AgentFrameSwitchedPayload("f2")),
        SessionGap(SessionObservation(view, now), gap),
    ]

    assert [now] * 3 == [item.cursor for item in items]


def test_an_answer_to_who_resumes_is_tagged_json() -> None:
    """Events or a gap with its observation; each part is what it is alone."""
    now = SessionCursor.new("chat", 2, 9)
    event = SessionObservationEvent("chat", SessionRevision(2), now, AgentFrameSwitchedPayload("f2"))
    view = SessionReadView.from_persisted_state(RuntimeSessionState(session_id="chat"))
    gap = LiveReplayGap("chat", now, now, SessionRevision(2), LiveReplayGapReason.UNAVAILABLE)
    observation = SessionObservation(view, now)

    assert {"type": "replayed", "events": [event.to_json_value()]} == SessionReplayed((event,)).to_json_value()
    assert {
        "type": "gap",
        "observation": observation.to_json_value(),
        "gap": gap.to_json_value(),
    } == SessionGap(observation, gap).to_json_value()
