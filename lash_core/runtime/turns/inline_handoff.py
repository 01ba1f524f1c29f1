"""The handoff of a frame switch where there is no queue: a session without a store."""

from __future__ import annotations

from lash_core.model.queued_work import (
    AgentFrameTaskPayload,
    DeliveryPolicy,
    MergeKey,
    QueuedWorkBatch,
    QueuedWorkItem,
    SlotPolicy,
)
from lash_core.model.turn_outcome import AgentFrameSwitchOutcome
from lash_core.runtime.turns.turn_commit import handoff_source_key


def inline_handoff(session_id: str, turn_id: str, outcome: AgentFrameSwitchOutcome) -> tuple[QueuedWorkBatch, ...]:
    """The batch that a queue would have."""
    source_key = handoff_source_key(turn_id)
    payload = AgentFrameTaskPayload(frame_id=outcome.frame_id, task=outcome.task)
    return (
        QueuedWorkBatch(
            batch_id=source_key,
            session_id=session_id,
            enqueue_seq=0,
            source_key=source_key,
            delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT,
            slot_policy=SlotPolicy.EXCLUSIVE,
            merge_key=MergeKey(),
            available_at_ms=0,
            enqueued_at_ms=0,
            items=(QueuedWorkItem(item_id="0", payload=payload),),
        ),
    )
