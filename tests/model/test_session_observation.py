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
