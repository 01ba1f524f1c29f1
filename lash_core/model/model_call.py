"""A model call: what is asked, what streams back, how it ends or fails. Neutral between providers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.message import Message, MessagePart
from lash_core.model.session import ModelSpec
from lash_core.model.tool_state import ToolManifest
from lash_core.model.usage import TokenUsage

FinishReason = Literal["stop", "tool_calls", "output_limit", "context_overflow", "content_filter", "error"]
ProviderFailureKind = Literal[
    "rate_limit",
    "overloaded",
    "server",
    "timeout",
    "connection",
    "auth",
    "validation",
    "not_found",
    "context_overflow",
    "content_filter",
    "unknown",
]
RETRYABLE_KINDS = frozenset({"rate_limit", "overloaded", "server", "timeout", "connection"})


class ModelAttachment(Model):
    """Bytes of an attachment that a message of the request refers to."""

    attachment_id: str = Field(kw_only=False)
    data: bytes = Field(kw_only=False, repr=False)


class ModelRequest(Model):
    """One call. ``tools`` are all members; the model chooses. ``options`` are the protocol's turn options, opaque.

    ``attachments`` are filled in just before the call and are in no serialised form.
    """

    model: ModelSpec
    instructions: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolManifest, ...] = ()
    options: JsonValue = None
    attachments: tuple[ModelAttachment, ...] = Field(default=(), exclude=True, repr=False)


class ModelTextDelta(Model):
    """Prose as it comes."""

    type: Literal["text_delta"] = "text_delta"
    text: str = Field(kw_only=False)


class ModelReasoningDelta(Model):
    """Reasoning as it comes."""

    type: Literal["reasoning_delta"] = "reasoning_delta"
    text: str = Field(kw_only=False)


class ModelUsageUpdate(Model):
    """Usage so far; a final response's own usage is preferred."""

    type: Literal["usage"] = "usage"
    usage: TokenUsage = Field(kw_only=False)


class ModelResponse(Model):
    """The complete answer: text, reasoning and tool-call parts in order. The last event of a stream."""

    type: Literal["response"] = "response"
    parts: tuple[MessagePart, ...] = ()
    usage: TokenUsage | None = None
    finish_reason: FinishReason = "stop"
    model: str = ""
    provider_response_id: str | None = None


ModelStreamEvent = Annotated[
    ModelTextDelta | ModelReasoningDelta | ModelUsageUpdate | ModelResponse, Field(discriminator="type")
]


class ModelFailure(Model):
    """Why an attempt failed. ``retry_after_ms`` is the provider's wish."""

    kind: ProviderFailureKind = "unknown"
    message: str = ""
    code: str | None = None
    retryable: bool = False
    retry_after_ms: int | None = None
    raw: JsonValue = None
