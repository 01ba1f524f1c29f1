"""Model calls of a turn: one recorded effect, all attempts inside, bounded (docs/contracts/providers.md 3)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lash_core.errors import NewerRecordError, RuntimeFailure
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.message import Message, ReasoningPart, TextPart, ToolCallPart
from lash_core.model.model_call import (
    ModelFailure,
    ModelRequest,
    ModelResponse,
    ModelStreamEvent,
    ModelTextDelta,
    ModelUsageUpdate,
)
from lash_core.model.session import ModelSpec
from lash_core.model.turn_activity import TurnActivity
from lash_core.model.turn_outcome import LlmCallRecord
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.protocols.turn_machine import LlmCall, LlmResult
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.turns import model_attempt
from lash_core.runtime.turns.model_call_outcome import result_of
from lash_core.runtime.turns.model_caller import ModelCaller, direct_completion
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.store.effect_host import ScopedEffects
from lash_core.testing.scripted_provider import (
    ScriptedProvider,
    ScriptedReply,
    calls_tools,
    fails,
    hangs,
    says,
)
from lash_core.testing.waiting import eventually

REQUEST = ModelRequest(model=ModelSpec("m"), messages=(Message.user("hi"),))
CALL = LlmCall("e0", 0, ())
QUICK = ModelRetryPolicy(backoff_ms=0, backoff_max_ms=0, retry_after_max_ms=0)


class Turn:
    """A turn whose effects are recorded in memory, and what its watcher saw."""

    def __init__(self, provider: ModelProvider, policy: ModelRetryPolicy = QUICK, effects: Any = None) -> None:
        self.stores = InMemoryStores()
        self.seen: list[TurnActivity] = []
        self.token = CancellationToken()
        self.provider = provider
        self.policy = policy
        self.effects: ScopedEffects = effects or self.stores.effect_host.scoped(ExecutionScope.turn("s", "t"))

    async def _watch(self, activity: TurnActivity) -> None:
        self.seen.append(activity)

    @property
    def scope(self) -> TurnScope:
        return TurnScope("s", "t", 1, self.effects, cancellation=self.token, sender=self._watch)

    async def call(self, call: LlmCall = CALL) -> tuple[LlmResult, LlmCallRecord]:
        return await ModelCaller(self.scope, self.provider, self.policy).call(call, REQUEST, {"head": 1})

    @property
    def kinds(self) -> list[str]:
        return [activity.event.type for activity in self.seen]

    def of(self, kind: str) -> list[TurnActivity]:
        return [activity for activity in self.seen if activity.event.type == kind]


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


@pytest.mark.parametrize(
    ("policy", "reply", "code"),
    [
        ({"first_token_timeout_ms": 20}, hangs(), "first_token_timeout"),
        ({"silence_timeout_ms": 20}, hangs(after=["a"]), "stream_stalled"),
        ({"attempt_timeout_ms": 20}, hangs(after=["a"]), "attempt_timeout"),
    ],
)
async def test_a_provider_that_never_answers_is_given_up(
    policy: dict[str, int], reply: ScriptedReply, code: str
) -> None:
    provider = ScriptedProvider([reply, reply])
    turn = Turn(provider, QUICK.model_copy(update={**policy, "attempts_max": 2}))
    result, record = await turn.call()

    assert result.issue is not None
    assert (code, "timeout", True) == (result.issue.code, result.issue.provider_failure_kind, result.issue.retryable)
    assert "within 20 ms" in result.issue.message
    assert 2 == len(record.attempts)
    assert 2 == provider.dropped


async def test_time_in_a_listener_is_not_the_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_attempt, "LISTENER_LOOK_MS", 5)
    turn = Turn(ScriptedProvider([says("hello")]), QUICK.model_copy(update={"attempt_timeout_ms": 30}))
    gate = asyncio.Event()

    async def slow(activity: TurnActivity) -> None:
        if activity.event.type == "assistant_prose_delta":
            await gate.wait()

    asyncio.get_running_loop().call_later(0.06, gate.set)
    scope = TurnScope("s", "t", 1, turn.effects, sender=slow)
    result, record = await ModelCaller(scope, turn.provider, turn.policy).call(CALL, REQUEST, {})

    assert result.response is not None
    assert 1 == len(record.attempts)


async def test_a_cancel_drops_the_call_at_once_and_records_nothing() -> None:
    provider = ScriptedProvider([hangs(after=["par"])])
    turn = Turn(provider)
    task = asyncio.create_task(turn.call())
    await eventually(lambda: "assistant_prose_delta" in turn.kinds)
    turn.token.cancel("stop")
    result, record = await asyncio.wait_for(task, 1)

    assert result.cancelled
    assert result.response is None
    assert ["cancelled"] == [attempt.outcome for attempt in record.attempts]
    assert 1 == provider.dropped
    assert "model_attempt_reset" not in turn.kinds

    entry = await turn.stores.effect_journal.find_effect(ExecutionScope.turn("s", "t"), "turn:t:llm:0")
    assert entry is None or not entry.is_final


async def test_a_cancel_ends_the_wait_before_another_attempt() -> None:
    slow = QUICK.model_copy(update={"backoff_ms": 60_000, "backoff_max_ms": 60_000})
    turn = Turn(ScriptedProvider([fails("server"), says("never")]), slow)
    task = asyncio.create_task(turn.call())
    await eventually(lambda: "retry_status" in turn.kinds)
    turn.token.cancel("stop")
    result, record = await asyncio.wait_for(task, 1)

    assert result.cancelled
    assert ["failed"] == [attempt.outcome for attempt in record.attempts]


async def test_a_caller_that_is_cancelled_drops_the_call() -> None:
    provider = ScriptedProvider([hangs()])
    task = asyncio.create_task(Turn(provider).call())
    await eventually(lambda: len(provider.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert 1 == provider.dropped


async def test_a_provider_that_does_not_let_go_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model_attempt, "DROP_GRACE_MS", 10)
    release = asyncio.Event()

    class Clinging(ScriptedProvider):
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            yield ModelTextDelta("late")

    turn = Turn(Clinging(), QUICK.model_copy(update={"attempts_max": 1, "first_token_timeout_ms": 10}))
    result, _ = await asyncio.wait_for(turn.call(), 2)
    release.set()

    assert result.issue is not None
    assert "did not end within 10 ms" in caplog.text
    assert "assistant_prose_delta" not in turn.kinds


async def test_a_provider_that_raises_something_else_fails_once() -> None:
    class Broken(ScriptedProvider):
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
            raise ZeroDivisionError("oops")
            yield ModelTextDelta("")

    result, record = await Turn(Broken()).call()

    assert result.issue is not None
    assert "ZeroDivisionError: oops" == result.issue.message
    assert ("unknown", False) == (result.issue.provider_failure_kind, result.issue.retryable)
    assert 1 == len(record.attempts)


async def test_a_provider_that_cancels_itself_has_failed() -> None:
    class Broken(ScriptedProvider):
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
            raise asyncio.CancelledError
            yield ModelTextDelta("")

    result, _ = await Turn(Broken()).call()

    assert not result.cancelled
    assert result.issue is not None
    assert "unknown" == result.issue.provider_failure_kind


async def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_attempt, "STREAMED_CHARACTERS_MAX", 10)
    result, _ = await Turn(ScriptedProvider([says("x" * 12, deltas=["x" * 6, "x" * 6])])).call()

    assert result.issue is not None
    assert ("response_too_large", False) == (result.issue.code, result.issue.retryable)


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


# -- back-off ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "wish", "jitter", "expected"),
    [
        (1, None, 0.0, 500),
        (2, None, 0.0, 1_000),
        (9, None, 0.0, 8_000),
        (1, 3_000, 0.0, 3_000),
        (1, 900_000, 0.0, 30_000),
        (1, None, 1.0, 750),
        (1, -5, 0.0, 500),
    ],
)
def test_the_wait_before_another_attempt(attempt: int, wish: int | None, jitter: float, expected: int) -> None:
    failure = ModelFailure(kind="rate_limit", retryable=True, retry_after_ms=wish)

    assert expected == ModelRetryPolicy().delay_ms(attempt, failure, jitter)


# -- direct completions --------------------------------------------------------------------------------


async def test_a_direct_completion_is_recorded_and_has_usage() -> None:
    usage = TokenUsage(input=2, output=1)
    provider = ScriptedProvider([fails("server"), says("title", usage=usage)])
    turn = Turn(provider)
    first = await direct_completion(turn.scope, provider, REQUEST, "title", QUICK)

    assert "title" == "".join(part.text for part in first[0].parts if isinstance(part, TextPart))
    assert usage == first[1]
    assert first == await direct_completion(turn.scope, provider, REQUEST, "title", QUICK)
    assert 2 == len(provider.requests)
    assert [] == turn.seen


async def test_a_direct_completion_that_asks_something_else_under_its_key_is_refused() -> None:
    provider = ScriptedProvider([says("title")])
    turn = Turn(provider)
    await direct_completion(turn.scope, provider, REQUEST, "title")

    with pytest.raises(RuntimeFailure, match="request_digest"):
        await direct_completion(turn.scope, provider, REQUEST.model_copy(update={"instructions": "x"}), "title")


async def test_a_direct_completion_that_fails_raises_its_issue() -> None:
    provider = ScriptedProvider([fails("auth", "no key")])

    with pytest.raises(RuntimeFailure, match="no key") as caught:
        await direct_completion(Turn(provider).scope, provider, REQUEST, "k")
    assert "direct_completion_failed" == caught.value.code
    assert isinstance(caught.value.raw, dict)
    assert "auth" == caught.value.raw["provider_failure_kind"]


async def test_a_direct_completion_ends_with_its_turn() -> None:
    provider = ScriptedProvider([hangs()])
    turn = Turn(provider)
    task = asyncio.create_task(direct_completion(turn.scope, provider, REQUEST, "k"))
    await eventually(lambda: len(provider.requests) == 1)
    turn.token.cancel("stop")

    with pytest.raises(RuntimeFailure, match="stop") as caught:
        await asyncio.wait_for(task, 1)
    assert "direct_completion_cancelled" == caught.value.code
