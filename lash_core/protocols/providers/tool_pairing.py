"""A conversation as every provider takes it: each tool call has its result, each result its call. Pure.

Providers refuse a request in which that does not hold, and a history may be so: a cancelled turn, a context transform.
"""

from __future__ import annotations

from collections.abc import Iterable

from lash_core.model.canonical_json import canonical_json
from lash_core.model.message import Message, MessagePart, TextPart, ToolCallPart, ToolResultPart

INTERRUPTED = "The call was interrupted; it has no result."


def paired(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages with a result for every tool call, and text in the place of results without a call.

    A result belongs to the assistant message before it. A missing one is added as a cancelled output in a message of
    its own, behind those that are there.
    """
    result: list[Message] = []
    waiting: dict[str, ToolCallPart] = {}
    for message in messages:
        if message.role == "assistant":
            result.extend(_missing(waiting))
            waiting = {call.call_id: call for call in message.tool_calls}
            result.append(message)
        else:
            parts = tuple(_kept(part, waiting) for part in message.parts)
            result.append(message if parts == message.parts else message.model_copy(update={"parts": parts}))
    result.extend(_missing(waiting))
    return tuple(result)


def _kept(part: MessagePart, waiting: dict[str, ToolCallPart]) -> MessagePart:
    if not isinstance(part, ToolResultPart):
        return part
    if waiting.pop(part.call_id, None) is not None:
        return part
    return TextPart(f"Result of an earlier call of `{part.tool_name}`: {canonical_json(part.output, field='output')}")


def _missing(waiting: dict[str, ToolCallPart]) -> list[Message]:
    if not waiting:
        return []
    output = {"type": "cancelled", "message": INTERRUPTED}
    parts = tuple(ToolResultPart(call.call_id, call.tool_name, output) for call in waiting.values())
    waiting.clear()
    return [Message("user", parts)]
