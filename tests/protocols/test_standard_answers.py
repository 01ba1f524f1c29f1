"""The standard protocol: how answers without tool calls end a turn (docs/contracts/tools.md 7)."""

from __future__ import annotations

import pytest

from lash_core.model.message import AttachmentPart, Message, ReasoningPart, TextPart, ToolResultPart
from lash_core.model.model_call import FinishReason
from lash_core.model.turn_outcome import AssistantMessageFinish, FinishedOutcome, StoppedOutcome, TurnIssue
from lash_core.protocols.standard_rules import MESSAGE_BYTES_MAX
from lash_core.protocols.turn_machine import Checkpoint, Delivered, LlmCall, LlmResult, Log
from tests.protocols.drive import Script, answer, call, start

EMPTY = "Model returned no assistant text or tool calls."


def finished(text: str) -> FinishedOutcome:
    return FinishedOutcome(AssistantMessageFinish(text))


def test_an_answer_passes_the_checkpoint_before_it_finishes() -> None:
    script = Script([answer("Hello.")])
    assert finished("Hello.") == script.run(start()).outcome
    assert ["LlmCall", "Checkpoint before_completion", "Finish"] == script.kinds
    assert [("assistant", "Hello.")] == [(message.role, message.text) for message in script.appended]


def test_text_that_was_streamed_is_not_shown_again() -> None:
    script = Script([answer("Hello.", text_streamed=True)])
    script.run(start())
    assert [] == script.shown


def test_text_that_was_not_streamed_is_shown_once() -> None:
    script = Script([answer("Hel", "lo.")])
    script.run(start())
    assert [("assistant_prose_delta", {"text": "Hello."})] == script.shown


@pytest.mark.parametrize("parts", [(), ("",), (" \n",), (ReasoningPart("I wonder"),)])
def test_an_empty_answer_is_the_providers_error(parts: tuple[TextPart | str, ...]) -> None:
    script = Script([answer(*parts)])
    end = script.run(start())
    assert StoppedOutcome("provider_error") == end.outcome
    assert [EMPTY] == [issue.message for issue in end.issues]
    assert [] == script.of(Checkpoint), "no checkpoint after an error of the provider"
    assert [] == script.appended


def test_an_empty_answer_after_a_tool_result_is_a_finish() -> None:
    script = Script([answer(call()), answer()])
    end = script.run(start())
    assert (finished(""), ()) == (end.outcome, end.issues)
    assert ["LlmCall", "ToolCalls", "Checkpoint after_work", "LlmCall", "Checkpoint before_completion", "Finish"] == (
        script.kinds
    )
    assert ["assistant", "user"] == [message.role for message in script.appended], "nothing empty in the history"


def test_the_history_may_end_with_the_tool_result() -> None:
    quiet = start(last_message_is_tool_result=True)
    assert StoppedOutcome("provider_error") == Script([answer()]).run(quiet).outcome, "a message came after it"
    alone = Script([answer()]).run(type(quiet)("t1", last_message_is_tool_result=True))
    assert finished("") == alone.outcome


def test_a_message_after_the_tool_result_wants_an_answer() -> None:
    late = Delivered((Message.user("and?", message_id="m2"),))
    script = Script([answer(call()), answer()], checkpoints=[late])
    assert StoppedOutcome("provider_error") == script.run(start()).outcome


def test_reasoning_stays_beside_the_text() -> None:
    thought = ReasoningPart("hm", provider_data={"signature": "s"})
    script = Script([answer(thought, "Yes.")])
    assert finished("Yes.") == script.run(start()).outcome
    assert (thought, TextPart("Yes.")) == script.appended[0].parts


def test_an_attachment_alone_is_an_answer() -> None:
    script = Script([answer(AttachmentPart({"attachment_id": "a"}))])
    assert finished("") == script.run(start()).outcome
    assert 1 == len(script.appended)


def test_an_error_of_the_provider_ends_the_turn_at_once() -> None:
    issue = TurnIssue(
        kind="llm_provider", code="400", message="bad schema", retryable=False, provider_failure_kind="validation"
    )
    script = Script([LlmResult(issue=issue)])
    end = script.run(start())
    assert StoppedOutcome("provider_error") == end.outcome
    assert (issue.model_copy(update={"message": "LLM error: bad schema"}),) == end.issues
    assert ["LlmCall", "Finish"] == script.kinds
    assert [("error", {"kind": "llm_provider", "message": "LLM error: bad schema"})] == script.shown


def test_neither_an_answer_nor_an_issue_counts_as_an_error_of_the_provider() -> None:
    assert StoppedOutcome("provider_error") == Script([LlmResult()]).run(start()).outcome


@pytest.mark.parametrize("reason", ["context_overflow", "content_filter", "error"])
def test_what_the_provider_broke_off_is_its_error(reason: FinishReason) -> None:
    script = Script([answer("half a sen", finish_reason=reason)])
    end = script.run(start())
    assert StoppedOutcome("provider_error") == end.outcome
    assert [(reason, "llm_provider")] == [(issue.terminal_reason, issue.kind) for issue in end.issues]
    assert (["LlmCall", "Finish"], []) == (script.kinds, script.appended)


def test_an_answer_over_the_output_limit_is_incomplete_and_kept() -> None:
    script = Script([answer("half a sen", finish_reason="output_limit")])
    assert StoppedOutcome("incomplete") == script.run(start()).outcome
    assert (["half a sen"], ["LlmCall", "Finish"]) == ([one.text for one in script.appended], script.kinds)


def test_calls_of_an_answer_over_the_output_limit_do_not_run() -> None:
    script = Script([answer("Let me see.", call(), finish_reason="output_limit")])
    assert StoppedOutcome("incomplete") == script.run(start()).outcome
    assert [()] == [message.tool_calls for message in script.appended]
    assert ["warning"] == [effect.level for effect in script.of(Log)]


def test_a_cancelled_call_ends_the_turn_without_its_text() -> None:
    script = Script([LlmResult(cancelled=True, text_streamed=True)])
    end = script.run(start())
    assert (StoppedOutcome("cancelled"), ()) == (end.outcome, end.issues)
    assert (["LlmCall", "Finish"], []) == (script.kinds, script.appended)


def test_halves_of_characters_are_put_together_or_replaced() -> None:
    script = Script([answer("ok \ud83d\ude00 \ud83d!")])
    script.run(start())
    assert ["ok \U0001f600 �!"] == [message.text for message in script.appended]


@pytest.mark.parametrize(
    "parts",
    [
        ("x" * MESSAGE_BYTES_MAX,),
        ("Let me see.", call(args={"text": "x" * MESSAGE_BYTES_MAX})),
        (ReasoningPart("hm", provider_data={"n": float("nan")}), "Yes."),
    ],
)
def test_an_answer_that_no_store_would_take_is_the_providers_error(parts: tuple[TextPart | str, ...]) -> None:
    script = Script([answer(*parts)])
    end = script.run(start())
    assert StoppedOutcome("provider_error") == end.outcome
    assert [True] == [issue.code in ("answer_too_large", "answer_not_storable") for issue in end.issues]
    assert (["LlmCall", "Finish"], []) == (script.kinds, script.appended)


def test_the_model_sees_all_messages_of_the_turn() -> None:
    script = Script([answer("Let me see.", call()), answer("Done.")])
    script.run(start())
    seen = [[message.role for message in effect.messages] for effect in script.of(LlmCall)]
    assert [["user"], ["user", "assistant", "user"]] == seen
    assert [0, 1] == [effect.iteration for effect in script.of(LlmCall)]
    result = script.of(LlmCall)[1].messages[-1].parts[0]
    assert ToolResultPart("c1", "search", {"type": "success", "value": "ok"}) == result
