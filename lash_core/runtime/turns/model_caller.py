"""One model call of a turn: one recorded effect with all its attempts inside (``docs/contracts/providers.md`` 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable

from lash_core.errors import RuntimeFailure
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.message import ReasoningPart, TextPart
from lash_core.model.model_call import ModelRequest, ModelResponse
from lash_core.model.turn_activity import TurnEvent
from lash_core.model.turn_outcome import LlmCallRecord, TurnIssue
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.protocols.turn_machine import LlmCall, LlmResult
from lash_core.runtime.journal.errors import OUTCOME_TOO_LARGE, NotRecordedError
from lash_core.runtime.turn_activities import send_turn_activity
from lash_core.runtime.turns.model_attachments import ReadsAttachments, with_attachments
from lash_core.runtime.turns.model_attempts import CallEnd, Live, ModelAttempts, usage_facts
from lash_core.runtime.turns.model_call_outcome import outcome_value, record_of, result_of
from lash_core.runtime.turns.turn_scope import TurnScope

MODEL_CALL_PHASE = "model_call"
"""Named phase around a model call, its recording included."""
DIRECT_COMPLETION_FAILED = "direct_completion_failed"
DIRECT_COMPLETION_CANCELLED = "direct_completion_cancelled"


class ModelCallCancelledError(NotRecordedError):
    """The turn's token ended the call: nothing is recorded, a redo without the cancel makes the call."""

    def __init__(self, end: CallEnd) -> None:
        super().__init__("the model call was cancelled")
        self.end = end


class ModelCaller:
    """Makes the model calls of one turn.

    Args:
        scope: whose effects record the calls, and whose token drops them.
        provider: that the session's policy names.
        retry: bounds of attempts and times.
        attachments: where the bytes are that messages refer to; None shows their names only.
    """

    def __init__(
        self,
        scope: TurnScope,
        provider: ModelProvider,
        retry: ModelRetryPolicy | None = None,
        attachments: ReadsAttachments | None = None,
    ) -> None:
        self._scope = scope
        self._provider = provider
        self._retry = retry or ModelRetryPolicy()
        self._attachments = attachments

    async def call(
        self, call: LlmCall, request: ModelRequest, prompt_ref: dict[str, JsonValue]
    ) -> tuple[LlmResult, LlmCallRecord]:
        """Make the call of one iteration, or answer what is recorded of it.

        What is recorded is streamed again to a ``TurnFollower`` only, in one piece.

        Args:
            call: its iteration names the effect: ``llm:<iteration>``.
            request: what the model is asked; never recorded.
            prompt_ref: names the prompt: head revision, node ids, a digest. A redo must make the same one.

        Returns:
            A response, an issue of kind ``llm_provider``, or ``cancelled`` when the turn's token was fired; and the
            evidence of all attempts. No failure of a provider is raised.

        Raises:
            RuntimeFailure: the journal has another call under this name. Store errors: of the journal.
        """
        scope, model, is_recorded = self._scope, request.model.id, True
        effect_id = f"llm:{call.iteration}"
        call_id = f"{scope.turn_id}:{effect_id}"

        def record(end: CallEnd) -> LlmCallRecord:
            return record_of(end, call_id=call_id, iteration=call.iteration, model=model)

        async def execute(envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
            nonlocal is_recorded
            is_recorded = False
            attempts = ModelAttempts(self._provider, self._retry, self._live(effect_id))
            end = await attempts.run(await with_attachments(request, self._attachments), scope.cancellation)
            if end.cancelled:
                raise ModelCallCancelledError(end)
            return RuntimeEffectOutcome(envelope.kind, outcome_value(end, record(end)))

        args: dict[str, object] = {
            "prompt_ref": prompt_ref,
            "provider_id": self._provider.provider_id,
            **_model_args(request),
        }
        envelope = scope.envelope(effect_id, EffectKind.LLM_CALL, args, iteration=call.iteration)
        with scope.phase(MODEL_CALL_PHASE):
            try:
                outcome = await scope.effects.execute_effect(envelope, execute)
            except ModelCallCancelledError as cancelled:
                return LlmResult(cancelled=True), record(cancelled.end)
            except RuntimeFailure as failure:
                if failure.code != OUTCOME_TOO_LARGE:
                    raise
                issue = TurnIssue(kind="runtime", code=failure.code, message=failure.detail, retryable=False)
                return LlmResult(issue=issue), record(CallEnd())
        result, made = result_of(outcome.value)
        if is_recorded and scope.tells_again:
            await self._tell_again(effect_id, result, made)
        return result, made

    async def _tell_again(self, effect_id: str, result: LlmResult, made: LlmCallRecord) -> None:
        live, number = self._live(effect_id), len(made.attempts)
        if live is None or result.response is None:
            return
        facts: dict[str, JsonValue] = {
            "attempt": number,
            "model": made.model,
            "provider_id": self._provider.provider_id,
            "recorded": True,
        }
        await live(number, TurnEvent("model_request_started", facts))
        parts = result.response.parts
        reasoning = "".join(part.text for part in parts if isinstance(part, ReasoningPart))
        if reasoning:
            await live(number, TurnEvent("reasoning_delta", {"text": reasoning}))
        prose = "".join(part.text for part in parts if isinstance(part, TextPart))
        if prose and result.text_streamed:
            # What was not streamed then, the protocol shows itself.
            await live(number, TurnEvent("assistant_prose_delta", {"text": prose}))
        await live(number, TurnEvent("usage", usage_facts(made.usage)))

    def _live(self, effect_id: str) -> Live | None:
        scope, sender = self._scope, self._scope.sender
        if sender is None:
            return None

        # All events of one attempt have one correlation id, by which a reset takes its text back.
        correlations: dict[int, str] = {}

        def send(attempt: int, event: TurnEvent) -> Awaitable[None]:
            correlation_id = correlations.get(attempt)
            if correlation_id is None:
                correlation_id = correlations[attempt] = scope.correlation(f"{effect_id}:{attempt}")
            return send_turn_activity(sender, correlation_id, event)

        return send


async def direct_completion(
    scope: TurnScope,
    provider: ModelProvider,
    request: ModelRequest,
    key: str,
    retry: ModelRetryPolicy | None = None,
) -> tuple[ModelResponse, TokenUsage]:
    """One recorded model call beside the turn's own: for plugins and tools that ask a model something.

    Nothing is streamed. The caller puts the usage into the session's ledger under a source of its own.

    Args:
        scope: of the turn.
        provider: who is asked.
        request: what is asked; its digest is recorded, it is not.
        key: unique in the turn; a redo answers by it what was recorded.
        retry: bounds; the defaults of ``ModelRetryPolicy``.

    Raises:
        RuntimeFailure: ``direct_completion_failed`` (``raw`` is the issue), ``direct_completion_cancelled``; the
            journal has another request under the key.
    """

    async def execute(envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        end = await ModelAttempts(provider, retry or ModelRetryPolicy()).run(request, scope.cancellation)
        if end.cancelled:
            raise ModelCallCancelledError(end)
        record = record_of(end, call_id=effect_id, iteration=0, model=request.model.id)
        return RuntimeEffectOutcome(envelope.kind, outcome_value(end, record))

    effect_id = f"direct:{key}"
    digest = hashlib.sha256(canonical_json(request.to_json_value(), field="request").encode()).hexdigest()
    args: dict[str, object] = {"request_digest": digest, "provider_id": provider.provider_id, **_model_args(request)}
    envelope = scope.envelope(effect_id, EffectKind.DIRECT, args)
    try:
        outcome = await scope.effects.execute_effect(envelope, execute)
    except ModelCallCancelledError:
        text = scope.cancellation.reason or "the turn was cancelled"
        raise RuntimeFailure(DIRECT_COMPLETION_CANCELLED, text) from None
    result, record = result_of(outcome.value)
    if result.response is None:
        issue = result.issue
        message, raw = ("", None) if issue is None else (issue.message, issue.to_json_value())
        raise RuntimeFailure(DIRECT_COMPLETION_FAILED, message, raw=raw)
    return result.response, record.usage


def _model_args(request: ModelRequest) -> dict[str, str]:
    model = request.model
    return {"model": model.id} if model.variant is None else {"model": model.id, "variant": model.variant}
