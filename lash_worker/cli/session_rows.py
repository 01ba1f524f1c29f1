"""How sessions, their messages, inputs and turns are shown."""

from __future__ import annotations

import json
from typing import Any

from lash_core.client_session import SessionFacts
from lash_core.model.message import AttachmentPart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from lash_core.model.queued_work import QueuedWorkBatch, TurnInputPayload
from lash_core.model.session import ChildRelation, SessionMeta
from lash_core.model.turn_input import PendingTurnInput, TextInput, TurnInput
from lash_core.model.turn_outcome import (
    AssembledTurn,
    FinalValueFinish,
    FinishedOutcome,
    StoppedOutcome,
    ToolValueFinish,
)
from lash_core.model.usage import usage_report
from lash_core.store.runtime_persistence import SessionSummary

_TEXT_SHOWN = 120
"""Characters of an input in a table."""


def meta_json(meta: SessionMeta) -> dict[str, Any]:
    """What is written when a session is created."""
    parent = meta.relation.parent_session_id if isinstance(meta.relation, ChildRelation) else None
    return {
        "id": meta.session_id,
        "name": meta.session_name,
        "model": meta.model or None,
        "parent": parent,
        "created_at_ms": meta.created_at_ms,
    }


def summary_json(summary: SessionSummary) -> dict[str, Any]:
    """One line of a listing."""
    held = {"head_revision": summary.head_revision, "queued": summary.queued, "held_by": summary.lease_owner_id}
    return meta_json(summary) | held


def session_json(shown: SessionFacts) -> dict[str, Any]:
    """Everything of one session."""
    read, lease = shown.read, shown.lease
    facts = meta_json(shown.meta)
    facts |= {
        "head_revision": 0 if read is None else read.head_revision,
        "turns": 0 if read is None else read.checkpoint.turn_state.turn_index,
        "messages": 0 if read is None else read.graph.read_model().message_count,
        "leaf_node_id": None if read is None else read.leaf_node_id,
        "policy": None if read is None else read.config.policy.to_json_value(),
        "frames": [] if read is None else [frame.frame_id for frame in read.agent_frames],
        "usage": None if read is None else usage_report(read.token_ledger).to_json_value(),
        "queue": [batch_json(batch) for batch in shown.queue],
        "inputs": [pending_json(row) for row in shown.inputs],
        "lease": None,
    }
    if read is not None:
        facts["model"] = read.config.model.id or facts["model"]
    if lease is not None:
        facts["lease"] = {
            "owner_id": lease.owner.owner_id,
            "incarnation_id": lease.owner.incarnation_id,
            "fencing_token": lease.fencing_token,
            "expires_at_ms": lease.expires_at_ms,
        }
    return facts


def batch_json(batch: QueuedWorkBatch) -> dict[str, Any]:
    """One batch of a queue."""
    return {
        "batch_id": batch.batch_id,
        "enqueue_seq": batch.enqueue_seq,
        "source_key": batch.source_key,
        "types": [payload.type for payload in batch.payloads],
        "delivery_policy": batch.delivery_policy.value,
        "slot_policy": batch.slot_policy.value,
        "available_at_ms": batch.available_at_ms,
        "enqueued_at_ms": batch.enqueued_at_ms,
        "text": batch_text(batch),
    }


def batch_text(batch: QueuedWorkBatch) -> str:
    """The text of its user inputs."""
    inputs = (payload.input for payload in batch.payloads if isinstance(payload, TurnInputPayload))
    return "\n".join(filter(None, map(input_text, inputs)))


def input_text(turn_input: TurnInput) -> str:
    """The text of an input."""
    return "\n".join(item.text for item in turn_input.items if isinstance(item, TextInput))


def pending_json(row: PendingTurnInput) -> dict[str, Any]:
    """One row of the lane of pending inputs."""
    return {
        "input_id": row.input_id,
        "enqueue_seq": row.enqueue_seq,
        "source_key": row.source_key,
        "state": row.state,
        "enqueued_at_ms": row.enqueued_at_ms,
        "text": input_text(row.input),
    }


def shortened(text: str) -> str:
    """One line of a text."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_SHOWN else line[: _TEXT_SHOWN - 1] + "…"


def turn_json(turn: AssembledTurn) -> dict[str, Any]:
    """A turn that ended: how, what it says, what it did."""
    value = turn.to_json_value()
    kept = ("turn_id", "outcome", "tool_calls", "errors", "usage", "cancellation", "session_revision")
    return {"text": turn_text(turn), **{name: value.get(name) for name in kept}}


def turn_text(turn: AssembledTurn) -> str:
    """What a turn says: its answer, its value, or why it was stopped."""
    outcome = turn.outcome
    if isinstance(outcome, StoppedOutcome):
        messages = [issue.message for issue in turn.errors if issue.message]
        return f"the turn was stopped: {outcome.reason}" + (f" ({messages[-1]})" if messages else "")
    if isinstance(outcome, FinishedOutcome) and isinstance(outcome.finish, FinalValueFinish | ToolValueFinish):
        value = outcome.finish.value
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return turn.final_text or turn.assistant_output.safe_text


def message_text(message: Message) -> str:
    """A message for people: text, and a line for each other part."""
    return "\n".join(filter(None, (_part_text(part) for part in message.parts)))


def _part_text(part: object) -> str:
    match part:
        case TextPart():
            return part.text
        case ToolCallPart():
            return f"→ {part.tool_name}({json.dumps(part.args, ensure_ascii=False)})"
        case ToolResultPart():
            return f"← {part.tool_name}: {json.dumps(_result(part.output), ensure_ascii=False)}"
        case AttachmentPart():
            reference = part.reference if isinstance(part.reference, dict) else {}
            return f"[attachment {reference.get('name') or reference.get('attachment_id')}]"
        case ReasoningPart():
            return ""
        case _:
            return ""


def _result(output: Any) -> Any:
    """What the tool said, without the frame it is kept in."""
    if not isinstance(output, dict):
        return output
    return output.get("value", output.get("message", output))
