"""Messages and tools in the words of pydantic-ai, and its answers in ours. Imported when the adapter is first used."""

from __future__ import annotations

import json
from typing import Any

from pydantic_ai import messages as pai
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from lash_core.model.base import JsonValue
from lash_core.model.message import (
    AttachmentPart,
    Message,
    MessagePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from lash_core.model.model_call import FinishReason, ModelRequest, ModelResponse
from lash_core.model.tool_state import ToolManifest
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.tool_names import wire_name
from lash_core.protocols.providers.tool_pairing import paired

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_call": "tool_calls",
    "length": "output_limit",
    "content_filter": "content_filter",
    "error": "error",
}
_ANY_OBJECT = {"type": "object", "properties": {}, "additionalProperties": True}


# -- what is asked ---------------------------------------------------------------------------------------


def conversation_of(request: ModelRequest) -> list[pai.ModelMessage]:
    """The conversation; neighbouring messages of the user's side are one request, tool results first."""
    bytes_of = {attachment.attachment_id: attachment.data for attachment in request.attachments}
    conversation: list[pai.ModelMessage] = []
    for message in paired(request.messages):
        if message.role == "assistant":
            parts = [part for part in map(_response_part, message.parts) if part is not None]
            if parts:
                conversation.append(_response(message, parts))
            continue
        asked = _request_parts(message, bytes_of)
        last = conversation[-1] if conversation else None
        if isinstance(last, pai.ModelRequest):
            last.parts = [*last.parts, *asked]
        elif asked:
            conversation.append(pai.ModelRequest(parts=asked))
    for entry in conversation:
        if isinstance(entry, pai.ModelRequest):
            entry.parts = sorted(entry.parts, key=lambda part: not isinstance(part, pai.ToolReturnPart))
    # A wake may come without a word; some question there must be.
    return conversation or [pai.ModelRequest(parts=[pai.UserPromptPart("")])]


def parameters_of(request: ModelRequest) -> ModelRequestParameters:
    """Tools and instructions. The model chooses whether to call a tool."""
    instructions = [pai.InstructionPart(content=request.instructions)] if request.instructions else []
    return ModelRequestParameters(
        function_tools=[_tool(manifest) for manifest in request.tools], instruction_parts=instructions
    )


def _tool(manifest: ToolManifest) -> ToolDefinition:
    schema = manifest.input_schema
    return ToolDefinition(
        name=wire_name(manifest.name),
        description=manifest.description,
        parameters_json_schema=schema if isinstance(schema, dict) else _ANY_OBJECT,
    )


def _request_parts(message: Message, bytes_of: dict[str, bytes]) -> list[pai.ModelRequestPart]:
    if message.role == "system":
        return [pai.SystemPromptPart(message.text)] if message.text else []
    parts: list[pai.ModelRequestPart] = []
    for part in message.parts:
        match part:
            case TextPart(text=text) if text:
                parts.append(pai.UserPromptPart(text))
            case ToolResultPart():
                parts.append(_tool_return(part))
            case AttachmentPart():
                parts.append(pai.UserPromptPart([_attachment(part.reference, bytes_of)]))
            case _:
                pass
    return parts


def _tool_return(part: ToolResultPart) -> pai.ToolReturnPart:
    output: dict[str, Any] = part.output if isinstance(part.output, dict) else {"type": "success", "value": part.output}
    match output.get("type"):
        case "failure":
            content: JsonValue = f"{output.get('code')}: {output.get('message')}"
            outcome = "failed"
        case "cancelled":
            content, outcome = f"cancelled: {output.get('message', '')}", "interrupted"
        case _:
            content, outcome = output.get("value"), "success"
    return pai.ToolReturnPart(
        tool_name=wire_name(part.tool_name), content=content, tool_call_id=part.call_id, outcome=outcome
    )


def _attachment(reference: JsonValue, bytes_of: dict[str, bytes]) -> str | pai.BinaryContent:
    facts: dict[str, Any] = reference if isinstance(reference, dict) else {}
    data = bytes_of.get(str(facts.get("attachment_id")))
    media_type = str(facts.get("media_type", "application/octet-stream"))
    name = facts.get("name") or facts.get("attachment_id")
    if data is None:
        return f"[attachment `{name}` ({media_type}) is not shown]"
    if media_type.startswith("text/") or media_type == "application/json":
        return f"[attachment `{name}` ({media_type})]\n{data.decode('utf-8', 'replace')}"
    return pai.BinaryContent(data=data, media_type=media_type)


def _response(message: Message, parts: list[pai.ModelResponsePart]) -> pai.ModelResponse:
    response = pai.ModelResponse(parts=parts)
    for part in message.parts:
        facts = getattr(part, "provider_data", None)
        if isinstance(facts, dict):
            # Signed data goes back only to the provider it came from; the response says which that was.
            response.provider_name = response.provider_name or facts.get("provider")
            response.canonical_system = response.canonical_system or facts.get("system")
    return response


def _response_part(part: MessagePart) -> pai.ModelResponsePart | None:
    match part:
        case TextPart(text=text) if text:
            return pai.TextPart(text, **_opaque(part.provider_data, "id", "provider_details"))
        case ReasoningPart(text=text):
            known = _opaque(part.provider_data, "id", "signature", "provider_details")
            return pai.ThinkingPart(text, **known) if text or known else None
        case ToolCallPart():
            args = part.args if isinstance(part.args, dict) else json.dumps(part.args)
            known = _opaque(part.provider_data, "id", "provider_details")
            return pai.ToolCallPart(wire_name(part.tool_name), args, part.call_id, **known)
        case _:
            return None


def _opaque(provider_data: JsonValue, *names: str) -> dict[str, Any]:
    facts: dict[str, Any] = provider_data if isinstance(provider_data, dict) else {}
    known = {name: facts[name] for name in names if facts.get(name) is not None}
    return {**known, "provider_name": facts.get("provider")} if known else {}


# -- what is answered ------------------------------------------------------------------------------------


def answer_of(response: pai.ModelResponse, request: ModelRequest) -> ModelResponse:
    """The answer: text, reasoning and tool calls in order. Usage None when the provider told none."""
    names = {wire_name(manifest.name): manifest.name for manifest in request.tools}
    parts = tuple(part for part in (_part(found, response, names) for found in response.parts) if part is not None)
    usage = usage_of(response.usage)
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    finish = _FINISH.get(response.finish_reason or "", "tool_calls" if calls else "stop")
    return ModelResponse(
        parts=parts,
        usage=None if usage.is_zero else usage,
        # Some servers say "stop" although they ask for tools.
        finish_reason="tool_calls" if calls and finish == "stop" else finish,
        model=response.model_name or "",
        provider_response_id=response.provider_response_id,
    )


def usage_of(usage: RequestUsage) -> TokenUsage:
    """Disjoint counters: what was cached is not in ``input``, what was thought is not in ``output``."""
    cache_read, cache_write = usage.cache_read_tokens, usage.cache_write_tokens
    reasoning = min(usage.output_reasoning_tokens, usage.output_tokens)
    return TokenUsage(
        input=max(0, usage.input_tokens - cache_read - cache_write),
        output=usage.output_tokens - reasoning,
        cache_read=cache_read,
        cache_write=cache_write,
        reasoning=reasoning,
    )


def _part(part: pai.ModelResponsePart, response: pai.ModelResponse, names: dict[str, str]) -> MessagePart | None:
    match part:
        case pai.TextPart():
            return TextPart(part.content, provider_data=_facts(part, response)) if part.content else None
        case pai.ThinkingPart():
            facts = _facts(part, response)
            return ReasoningPart(part.content, provider_data=facts) if part.content or facts else None
        case pai.ToolCallPart():
            name = names.get(part.tool_name, part.tool_name)
            return ToolCallPart(part.tool_call_id, name, _arguments(part), provider_data=_facts(part, response))
        case _:
            # Built-in tools of providers are not asked for, and generated files have no place in a history yet.
            return None


def _facts(part: pai.TextPart | pai.ThinkingPart | pai.ToolCallPart, response: pai.ModelResponse) -> JsonValue:
    known = {"id": part.id, "signature": getattr(part, "signature", None), "provider_details": part.provider_details}
    found = {name: value for name, value in known.items() if value is not None}
    if not found:
        return None
    origin = {"provider": part.provider_name or response.provider_name, "system": response.canonical_system}
    facts = {**found, **{name: value for name, value in origin.items() if value is not None}}
    # What a provider's details hold is its own: times and the like become text, for it all goes into the journal.
    return json.loads(json.dumps(facts, default=str))


def _arguments(part: pai.ToolCallPart) -> JsonValue:
    try:
        return part.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        return {}
