"""What the JSON of a watch says of messages, queues and events (``docs/contracts/observation.md`` 6)."""

from __future__ import annotations

from typing import Any

from lash_core.model.message import Message
from lash_core.model.queued_work import QueuedWorkBatch, TurnInputPayload
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionObservationEvent,
    TurnActivityPayload,
)
from lash_core.model.session_state import SessionReadView
from lash_core.model.turn_input import TextInput


def view_value(view: SessionReadView, first: int = 0) -> dict[str, Any]:
    """The counters of a view and its messages from ``first`` on."""
    messages = view.messages
    return {
        "turn_index": view.turn_index,
        "token_usage": view.token_usage.to_json_value(),
        "current_agent_frame_id": view.current_agent_frame_id,
        "message_count": len(messages),
        "first": first,
        "messages": [message_value(message) for message in messages[first:]],
    }


def message_value(message: Message) -> dict[str, Any]:
    """A message for people: without what providers keep in it for themselves."""
    value = message.to_json_value()
    for part in value.get("parts", ()):
        part.pop("provider_data", None)
    return value


def queued_value(batch: QueuedWorkBatch) -> dict[str, Any]:
    """What waits in the queue. Its message will have the id ``m_batch_<batch_id>``."""
    inputs = [payload.input for payload in batch.payloads if isinstance(payload, TurnInputPayload)]
    texts = [item.text for given in inputs for item in given.items if isinstance(item, TextInput)]
    return {"batch_id": batch.batch_id, "enqueued_at_ms": batch.enqueued_at_ms, "text": "\n".join(texts)}


def event_value(event: SessionObservationEvent, first: int = 0) -> dict[str, Any]:
    """The facts of an event's payload; a ``committed`` with its messages from ``first`` on."""
    match event.payload:
        case TurnActivityPayload(activity=activity):
            return {"activity": activity.to_json_value()}
        case CommittedPayload(read_view=view):
            return view_value(view, first)
        case AgentFrameSwitchedPayload(frame_id=frame_id):
            return {"frame_id": frame_id}
        case QueueChangedPayload(kind=kind, batch_ids=ids):
            return {"kind": kind.value, "batch_ids": list(ids)}
        case ProcessChangedPayload(kind=kind, process_ids=ids):
            return {"kind": kind.value, "process_ids": list(ids)}
