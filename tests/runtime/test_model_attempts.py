"""Attempts of a model call end, whatever the provider does (docs/contracts/providers.md 2, 3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.model_call import (
    ModelFailure,
    ModelRequest,
    ModelStreamEvent,
    ModelTextDelta,
)
from lash_core.model.turn_activity import TurnActivity
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.runtime.turns import model_attempt
from lash_core.runtime.turns.model_caller import ModelCaller
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.testing.scripted_provider import (
    ScriptedProvider,
    ScriptedReply,
    fails,
    hangs,
    says,
)
from lash_core.testing.waiting import eventually
from tests.runtime.model_turn import CALL, QUICK, REQUEST, Turn


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
