"""What an event means (contract 2.5, decision 34, ADR 0040)."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.errors import (
    InvalidPayloadError,
    ReplayKeyRequiredError,
    SelectorError,
    UndeclaredEventTypeError,
)
from lash_core.model.await_output import AbandonEvidence, AbandonWriter, AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.completion import terminal_append
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest, wake_id
from lash_core.model.event_type import (
    CORE_BY_NAME,
    ConstDedupe,
    ProcessEventSemantics,
    ProcessEventType,
    SelectorDedupe,
    TerminalSemantics,
    TerminalState,
    WakeSemantics,
)
from lash_core.model.materialize import check_append, default_wake_input, materialize, wake_delivery
from lash_core.model.record import new_record
from lash_core.model.scope import CausalRef, ProcessProvenance, SessionScope
from lash_core.model.selector import Selector
from tests.model.registrations import engine

OUTPUTS: dict[TerminalState, AnyAwaitOutput] = {
    "completed": ProcessAwaitOutput.success({"n": None}),
    "failed": ProcessAwaitOutput.failure("timeout", "process_timeout", "late", raw={"ms": 3}),
    "cancelled": ProcessAwaitOutput.cancelled("asked", raw=None),
    "abandoned": ProcessAwaitOutput.abandoned(AbandonEvidence(AbandonWriter.SWEEP, None, 17)),
}


def terminal(state: TerminalState, name: str = "end") -> ProcessEventType:
    """A terminal type that selects ``/out``."""
    semantics = TerminalSemantics(state=state, await_output=Selector.pointer("/out"))
    return ProcessEventType(name, semantics=ProcessEventSemantics(terminal=semantics))


def wake(**facts: Any) -> ProcessEventType:
    """A type with a wake."""
    facts = {"input": Selector.pointer("/text")} | facts
    return ProcessEventType("ping", semantics=ProcessEventSemantics(wake=WakeSemantics(**facts)))


@pytest.mark.parametrize("state", OUTPUTS)
def test_the_terminal_append_of_an_outcome_means_that_outcome(state: TerminalState) -> None:
    """What the completion verbs write reads back as the same outcome."""
    request = terminal_append("p", OUTPUTS[state])

    meaning = materialize("p", 1, CORE_BY_NAME[request.event_type], request.payload)

    assert meaning.terminal is not None
    assert (state, OUTPUTS[state]) == (meaning.terminal.state, meaning.terminal.await_output)
    assert f"process:p:terminal:process.{state}" == request.replay_key


@pytest.mark.parametrize("state", OUTPUTS)
@pytest.mark.parametrize("carried", OUTPUTS)
def test_an_outcome_must_fit_its_state(state: TerminalState, carried: TerminalState) -> None:
    """Of the sixteen pairs only the four equal ones are accepted."""
    payload = {"out": OUTPUTS[carried].to_json_value()}

    if state == carried:
        assert materialize("p", 1, terminal(state), payload).terminal is not None
    else:
        with pytest.raises(InvalidPayloadError, match="invalid `end` payload: "):
            materialize("p", 1, terminal(state), payload)


def test_raw_values_are_wrapped_by_state() -> None:
    """A value that is no outcome becomes one of the declared state."""
    found: dict[str, Any] = {}
    for state in OUTPUTS:
        meaning = materialize("p", 1, terminal(state), {"out": {"type": "other"}})
        assert meaning.terminal is not None
        found[state] = meaning.terminal.await_output

    text, raw = '{"type":"other"}', {"type": "other"}
    assert {
        "completed": ProcessAwaitOutput.success(raw),
        "failed": ProcessAwaitOutput.failure("execution", "process_failed", text, raw=raw),
        "cancelled": ProcessAwaitOutput.cancelled(text, raw=raw),
        "abandoned": ProcessAwaitOutput.abandoned(AbandonEvidence(AbandonWriter.OWNER_DRAIN)),
    } == found


def test_completed_without_a_selector_takes_the_payload() -> None:
    """The whole payload is the value."""
    end = ProcessEventType("end", semantics=ProcessEventSemantics(terminal=TerminalSemantics(state="completed")))

    meaning = materialize("p", 1, end, [1])

    assert meaning.terminal is not None
    assert ProcessAwaitOutput.success([1]) == meaning.terminal.await_output


def test_the_order_of_checks() -> None:
    """Declared, then the replay key, then the schema."""
    number = ProcessEventType("end", {"type": "number"}, terminal("completed").semantics)
    request = ProcessEventAppendRequest("end", "text")

    with pytest.raises(UndeclaredEventTypeError, match="emitted undeclared event type `end`"):
        check_append("p", None, request)
    with pytest.raises(ReplayKeyRequiredError, match="requires a deterministic replay key"):
        check_append("p", number, request)
    with pytest.raises(InvalidPayloadError, match="invalid `end` payload: "):
        check_append("p", number, request.with_replay_key("k"))
    assert number == check_append("p", number, request.with_replay_key("k").with_payload(1))


@pytest.mark.parametrize(
    ("facts", "payload", "expected"),
    [
        ({}, {"text": "hi"}, ("hi", "p:3")),
        ({"dedupe_key": ConstDedupe(value="once")}, {"text": 1}, ("1", "once")),
        ({"dedupe_key": SelectorDedupe(selector=Selector.pointer("/k"))}, {"text": "", "k": {"a": 1}}, ("", '{"a":1}')),
        ({"when": Selector.pointer("/urgent")}, {"text": "x", "urgent": 0}, ("x", "p:3")),
    ],
)
def test_wakes(facts: dict[str, Any], payload: Any, expected: tuple[str, str]) -> None:
    """Input and dedupe key are stringified selections; the event's identity is the default key."""
    meaning = materialize("p", 3, wake(**facts), payload)

    assert meaning.wake is not None
    assert expected == (meaning.wake.input, meaning.wake.dedupe_key)


def test_a_wake_whose_condition_is_false_does_not_materialize() -> None:
    """The event only records then; a condition that does not match is an error."""
    kind = wake(when=Selector.pointer("/urgent"))

    assert materialize("p", 1, kind, {"text": "x", "urgent": ""}).wake is None
    with pytest.raises(SelectorError):
        materialize("p", 1, kind, {"text": "x"})


def test_deliveries_are_identified_by_target_and_dedupe_key() -> None:
    """The request's scope wins over the row's; the same key and target give the same wake, whatever the event."""
    provenance = ProcessProvenance(caused_by=CausalRef.process("parent"))
    record = new_record(engine("p", provenance=provenance, wake_target=SessionScope("s")), "hash", 5)
    kind = wake(dedupe_key=ConstDedupe(value="once"))
    events = [
        ProcessEvent(
            process_id="p",
            sequence=n,
            event_type="ping",
            occurred_at_ms=n,
            semantics=materialize("p", n, kind, {"text": "x"}),
        )
        for n in (1, 2)
    ]

    first, second = (wake_delivery(event, record, None) for event in events)
    framed = wake_delivery(events[0], record, SessionScope("s", "f"))

    assert first is not None
    assert second is not None
    assert framed is not None
    assert first.wake_id == second.wake_id == wake_id("session:s", "once")
    assert framed.wake_id == wake_id("session:s/frame:f", "once")
    assert ("s", 1, CausalRef.process("parent")) == (
        first.target_session_id,
        first.created_at_ms,
        first.process_caused_by,
    )
    assert "process:p:event:2:wake" == second.source_key
    assert "Background process wake\nProcess: p\nEvent: ping #1\nWake input:\nx" == first.model_text
    assert wake_delivery(events[0], record.model_copy(update={"wake_target": None}), None) is None


@pytest.mark.parametrize(
    ("payload", "text"),
    [({"text": "t", "value": 1}, "t"), ({"value": [1]}, "[1]"), ({"other": 1}, '{"other":1}'), ("raw", "raw")],
)
def test_default_wake_input(payload: Any, text: str) -> None:
    """``/text``, else ``/value``, else the payload."""
    assert text == default_wake_input(payload)
