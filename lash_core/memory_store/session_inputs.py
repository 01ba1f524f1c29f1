"""The lane of pending turn inputs in memory (``docs/contracts/sessions.md`` 2.5; decision 19)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from lash_core.errors.session import PendingTurnInputSourceKeyConflictError
from lash_core.memory_store.detach import detached
from lash_core.memory_store.session_part import SessionPart
from lash_core.memory_store.session_rows import StoredInput, StoredSession
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_queue_ids import input_claim_id, input_id_of
from lash_core.model.turn_input import (
    ActiveTurnIngress,
    CheckpointKind,
    NextTurnIngress,
    PendingTurnInput,
    PendingTurnInputDraft,
    TurnInputCancelOutcome,
    TurnInputCancelTarget,
    TurnInputClaim,
    TurnInputSuffixOutcome,
)
from lash_core.model.turn_input_lane import (
    abandoned_input,
    first_state,
    is_input_held,
    is_same_input,
    select_active_inputs,
    select_next_turn_inputs,
)
from lash_core.store.queued_work_store import CLAIM_BATCHES_MAX
from lash_core.store.session_bounds import (
    check_cancel_target,
    check_checkpoint,
    check_claim_limit,
    check_input_draft,
    check_queue_room,
)


class TurnInputOperations(SessionPart):
    """Inputs that wait for a turn."""

    async def enqueue_pending_turn_input(self, draft: PendingTurnInputDraft) -> PendingTurnInput:
        """Put an input into the lane, or answer the row that its key or id stands for, terminal or not.

        Raises:
            PendingTurnInputSourceKeyConflictError: it stands for another content or ingress.
            SessionBindingMismatchError, UnknownSessionError, InvalidArgumentError, LimitExceededError.
        """
        check_input_draft(draft, self._session_id, self._state.limits)
        with self._state.lock:
            session = self._required()
            known = _known_input(session, draft)
            if known is not None:
                if not is_same_input(known.row, draft, known.first_ingress):
                    key = draft.source_key or draft.input_id or ""
                    raise PendingTurnInputSourceKeyConflictError(self._session_id, key, known.row.input_id)
                return detached(known.row)
            check_queue_room(self._session_id, len(session.inputs))
            # Nobody would ever claim an input for a turn that is committed.
            late = isinstance(draft.ingress, ActiveTurnIngress) and draft.ingress.turn_id in session.stamps
            ingress = NextTurnIngress() if late else draft.ingress
            row = PendingTurnInput(
                input_id=draft.input_id
                or input_id_of(self._session_id, source_key=draft.source_key, nonce=secrets.token_hex(16)),
                session_id=self._session_id,
                enqueue_seq=session.next_seq(),
                source_key=draft.source_key,
                ingress=ingress,
                state=first_state(ingress),
                input=draft.input,
                enqueued_at_ms=self._state.clock.now_ms(),
            )
            row = PendingTurnInput.model_validate_json(row.model_dump_json(by_alias=True))
            session.inputs[row.input_id] = StoredInput(row, draft.ingress)
        self._state.notices.tell(self._session_id)
        return detached(row)

    async def list_pending_turn_inputs(self, session_id: str) -> tuple[PendingTurnInput, ...]:
        """All rows, terminal ones too, in the order of the lane."""
        self._check_bound(session_id)
        with self._state.lock:
            return tuple(detached(stored.row) for stored in self._lane())

    async def claim_active_turn_inputs(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        checkpoint: CheckpointKind,
        max_inputs: int = CLAIM_BATCHES_MAX,
    ) -> TurnInputClaim | None:
        """Claim the running turn's inputs that this checkpoint admits. Raises: SessionExecutionLeaseExpiredError."""
        check_claim_limit(max_inputs, field="max_inputs")
        check_checkpoint(checkpoint)
        with self._state.lock:
            session = self._leased(lease)
            lane = [stored.row for stored in self._lane()]
            rows = select_active_inputs(lane, lease.fencing_token, turn_id, checkpoint, max_inputs)
            return claim_inputs(session, lease, rows)

    async def claim_next_turn_inputs(
        self, lease: SessionExecutionLeaseFence, max_inputs: int = CLAIM_BATCHES_MAX
    ) -> TurnInputClaim | None:
        """Claim inputs for the next turn, in order. Raises: SessionExecutionLeaseExpiredError."""
        check_claim_limit(max_inputs, field="max_inputs")
        with self._state.lock:
            session = self._leased(lease)
            rows = select_next_turn_inputs([stored.row for stored in self._lane()], lease.fencing_token, max_inputs)
            return claim_inputs(session, lease, rows)

    async def abandon_turn_input_claim(self, claim: TurnInputClaim) -> tuple[str, ...]:
        """Give the rows back that are still this claim's; answers their ids."""
        self._check_bound(claim.session_id)
        with self._state.lock:
            session = self._found()
            if session is None:
                return ()
            given = [
                row.input_id
                for row in claim.inputs
                if session.owns_input(row.input_id, claim.claim_id, claim.lease_token)
            ]
            for input_id in given:
                session.inputs[input_id].row = abandoned_input(session.inputs[input_id].row)
            return tuple(given)

    async def cancel_pending_turn_inputs(
        self, session_id: str, targets: Sequence[TurnInputCancelTarget]
    ) -> tuple[TurnInputCancelOutcome, ...]:
        """Cancel rows; one outcome a target, in order. Raises: InvalidArgumentError: a target names none or two."""
        self._check_bound(session_id)
        for target in targets:
            check_cancel_target(target)
        with self._state.lock:
            outcomes = tuple(self._cancel(self._target(target)) for target in targets)
        self._state.notices.tell(session_id)
        return outcomes

    async def cancel_pending_turn_input_suffix(
        self, session_id: str, anchor: TurnInputCancelTarget
    ) -> TurnInputSuffixOutcome:
        """Cancel the anchor and every later row; claimed ones are reported and left."""
        self._check_bound(session_id)
        check_cancel_target(anchor)
        with self._state.lock:
            found = self._target(anchor)
            if found is None:
                return TurnInputSuffixOutcome(anchor_found=False)
            later = [stored for stored in self._lane() if stored.row.enqueue_seq >= found.row.enqueue_seq]
            outcomes = tuple(self._cancel(stored) for stored in later)
        self._state.notices.tell(session_id)
        return TurnInputSuffixOutcome(anchor_found=True, outcomes=outcomes)

    # -- under the lock --------------------------------------------------------------------------------

    def _lane(self) -> list[StoredInput]:
        session = self._found()
        return [] if session is None else list(session.inputs.values())

    def _target(self, target: TurnInputCancelTarget) -> StoredInput | None:
        for stored in self._lane():
            if target.input_id == stored.row.input_id or (
                target.source_key is not None and target.source_key == stored.row.source_key
            ):
                return stored
        return None

    def _cancel(self, stored: StoredInput | None) -> TurnInputCancelOutcome:
        if stored is None:
            return TurnInputCancelOutcome(outcome="not_found")
        row = stored.row
        if row.state == "completed":
            return TurnInputCancelOutcome(outcome="already_completed", input=detached(row))
        if row.state == "cancelled":
            return TurnInputCancelOutcome(outcome="already_cancelled", input=detached(row))
        if is_input_held(row, self._state.live_generation(self._session_id)):
            return TurnInputCancelOutcome(outcome="already_claimed", input=detached(row), claim=row.claim)
        stored.row = row.model_copy(update={"state": "cancelled", "claim": None})
        return TurnInputCancelOutcome(outcome="cancelled", input=detached(stored.row))


def claim_inputs(
    session: StoredSession, lease: SessionExecutionLeaseFence, rows: Sequence[PendingTurnInput]
) -> TurnInputClaim | None:
    """Pin rows to a new claim; those for an active turn are accepted."""
    if not rows:
        return None
    fencing, mark = session.new_claim(lease, rows[0].enqueue_seq, input_claim_id)
    claimed: list[PendingTurnInput] = []
    for row in rows:
        state = "accepted" if isinstance(row.ingress, ActiveTurnIngress) else row.state
        stored = session.inputs[row.input_id]
        stored.row = row.model_copy(update={"state": state, "claim": mark})
        claimed.append(detached(stored.row))
    return TurnInputClaim(
        session_id=lease.session_id,
        claim_id=mark.claim_id,
        lease_token=mark.lease_token,
        fencing_token=fencing,
        session_lease_generation=lease.fencing_token,
        inputs=tuple(claimed),
    )


def _known_input(session: StoredSession, draft: PendingTurnInputDraft) -> StoredInput | None:
    for stored in session.inputs.values():
        same_key = draft.source_key is not None and draft.source_key == stored.row.source_key
        if same_key or (draft.input_id is not None and draft.input_id == stored.row.input_id):
            return stored
    return None
