"""Model calls of a turn: one recorded effect, all attempts inside (docs/contracts/providers.md 3)."""

from __future__ import annotations

import math

import pytest

from lash_core.errors import NewerRecordError, RuntimeFailure
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.message import ReasoningPart, TextPart, ToolCallPart
from lash_core.model.model_call import (
    ModelFailure,
    ModelResponse,
    ModelTextDelta,
    ModelUsageUpdate,
)
from lash_core.model.session import ModelSpec
from lash_core.model.usage import TokenUsage
from lash_core.protocols.turn_machine import LlmCall
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.turns.model_call_outcome import result_of
from lash_core.runtime.turns.model_caller import ModelCaller
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.testing.scripted_provider import (
    ScriptedProvider,
    ScriptedReply,
    calls_tools,
    fails,
    says,
)
from tests.runtime.model_turn import CALL, QUICK, REQUEST, Turn


async def test_an_answer_streams_live_and_comes_back_whole() -> None:
    usage = TokenUsage(input=7, output=2)
    turn = Turn(ScriptedProvider([says("hello", deltas=["hel", "lo"], usage=usage, reasoning="hm")]))
    result, record = await turn.call()

    assert result.response is not None
    assert (ReasoningPart("hm"), TextPart("hello")) == result.response.parts
    assert result.text_streamed
    assert result.issue is None
    assert usage == record.usage
    assert ("t:llm:0", 0, "m", "stop") == (record.call_id, record.iteration, record.model, record.finish_reason)
    assert ["completed"] == [attempt.outcome for attempt in record.attempts]
    assert ["model_request_started", "reasoning_delta", "assistant_prose_delta", "assistant_prose_delta", "usage"] == (
        turn.kinds
    )
    assert ["hel", "lo"] == [activity.event.facts["text"] for activity in turn.of("assistant_prose_delta")]
    assert 1 == len({activity.correlation_id for activity in turn.seen})


async def test_an_answer_in_one_piece_is_not_said_to_have_streamed() -> None:
    result, _ = await Turn(ScriptedProvider([says("hello", deltas=[])])).call()

    assert not result.text_streamed


async def test_a_redo_answers_the_recorded_call_and_streams_nothing() -> None:
    provider = ScriptedProvider([says("hello")])
    turn = Turn(provider)
    first = await turn.call()
    turn.seen.clear()

    assert first == await turn.call()
    assert 1 == len(provider.requests)
    assert [] == turn.seen


async def test_a_recorded_call_answers_although_the_turn_was_cancelled_since() -> None:
    turn = Turn(ScriptedProvider([says("hello")]))
    first = await turn.call()
    turn.token.cancel("stop")

    assert first == await turn.call()
    assert (await turn.call(LlmCall("e1", 1, ())))[0].cancelled


async def test_a_redo_that_asks_something_else_is_refused() -> None:
    turn = Turn(ScriptedProvider([says("hello")]))
    await turn.call()

    caller = ModelCaller(turn.scope, turn.provider, QUICK)
    with pytest.raises(RuntimeFailure, match=r"command\.prompt_ref\.head"):
        await caller.call(CALL, REQUEST, {"head": 2})


async def test_retryable_failures_get_four_attempts_in_one_call() -> None:
    provider = ScriptedProvider([fails("rate_limit", "slow down") for _ in range(5)])
    turn = Turn(provider)
    result, record = await turn.call()

    assert 4 == len(provider.requests)
    assert [1, 2, 3, 4] == [attempt.attempt for attempt in record.attempts]
    assert result.issue is not None
    assert ("llm_provider", "rate_limit", True) == (
        result.issue.kind,
        result.issue.provider_failure_kind,
        result.issue.retryable,
    )
    assert "slow down" == result.issue.message
    assert "provider_error" == result.issue.terminal_reason
    assert 3 == len(turn.of("retry_status"))


async def test_a_validation_failure_gets_one_attempt() -> None:
    provider = ScriptedProvider([fails("validation", "bad request"), says("never")])
    result, record = await Turn(provider).call()

    assert 1 == len(record.attempts)
    assert result.issue is not None
    assert ("validation", False) == (result.issue.provider_failure_kind, result.issue.retryable)


async def test_a_failed_call_is_recorded_too() -> None:
    provider = ScriptedProvider([fails("auth", "no key"), says("never")])
    turn = Turn(provider)
    first = await turn.call()

    assert first == await turn.call()
    assert 1 == len(provider.requests)


async def test_live_text_of_a_failed_attempt_is_taken_back() -> None:
    turn = Turn(ScriptedProvider([fails("connection", after=["hal"]), says("hello")]))
    result, record = await turn.call()

    reset = turn.of("model_attempt_reset")
    assert ["t:llm:0:1"] == [activity.correlation_id for activity in reset]
    texts = {activity.correlation_id: activity.event.facts["text"] for activity in turn.of("assistant_prose_delta")}
    assert {"t:llm:0:1": "hal", "t:llm:0:2": "hello"} == texts
    assert ["failed", "completed"] == [attempt.outcome for attempt in record.attempts]
    assert result.response is not None
    assert (TextPart("hello"),) == result.response.parts


async def test_nothing_is_taken_back_where_nothing_was_shown() -> None:
    turn = Turn(ScriptedProvider([fails("server"), says("hello")]))
    await turn.call()

    assert [] == turn.of("model_attempt_reset")


async def test_the_last_failed_attempt_is_taken_back_too() -> None:
    turn = Turn(ScriptedProvider([fails("validation", after=["half"])]))
    await turn.call()

    assert ["t:llm:0:1"] == [activity.correlation_id for activity in turn.of("model_attempt_reset")]


async def test_usage_of_a_failed_attempt_is_evidence_and_not_the_answers() -> None:
    wasted, used = TokenUsage(input=3), TokenUsage(input=5, output=1)
    turn = Turn(ScriptedProvider([fails("server", usage=wasted), says("hello", usage=used)]))
    _, record = await turn.call()

    assert [wasted, used] == [attempt.usage for attempt in record.attempts]
    assert used == record.usage


@pytest.mark.parametrize(("final", "expected"), [(TokenUsage(input=9), 9), (None, 4)])
async def test_final_usage_is_preferred_over_streamed(final: TokenUsage | None, expected: int) -> None:
    reply = ScriptedReply((ModelUsageUpdate(TokenUsage(input=4)), *says("hello", usage=final).events))
    result, record = await Turn(ScriptedProvider([reply])).call()

    assert expected == record.usage.input
    assert result.response is not None
    assert TokenUsage(input=expected) == result.response.usage


async def test_tool_calls_of_a_failed_attempt_are_not_returned() -> None:
    cut = ScriptedReply((ModelTextDelta("let me"),), failure=ModelFailure(kind="connection", retryable=True))
    turn = Turn(ScriptedProvider([cut, calls_tools(ToolCallPart("c1", "search", {"q": "x"}))]))
    result, _ = await turn.call()

    assert result.response is not None
    assert (ToolCallPart("c1", "search", {"q": "x"}),) == result.response.parts


async def test_a_stream_without_an_answer_is_a_lost_connection() -> None:
    turn = Turn(ScriptedProvider([ScriptedReply((ModelTextDelta("hel"),)), says("hello")]))
    result, record = await turn.call()

    assert result.response is not None
    error = record.attempts[0].error
    assert error is not None
    assert ("stream_incomplete", "connection", True) == (error.code, error.provider_failure_kind, error.retryable)


async def test_an_unknown_effort_is_refused_before_the_call() -> None:
    provider = ScriptedProvider([says("never")], efforts=["low"])
    request = REQUEST.model_copy(update={"model": ModelSpec("m", variant="huge")})
    result, record = await ModelCaller(Turn(provider).scope, provider).call(CALL, request, {})

    assert [] == provider.requests
    assert () == record.attempts
    assert result.issue is not None
    assert ("model_unsupported", "validation", False) == (
        result.issue.code,
        result.issue.provider_failure_kind,
        result.issue.retryable,
    )


async def test_what_no_store_takes_is_repaired() -> None:
    parts = (
        TextPart("a\ud800"),
        ReasoningPart("b\ud800", provider_data={"x": math.nan}),
        ToolCallPart("c", "t", math.inf),
    )
    turn = Turn(ScriptedProvider([ScriptedReply((ModelTextDelta("a\ud800"), ModelResponse(parts=parts)))]))
    result, _ = await turn.call()

    assert result.response is not None
    repaired = (TextPart("a\\ud800"), ReasoningPart("b\\ud800"), ToolCallPart("c", "t", {}))
    assert repaired == result.response.parts
    assert "a\\ud800" == turn.of("assistant_prose_delta")[0].event.facts["text"]


async def test_an_answer_over_the_payload_limit_is_an_issue() -> None:
    class Full:
        async def execute_effect(self, envelope: object, executor: object) -> None:
            raise RuntimeFailure("effect_outcome_too_large", "outcome has 300000 bytes; the limit is 262144")

    result, _ = await Turn(ScriptedProvider([says("x")]), effects=Full()).call()

    assert result.issue is not None
    assert ("runtime", "effect_outcome_too_large", False) == (
        result.issue.kind,
        result.issue.code,
        result.issue.retryable,
    )


async def test_nobody_has_to_listen_and_nothing_has_to_be_recorded() -> None:
    effects = InlineEffectHost().scoped(ExecutionScope.turn("s", "t"))
    provider = ScriptedProvider([says("hello", deltas=["h"])])
    result, _ = await ModelCaller(TurnScope("s", "t", 1, effects), provider, QUICK).call(CALL, REQUEST, {})

    assert result.text_streamed


def test_a_call_recorded_in_a_newer_form_is_refused() -> None:
    with pytest.raises(NewerRecordError, match="version 2; known is 1"):
        result_of({"v": 2})
