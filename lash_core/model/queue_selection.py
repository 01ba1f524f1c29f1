"""Which rows of a session's queue a claim takes (``docs/contracts/sessions.md`` 2.4; decisions 2, 21, 22). Pure.

The stores decide by these rules; a store whose server decides has them once more in its scripts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lash_core.model.queued_work import ClaimBoundary, DeliveryPolicy, QueuedWorkBatch, SlotPolicy, WorkClass
from lash_core.model.turn_input import TurnInputClaimRef

ClaimRef = TurnInputClaimRef
"""Which claim has a row, of either lane."""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A batch in the queue, and the claim that has it or had it."""

    batch: QueuedWorkBatch
    claim: ClaimRef | None = None

    def is_claimable(self, generation: int) -> bool:
        """Unclaimed, or claimed under another lease generation than the caller's, whose lease is over."""
        return self.claim is None or self.claim.session_lease_generation != generation

    def is_held(self, live_generation: int | None) -> bool:
        """True while the lease of its claim's generation is the live one; None = there is no live lease."""
        return self.claim is not None and self.claim.session_lease_generation == live_generation


def claimable_now(rows: Iterable[QueueRow], generation: int, now_ms: int) -> list[QueueRow]:
    """The rows that this generation may take and that are due, in the order of the queue."""
    return [row for row in rows if row.is_claimable(generation) and row.batch.available_at_ms <= now_ms]


def select_leading_command(rows: Iterable[QueueRow], generation: int, now_ms: int) -> QueueRow | None:
    """The earliest row that may be taken, if it is a command."""
    ready = claimable_now(rows, generation, now_ms)
    return ready[0] if ready and ready[0].batch.work_class is WorkClass.SESSION_COMMAND else None


def select_leading_group(
    rows: Iterable[QueueRow], generation: int, now_ms: int, boundary: ClaimBoundary, max_batches: int
) -> list[QueueRow]:
    """The group at the head of the queue; empty when nothing is ready, a command leads, or the boundary forbids it.

    Rows that are held or not due yet neither lead nor end a group. ``max_batches`` bounds what is left after that.
    """
    ready = claimable_now(rows, generation, now_ms)
    if not ready or max_batches < 1:
        return []
    head = ready[0].batch
    if head.work_class is WorkClass.SESSION_COMMAND or not _may_cross(head, boundary):
        return []
    group = ready[:1]
    if head.slot_policy is SlotPolicy.EXCLUSIVE:
        return group
    for row in ready[1:max_batches]:
        if not _joins(head, row.batch):
            break
        group.append(row)
    return group


def select_exact(
    rows: Iterable[QueueRow], generation: int, now_ms: int, boundary: ClaimBoundary, batch_ids: Sequence[str]
) -> list[QueueRow]:
    """Exactly these rows, in the order of the queue, or none: all must be ready turn work that may share a turn."""
    wanted = set(batch_ids)
    chosen = [row for row in claimable_now(rows, generation, now_ms) if row.batch.batch_id in wanted]
    if not wanted or len(chosen) != len(wanted):
        return []
    batches = [row.batch for row in chosen]
    if any(batch.work_class is WorkClass.SESSION_COMMAND or not _may_cross(batch, boundary) for batch in batches):
        return []
    if len(batches) > 1 and any(batch.slot_policy is SlotPolicy.EXCLUSIVE for batch in batches):
        return []
    return chosen


def _may_cross(batch: QueuedWorkBatch, boundary: ClaimBoundary) -> bool:
    return boundary is ClaimBoundary.IDLE or batch.delivery_policy is DeliveryPolicy.EARLIEST_SAFE_BOUNDARY


def _joins(head: QueuedWorkBatch, other: QueuedWorkBatch) -> bool:
    return (
        other.slot_policy is SlotPolicy.JOIN
        and other.delivery_policy is head.delivery_policy
        and other.merge_key == head.merge_key
        and other.work_class is head.work_class
    )
