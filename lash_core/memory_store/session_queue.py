"""Queued work in memory (``docs/contracts/sessions.md`` 2.4; decisions 2, 19-22)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from lash_core.memory_store.detach import detached
from lash_core.memory_store.session_inputs import TurnInputOperations, claim_inputs
from lash_core.memory_store.session_rows import StoredSession
from lash_core.model.queue_selection import (
    QueueRow,
    select_exact,
    select_leading_command,
    select_leading_group,
)
from lash_core.model.queued_work import (
    ClaimBoundary,
    QueuedWorkBatch,
    QueuedWorkClaim,
    QueuedWorkDraft,
    QueuedWorkItem,
)
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_queue_ids import batch_id_of, item_id_of, queue_claim_id
from lash_core.model.turn_input import CheckpointKind
from lash_core.model.turn_input_lane import select_active_inputs
from lash_core.store.queued_work_store import CLAIM_BATCHES_MAX, SOURCE_KEY_RECEIPTS_MAX, CheckpointClaims
from lash_core.store.session_bounds import (
    check_boundary,
    check_checkpoint,
    check_claim_limit,
    check_draft,
    check_queue_room,
)


class QueuedWorkOperations(TurnInputOperations):
    """The queue of the session."""

    async def enqueue_queued_work(self, draft: QueuedWorkDraft) -> QueuedWorkBatch:
        """Append a batch, or answer the first one of its source key.

        Raises:
            SessionBindingMismatchError, UnknownSessionError, LimitExceededError, InvalidArgumentError.
        """
        check_draft(draft, self._session_id, self._state.limits)
        with self._state.lock:
            batch, added = enqueue_batch(self._required(), draft, self._state.clock.now_ms())
        if added:
            self._state.notices.tell(self._session_id)
        return detached(batch)

    async def list_queued_work(self, session_id: str) -> tuple[QueuedWorkBatch, ...]:
        """All that is not settled, in the order of the queue; empty for a session that is not there."""
        self._check_bound(session_id)
        with self._state.lock:
            session = self._found()
            return () if session is None else tuple(detached(row.batch) for row in session.rows.values())

    async def list_pending_queued_work(self, session_id: str) -> tuple[QueuedWorkBatch, ...]:
        """What no live claim has."""
        self._check_bound(session_id)
        with self._state.lock:
            session, generation = self._found(), self._state.live_generation(session_id)
            rows = [] if session is None else list(session.rows.values())
            return tuple(detached(row.batch) for row in rows if not row.is_held(generation))

    async def cancel_queued_work_batch(self, session_id: str, batch_id: str) -> QueuedWorkBatch | None:
        """Take a batch out; None: it is not there, claimed, or an open turn has taken it in."""
        self._check_bound(session_id)
        with self._state.lock:
            session = self._found()
            row = None if session is None else session.rows.get(batch_id)
            if session is None or row is None or row.is_held(self._state.live_generation(session_id)):
                return None
            if session.open_turn is not None and batch_id in session.open_turn.batch_ids:
                return None
            settle_batch(session, batch_id)
        self._state.notices.tell(session_id)
        return detached(row.batch)

    # -- claims ----------------------------------------------------------------------------------------

    async def claim_leading_ready_session_command(self, lease: SessionExecutionLeaseFence) -> QueuedWorkClaim | None:
        """Claim the earliest ready row if it is a command. Raises: SessionExecutionLeaseExpiredError."""
        with self._state.lock:
            session = self._leased(lease)
            now_ms = self._state.clock.now_ms()
            head = select_leading_command(session.rows.values(), lease.fencing_token, now_ms)
            return None if head is None else _claim(session, lease, [head])

    async def claim_ready_queued_work(
        self, lease: SessionExecutionLeaseFence, boundary: ClaimBoundary, max_batches: int = CLAIM_BATCHES_MAX
    ) -> QueuedWorkClaim | None:
        """Claim the group at the head of the queue. Raises: SessionExecutionLeaseExpiredError."""
        check_claim_limit(max_batches, field="max_batches")
        boundary = check_boundary(boundary)
        with self._state.lock:
            session = self._leased(lease)
            return _claim(session, lease, self._group(session, lease, boundary, max_batches))

    async def claim_ready_queued_work_by_batch_ids(
        self, lease: SessionExecutionLeaseFence, boundary: ClaimBoundary, batch_ids: Sequence[str]
    ) -> QueuedWorkClaim | None:
        """Claim exactly these, all or none. Raises: SessionExecutionLeaseExpiredError."""
        check_claim_limit(len(batch_ids), field="batch_ids")
        boundary = check_boundary(boundary)
        with self._state.lock:
            session, now_ms = self._leased(lease), self._state.clock.now_ms()
            rows = select_exact(session.rows.values(), lease.fencing_token, now_ms, boundary, batch_ids)
            return _claim(session, lease, rows)

    async def claim_checkpoint_work(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        checkpoint: CheckpointKind,
        max_inputs: int = CLAIM_BATCHES_MAX,
        max_batches: int = CLAIM_BATCHES_MAX,
    ) -> CheckpointClaims:
        """Claim of both lanes what may reach the running turn now. Raises: SessionExecutionLeaseExpiredError."""
        check_claim_limit(max_inputs, field="max_inputs")
        check_claim_limit(max_batches, field="max_batches")
        check_checkpoint(checkpoint)
        with self._state.lock:
            session = self._leased(lease)
            group = self._group(session, lease, ClaimBoundary.ACTIVE_TURN_CHECKPOINT, max_batches)
            lane = [stored.row for stored in session.inputs.values()]
            inputs = select_active_inputs(lane, lease.fencing_token, turn_id, checkpoint, max_inputs)
            return CheckpointClaims((_claim(session, lease, group), claim_inputs(session, lease, inputs)))

    async def abandon_queued_work_claim(self, claim: QueuedWorkClaim) -> tuple[str, ...]:
        """Give the rows back that are still this claim's; answers their ids."""
        self._check_bound(claim.session_id)
        with self._state.lock:
            session = self._found()
            if session is None:
                return ()
            given = [
                batch.batch_id
                for batch in claim.batches
                if session.owns_batch(batch.batch_id, claim.claim_id, claim.lease_token)
            ]
            for batch_id in given:
                session.rows[batch_id] = QueueRow(session.rows[batch_id].batch)
            return tuple(given)

    def _group(
        self, session: StoredSession, lease: SessionExecutionLeaseFence, boundary: ClaimBoundary, max_batches: int
    ) -> list[QueueRow]:
        now_ms = self._state.clock.now_ms()
        return select_leading_group(session.rows.values(), lease.fencing_token, now_ms, boundary, max_batches)


def known_batch(session: StoredSession, draft: QueuedWorkDraft) -> QueuedWorkBatch | None:
    """The first batch of a draft's source key, settled or not (decision 20)."""
    return None if draft.source_key is None else session.receipts.get(draft.source_key)


def enqueue_batch(session: StoredSession, draft: QueuedWorkDraft, now_ms: int) -> tuple[QueuedWorkBatch, bool]:
    """The first batch of the draft's source key, or a new one at the end of the queue; whether it is new.

    Raises:
        LimitExceededError: the queue is full.
    """
    known = known_batch(session, draft)
    if known is not None:
        return known, False
    check_queue_room(draft.session_id, len(session.rows))
    batch_id = batch_id_of(draft.session_id, source_key=draft.source_key, nonce=secrets.token_hex(16))
    return append_batch(session, draft, batch_id, now_ms), True


def append_batch(session: StoredSession, draft: QueuedWorkDraft, batch_id: str, now_ms: int) -> QueuedWorkBatch:
    """Put a batch at the end of the queue."""
    batch = QueuedWorkBatch(
        batch_id=batch_id,
        session_id=draft.session_id,
        enqueue_seq=session.next_seq(),
        source_key=draft.source_key,
        delivery_policy=draft.delivery_policy,
        slot_policy=draft.slot_policy,
        merge_key=draft.merge_key,
        available_at_ms=draft.available_at_ms,
        enqueued_at_ms=now_ms,
        items=tuple(
            QueuedWorkItem(item_id=item_id_of(batch_id, index), payload=payload)
            for index, payload in enumerate(draft.payloads)
        ),
    )
    # What is stored is the store's own: no caller holds a part of it.
    batch = QueuedWorkBatch.model_validate_json(batch.model_dump_json(by_alias=True))
    session.rows[batch_id] = QueueRow(batch)
    if draft.source_key is not None:
        session.receipts[draft.source_key] = batch
    return batch


def settle_batch(session: StoredSession, batch_id: str) -> None:
    """Take a batch out of the queue. Its source key keeps its receipt, the newest of them."""
    row = session.rows.pop(batch_id)
    if row.batch.source_key is None:
        return
    session.settled_keys[row.batch.source_key] = None
    while len(session.settled_keys) > SOURCE_KEY_RECEIPTS_MAX:
        oldest = next(iter(session.settled_keys))
        del session.settled_keys[oldest]
        session.receipts.pop(oldest, None)


def _claim(
    session: StoredSession, lease: SessionExecutionLeaseFence, rows: Sequence[QueueRow]
) -> QueuedWorkClaim | None:
    if not rows:
        return None
    fencing, mark = session.new_claim(lease, rows[0].batch.enqueue_seq, queue_claim_id)
    for row in rows:
        session.rows[row.batch.batch_id] = QueueRow(row.batch, mark)
    return QueuedWorkClaim(
        session_id=lease.session_id,
        claim_id=mark.claim_id,
        owner=lease.owner.to_json_value(),
        lease_token=mark.lease_token,
        fencing_token=fencing,
        session_lease_generation=lease.fencing_token,
        batches=tuple(detached(row.batch) for row in rows),
    )
