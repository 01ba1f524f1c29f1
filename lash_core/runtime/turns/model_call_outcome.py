"""What the journal keeps of a model call, and how it is read back. Pure."""

from __future__ import annotations

from typing import Any

from lash_core.errors import InvalidJsonError, NewerRecordError
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json
from lash_core.model.message import MessagePart, ReasoningPart, TextPart, ToolCallPart
from lash_core.model.model_call import ModelResponse
from lash_core.model.turn_outcome import LlmCallRecord, TurnIssue
from lash_core.model.usage import TokenUsage
from lash_core.protocols.turn_machine import LlmResult
from lash_core.runtime.turns.model_attempt import encodable
from lash_core.runtime.turns.model_attempts import CallEnd, issue_of

OUTCOME_VERSION = 1


def record_of(end: CallEnd, *, call_id: str, iteration: int, model: str) -> LlmCallRecord:
    """The evidence of a call. ``usage`` is that of the answer; what failed attempts used stands in them."""
    response = end.response
    return LlmCallRecord(
        call_id=call_id,
        iteration=iteration,
        model=(response.model if response else "") or model,
        attempts=tuple(end.attempts),
        usage=(response.usage if response else None) or TokenUsage(),
        finish_reason=response.finish_reason if response else None,
    )


def outcome_value(end: CallEnd, record: LlmCallRecord) -> JsonValue:
    """A call that was not cancelled, as JSON that every store takes."""
    value: dict[str, Any] = {"v": OUTCOME_VERSION, "record": record.to_json_value()}
    if end.text_streamed:
        value["text_streamed"] = True
    if end.response is not None:
        value["response"] = _storable(end.response).to_json_value()
    if end.failure is not None:
        value["issue"] = issue_of(end.failure).to_json_value()
    return value


def result_of(value: JsonValue) -> tuple[LlmResult, LlmCallRecord]:
    """The recorded call.

    Raises:
        NewerRecordError: another release wrote it in a form that this one does not know.
    """
    version = value.get("v") if isinstance(value, dict) else None
    if version != OUTCOME_VERSION:
        raise NewerRecordError(f"a recorded model call has version {version}; known is {OUTCOME_VERSION}")
    response, issue = value.get("response"), value.get("issue")
    result = LlmResult(
        response=None if response is None else ModelResponse.model_validate(response),
        issue=None if issue is None else TurnIssue.model_validate(issue),
        text_streamed=bool(value.get("text_streamed", False)),
    )
    return result, LlmCallRecord.model_validate(value["record"])


def _storable(response: ModelResponse) -> ModelResponse:
    """The response, repaired where a model sent what is no JSON: lone surrogates in text, NaN in arguments."""
    try:
        canonical_json(response.to_json_value(), field="response")
    except (InvalidJsonError, RecursionError):
        return response.model_copy(update={"parts": tuple(_storable_part(part) for part in response.parts)})
    return response


def _storable_part(part: MessagePart) -> MessagePart:
    match part:
        case TextPart() | ReasoningPart():
            return part.model_copy(update={"text": encodable(part.text), **_opaque(part.provider_data)})
        case ToolCallPart():
            names = {"call_id": encodable(part.call_id), "tool_name": encodable(part.tool_name)}
            args = part.args if _is_json(part.args) else {}
            return part.model_copy(update={**names, "args": args, **_opaque(part.provider_data)})
        case _:
            return part


def _opaque(provider_data: JsonValue) -> dict[str, JsonValue]:
    return {"provider_data": provider_data if _is_json(provider_data) else None}


def _is_json(value: JsonValue) -> bool:
    try:
        canonical_json(value, field="value")
    except (InvalidJsonError, RecursionError):
        return False
    return True
