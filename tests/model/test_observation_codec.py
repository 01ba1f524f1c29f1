"""Events of a session as text: what is read is what was written, and what cannot be read is told as such."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import CorruptRecordError, InvalidJsonError, NewerRecordError
from lash_core.model.message import Message
from lash_core.model.observation_codec import (
    COMMITTED_BYTES,
    CommittedReference,
    decode_event,
    decode_payload,
    encode_event,
    encode_payload,
    observation_of,
    observation_value,
    payload_bytes,
    sized_payload,
)
from lash_core.model.session import SessionPolicy
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    CommittedPayload,
    ProcessChangedPayload,
    SessionObservation,
    SessionObservationEvent,
    SessionProcessEventKind,
    TurnActivityPayload,
)
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.model.usage import TokenUsage

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def activity(**facts: Any) -> TurnActivityPayload:
    return TurnActivityPayload(TurnActivity(id="a", correlation_id="c", event=TurnEvent("usage", facts)))


def view(*texts: str) -> SessionReadView:
    state = RuntimeSessionState(
        session_id="s:1",
        policy=SessionPolicy(provider_id="p", prompt={"system": None}),
        turn_index=3,
        token_usage=TokenUsage(input=4),
        last_prompt_usage=TokenUsage(output=5),
        protocol_turn_options={"x": [None]},
        current_agent_frame_id="frame",
    )
    for text in texts:
        state.session_graph.append_message(Message.user(text))
        state.session_graph.append_plugin_node("notes", {"kept": None})
    return SessionReadView.from_persisted_state(state)


def same(one: SessionReadView, other: SessionReadView) -> bool:
    return one.read_model.active_events == other.read_model.active_events and all(
        getattr(one, name) == getattr(other, name)
        for name in SessionReadView.__slots__
        if name not in ("read_model", "_snapshot")
    )


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_activity_comes_back(facts: dict[str, Any]) -> None:
    payload = TurnActivityPayload(TurnActivity(id="a", correlation_id="c", event=TurnEvent("usage", facts)))

    text = encode_payload(payload)

    assert payload == decode_payload(text)
    assert len(text.encode()) == payload_bytes(payload)
    assert "\n" not in text, "the text of an event is one line"


@pytest.mark.parametrize("facts", [{"x": float("nan")}, {"x": [float("inf")]}, {"x": "\ud800"}, {"x": {"y": "\udfff"}}])
def test_what_is_no_json_is_refused(facts: dict[str, Any]) -> None:
    """Before anything is stored: no reader could read it."""
    with pytest.raises(InvalidJsonError):
        encode_payload(activity(**facts))


def test_a_short_committed_carries_its_history() -> None:
    payload = CommittedPayload(view("hello", "wörld"))

    back = decode_payload(encode_payload(payload))

    assert isinstance(back, CommittedPayload)
    assert same(payload.read_view, back.read_view)


def test_a_long_committed_names_its_history() -> None:
    """The facts and the leaf; whoever reads it brings the history that ends there."""
    payload = CommittedPayload(view("hello", "x" * 20_000))
    text = encode_payload(payload)

    reference = decode_payload(text)

    assert isinstance(reference, CommittedReference)
    assert len(text) < 1_000
    assert ("s:1", payload.read_view.leaf_node_id) == (reference.session_id, reference.leaf_node_id)
    assert same(payload.read_view, reference.resolved(payload.read_view.read_model).read_view)
    assert COMMITTED_BYTES == payload_bytes(payload)


def test_events_and_observations_come_back_with_their_history() -> None:
    cursor = SessionCursor.new("s:1", 2, 9)
    event = SessionObservationEvent("s:1", SessionRevision(2), cursor, CommittedPayload(view("x" * 20_000)))
    observation = SessionObservation(view("a"), cursor)

    event_back = decode_event(encode_event(event))
    observation_back = observation_of(json.loads(json.dumps(observation_value(observation))))

    assert isinstance(event_back.payload, CommittedPayload)
    assert isinstance(event.payload, CommittedPayload)
    assert same(event.payload.read_view, event_back.payload.read_view)
    assert (cursor, 2, "s:1") == (event_back.cursor, event_back.revision, event_back.session_id)
    assert same(observation.read_view, observation_back.read_view)
    assert cursor == observation_back.cursor


def test_a_later_release_is_not_guessed_at() -> None:
    text = encode_payload(ProcessChangedPayload(SessionProcessEventKind.STARTED, ("p",)))

    for changed in (text.replace('"v":1', '"v":2'), text.replace("process_changed", "weather_changed")):
        assert changed != text
        with pytest.raises(NewerRecordError):
            decode_payload(changed)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"v":1}', '{"v":1,"type":"turn_activity"}', '{"v":1,"type":"committed","facts":{}}',
     '{"v":1,"type":"queue_changed","kind":"lost","batch_ids":[]}', '{"v":"x","type":"committed"}'],
)  # fmt: skip
def test_what_is_no_event_is_told_as_corrupt(text: str) -> None:
    with pytest.raises(CorruptRecordError):
        decode_payload(text)


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
def test_text_that_streams_is_written_as_the_model_itself_would_be(said: str, name: str, correlation: str) -> None:
    event = TurnEvent("assistant_prose_delta", {"text": said})
    payload = TurnActivityPayload(TurnActivity(id=name, correlation_id=correlation, event=event))

    assert (
        encode_payload(payload) == f'{{"v":1,"type":"turn_activity","activity":{payload.activity.model_dump_json()}}}'
    )
    assert "\n" not in encode_payload(payload)
    assert sized_payload(payload) == (encode_payload(payload), payload_bytes(payload))
    assert decode_payload(encode_payload(payload)) == payload


@pytest.mark.parametrize("place", ["text", "id", "correlation_id"])
def test_a_lone_surrogate_in_text_that_streams_is_refused(place: str) -> None:
    texts = {"text": "t", "id": "i", "correlation_id": "c"} | {place: "\ud800"}
    event = TurnEvent("assistant_prose_delta", {"text": texts["text"]})
    payload = TurnActivityPayload(TurnActivity(id=texts["id"], correlation_id=texts["correlation_id"], event=event))

    with pytest.raises(InvalidJsonError):
        encode_payload(payload)


def test_what_the_quick_reader_refuses_is_read_all_the_same() -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    event = {"type": "usage", "facts": {"deep": deep, "escaped": "\ud800"}}
    text = json.dumps({"v": 1, "type": "turn_activity", "activity": {"id": "a", "correlation_id": "c", "event": event}})

    payload = decode_payload(text)

    assert isinstance(payload, TurnActivityPayload)
    assert payload.activity.event.facts == event["facts"]
