"""The standard protocol: rounds of tool calls, controls, limits and deliveries (``docs/contracts/sessions.md`` 3.3)."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.errors import InvalidArgumentError
from lash_core.model.message import Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from lash_core.model.session_node import PluginPayload, SessionNodeRecord
from lash_core.model.tool_control import FailControl, FinishControl, SwitchFrameControl
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.turn_outcome import (
    AgentFrameSwitchOutcome,
    AssistantMessageFinish,
    FinalValueFinish,
    FinishedOutcome,
    StoppedOutcome,
    ToolValueFinish,
    TurnOutcome,
)
from lash_core.protocols.standard import MAX_TURNS_DEFAULT
from lash_core.protocols.turn_machine import Checkpoint, Delivered, LlmCall, ToolCalls, ToolResults
from tests.protocols.drive import Script, answer, call, start

LATE = Delivered((Message.user("and this?", message_id="m_late"),))


def failure(text: str = "no", control: Any = None) -> ToolFailure:
    return ToolFailure.model_validate(
        {"class": "execution", "code": "tool_failed", "message": text, "control": control}
    )


def controlled(control: FinishControl | FailControl | SwitchFrameControl) -> ToolSuccess:
    return ToolSuccess("v", control=control.to_json_value())


def finished(text: str) -> FinishedOutcome:
    return FinishedOutcome(AssistantMessageFinish(text))


# -- a round ------------------------------------------------------------------------------------------


def test_a_round_is_one_assistant_message_and_one_user_message() -> None:
    parts = (
        ReasoningPart("first"),
        TextPart("Two things."),
        call("a", args={"q": 1}),
        ReasoningPart("then"),
        call("b"),
    )
    outputs: tuple[AnyToolOutput, ...] = (ToolSuccess(1), failure())
    script = Script([answer(*parts), answer("Done.")], [ToolResults(outputs)])
    assert finished("Done.") == script.run(start()).outcome
    assert [parts, ["a", "b"], (TextPart("Done."),)] == [
        script.appended[0].parts,
        [part.call_id for part in script.appended[1].parts if isinstance(part, ToolResultPart)],
        script.appended[2].parts,
    ]
    assert ["assistant", "user", "assistant"] == [message.role for message in script.appended]
    assert [call("a", args={"q": 1}), call("b")] == list(script.of(ToolCalls)[0].calls), "one batch, in call order"


def test_a_tools_failure_is_feedback_for_the_model() -> None:
    script = Script([answer(call()), answer("I see.")], [ToolResults((failure("broken"),))])
    assert finished("I see.") == script.run(start()).outcome
    part = script.of(LlmCall)[1].messages[-1].parts[0]
    assert isinstance(part, ToolResultPart)
    assert {"type": "failure", "class": "execution", "code": "tool_failed", "message": "broken"} == part.output


def test_the_checkpoint_after_work_comes_once_a_round() -> None:
    script = Script([answer(call("a"), call("b"), call("c")), answer("Done.")])
    script.run(start())
    assert ["LlmCall", "ToolCalls", "Checkpoint after_work", "LlmCall", "Checkpoint before_completion", "Finish"] == (
        script.kinds
    )


@pytest.mark.parametrize(
    ("sent", "run"),
    [('{"q": 1}', {"q": 1}), ("{oops", {}), ("", {}), ("NaN", {}), (None, {}), ('"\\ud800"', {}), ({"q": 2}, {"q": 2})],
)
def test_arguments_that_cannot_be_decoded_are_none(sent: Any, run: Any) -> None:
    script = Script([answer(ToolCallPart("c", "t", sent)), answer("Done.")])
    script.run(start())
    assert run == script.of(ToolCalls)[0].calls[0].args
    assert run == script.appended[0].tool_calls[0].args


def test_too_deep_arguments_are_none() -> None:
    script = Script([answer(ToolCallPart("c", "t", "[" * 100_000)), answer("Done.")])
    script.run(start())
    assert {} == script.of(ToolCalls)[0].calls[0].args


def test_every_call_of_a_turn_has_an_id_of_its_own() -> None:
    script = Script([answer(call("x"), call("x"), call("")), answer(call("x"), call("y" * 500)), answer("Done.")])
    script.run(start())
    ids = [part.call_id for effect in script.of(ToolCalls) for part in effect.calls]
    assert ["x", "x_2", "call_0_2", "x_3"] == ids[:4]
    assert (5, True) == (len(set(ids)), len(ids[4]) < 100)
    assert ids == [
        part.call_id for message in script.appended for part in message.parts if isinstance(part, ToolResultPart)
    ]


def test_a_cancel_while_tools_run_keeps_their_results_and_ends_the_turn() -> None:
    outputs: tuple[AnyToolOutput, ...] = (ToolSuccess(1), ToolCancelled("stop"))
    script = Script([answer(call("a"), call("b"))], [ToolResults(outputs, cancelled=True)])
    assert StoppedOutcome("cancelled") == script.run(start()).outcome
    assert (["LlmCall", "ToolCalls", "Finish"], 2) == (script.kinds, len(script.appended))


# -- controls -----------------------------------------------------------------------------------------

NODE = SessionNodeRecord(node_id="n", payload=PluginPayload("p", {}))


@pytest.mark.parametrize(
    ("control", "outcome", "shown"),
    [
        (FinishControl(3), FinishedOutcome(ToolValueFinish("search", 3)), ["tool_value"]),
        (FinishControl(3, final=True), FinishedOutcome(FinalValueFinish(3)), ["final_value"]),
        (FailControl("e"), StoppedOutcome("tool_error", value="e", tool_name="search"), []),
        (FailControl("e", submitted=True), StoppedOutcome("submitted_error", value="e"), []),
        (
            SwitchFrameControl("f2", "go on", initial_nodes=(NODE,)),
            AgentFrameSwitchOutcome("f2", "go on", initial_nodes=(NODE,)),
            [],
        ),
    ],
)
def test_a_control_ends_the_turn_without_a_checkpoint(
    control: FinishControl | FailControl | SwitchFrameControl, outcome: TurnOutcome, shown: list[str]
) -> None:
    script = Script([answer(call())], [ToolResults((controlled(control),))])
    assert outcome == script.run(start()).outcome
    assert (["LlmCall", "ToolCalls", "Finish"], shown) == (script.kinds, [kind for kind, _ in script.shown])
    assert 2 == len(script.appended), "the results are in the history"


def test_the_first_control_in_call_order_of_a_successful_result_wins() -> None:
    outputs: tuple[AnyToolOutput, ...] = (
        failure(control=FinishControl("of a failure").to_json_value()),
        ToolSuccess("plain"),
        ToolSuccess("odd", control={"type": "something else"}),
        controlled(FinishControl("first")),
        controlled(FailControl("second")),
    )
    script = Script([answer(*(call(f"c{n}", f"t{n}") for n in range(5)))], [ToolResults(outputs)])
    assert FinishedOutcome(ToolValueFinish("t3", "first")) == script.run(start()).outcome
    assert 5 == len(script.appended[1].parts), "after all calls completed"


def test_a_control_comes_before_the_limit() -> None:
    script = Script([answer(call())], [ToolResults((controlled(FinishControl(1)),))])
    assert FinishedOutcome(ToolValueFinish("search", 1)) == script.run(start(max_turns=1)).outcome


# -- limits -------------------------------------------------------------------------------------------


def test_one_turn_is_one_model_call_and_one_round() -> None:
    script = Script([answer(call())])
    assert StoppedOutcome("max_turns") == script.run(start(max_turns=1)).outcome
    assert ["LlmCall", "ToolCalls", "Finish"] == script.kinds, "no checkpoint at the limit"
    assert ("system", "Turn limit reached (1) before a final assistant response.") == (
        script.appended[-1].role,
        script.appended[-1].text,
    )


@pytest.mark.parametrize("offset", [0, 7])
def test_the_limit_counts_from_where_the_turn_began(offset: int) -> None:
    script = Script([answer(call(f"c{n}")) for n in range(3)])
    assert StoppedOutcome("max_turns") == script.run(start(max_turns=3, iteration_offset=offset)).outcome
    assert [offset, offset + 1, offset + 2] == [effect.iteration for effect in script.of(LlmCall)]
    assert "Turn limit reached (3)" in script.appended[-1].text


def test_without_a_limit_there_is_one() -> None:
    script = Script([answer(call("c"))] * (MAX_TURNS_DEFAULT + 1))
    assert StoppedOutcome("max_turns") == script.run(start()).outcome
    assert len(script.of(LlmCall)) == MAX_TURNS_DEFAULT


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="max_turns"):
        Script().run(start(max_turns=0))


# -- deliveries ---------------------------------------------------------------------------------------


def test_what_arrives_after_work_is_before_the_model() -> None:
    script = Script([answer(call()), answer("Both.")], checkpoints=[LATE])
    assert finished("Both.") == script.run(start()).outcome
    assert ["user", "assistant", "user", "user"] == [message.role for message in script.of(LlmCall)[1].messages]
    assert "and this?" == script.of(LlmCall)[1].messages[-1].text


def test_what_arrives_before_completion_makes_another_iteration() -> None:
    script = Script([answer("First."), answer("Second.")], checkpoints=[LATE])
    assert finished("Second.") == script.run(start()).outcome
    assert ["First.", "and this?", "Second."] == [message.text for message in script.appended]
    assert ["LlmCall", "Checkpoint before_completion"] * 2 == script.kinds[:-1]


def test_a_delivery_before_completion_gets_one_iteration_past_the_limit() -> None:
    script = Script([answer("First."), answer("Second.")], checkpoints=[LATE, LATE])
    assert finished("Second.") == script.run(start(max_turns=1)).outcome
    assert 2 == len(script.of(LlmCall))
    assert 1 == len(script.of(Checkpoint)), "nothing more is taken that could not be answered"


def test_a_round_in_the_extra_iteration_is_the_end() -> None:
    script = Script([answer("First."), answer(call())], checkpoints=[LATE])
    assert StoppedOutcome("max_turns") == script.run(start(max_turns=1)).outcome
    assert 2 == len(script.of(LlmCall))


def test_a_message_that_is_there_already_is_not_delivered_twice() -> None:
    again = Delivered((Message.user("hello", message_id="m1"), *LATE.messages))
    script = Script([answer("First."), answer("Second.")], checkpoints=[again, again])
    assert finished("Second.") == script.run(start()).outcome
    assert ["First.", "and this?", "Second."] == [message.text for message in script.appended]


def test_a_transient_message_is_seen_and_not_stored() -> None:
    hint = Message.system("Be brief.", message_id="m_hint").model_copy(update={"transient": True})
    script = Script([answer(call()), answer("Ok.")], checkpoints=[Delivered((hint,))])
    script.run(start())
    assert "Be brief." == script.of(LlmCall)[1].messages[-1].text
    assert "Be brief." not in [message.text for message in script.appended]


def test_messages_without_an_id_get_one_that_a_redone_turn_gives_again() -> None:
    def ids() -> list[str]:
        script = Script([answer("A."), answer("B.")], checkpoints=[Delivered((Message.user("x"), Message.user("y")))])
        script.run(start())
        return [message.id for message in script.appended]

    assert ids() == ids()
    assert (4, True) == (len(set(ids())), all(ids()))


@pytest.mark.parametrize("kind", ["after_work", "before_completion"])
def test_a_cancel_at_a_checkpoint_ends_the_turn(kind: str) -> None:
    first = answer(call()) if kind == "after_work" else answer("Hello.")
    script = Script([first], checkpoints=[Delivered(LATE.messages, cancelled=True)])
    assert StoppedOutcome("cancelled") == script.run(start()).outcome
    assert "and this?" not in [message.text for message in script.appended]
