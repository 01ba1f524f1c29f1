"""The contract of queued work (``docs/contracts/sessions.md`` 2.4; decisions 2, 19-22). Part of ``RuntimePersistence``.

A claim pins the lease generation that it was made under. A row is claimable when it is unclaimed or pinned to another
generation than the caller's. Claims have no expiry of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lash_core.model.queued_work import (
    ClaimBoundary,
    QueuedWorkBatch,
    QueuedWorkClaim,
    QueuedWorkDraft,
)
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.turn_input import CheckpointKind, TurnInputClaim

CLAIM_BATCHES_MAX = 64
QUEUED_BATCHES_MAX = 10_000
"""A session that nobody works off must not fill the server."""
SOURCE_KEY_RECEIPTS_MAX = 10_000
"""Newest receipts of settled source keys that a session keeps (decision 20)."""
SOURCE_KEY_RECEIPT_BYTES_MAX = 16 * 1024 * 1024
"""Of all these receipts: each has its batch's payloads, so that a late relay is answered with the batch."""


class CheckpointClaims(tuple[QueuedWorkClaim | None, TurnInputClaim | None]):
    """What a checkpoint took of the two lanes: ``(queued work, turn inputs)``."""

    __slots__ = ()


@runtime_checkable
class QueuedWorkStore(Protocol):
    """The queue of one session."""

    async def enqueue_queued_work(self, draft: QueuedWorkDraft) -> QueuedWorkBatch:
        """Append a batch and make the session ready for the fleet. Atomic.

        A source key that was used before answers its first batch, settled or not, whatever the draft carries. Without
        a source key it is not safe to repeat.

        Raises:
            SessionBindingMismatchError. UnknownSessionError: there is no such session. LimitExceededError:
            ``QUEUED_BATCHES_MAX`` or the payload limit. OutcomeUnknownError: the reply was lost (no source key).
        """
        ...

    async def list_queued_work(self, session_id: str) -> tuple[QueuedWorkBatch, ...]:
        """All that is not settled, claimed or not, in the order of the queue."""
        ...

    async def list_pending_queued_work(self, session_id: str) -> tuple[QueuedWorkBatch, ...]:
        """What no live claim has: a claim is live while the lease of its generation is."""
        ...

    async def cancel_queued_work_batch(self, session_id: str, batch_id: str) -> QueuedWorkBatch | None:
        """Take a batch out. None: it is not there, a live claim has it, or an open turn has taken it in. Atomic."""
        ...

    async def claim_leading_ready_session_command(self, lease: SessionExecutionLeaseFence) -> QueuedWorkClaim | None:
        """Claim the earliest ready row if it is a command: exactly that one.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        ...

    async def claim_ready_queued_work(
        self, lease: SessionExecutionLeaseFence, boundary: ClaimBoundary, max_batches: int = CLAIM_BATCHES_MAX
    ) -> QueuedWorkClaim | None:
        """Claim the group at the head of the queue (2.4). None: nothing ready, a command leads, or it may not be taken.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        ...

    async def claim_ready_queued_work_by_batch_ids(
        self, lease: SessionExecutionLeaseFence, boundary: ClaimBoundary, batch_ids: Sequence[str]
    ) -> QueuedWorkClaim | None:
        """Claim exactly these, all or none; earlier rows may be passed over.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        ...

    async def claim_checkpoint_work(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        checkpoint: CheckpointKind,
        max_inputs: int = CLAIM_BATCHES_MAX,
        max_batches: int = CLAIM_BATCHES_MAX,
    ) -> CheckpointClaims:
        """Claim of both lanes what may reach the running turn now: in one script, and a read while both are quiet.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        ...

    async def abandon_queued_work_claim(self, claim: QueuedWorkClaim) -> tuple[str, ...]:
        """Give the rows back; answers their batch ids. Fenced: a stale abandon does nothing."""
        ...
