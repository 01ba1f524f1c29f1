"""From what a turn is given to the messages that it begins with. Pure.

``docs/contracts/sessions.md`` 1.11, 3.2; decision 19.

Ids are made of what is given, so a turn that is redone makes the same messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter

from pydantic import ValidationError

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json
from lash_core.model.event import ProcessWakeDelivery
from lash_core.model.message import AttachmentPart, Message, MessagePart, TextPart
from lash_core.model.queued_work import (
    AgentFrameTaskPayload,
    HostEventPayload,
    ProcessWakePayload,
    QueuedWorkBatch,
    SessionCommandPayload,
    TimerPayload,
    TurnInputPayload,
)
from lash_core.model.turn_input import AttachmentInput, PendingTurnInput, TextInput, TurnInput, TurnInputItem
from lash_core.store.attachment_store import AttachmentRef

WAKE_ORIGIN = "process_wake"
HOST_EVENT_ORIGIN = "host_event"
TIMER_ORIGIN = "timer"
FRAME_TASK_ORIGIN = "agent_frame_task"

UNUSABLE_ATTACHMENT = "[an attachment without a usable reference]"

_Attached = Callable[[JsonValue], MessagePart]
"""The part of an attachment's reference."""


def batch_message_id(batch_id: str) -> str:
    """The id of the message that a batch becomes (decision 19)."""
    return f"m_batch_{batch_id}"


def ingress_message_id(input_id: str) -> str:
    """The id of the message that a pending input becomes."""
    return f"m_ingress_{input_id}"


def turn_message_id(turn_id: str) -> str:
    """The id of the message that a foreground turn's input becomes."""
    return f"m_turn_{turn_id}"


def is_given(message: Message) -> bool:
    """True for a message that a turn was given: an input or a cause, not what the turn made of it."""
    return message.id.startswith(("m_batch_", "m_ingress_", "m_turn_"))


def message_of_input(given: TurnInput, message_id: str) -> Message:
    """A user message: adjacent texts become one; an input without anything is one empty text.

    Raises:
        InvalidArgumentError: an attachment's reference is none.
    """
    return _message_of_items(given.items, message_id, _checked)


def messages_of_batches(batches: Iterable[QueuedWorkBatch]) -> tuple[Message, ...]:
    """One message a batch of turn work, in order; commands make none.

    Raises:
        InvalidArgumentError: as ``message_of_input``.
    """
    found = (_message_of_batch(batch, _checked) for batch in batches)
    return tuple(message for message in found if message is not None)


def messages_of_delivery(inputs: Iterable[PendingTurnInput], batches: Iterable[QueuedWorkBatch]) -> tuple[Message, ...]:
    """What a checkpoint delivers: a message each, in the one order of both lanes (decision 19).

    An attachment that is none becomes a text: a running turn does not end for an input that came late.
    """
    rows: list[tuple[int, Message | None]] = [
        (row.enqueue_seq, _message_of_items(row.input.items, ingress_message_id(row.input_id), _named))
        for row in inputs
    ]
    rows += ((batch.enqueue_seq, _message_of_batch(batch, _named)) for batch in batches)
    return tuple(message for _, message in sorted(rows, key=itemgetter(0)) if message is not None)


def options_of_batches(batches: Iterable[QueuedWorkBatch]) -> JsonValue:
    """The first protocol turn options that are set."""
    for batch in batches:
        for payload in batch.payloads:
            if isinstance(payload, TurnInputPayload) and payload.input.protocol_turn_options is not None:
                return payload.input.protocol_turn_options
            if isinstance(payload, AgentFrameTaskPayload) and payload.protocol_turn_options is not None:
                return payload.protocol_turn_options
    return None


def trace_id_of_batches(batches: Iterable[QueuedWorkBatch]) -> str | None:
    """The first trace turn id that is set."""
    for batch in batches:
        for payload in batch.payloads:
            if isinstance(payload, TurnInputPayload) and payload.input.trace_turn_id:
                return payload.input.trace_turn_id
    return None


def causes_of_batches(batches: Iterable[QueuedWorkBatch]) -> list[JsonValue]:
    """What live listeners are told of: type and source of each payload."""
    return [
        {"batch_id": batch.batch_id, "type": payload.type, "source_key": batch.source_key}
        for batch in batches
        for payload in batch.payloads
    ]


def _message_of_items(items: Iterable[TurnInputItem], message_id: str, attached: _Attached) -> Message:
    return Message(id=message_id, role="user", parts=_parts_of(items, attached) or (TextPart(""),))


def _message_of_batch(batch: QueuedWorkBatch, attached: _Attached) -> Message | None:
    items: list[TurnInputItem] = []
    texts: list[TextPart] = []
    origin: str | None = None
    for payload in batch.payloads:
        match payload:
            case TurnInputPayload(input=given):
                items += given.items
            case ProcessWakePayload(delivery=delivery):
                origin = WAKE_ORIGIN
                texts.append(TextPart(_wake_text(delivery)))
            case HostEventPayload(name=name, body=body):
                origin = HOST_EVENT_ORIGIN
                texts.append(TextPart(_event_text("Host event", name, body)))
            case TimerPayload(name=name, body=body):
                origin = TIMER_ORIGIN
                texts.append(TextPart(_event_text("Timer", name, body)))
            case AgentFrameTaskPayload(task=task):
                origin = FRAME_TASK_ORIGIN
                texts.append(TextPart(task if isinstance(task, str) else canonical_json(task)))
            case SessionCommandPayload():
                return None
    given_parts = _parts_of(items, attached)
    if not given_parts and not texts:
        given_parts = (TextPart(""),)
    # What a user typed beside other causes makes the message a user's.
    return Message(
        id=batch_message_id(batch.batch_id),
        role="user",
        parts=(*texts, *given_parts),
        origin=None if given_parts else origin,
    )


def _parts_of(items: Iterable[TurnInputItem], attached: _Attached) -> tuple[MessagePart, ...]:
    parts: list[MessagePart] = []
    for item in items:
        match item:
            case TextInput(text=""):
                continue
            case TextInput(text=text):
                last = parts[-1] if parts else None
                if isinstance(last, TextPart):
                    parts[-1] = TextPart(f"{last.text}\n{text}")
                else:
                    parts.append(TextPart(text))
            case AttachmentInput(reference=reference):
                parts.append(attached(reference))
    return tuple(parts)


def _named(reference: JsonValue) -> MessagePart:
    try:
        return _checked(reference)
    except InvalidArgumentError:
        return TextPart(UNUSABLE_ATTACHMENT)


def _checked(reference: JsonValue) -> MessagePart:
    try:
        return AttachmentPart(AttachmentRef.model_validate(reference).to_json_value())
    except ValidationError as error:
        raise InvalidArgumentError(
            "an attachment of the input is no reference: it needs an `attachment_id`", field="items", value=reference
        ) from error


def _wake_text(delivery: JsonValue) -> str:
    try:
        return ProcessWakeDelivery.model_validate(delivery).model_text
    except ValidationError:
        return f"Background process wake\n{canonical_json(delivery)}"


def _event_text(what: str, name: str, body: JsonValue) -> str:
    return f"{what}: {name}" if body is None else f"{what}: {name}\n{canonical_json(body)}"
