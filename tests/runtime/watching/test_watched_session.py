"""What is known after some items of a watch."""

from __future__ import annotations

from lash_core.model.session_observation import AgentFrameSwitchedPayload, QueueChangedPayload, SessionQueueEventKind
from lash_core.runtime.observation.watched_session import WatchedSession
from tests.runtime.watching.kit import committed, doing, event_of, gap_of, observed, saying


def after(*items: object) -> WatchedSession:
    """What is known after these."""
    known = WatchedSession()
    for item in items:
        known.take(item)  # type: ignore[arg-type]
    return known


def test_text_grows_until_the_commit() -> None:
    """Then it is history."""
    known = after(observed("one"), saying("hel"), saying("lo"))
    assert ("hello", 1, 1) == (known.prose, len(known.provisional), len(known.messages))
    known.take(committed("one", "two"))
    assert ("", [], 2, 2) == (known.prose, known.provisional, len(known.messages), known.revision)
    assert "lashsc1:2:9:chat" == known.cursor


def test_a_reset_takes_back_what_has_its_id() -> None:
    """Text, thoughts and tools; nothing else."""
    known = after(
        saying("kept ", "c1"),
        saying("void", "c2"),
        doing("reasoning_delta", "c2", text="hm"),
        doing("tool_call_started", "c3", tool_name="add", args={}),
        doing("model_attempt_reset", "c2"),
        doing("model_attempt_reset", "c3"),
    )
    assert ("kept ", 1) == (known.prose, len(known.provisional))


def test_a_tool_is_one_part_however_often_it_is_told() -> None:
    """What it answered comes to what it was asked."""
    asked = doing("tool_call_started", "c1", tool_name="add", args={"a": 1})
    known = after(asked, saying("so"), asked, doing("tool_call_completed", "c1", tool_name="add", output={"value": 2}))
    tool = known.provisional[0]
    assert ("tool", "add", {"a": 1}, {"value": 2}) == (tool.kind, tool.name, tool.args, tool.output)
    assert 2 == len(known.provisional)


def test_text_of_the_next_turn_outlives_a_commit_that_is_told_late() -> None:
    """It began on the revision that the commit made."""
    known = after(observed(), saying("old", revision=1), saying("new", "n", revision=2), committed("one", revision=2))
    assert "new" == known.prose


def test_a_gap_ends_what_is_provisional() -> None:
    """And is counted."""
    known = after(observed("one"), saying("lost"), gap_of(observed("one", "two", revision=4, position=6)))
    assert ("", 2, 4, 1) == (known.prose, len(known.messages), known.revision, known.gaps)


def test_a_switch_of_frames_is_known() -> None:
    """Other events change nothing but the cursor."""
    known = after(observed(), event_of(AgentFrameSwitchedPayload("f2"), position=3))
    assert "f2" == known.frame_id
    known.take(event_of(QueueChangedPayload(SessionQueueEventKind.ENQUEUED, ("b",)), position=4))
    known.take(doing("usage", position=5))
    assert ("f2", "lashsc1:1:5:chat", []) == (known.frame_id, known.cursor, known.provisional)


def test_a_session_that_counts_anew_keeps_no_text() -> None:
    """Before its first commit its revision was its turn index, which may be higher."""
    known = after(observed(revision=9), saying("old", revision=9), committed("one", revision=1))
    assert ("", 1) == (known.prose, known.revision)
