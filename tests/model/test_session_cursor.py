"""Cursors and revisions (``docs/contracts/observation.md`` 1)."""

from __future__ import annotations

import json
from typing import cast

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from lash_core.errors import LiveReplayStoreError, MalformedSessionCursorError, WrongSessionCursorError
from lash_core.model.session import ModelSpec
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    LiveReplayConfig,
    LiveReplayGap,
    LiveReplayGapReason,
    SessionObservation,
    SessionObservationEvent,
    SessionProcessEventKind,
    SessionQueueEventKind,
)
from lash_core.model.session_state import RuntimeSessionState, SessionReadView

U64_MAX = 2**64 - 1


class _Bookmark(BaseModel):
    cursor: SessionCursor
    revision: SessionRevision


@pytest.mark.parametrize("session_id", ["root", "a:b::c", ":", "lashsc1:1:2:x", "ä b/ö", "\u2028"])
@pytest.mark.parametrize(("revision", "position"), [(0, 0), (17, 4), (U64_MAX, U64_MAX)])
def test_a_cursor_says_revision_position_and_session(session_id: str, revision: int, position: int) -> None:
    """Split at the first two colons only."""
    cursor = SessionCursor.new(session_id, revision, position)
    parts = cursor.parse_for_session(session_id)

    assert f"lashsc1:{revision}:{position}:{session_id}" == str(cursor)
    assert (session_id, revision, position) == (parts.session_id, parts.revision, parts.live_position)


def test_a_cursor_hides_its_text_where_things_are_shown() -> None:
    """Also within what holds it; as text and in JSON it is itself."""
    cursor = SessionCursor.new("s", 1, 2)
    gap = LiveReplayGap("s", cursor, cursor, SessionRevision(1), LiveReplayGapReason.TRIMMED)
    bookmark = _Bookmark(cursor=cursor, revision=SessionRevision(17))

    assert "SessionCursor(<opaque>)" == repr(cursor)
    for shown in (f"{gap!r}", f"{bookmark!r}", f"{[cursor]}"):
        assert "<opaque>" in shown
        assert "lashsc1" not in shown
    assert "lashsc1:1:2:s" == str(cursor) == f"{cursor}"
    assert '{"cursor":"lashsc1:1:2:s","revision":17}' == bookmark.model_dump_json()
    assert bookmark == _Bookmark.model_validate_json(bookmark.model_dump_json())
    assert '["lashsc1:1:2:s", 17]' == json.dumps([cursor, SessionRevision(17)])


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ("", "begin with"),
        ("bad", "begin with"),
        ("lashsc2:1:2:s", "begin with"),
        (" lashsc1:1:2:s", "begin with"),
        ("lashsc1:", "revision"),
        ("lashsc1::2:s", "revision"),
        ("lashsc1:x:2:s", "revision"),
        ("lashsc1:-1:2:s", "revision"),
        ("lashsc1:1_0:2:s", "revision"),
        ("lashsc1:١:2:s", "revision"),
        (f"lashsc1:{U64_MAX + 1}:2:s", "revision"),
        ("lashsc1:1", "live position"),
        ("lashsc1:1::s", "live position"),
        ("lashsc1:1:1.5:s", "live position"),
        (f"lashsc1:1:{U64_MAX + 1}:s", "live position"),
        ("lashsc1:1:2", "session id"),
        ("lashsc1:1:2:", "session id"),
    ],
)
def test_what_is_no_cursor_is_malformed(raw: str, what: str) -> None:
    """The error says what is missing, and is one of the replay store's."""
    with pytest.raises(MalformedSessionCursorError, match=what) as caught:
        SessionCursor.from_raw_for_testing(raw).parse_for_session("s")
    assert isinstance(caught.value, LiveReplayStoreError)


def test_a_cursor_of_another_session_names_both() -> None:
    """What was asked for, and whose it is."""
    with pytest.raises(WrongSessionCursorError) as caught:
        SessionCursor.new("b:c", 1, 2).parse_for_session("b")
    assert ("b", "b:c") == (caught.value.expected, caught.value.actual)


def test_nobody_mints_what_cannot_be_read() -> None:
    """Numbers that are no unsigned 64-bit ones."""
    wrong = (-1, U64_MAX + 1, *cast("tuple[int, ...]", (1.5, 1.0, "1", True, None)))
    for number in wrong:
        with pytest.raises(ValueError, match="unsigned 64-bit"):
            SessionRevision(number)
        with pytest.raises(ValueError, match="unsigned 64-bit"):
            SessionCursor.new("s", number, 0)
        with pytest.raises(ValueError, match="unsigned 64-bit"):
            SessionCursor.new("s", 0, number)


def test_a_revision_is_the_heads_else_the_turn_index() -> None:
    """A bare number in JSON, and nothing else is read back as one."""

    class Runtime:
        state = RuntimeSessionState("s", turn_index=9)

    assert SessionRevision(9) == SessionRevision.from_runtime(Runtime())
    Runtime.state.head_revision = 17
    assert SessionRevision(17) == SessionRevision.from_runtime(Runtime()) == SessionRevision.of_state(Runtime.state)
    for wrong in (-1, U64_MAX + 1, "7", 1.0, True, None):
        with pytest.raises(ValidationError):
            TypeAdapter(SessionRevision).validate_python(wrong)


def test_the_names_of_kinds_and_reasons() -> None:
    """As they are in JSON."""
    names = [*SessionQueueEventKind, *SessionProcessEventKind, *LiveReplayGapReason]
    assert '["enqueued","cancelled","started","cancelled","trimmed","unavailable"]' == json.dumps(
        names, separators=(",", ":")
    )


def test_what_watchers_are_told_is_json() -> None:
    """With the names of the contract; a payload says its type, a cursor is its text."""
    cursor = SessionCursor.new("s", 3, 7)
    view = SessionReadView.from_persisted_state(RuntimeSessionState("s", turn_index=3))
    frame = SessionObservationEvent("s", SessionRevision(3), cursor, AgentFrameSwitchedPayload("s:frame:2"))
    gap = LiveReplayGap("s", cursor, cursor, SessionRevision(3), LiveReplayGapReason.UNAVAILABLE)

    value = frame.to_json_value()
    assert ("s", 3, "lashsc1:3:7:s") == (value["session_id"], value["revision"], value["cursor"])
    assert ("agent_frame_switched", "s:frame:2") == (value["payload"]["type"], value["payload"]["frame_id"])
    assert "lashsc1:3:7:s" == SessionObservation(view, cursor).to_json_value()["cursor"]
    assert {
        "session_id": "s",
        "requested_cursor": "lashsc1:3:7:s",
        "latest_cursor": "lashsc1:3:7:s",
        "latest_revision": 3,
        "reason": "unavailable",
    } == gap.to_json_value()


def test_bounds_of_a_ring_are_given_by_name_or_by_place() -> None:
    """Both together; 2048 events and 120 s when nothing is said."""
    assert LiveReplayConfig(2_048, 120_000) == LiveReplayConfig()
    assert LiveReplayConfig(1, 2) == LiveReplayConfig(max_events_per_session=1, max_age_ms=2)


def test_a_model_is_named_with_its_sizes() -> None:
    """Sizes below 1 are refused."""
    model = ModelSpec.from_token_limits("model-1", "high", 1_024, 256)

    assert ("model-1", "high") == (model.id, model.variant)
    assert (1_024, 256) == (model.limits.context_window_tokens, model.limits.output_token_capacity)
    assert ModelSpec.from_token_limits("model-1", None, 1_024).limits.output_token_capacity is None
    for sizes in ((0, None), (1, 0)):
        with pytest.raises(ValidationError):
            ModelSpec.from_token_limits("model-1", None, *sizes)
