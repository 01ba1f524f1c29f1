"""One attempt through pydantic-ai: its stream as ours. Imported when the adapter is first used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from pydantic_ai import messages as pai
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from lash_core.model.model_call import (
    ModelFailure,
    ModelReasoningDelta,
    ModelRequest,
    ModelStreamEvent,
    ModelTextDelta,
    ModelUsageUpdate,
)
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.model_provider import ModelCallError
from lash_core.protocols.providers.pydantic_ai_failures import failure_of
from lash_core.protocols.providers.pydantic_ai_messages import answer_of, conversation_of, parameters_of, usage_of

NO_EFFORT = "none"
"""The effort that turns reasoning off."""


async def attempt(
    model: Model, request: ModelRequest, settings: dict[str, Any], secrets: tuple[str, ...] = ()
) -> AsyncIterator[ModelStreamEvent]:
    """Deltas, usage as it changes, the answer.

    Raises:
        ModelCallError: whatever goes wrong on the way.
    """
    seen = TokenUsage()
    try:
        stream = model_request_stream(
            model,
            conversation_of(request),
            model_settings=cast("ModelSettings", settings),
            model_request_parameters=parameters_of(request),
        )
        async with stream as response:
            async for event in response:
                delta = _delta(event)
                if delta is not None:
                    yield delta
                usage = usage_of(response.usage)
                if usage != seen:
                    seen = usage
                    yield ModelUsageUpdate(usage)
            whole = response.get()
        failure = _fault_of(whole)
        if failure is not None:
            raise ModelCallError(failure)  # noqa: TRY301 - beside what the library raises
        yield answer_of(whole, request)
    except ModelCallError:
        raise
    except Exception as error:
        raise ModelCallError(failure_of(error, secrets)) from error


def settings_of(request: ModelRequest, defaults: dict[str, Any]) -> dict[str, Any]:
    """Settings of one request: the provider's defaults, the model's limit, the effort. No retries: they are counted."""
    settings = {**defaults, "max_retries": 0}
    capacity, effort = request.model.limits.output_token_capacity, request.model.variant
    if capacity is not None:
        settings["max_tokens"] = capacity
    if effort is not None:
        settings["thinking"] = False if effort == NO_EFFORT else effort
    return settings


def _delta(event: pai.ModelResponseStreamEvent) -> ModelStreamEvent | None:
    match event:
        case pai.PartStartEvent(part=pai.TextPart(content=text)) if text:
            return ModelTextDelta(text)
        case pai.PartDeltaEvent(delta=pai.TextPartDelta(content_delta=text)) if text:
            return ModelTextDelta(text)
        case pai.PartStartEvent(part=pai.ThinkingPart(content=text)) if text:
            return ModelReasoningDelta(text)
        case pai.PartDeltaEvent(delta=pai.ThinkingPartDelta(content_delta=str(text))) if text:
            return ModelReasoningDelta(text)
        case _:
            return None


def _fault_of(response: pai.ModelResponse) -> ModelFailure | None:
    """Answers that are none: broken off, handed back unfinished, or an error in the form of an answer."""
    if response.state == "suspended":
        return ModelFailure(kind="unknown", message="the provider suspended its answer", code="response_suspended")
    if response.state != "complete":
        text = "the model's stream ended before its answer did"
        return ModelFailure(kind="connection", message=text, code="stream_incomplete", retryable=True)
    if response.finish_reason == "error":
        text = "the provider ended its answer with an error"
        return ModelFailure(kind="server", message=text, code="finish_error", retryable=True)
    return None
