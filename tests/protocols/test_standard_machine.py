"""The standard protocol's machine: pure, written down and made again at any point, one outstanding effect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lash_core.errors import InvalidArgumentError
from lash_core.model.message import Message, MessagePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from lash_core.model.model_call import FinishReason
from lash_core.model.tool_control import FinishControl
from lash_core.model.tool_output import ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.turn_outcome import TurnIssue
from lash_core.protocols.standard import StandardProtocol
from lash_core.protocols.turn_machine import (
    Checkpoint,
    Delivered,
    Done,
    EffectResult,
    Finish,
    LlmCall,
    LlmResult,
    MachineEffect,
    Progress,
    ToolCalls,
    ToolResults,
    TurnStart,
)
from tests.protocols.drive import answer, call, start

PARTS = st.one_of(
    st.builds(TextPart, text=st.text(max_size=5)),
    st.builds(ReasoningPart, text=st.text(max_size=5)),
    st.builds(
        ToolCallPart,
        call_id=st.sampled_from(["a", "b", "", "x#"]),
        tool_name=st.sampled_from(["t", "u"]),
        args=st.just({"q": 1}),
    ),
)


def _answer(parts: list[MessagePart], reason: FinishReason, *, streamed: bool) -> LlmResult:
    return answer(*parts, finish_reason=reason, text_streamed=streamed)


def _late(message_id: str, *, hint: bool) -> Message:
    return Message.user("late", message_id=message_id).model_copy(update={"transient": hint})


MODELS = st.one_of(
    st.builds(
        _answer,
        st.lists(PARTS, max_size=4),
        st.sampled_from(["stop", "stop", "stop", "tool_calls", "tool_calls", "output_limit", "content_filter"]),
        streamed=st.booleans(),
    ),
    st.sampled_from([LlmResult(cancelled=True), LlmResult(issue=TurnIssue(kind="llm_provider", message="x"))]),
)
OUTPUTS = st.sampled_from(
    [
        ToolSuccess("ok"),
        ToolSuccess("ok"),
        ToolSuccess("ok"),
        ToolFailure.model_validate({"class": "internal", "code": "c", "message": "m"}),
        ToolCancelled("no"),
        ToolSuccess(1, control=FinishControl(1).to_json_value()),
    ]
)
DELIVERIES = st.builds(
    Delivered,
    st.lists(st.builds(_late, st.sampled_from(["m1", "m2", "m3", ""]), hint=st.booleans()), max_size=2).map(tuple),
    cancelled=st.sampled_from([False] * 9 + [True]),
)


class Answers:
    """The same results for the same effects, whoever asks."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self._known: dict[str, EffectResult] = {}

    def to(self, effect: MachineEffect) -> EffectResult:
        if effect.effect_id not in self._known:
            self._known[effect.effect_id] = self._drawn(effect)
        return self._known[effect.effect_id]

    def _drawn(self, effect: MachineEffect) -> EffectResult:
        match effect:
            case LlmCall():
                return self._data.draw(MODELS)
            case ToolCalls():
                size = len(effect.calls)
                outputs = self._data.draw(st.lists(OUTPUTS, min_size=size, max_size=size))
                return ToolResults(tuple(outputs), cancelled=self._data.draw(st.sampled_from([False] * 9 + [True])))
            case Checkpoint():
                return self._data.draw(DELIVERIES)
            case _:
                return Done()


def run(turn: TurnStart, answers: Answers, *, restored: bool) -> list[MachineEffect]:
    driver = StandardProtocol()
    machine = driver.begin(turn)
    effects: list[MachineEffect] = []
    while True:
        if restored:
            machine = driver.restore(json.loads(json.dumps(machine.checkpoint())))
        effect = machine.next_effect()
        assert effect is machine.next_effect() or effect == machine.next_effect()
        effects.append(effect)
        if isinstance(effect, Finish):
            return effects
        machine.resume(effect.effect_id, answers.to(effect))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), max_turns=st.integers(1, 4))
def test_a_machine_that_is_written_down_at_every_step_asks_for_the_same(data: st.DataObject, max_turns: int) -> None:
    turn = start(max_turns=max_turns)
    answers = Answers(data)
    effects = run(turn, answers, restored=False)
    assert effects == run(turn, answers, restored=True)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), max_turns=st.integers(1, 4))
def test_whatever_happens_the_history_is_sound(data: st.DataObject, max_turns: int) -> None:
    effects = run(start(max_turns=max_turns), Answers(data), restored=False)
    assert len({effect.effect_id for effect in effects}) == len(effects), "each effect has a name of its own"
    assert len([effect for effect in effects if isinstance(effect, LlmCall)]) <= max_turns + 1
    messages = [message for effect in effects if isinstance(effect, Progress) for message in effect.messages]
    ids = [message.id for message in messages]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert not any(message.transient for message in messages)
    asked = [part.call_id for message in messages for part in message.tool_calls]
    answered = [part.call_id for message in messages for part in message.parts if isinstance(part, ToolResultPart)]
    assert asked == answered, "no call without its result, in call order"
    assert len(set(asked)) == len(asked)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_model_call_comes_after_the_end_of_a_provider(data: st.DataObject) -> None:
    answers = Answers(data)
    effects = run(start(max_turns=3), answers, restored=False)
    for effect in effects:
        result = answers.to(effect)
        if isinstance(result, LlmResult) and (result.cancelled or result.issue is not None):
            rest = effects[effects.index(effect) + 1 :]
            assert not [one for one in rest if isinstance(one, LlmCall | ToolCalls | Checkpoint | Progress)]


def test_the_outstanding_effect_is_taken_once() -> None:
    machine = StandardProtocol().begin(start())
    effect = machine.next_effect()
    machine.resume(effect.effect_id, Done())
    with pytest.raises(InvalidArgumentError, match="is not outstanding"):
        machine.resume(effect.effect_id, Done())


@pytest.mark.parametrize(
    ("effects", "result"),
    [(1, Done()), (1, Delivered()), (4, ToolResults(())), (4, LlmResult(cancelled=True))],
)
def test_a_result_that_does_not_fit_is_refused_and_changes_nothing(effects: int, result: Any) -> None:
    machine = StandardProtocol().begin(start())
    while True:
        effect = machine.next_effect()
        if isinstance(effect, LlmCall if effects == 1 else ToolCalls):
            break
        machine.resume(effect.effect_id, answer(call()) if isinstance(effect, LlmCall) else Done())
    before = machine.checkpoint()
    with pytest.raises(InvalidArgumentError, match="does not fit"):
        machine.resume(effect.effect_id, result)
    assert (before, effect) == (machine.checkpoint(), machine.next_effect())


def test_the_end_stays_the_end() -> None:
    machine = StandardProtocol().begin(start())
    for _ in range(100):
        effect = machine.next_effect()
        if isinstance(effect, Finish):
            break
        machine.resume(effect.effect_id, LlmResult(cancelled=True) if isinstance(effect, LlmCall) else Done())
    end = machine.next_effect()
    with pytest.raises(InvalidArgumentError):
        machine.resume(end.effect_id, Done())
    assert end == StandardProtocol().restore(machine.checkpoint()).next_effect()


@pytest.mark.parametrize(
    "checkpoint",
    [None, 3, {}, {"protocol": "other", "v": 1}, {"protocol": "standard", "v": 2}, {"protocol": "standard", "v": 1}],
)
def test_a_checkpoint_of_something_else_is_refused(checkpoint: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be restored"):
        StandardProtocol().restore(checkpoint)
