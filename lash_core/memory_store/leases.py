"""Leases of one process: claim, renew, release, reclaim (contract 2.8, decisions 3, 9, 16, 30)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from lash_core.errors import LashError, LeaseLostError
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.row import NEVER, Holding, Row, may_be_offered, may_run_again
from lash_core.memory_store.state import RegistryState
from lash_core.model.audit import AuditKind
from lash_core.model.facts import ProcessStarted
from lash_core.model.ids import check_lease_ttl
from lash_core.model.lease import (
    Acquired,
    Busy,
    ClaimOutcome,
    Lost,
    ProcessLease,
    ProcessLeaseCompletion,
    ReleaseReason,
    Renewed,
    RenewOutcome,
)
from lash_core.model.owner import LeaseOwnerIdentity, is_provably_dead
from lash_core.store.process_batches import BatchOutcome, LeasedRelease

_RELEASE_AUDIT: dict[str, AuditKind] = {"parked": "park", "yielded": "yield", "declined": "decline"}


class LeaseOperations(RegistryPart):
    """Who may run a process, and for how long. Only the store's clock decides."""

    async def claim_process_lease(self, process_id: str, owner: LeaseOwnerIdentity, lease_ttl_ms: int) -> ClaimOutcome:
        """Take a free or expired lease; the own live one is extended, never shortened."""
        check_lease_ttl(lease_ttl_ms)
        with self._state.lock:
            row = self._state.require(process_id)
            holding = self._state.live_holding(row)
            if holding is None:
                return Acquired(lease=self._take(row, owner, lease_ttl_ms))
            if not holding.lease.owner.same_incarnation(owner):
                return Busy(holder=_as_held(row, holding))
            return Acquired(lease=self._reenter(row, holding, lease_ttl_ms))

    async def reclaim_process_lease(
        self, process_id: str, owner: LeaseOwnerIdentity, observed: ProcessLease, lease_ttl_ms: int
    ) -> ClaimOutcome:
        """Take a lease whose holder is provably dead: compare and swap on ``observed``."""
        check_lease_ttl(lease_ttl_ms)
        with self._state.lock:
            row = self._state.require(process_id)
            holding = self._state.live_holding(row)
            if holding is None:
                return Acquired(lease=self._take(row, owner, lease_ttl_ms))
            if holding.lease.owner.same_incarnation(owner):
                return Acquired(lease=self._reenter(row, holding, lease_ttl_ms))
            table = self._state.process_table
            proved = table is not None and is_provably_dead(holding.lease.owner, owner, table)
            if not proved or not holding.lease.same_acquisition(observed):
                return Busy(holder=_as_held(row, holding))
            self._state.count_death(row, "reclaim", "provably_dead", taken_by=owner.owner_id)
            self._state.let_go(row)
            return Acquired(lease=give_lease(self._state, row, owner, lease_ttl_ms))

    def _reenter(self, row: Row, holding: Holding, lease_ttl_ms: int) -> ProcessLease:
        # A shorter TTL never shortens what the owner was promised (decision 30).
        expires = max(holding.lease.expires_at_epoch_ms, self._state.clock.now_ms() + lease_ttl_ms)
        holding.lease = _extended(row, holding.lease, expires)
        return holding.lease

    def _take(self, row: Row, owner: LeaseOwnerIdentity, lease_ttl_ms: int) -> ProcessLease:
        if row.holding is not None:
            self._state.count_death(row, "takeover", "expired", taken_by=owner.owner_id)
            self._state.let_go(row)
        return give_lease(self._state, row, owner, lease_ttl_ms)

    async def renew_process_lease(self, lease: ProcessLease, lease_ttl_ms: int) -> ProcessLease:
        """Extend a live lease; token and fence stay. Marks stay for the next batch renewal."""
        check_lease_ttl(lease_ttl_ms)
        with self._state.lock:
            return self._renew(lease, lease_ttl_ms)

    async def renew_process_leases(self, leases: Sequence[ProcessLease], lease_ttl_ms: int) -> tuple[RenewOutcome, ...]:
        """Extend many leases, one answer per item, with the marks set since the last renewal."""
        check_lease_ttl(lease_ttl_ms)
        with self._state.lock:
            return tuple(self._renew_item(lease, lease_ttl_ms) for lease in leases)

    def _renew_item(self, lease: ProcessLease, lease_ttl_ms: int) -> RenewOutcome:
        row = self._state.rows.get(lease.process_id)
        if row is None:
            return Lost(process_id=lease.process_id, reason="unknown")
        try:
            renewed = self._renew(lease, lease_ttl_ms)
        except LeaseLostError as error:
            return Lost(process_id=lease.process_id, reason=error.reason)
        cancelled, signalled = "cancel" in row.marks, "signal" in row.marks
        row.marks.clear()
        return Renewed(lease=renewed, cancel_requested=cancelled, signalled=signalled)

    def _renew(self, lease: ProcessLease, lease_ttl_ms: int) -> ProcessLease:
        row = self._state.rows.get(lease.process_id)
        if row is None:
            raise LeaseLostError(lease.process_id, "unknown")
        holding = self._state.require_live_holding(row, lease)
        holding.lease = _extended(row, holding.lease, self._state.clock.now_ms() + lease_ttl_ms)
        return holding.lease

    async def complete_process_lease(self, completion: ProcessLeaseCompletion) -> None:
        """Release by token; another token is silent success."""
        with self._state.lock:
            row = self._state.rows.get(completion.process_id)
            if row is None or row.holding is None or row.holding.lease.lease_token != completion.lease_token:
                return
            release(self._state, row, ReleaseReason())

    async def release_process_leases(self, releases: Sequence[LeasedRelease]) -> tuple[BatchOutcome, ...]:
        """Give leases back before a terminal event, with the reason and the time of the next claim."""
        with self._state.lock:
            return tuple(self._release_item(item) for item in releases)

    def _release_item(self, item: LeasedRelease) -> BatchOutcome:
        process_id = item.lease.process_id
        try:
            row = self._state.require(process_id)
            # A repeat of the release that ended this very lease is done already.
            if row.released_token != item.lease.lease_token:
                self._state.require_live_holding(row, item.lease)
                release(self._state, row, item.reason, item.first_started)
        except LashError as error:
            return BatchOutcome(process_id=process_id, error=error)
        return BatchOutcome(process_id=process_id)

    async def get_process_lease(self, process_id: str) -> ProcessLease | None:
        """The raw lease, maybe expired; None when released, never claimed or unknown."""
        with self._state.lock:
            row = self._state.rows.get(process_id)
            return _as_held(row, row.holding) if row is not None and row.holding is not None else None

    async def leases_of_owner(self, owner: LeaseOwnerIdentity, limit: int) -> tuple[ProcessLease, ...]:
        """Leases held by any attempt of a worker incarnation, by process id."""
        with self._state.lock:
            leases = [
                _as_held(row, row.holding)
                for _, row in sorted(self._state.held.items())
                if row.holding is not None and row.holding.lease.owner.is_attempt_of(owner)
            ]
            return tuple(leases[: max(limit, 0)])

    async def lease_owners(self) -> tuple[LeaseOwnerIdentity, ...]:
        """Identities that hold leases now, by owner id and incarnation."""
        with self._state.lock:
            owners = {
                (row.holding.claimant.owner_id, row.holding.claimant.incarnation_id): row.holding.claimant
                for row in self._state.held.values()
                if row.holding is not None
            }
            return tuple(owner for _, owner in sorted(owners.items(), key=lambda item: item[0]))


def give_lease(
    state: RegistryState, row: Row, owner: LeaseOwnerIdentity, lease_ttl_ms: int, *, batch: bool = False
) -> ProcessLease:
    """Put a free row under a new lease. In a batch each row has an attempt of its own (decision 3)."""
    now_ms = state.clock.now_ms()
    token = secrets.token_hex(8)
    lease = ProcessLease(
        process_id=row.record.id,
        owner=owner.with_incarnation(f"{owner.incarnation_id}:{token}") if batch else owner,
        lease_token=token,
        fencing_token=state.next_fence(),
        claimed_at_epoch_ms=now_ms,
        expires_at_epoch_ms=now_ms + lease_ttl_ms,
        queue=row.record.queue,
        fenced_writes=row.record.fenced_writes,
    )
    state.hold(row, Holding(lease=lease, claimant=owner))
    return lease


def release(state: RegistryState, row: Row, reason: ReleaseReason, first_started: ProcessStarted | None = None) -> None:
    """Give a row back before its end.

    What was marked since the run last looked, else since the claim, makes it due at once: no event is slept through.
    """
    marked = str(row.mark_count) != (reason.marks_seen or "0")
    give_back(state, row, declined=reason.kind == "declined")
    if row.record.is_terminal:
        return
    row.parked = reason.kind == "parked"
    if first_started is not None and row.record.first_started is None:
        state.touch(row, first_started=first_started, updated_at_ms=state.clock.now_ms())
    if reason.kind in _RELEASE_AUDIT:
        state.note(row, _RELEASE_AUDIT[reason.kind], detail=reason.detail)
    now_ms = state.clock.now_ms()
    state.schedule(row, now_ms if marked and may_be_offered(row.record) else _due_after_release(row, reason, now_ms))


def give_back(state: RegistryState, row: Row, *, declined: bool = False) -> None:
    """End a row's lease by its holder's wish; a repeat of it is known by the token."""
    if row.holding is not None:
        row.released_token = row.holding.lease.lease_token
    state.let_go(row, declined=declined)


def _due_after_release(row: Row, reason: ReleaseReason, now_ms: int) -> float:
    waits_for_evidence = reason.due_in_ms is None and not may_run_again(row.record)
    if reason.due_in_ms == -1 or waits_for_evidence or not may_be_offered(row.record):
        return NEVER
    # A row that was claimed before it was due, and let go, is due when it always was.
    return max(now_ms + (reason.due_in_ms or 0), row.record.due_at_ms or 0)


def _as_held(row: Row, holding: Holding) -> ProcessLease:
    """The lease as a reader sees it: with the fenced writes that the row has now."""
    return _extended(row, holding.lease, holding.lease.expires_at_epoch_ms)


def _extended(row: Row, lease: ProcessLease, expires_at_epoch_ms: int) -> ProcessLease:
    return lease.model_copy(
        update={"expires_at_epoch_ms": expires_at_epoch_ms, "fenced_writes": row.record.fenced_writes}
    )
