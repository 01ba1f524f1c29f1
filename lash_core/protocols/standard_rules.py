"""The decisions of the standard protocol as functions of values: what an answer is and becomes.

``docs/contracts/sessions.md`` 3.3.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Sequence
from typing import Any

from lash_core.errors import InvalidArgumentError, InvalidJsonError
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json_bytes, check_json
from lash_core.model.ids import check_id
from lash_core.model.message import (
    AttachmentPart,
    Message,
    MessagePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from lash_core.model.model_call import FinishReason, ModelResponse
from lash_core.model.tool_control import AnyToolControl, tool_control_of
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.turn_outcome import TurnIssue

EMPTY_RESPONSE = "Model returned no assistant text or tool calls."
PROVIDER_ISSUE = "llm_provider"
CALL_ID_BYTES_MAX = 160
"""In UTF-8: it is part of the replay keys of the call's attempts and the id of a process that runs the call, and a
``batch`` adds the number of an entry."""

MESSAGE_BYTES_MAX = 900 * 1024
"""Of one message's parts as JSON: what stands in the history as one node, which stores refuse over 1 MiB. A turn whose
commit is refused for its size would be redone for ever."""

_NESTING = 16
"""How deep arguments lie in the records that hold them."""

_ERROR_PREFIX = "LLM error: "
_CUT_SHORT: dict[FinishReason, str] = {
    "context_overflow": "The conversation does not fit into the model's context window.",
    "content_filter": "The provider's content filter ended the answer.",
    "error": "The provider ended the answer with an error.",
}


def turn_limit_text(max_turns: int) -> str:
    """What the history says when the model calls of a turn are used up."""
    return f"Turn limit reached ({max_turns}) before a final assistant response."


def ends_with_tool_result(messages: Sequence[Message], *, before: bool) -> bool:
    """True when the last message is a tool result; ``before`` says it of the history when there are no messages."""
    if not messages:
        return before
    return any(isinstance(part, ToolResultPart) for part in messages[-1].parts)


def provider_issue(issue: TurnIssue) -> TurnIssue:
    """The issue under the text by which people know it; everything else about it stays."""
    if issue.message.startswith(_ERROR_PREFIX):
        return issue
    return issue.model_copy(update={"message": f"{_ERROR_PREFIX}{issue.message}"})


def issue_of_finish(response: ModelResponse) -> TurnIssue | None:
    """Why an answer that came counts as a failure of the provider, or None."""
    text = _CUT_SHORT.get(response.finish_reason)
    if text is None:
        return None
    return provider_issue(
        TurnIssue(
            kind=PROVIDER_ISSUE,
            code=response.finish_reason,
            terminal_reason=response.finish_reason,
            message=text,
            retryable=False,
        )
    )


def fault_of_parts(parts: Sequence[MessagePart]) -> TurnIssue | None:
    """Why an answer cannot stand in the history, or None: that it is too large, or no JSON."""
    try:
        size = len(canonical_json_bytes([part.to_plain_value() for part in parts], field="parts"))
    except InvalidJsonError as error:
        return TurnIssue(kind=PROVIDER_ISSUE, code="answer_not_storable", message=error.message, retryable=False)
    if size <= MESSAGE_BYTES_MAX:
        return None
    text = f"the model's answer has {size} bytes; the limit is {MESSAGE_BYTES_MAX}"
    return TurnIssue(kind=PROVIDER_ISSUE, code="answer_too_large", message=text, retryable=False)


def spoken_parts(response: ModelResponse) -> tuple[MessagePart, ...]:
    """What goes into the history of an answer without its tool calls: nothing when it only thought."""
    parts = tuple(_clean(part) for part in response.parts if not isinstance(part, ToolCallPart | ToolResultPart))
    says = any(isinstance(part, AttachmentPart) or (isinstance(part, TextPart) and part.text.strip()) for part in parts)
    return parts if says else ()


def text_of(parts: Iterable[MessagePart]) -> str:
    """All prose, joined."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def assistant_parts(response: ModelResponse, taken: set[str], iteration: int) -> tuple[MessagePart, ...]:
    """The parts of an answer that calls tools, in order, each call under an id of its own.

    Args:
        response: the answer.
        taken: call ids that the turn has had; the new ones are added.
        iteration: makes up an id for a call that has none.
    """
    parts: list[MessagePart] = []
    for part in response.parts:
        if isinstance(part, ToolCallPart):
            call_id = _free_call_id(part.call_id, taken, f"call_{iteration}_{len(parts)}")
            taken.add(call_id)
            parts.append(part.model_copy(update={"call_id": call_id, "args": decoded_args(part.args)}))
        elif not isinstance(part, ToolResultPart):
            parts.append(_clean(part))
    return tuple(parts)


def decoded_args(args: JsonValue) -> JsonValue:
    """Arguments as a value that can be stored: text is decoded; what cannot be decoded or stored is no argument."""
    value: Any = args
    try:
        if isinstance(args, str):
            value = json.loads(args)
        nested = value
        for _ in range(_NESTING):
            nested = [nested]
        check_json(nested)
    except (ValueError, RecursionError, InvalidJsonError):
        return {}
    return {} if value is None else value


def result_parts(calls: Sequence[ToolCallPart], outputs: Sequence[AnyToolOutput]) -> tuple[MessagePart, ...]:
    """The results of a round, in the order of its calls."""
    return tuple(
        ToolResultPart(call.call_id, call.tool_name, output.to_json_value())
        for call, output in zip(calls, outputs, strict=True)
    )


def first_control(
    calls: Sequence[ToolCallPart], outputs: Sequence[AnyToolOutput]
) -> tuple[ToolCallPart, AnyToolControl] | None:
    """The control that ends the turn: of successful answers the first in call order."""
    for call, output in zip(calls, outputs, strict=True):
        control = tool_control_of(output.control) if isinstance(output, ToolSuccess) else None
        if control is not None:
            return call, control
    return None


def unseen(messages: Iterable[Message], seen: set[str]) -> tuple[Message, ...]:
    """The messages whose ids the turn has not had; they are added to ``seen``. Blank ids are always new."""
    found: list[Message] = []
    for message in messages:
        if message.id and message.id in seen:
            continue
        if message.id:
            seen.add(message.id)
        found.append(message)
    return tuple(found)


def _free_call_id(call_id: str, taken: Container[str], blank: str) -> str:
    wanted = call_id.strip() or blank
    try:
        check_id(wanted, field="call_id", subject="call id")
        fits = len(wanted.encode()) <= CALL_ID_BYTES_MAX
    except InvalidArgumentError:
        fits = False
    if not fits:
        wanted = f"call_{hashlib.sha256(wanted.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
    candidate, number = wanted, 2
    while candidate in taken:
        # Letters, digits, `_` and `-` are what every provider takes.
        candidate = f"{wanted}_{number}"
        number += 1
    return candidate


def _clean(part: MessagePart) -> MessagePart:
    """The part with halves of characters put together, and those that lost their other half replaced."""
    if not isinstance(part, TextPart | ReasoningPart) or part.text.isascii():
        return part
    text = part.text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return part if text == part.text else part.model_copy(update={"text": text})
