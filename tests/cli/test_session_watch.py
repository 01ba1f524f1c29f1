"""``lash session watch``: what it prints, for people and for programs."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from rich.console import Console

from lash_core import client_patience
from lash_core.client import LashClient
from lash_core.errors import StoreUnreachableError
from lash_core.model.base import JsonValue
from lash_core.model.message import Message, TextPart, ToolCallPart, ToolResultPart
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    LiveReplayGap,
    LiveReplayGapReason,
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    SessionProcessEventKind,
    SessionQueueEventKind,
    TurnActivityPayload,
)
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.model.turn_activity import TurnActivity, TurnEvent, TurnEventKind
from lash_core.runtime.observation.watch_json import WatchJson
from lash_worker.cli import session_watch
from lash_worker.cli.watch_text import WatchText, batches_taken_in
from tests.cli.conftest import Lash


def view_of(*messages: Message) -> SessionReadView:
    """A session with these messages."""
    state = RuntimeSessionState(session_id="chat", current_agent_frame_id="f")
    for number, message in enumerate(messages):
        state.session_graph.append_message(
            message.model_copy(update={"id": message.id or f"m{number}"}), agent_frame_id="f", timestamp_ms=0
        )
    return SessionReadView.from_persisted_state(state)


def observation(*messages: Message) -> SessionObservation:
    """It stands at revision 1."""
    return SessionObservation(view_of(*messages), SessionCursor.new("chat", 1, 1))


def event(payload: Any) -> SessionObservationEvent:
    """One at some position."""
    return SessionObservationEvent("chat", SessionRevision(2), SessionCursor.new("chat", 2, 7), payload)


def doing(kind: TurnEventKind, correlation_id: str = "t:llm:0:1", **facts: JsonValue) -> SessionObservationEvent:
    """An activity."""
    activity = TurnActivity(id="a", correlation_id=correlation_id, event=TurnEvent(kind, facts))
    return event(TurnActivityPayload(activity))


class Shown:
    """What a watch prints."""

    def __init__(self, history: int = 0) -> None:
        self._file = io.StringIO()
        self.text = WatchText(Console(file=self._file, width=80, no_color=True, highlight=False), history=history)

    def lines(self) -> list[str]:
        return self._file.getvalue().splitlines()


def test_text_streams_and_is_not_said_twice() -> None:
    """What was streamed is not printed again with its commit; what was not is."""
    shown = Shown()
    shown.text.begin(observation())
    hello = Message(role="user", parts=(TextPart("hello"),), id="given")
    shown.text.inputs([hello])
    for piece in ("It is ", "four."):
        shown.text.event(doing("assistant_prose_delta", text=piece))
    history = (hello, Message.assistant("It is four."), Message.system("by the way"))
    shown.text.event(event(CommittedPayload(view_of(*history))))

    assert [
        "chat: 0 messages, 0 turns, no model yet",
        "user",
        "hello",
        "assistant",
        "It is four.",
        "system",
        "by the way",
        "── committed, revision 2 ──",
    ] == shown.lines()


def test_what_came_before_is_shown_as_asked_for() -> None:
    """The newest messages, each by its speaker."""
    answered = Message(role="user", parts=(ToolResultPart("c", "add", {"value": 3}),))
    shown = Shown(history=2)
    shown.text.begin(observation(Message.user("old"), answered, Message.assistant("three")))

    assert ["tools", "← add: 3", "assistant", "three"] == shown.lines()[1:]


def test_what_woke_a_turn_is_shown_before_its_answer() -> None:
    """As whose word it is; what the next turn was given before this one's commit came is not said twice either."""
    shown = Shown()
    woken, late = (Message(role="user", parts=(TextPart(text),), id=text, origin="process_wake") for text in ("a", "b"))
    shown.text.inputs([woken])
    shown.text.event(doing("assistant_prose_delta", text="It came."))
    shown.text.inputs([late])
    shown.text.event(event(CommittedPayload(view_of(woken, Message.assistant("It came.")))))
    shown.text.event(event(CommittedPayload(view_of(woken, Message.assistant("It came."), late))))

    wake = "user (process_wake)"
    end = "── committed, revision 2 ──"
    assert [wake, "a", "assistant", "It came.", wake, "b", end, end] == shown.lines()


def test_text_that_is_taken_back_is_said_to_be() -> None:
    """A terminal cannot unsay it; a reset of what was never shown says nothing."""
    shown = Shown()
    shown.text.event(doing("model_attempt_reset", correlation_id="never"))
    shown.text.event(doing("assistant_prose_delta", text="It is f"))
    shown.text.event(doing("model_attempt_reset"))
    shown.text.event(doing("assistant_prose_delta", "t:llm:0:2", text="It is four."))
    shown.text.event(event(CommittedPayload(view_of(Message.assistant("It is four.")))))

    assert [
        "assistant",
        "It is f",
        "the text above is taken back: that attempt did not come to its end",
        "assistant",
        "It is four.",
        "── committed, revision 2 ──",
    ] == shown.lines()


def test_tools_thoughts_retries_and_changes_are_lines() -> None:
    """Long answers are cut; control characters of a model reach no terminal."""
    shown = Shown()
    call = ToolCallPart("c", "add", {"a": 1})
    shown.text.event(doing("reasoning_delta", text="hm"))
    shown.text.event(doing("tool_call_started", "c", tool_name=call.tool_name, args=call.args))
    shown.text.event(doing("tool_call_completed", "c", tool_name="add", output={"value": "x" * 500}))
    shown.text.event(doing("plugin_runtime", "c", event="tool_progress", tool_name="add", progress={"at": 1}))
    shown.text.event(doing("retry_status", message="busy\x1b[2J", attempt=1, attempts_max=4))
    shown.text.event(doing("error", message="gone"))
    shown.text.event(doing("usage"))
    shown.text.event(event(AgentFrameSwitchedPayload("f2")))
    shown.text.event(event(QueueChangedPayload(SessionQueueEventKind.CANCELLED, ("b1",))))
    shown.text.event(event(ProcessChangedPayload(SessionProcessEventKind.STARTED, ("p1", "p2"))))

    lines = shown.lines()
    assert ["thinking", "hm", '→ add({"a": 1})'] == lines[:3]
    assert f"← add: {'x' * 299}…" == lines[3]
    assert [
        '… add: {"at": 1}',
        "busy\\x1b[2J; attempt 1 of 4 failed",
        "error: gone",
        "goes on in frame f2",
        "input cancelled: b1",
        "process started: p1, p2",
    ] == lines[4:]


@pytest.mark.parametrize("kind", ["failure", "cancelled"])
def test_a_tool_that_failed_looks_so(kind: str) -> None:
    """As an answer it would be taken for one."""
    shown = Shown()
    output: JsonValue = {"type": kind, "message": "the price list is closed"}
    shown.text.event(doing("tool_call_completed", "c", tool_name="price", output=output))
    shown.text.event(doing("tool_call_completed", "d", tool_name="stock", output={"type": "success", "value": 1}))

    assert ["✕ price: the price list is closed", "← stock: 1"] == shown.lines()


def test_a_gap_says_what_is_queued() -> None:
    """The events that said so may be lost with the others."""
    shown = Shown()
    for count in (0, 1, 2):
        shown.text.waiting(count)

    assert ["1 input is queued", "2 inputs are queued"] == shown.lines()


def test_a_gap_shows_what_is_new() -> None:
    """And says that something is lost."""
    shown = Shown()
    shown.text.begin(observation(Message.user("hello")))
    shown.text.event(doing("assistant_prose_delta", text="lost te"))
    now = observation(Message.user("hello"), Message.assistant("a whole text"))
    gap = LiveReplayGap("chat", now.cursor, now.cursor, SessionRevision(1), LiveReplayGapReason.TRIMMED)
    shown.text.gap(SessionGap(now, gap))

    expected = ["gap (trimmed): some events are lost; it goes on from here", "assistant", "a whole text"]
    assert expected == shown.lines()[3:]


def test_what_was_said_before_a_gap_is_not_said_again_behind_it() -> None:
    """Where the turn that was watched is still under way."""
    shown = Shown()
    hello = Message(role="user", parts=(TextPart("hello"),), id="given")
    shown.text.begin(observation())
    shown.text.inputs([hello])
    shown.text.event(doing("assistant_prose_delta", text="I look."))
    now = observation()
    gap = LiveReplayGap("chat", now.cursor, now.cursor, SessionRevision(1), LiveReplayGapReason.TRIMMED)
    shown.text.gap(SessionGap(now, gap))
    answers = (Message.assistant("I look."), Message.assistant("Four."))
    shown.text.event(event(CommittedPayload(view_of(hello, *answers))))

    gone = "gap (trimmed): some events are lost; it goes on from here"
    end = "── committed, revision 2 ──"
    assert ["user", "hello", "assistant", "I look.", gone, "assistant", "Four.", end] == shown.lines()[1:]


def test_the_batches_of_a_turn_are_known_when_it_begins() -> None:
    """Of other events there are none."""
    assert ("b1", "b2") == batches_taken_in(doing("queued_work_started", batch_ids=["b1", "b2"]))
    assert () == batches_taken_in(doing("usage"))
    assert () == batches_taken_in(event(AgentFrameSwitchedPayload("f")))


def test_once_says_where_a_session_stands(lash: Lash) -> None:
    """For programs with its queue and the cursor to go on from."""
    lash.ok("session", "send", "chat", "hello", "--json")
    shown = lash.ok("session", "watch", "chat", "--once", "--json").json

    assert ("observation", "chat", 0) == (shown["type"], shown["session_id"], shown["revision"])
    assert ["hello"] == [row["text"] for row in shown["observation"]["queued"]]
    assert "chat: 0 messages, 0 turns, no model yet\n" == lash.ok("session", "watch", "chat", "--once").out


def test_bad_input_is_refused(lash: Lash) -> None:
    """An unknown session, a cursor that is none or another session's."""
    assert 3 == lash("session", "watch", "nobody").code
    lash.ok("session", "send", "chat", "hello", "--json")
    bad = lash("session", "watch", "chat", "--cursor", "x", "--json")
    foreign = lash("session", "watch", "chat", "--cursor", "lashsc1:0:0:other", "--json")

    assert [(2, "session_cursor_malformed"), (2, "session_cursor_wrong_session")] == [
        (ended.code, ended.error["code"]) for ended in (bad, foreign)
    ]
    assert 2 == lash("session", "watch", "chat", "--once", "--cursor", "x").code


async def test_a_store_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the watch itself has an item already: what is shown with it is read then."""
    monkeypatch.setattr(client_patience, "RETRY_DELAY_MS", 0)

    class Handle:
        tries = 0

        async def queue(self) -> tuple[()]:
            self.tries += 1
            if self.tries < 3:
                raise StoreUnreachableError("away")
            return ()

    handle: Any = Handle()
    assert () == await session_watch.queue_of(handle)
    assert 3 == handle.tries


def test_a_watch_follows_until_the_session_is_deleted(lash: Lash, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line an item."""
    told = threading.Semaphore(0)
    line = WatchJson.line

    def telling(self: WatchJson, *args: Any) -> Any:
        told.release()
        return line(self, *args)

    monkeypatch.setattr(WatchJson, "line", telling)

    async def send(client: LashClient) -> None:
        await client.session("chat").send("again")

    async def delete(client: LashClient) -> None:
        await client.session("chat").delete()

    def steer() -> None:
        assert told.acquire(timeout=20)
        lash.behind(send)
        # The input that was sent before the watch began is told too.
        assert told.acquire(timeout=20)
        assert told.acquire(timeout=20)
        lash.behind(delete)

    lash.ok("session", "send", "chat", "hello", "--json")
    thread = threading.Thread(target=steer)
    thread.start()
    ended = lash("session", "watch", "chat", "--json")
    thread.join()

    assert 3 == ended.code
    assert ["observation", "queue_changed", "queue_changed"] == [one["type"] for one in ended.lines]
    assert len({one["cursor"] for one in ended.lines}) == 3
