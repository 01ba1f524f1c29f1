"""The attempts of one model call: which failures are tried again, what watchers are told, what is kept as evidence."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from lash_core.clock import own_time_ms
from lash_core.model.base import JsonValue
from lash_core.model.model_call import ModelFailure, ModelRequest, ModelResponse
from lash_core.model.session import ModelSpec
from lash_core.model.turn_activity import TurnEvent, TurnEventKind
from lash_core.model.turn_outcome import LlmAttempt, TurnIssue
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.failure_texts import bounded, storable, text_of
from lash_core.runtime.token_race import unless_cancelled
from lash_core.runtime.turns.model_attempt import AttemptEnd, ModelAttempt

ISSUE_KIND = "llm_provider"
TERMINAL_REASON = "provider_error"
MODEL_UNSUPPORTED = "model_unsupported"

Live = Callable[[int, TurnEvent], Awaitable[None]]
"""Takes the number of an attempt and an event of it."""


@dataclass(slots=True)
class CallEnd:
    """How a call ended with all its attempts: a response, a failure, or neither when it was cancelled."""

    attempts: list[LlmAttempt] = field(default_factory=list[LlmAttempt])
    response: ModelResponse | None = None
    failure: ModelFailure | None = None
    text_streamed: bool = False

    @property
    def cancelled(self) -> bool:
        """True when the cancel token ended it."""
        return self.response is None and self.failure is None


class ModelAttempts:
    """Calls a provider until it answers, fails for good, or the token is fired.

    Args:
        provider: one attempt after the other, never two at once.
        policy: how many, how long.
        live: takes what watchers are told; None = nobody watches.
    """

    def __init__(self, provider: ModelProvider, policy: ModelRetryPolicy, live: Live | None = None) -> None:
        self._provider = provider
        self._policy = policy
        self._live = live

    async def run(self, request: ModelRequest, token: CancellationToken) -> CallEnd:
        """Make the call.

        A model that the provider cannot run as specified is refused without an attempt.
        """
        end = CallEnd(failure=refusal_of(self._provider, request.model))
        number = 0
        while end.failure is None and end.response is None and not token.cancelled:
            number += 1
            attempt = await self._attempt(number, request, token, end)
            if attempt.failure is None:
                end.response, end.text_streamed = attempt.response, attempt.text_streamed
                break
            if not self._policy.wants_another(number, attempt.failure):
                end.failure = attempt.failure
            elif not await self._pause(number, attempt.failure, token):
                break
        return end

    async def _attempt(self, number: int, request: ModelRequest, token: CancellationToken, end: CallEnd) -> AttemptEnd:
        began_ms = own_time_ms()
        await self._tell(
            number,
            "model_request_started",
            {"attempt": number, "model": request.model.id, "provider_id": self._provider.provider_id},
        )
        send = None if self._live is None else partial(self._live, number)
        attempt = await ModelAttempt(self._provider, request, self._policy, send).run(token)
        end.attempts.append(
            LlmAttempt(
                attempt=number,
                outcome=attempt.outcome,
                duration_ms=int(own_time_ms() - began_ms),
                usage=attempt.usage,
                error=None if attempt.failure is None else issue_of(attempt.failure),
            )
        )
        if attempt.failure is not None and attempt.anything_streamed:
            await self._tell(number, "model_attempt_reset", {"attempt": number})
        if attempt.response is not None and attempt.usage is not None:
            await self._tell(number, "usage", usage_facts(attempt.usage))
        return attempt

    async def _pause(self, number: int, failure: ModelFailure, token: CancellationToken) -> bool:
        delay_ms = self._policy.delay_ms(number, failure, random.random())  # noqa: S311 - no secret
        facts: dict[str, JsonValue] = {
            "attempt": number,
            "attempts_max": self._policy.attempts_max,
            "delay_ms": delay_ms,
            "kind": failure.kind,
            "message": bounded(failure.message, 500),
        }
        await self._tell(number, "retry_status", facts)
        return await unless_cancelled(token, asyncio.sleep(delay_ms / 1_000))

    async def _tell(self, number: int, kind: TurnEventKind, facts: dict[str, JsonValue]) -> None:
        if self._live is not None:
            await self._live(number, TurnEvent(kind, facts))


def refusal_of(provider: ModelProvider, model: ModelSpec) -> ModelFailure | None:
    """Why the provider cannot run the model as specified: an effort it does not know; None when it can. No I/O."""
    try:
        why = provider.check_model(model)
    except Exception as error:  # noqa: BLE001 - a provider is the host's code
        why = text_of(error)
    if why is None:
        return None
    return ModelFailure(kind="validation", message=bounded(why, 2_000), code=MODEL_UNSUPPORTED)


def issue_of(failure: ModelFailure) -> TurnIssue:
    """A failure as a turn's issue: bounded, and always storable."""
    return TurnIssue(
        kind=ISSUE_KIND,
        code=failure.code or failure.kind,
        terminal_reason=TERMINAL_REASON,
        message=bounded(failure.message, 2_000),
        raw=None if failure.raw is None else storable(failure.raw),
        retryable=failure.retryable,
        provider_failure_kind=failure.kind,
    )


def usage_facts(usage: TokenUsage) -> dict[str, JsonValue]:
    """The counters of usage, as the facts of an event."""
    return {"usage": usage.to_json_value()}
