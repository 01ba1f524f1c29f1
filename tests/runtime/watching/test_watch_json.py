"""The JSON of a watch: one line an item, and of a history what the reader does not have."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import pytest

from lash_core.model.message import Message, ReasoningPart, TextPart
from lash_core.model.queued_work import (
    DeliveryPolicy,
    MergeKey,
    QueuedWorkBatch,
    QueuedWorkItem,
    SlotPolicy,
    TurnInputPayload,
)
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionProcessEventKind,
    SessionQueueEventKind,
    TurnActivityPayload,
    WatchItem,
)
from lash_core.model.turn_input import TurnInput
from lash_core.runtime.observation import watch_json
from lash_core.runtime.observation.watch_json import WatchJson
from lash_core.runtime.observation.watch_values import message_value
from tests.runtime.watching.kit import committed, event_of, gap_of, observed, saying


@pytest.fixture(autouse=True)
def _no_lines_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_json, "_LINES", watch_json.SharedLines())


def value(encoder: WatchJson, item: WatchItem) -> dict[str, Any]:
    """An item's line, read back."""
    line = encoder.line(item)
    found: dict[str, Any] = json.loads(line.data)
    assert "\n" not in line.data
    assert (line.type, line.cursor) == (found["type"], found["cursor"])
    return found


def texts(found: dict[str, Any]) -> list[str]:
    return [message["parts"][0]["text"] for message in found["messages"]]


def test_an_observation_has_everything() -> None:
    """Its counters, its messages, its queue."""
    batch = QueuedWorkBatch(
        batch_id="b1",
        session_id="chat",
        enqueue_seq=1,
        delivery_policy=DeliveryPolicy.EARLIEST_SAFE_BOUNDARY,
        slot_policy=SlotPolicy.JOIN,
        merge_key=MergeKey(),
        available_at_ms=0,
        enqueued_at_ms=7,
        items=(QueuedWorkItem(item_id="i", payload=TurnInputPayload(TurnInput.text("and?"))),),
    )
    line = WatchJson().line(observed("one", "two", revision=3, position=5), [batch])
    found = json.loads(line.data)
    inner = found["observation"]

    assert ("observation", "chat", 3, "lashsc1:3:5:chat") == (
        found["type"],
        found["session_id"],
        found["revision"],
        found["cursor"],
    )
    assert (2, 0, ["one", "two"]) == (inner["message_count"], inner["first"], texts(inner))
    assert [{"batch_id": "b1", "enqueued_at_ms": 7, "text": "and?"}] == inner["queued"]
    assert {"model", "provider_id"} == set(inner["policy"])
    assert {"turn_index", "token_usage", "current_agent_frame_id"} < set(inner)


def test_a_commit_brings_what_the_reader_does_not_have() -> None:
    """From the first new message on."""
    encoder = WatchJson()
    encoder.line(observed("one"))
    found = value(encoder, committed("one", "two", "three"))
    assert (3, 1, ["two", "three"]) == (found["message_count"], found["first"], texts(found))
    again = value(encoder, committed("one", "two", "three", revision=3))
    assert (3, 3, []) == (again["message_count"], again["first"], texts(again))


def test_a_reader_who_came_with_a_cursor_gets_the_whole_history_once() -> None:
    """Nobody knows what it has."""
    encoder = WatchJson()
    assert 0 == value(encoder, committed("one", "two"))["first"]
    assert 2 == value(encoder, committed("one", "two", "three"))["first"]


def test_another_branch_is_sent_whole() -> None:
    """What the reader has is not the beginning of it, also where it is longer or shorter."""
    encoder = WatchJson()
    encoder.line(observed("one", "two"))
    assert (0, ["one", "other", "more"]) == _first_and_texts(value(encoder, committed("one", "other", "more")))
    assert (0, ["one"]) == _first_and_texts(value(encoder, committed("one")))
    assert (0, []) == _first_and_texts(value(encoder, committed()))
    assert (0, ["one"]) == _first_and_texts(value(encoder, committed("one", revision=5)))


def _first_and_texts(found: dict[str, Any]) -> tuple[int, list[str]]:
    return found["first"], texts(found)


def test_a_long_history_can_be_cut() -> None:
    """Only where the reader does not have it."""
    encoder = WatchJson(messages_max=2)
    found = json.loads(encoder.line(observed("one", "two", "three")).data)["observation"]
    assert (3, 1, ["two", "three"]) == (found["message_count"], found["first"], texts(found))
    assert (3, ["four", "five", "six"]) == _first_and_texts(
        value(encoder, committed("one", "two", "three", "four", "five", "six"))
    )


def test_a_gap_carries_an_observation() -> None:
    """What it says replaces everything; its cursor is the one to go on from."""
    encoder = WatchJson()
    encoder.line(observed("lost"))
    found = value(encoder, gap_of(observed("one", "two", revision=4, position=8)))

    assert ("trimmed", "lashsc1:0:1:chat", "lashsc1:4:8:chat", 4) == (
        found["reason"],
        found["requested_cursor"],
        found["latest_cursor"],
        found["latest_revision"],
    )
    assert ("lashsc1:4:8:chat", 4) == (found["cursor"], found["revision"])
    assert (0, ["one", "two"]) == _first_and_texts(found["observation"])
    assert 2 == value(encoder, committed("one", "two", "three"))["first"]


def test_the_other_events_say_what_they_are() -> None:
    """Their facts beside the common ones."""
    encoder = WatchJson()
    activity = value(encoder, saying("hi", "t:llm:0:1"))["activity"]
    assert ("assistant_prose_delta", "hi", "t:llm:0:1") == (
        activity["type"],
        activity["text"],
        activity["correlation_id"],
    )
    assert "f2" == value(encoder, event_of(AgentFrameSwitchedPayload("f2")))["frame_id"]
    queue = value(encoder, event_of(QueueChangedPayload(SessionQueueEventKind.CANCELLED, ("b",))))
    assert ("queue_changed", "cancelled", ["b"]) == (queue["type"], queue["kind"], queue["batch_ids"])
    process = value(encoder, event_of(ProcessChangedPayload(SessionProcessEventKind.STARTED, ("p",))))
    assert ("process_changed", "started", ["p"]) == (process["type"], process["kind"], process["process_ids"])


def test_what_providers_keep_for_themselves_is_not_shown() -> None:
    """It may be a secret of theirs, and is of no use to people."""
    parts = (ReasoningPart("hm", provider_data={"sealed": "x"}), TextPart("hi", provider_data=[1]))
    assert "provider_data" not in json.dumps(message_value(Message(role="assistant", parts=parts)))


def test_a_server_sent_event_is_one_message() -> None:
    """Line breaks of a text are escaped, and so is what is no text."""
    line = WatchJson().line(saying("a\nb\r\u2028\ud800"))
    head, _, data = line.sse.partition(b"\ndata: ")
    assert b"id: lashsc1:1:1:chat\nevent: turn_activity" == head
    assert data.endswith(b"\n\n")
    assert b"\n" not in data[:-2]
    assert b"\r" not in data
    assert "a\nb\r\u2028\ud800" == json.loads(data)["activity"]["text"]


def test_the_text_of_an_event_is_made_once() -> None:
    """However many watch it; those who have other messages get texts of their own."""
    event, commit = saying("hi"), committed("one", "two")
    first, second, third = WatchJson(), WatchJson(), WatchJson()
    first.line(observed("one"))
    second.line(observed("one"))
    assert first.line(event) is second.line(event)
    assert first.line(commit) is second.line(commit)
    assert first.line(commit) is not third.line(commit)
    assert saying("hi") == event
    assert first.line(saying("hi")) is not first.line(event), "an equal event of another time is another one"


def test_kept_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by size; the newest stays."""
    encoder = WatchJson()
    monkeypatch.setattr(watch_json, "LINES_MAX", 3)
    events = [saying(str(number)) for number in range(5)]
    lines = [encoder.line(event) for event in events]
    assert lines[4] is encoder.line(events[4])
    assert lines[0] is not encoder.line(events[0])

    monkeypatch.setattr(watch_json, "LINES_BYTES_MAX", 10)
    large = saying("x" * 100)
    line = encoder.line(large)
    assert line is encoder.line(large)
    assert lines[4] is not encoder.line(events[4])


def test_a_kept_text_keeps_no_event() -> None:
    """A commit has the whole history of its session: it goes when the last ring lets it go, and its texts follow."""
    event = committed("one", "two")
    gone = weakref.ref(event)
    WatchJson().line(event)
    other = WatchJson()
    other.line(observed("one"))
    other.line(event)
    kept = watch_json._LINES
    assert 2 == len(kept)

    del event
    gc.collect()

    assert gone() is None
    assert 0 == len(kept)
    line = other.line(following := saying("hi"))
    assert line is other.line(following)
    assert 1 == len(kept)


@pytest.mark.parametrize("text", ["hi", "", 'a "quoted" \\ line\nand \x00 \u2028 \u00e9\U0001f600', "\ud800"])
def test_a_piece_of_text_is_written_as_any_other_event_is(text: str) -> None:
    """The short way of what streams says the same, sign for sign."""
    item = saying(text)
    payload = item.payload
    assert isinstance(payload, TurnActivityPayload)
    facts = {
        "type": "turn_activity",
        "session_id": item.session_id,
        "revision": int(item.revision),
        "cursor": str(item.cursor),
        "activity": payload.activity.to_json_value(),
    }

    line = WatchJson().line(item)

    assert json.dumps(facts, ensure_ascii=False, separators=(",", ":")) == line.data
    assert type(line.cursor) is str
