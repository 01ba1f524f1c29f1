"""What a turn is given becomes messages whose ids a redo makes again (docs/contracts/turns.md 5)."""

from __future__ import annotations

import pytest

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue
from lash_core.model.message import AttachmentPart, Message, TextPart
from lash_core.model.queued_work import (
    AgentFrameTaskPayload,
    DeliveryPolicy,
    HostEventPayload,
    MergeKey,
    ProcessWakePayload,
    QueuedPayload,
    QueuedWorkBatch,
    QueuedWorkItem,
    SessionCommandPayload,
    SlotPolicy,
    TimerPayload,
    TurnInputPayload,
)
from lash_core.model.turn_input import AttachmentInput, TextInput, TurnInput
from lash_core.runtime.shown_attachments import attachment_ids
from lash_core.runtime.turns.turn_messages import (
    message_of_input,
    messages_of_batches,
    options_of_batches,
    trace_id_of_batches,
)

REFERENCE: JsonValue = {"attachment_id": "a1", "media_type": "text/plain", "size_bytes": 3}


def _batch(*payloads: QueuedPayload, batch_id: str = "b1") -> QueuedWorkBatch:
    return QueuedWorkBatch(
        batch_id=batch_id,
        session_id="s",
        enqueue_seq=1,
        delivery_policy=DeliveryPolicy.EARLIEST_SAFE_BOUNDARY,
        slot_policy=SlotPolicy.JOIN,
        merge_key=MergeKey(),
        available_at_ms=0,
        enqueued_at_ms=0,
        items=tuple(QueuedWorkItem(item_id=str(n), payload=payload) for n, payload in enumerate(payloads)),
    )


@pytest.mark.parametrize(
    ("payload", "origin", "text"),
    [
        (TurnInputPayload(TurnInput.text("hi")), None, "hi"),
        (HostEventPayload("deployed", {"v": 2}), "host_event", 'Host event: deployed\n{"v":2}'),
        (TimerPayload("daily"), "timer", "Timer: daily"),
        (AgentFrameTaskPayload(frame_id="f", task="go on"), "agent_frame_task", "go on"),
        (AgentFrameTaskPayload(frame_id="f", task={"n": 1}), "agent_frame_task", '{"n":1}'),
        (ProcessWakePayload({"odd": 1}), "process_wake", 'Background process wake\n{"odd":1}'),
    ],
)
def test_each_payload_is_one_message(payload: QueuedPayload, origin: str | None, text: str) -> None:
    """A user's, or one that says where it comes from; its id is the batch's."""
    assert [Message(id="m_batch_b1", role="user", parts=(TextPart(text),), origin=origin)] == list(
        messages_of_batches([_batch(payload)])
    )


def test_a_command_is_no_message() -> None:
    """It reaches no model."""
    assert () == messages_of_batches([_batch(SessionCommandPayload(command="reset_session"))])


def test_a_batch_without_anything_is_an_empty_text() -> None:
    """Beside a cause no blank text is made."""
    empty = TurnInputPayload(TurnInput())
    alone, beside = messages_of_batches([_batch(empty), _batch(TimerPayload("t"), empty, batch_id="b2")])

    assert (TextPart(""),) == alone.parts
    assert (TextPart("Timer: t"),) == beside.parts


def test_adjacent_texts_are_joined() -> None:
    """An attachment keeps them apart; empty texts are left out."""
    given = TurnInput(
        (TextInput("a"), TextInput(""), TextInput("b"), AttachmentInput(REFERENCE), TextInput(""), TextInput("c"))
    )

    message = message_of_input(given, "m")

    texts = [part.text for part in message.parts if isinstance(part, TextPart)]
    assert ["a\nb", "c"] == texts
    assert [AttachmentPart] == [type(part) for part in message.parts if not isinstance(part, TextPart)]
    assert ("a1",) == attachment_ids([message, message])


def test_an_attachment_without_a_reference_is_refused() -> None:
    """The error names the field."""
    with pytest.raises(InvalidArgumentError) as caught:
        message_of_input(TurnInput((AttachmentInput({"no": "id"}),)), "m")

    assert "items" == caught.value.field


def test_the_first_options_and_trace_id_win() -> None:
    """Of all batches, in their order."""
    first = TurnInputPayload(TurnInput(()))
    second = TurnInputPayload(TurnInput((), protocol_turn_options={"n": 1}, trace_turn_id="t1"))
    third = AgentFrameTaskPayload(frame_id="f", protocol_turn_options={"n": 2})
    batches = [_batch(first), _batch(second), _batch(third)]

    assert ({"n": 1}, "t1") == (options_of_batches(batches), trace_id_of_batches(batches))
    assert {"n": 2} == options_of_batches(batches[2:])
    assert (None, None) == (options_of_batches(batches[:1]), trace_id_of_batches(batches[:1]))
