"""Session execution leases in memory (``docs/contracts/sessions.md`` 2.3)."""

from __future__ import annotations

from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.memory_store.session_part import SessionPart
from lash_core.model.ids import check_lease_ttl
from lash_core.model.owner import LeaseOwnerIdentity, is_provably_dead
from lash_core.model.session_lease import (
    SessionExecutionLease,
    SessionExecutionLeaseCompletion,
    SessionExecutionLeaseFence,
    SessionLeaseAcquired,
    SessionLeaseBusy,
    SessionLeaseOutcome,
)


class SessionLeaseOperations(SessionPart):
    """One writer of the session."""

    async def try_claim_session_execution_lease(
        self, session_id: str, owner: LeaseOwnerIdentity, lease_ttl_ms: int
    ) -> SessionLeaseOutcome:
        """Take the session, or extend what this incarnation holds.

        Raises:
            SessionBindingMismatchError. UnknownSessionError: it was deleted. InvalidArgumentError: the TTL.
        """
        self._check_bound(session_id)
        check_lease_ttl(lease_ttl_ms)
        with self._state.lock:
            held = self._state.live_lease(session_id)
            return self._free_or_own(held, owner, lease_ttl_ms) or _busy(held)

    async def reclaim_session_execution_lease(
        self, session_id: str, owner: LeaseOwnerIdentity, observed: SessionExecutionLeaseFence, lease_ttl_ms: int
    ) -> SessionLeaseOutcome:
        """Take over from the observed holder when it is provably dead; what is free is simply claimed."""
        self._check_bound(session_id)
        self._check_bound(observed.session_id)
        check_lease_ttl(lease_ttl_ms)
        with self._state.lock:
            held = self._state.live_lease(session_id)
            taken = self._free_or_own(held, owner, lease_ttl_ms)
            if taken is not None or held is None:
                return taken or _busy(held)
            table = self._state.process_table
            proved = table is not None and is_provably_dead(held.owner, owner, table)
            if not proved or not held.same_acquisition(observed):
                return _busy(held)
            return SessionLeaseAcquired(self._state.give_lease(session_id, owner, lease_ttl_ms))

    def _free_or_own(
        self, held: SessionExecutionLease | None, owner: LeaseOwnerIdentity, lease_ttl_ms: int
    ) -> SessionLeaseAcquired | None:
        if held is None:
            return SessionLeaseAcquired(self._state.give_lease(self._session_id, owner, lease_ttl_ms))
        if not held.owner.same_incarnation(owner):
            return None
        # A shorter TTL never shortens what the owner was promised.
        expires_at_ms = max(held.expires_at_ms, self._state.clock.now_ms() + lease_ttl_ms)
        return SessionLeaseAcquired(self._state.extend_lease(self._session_id, expires_at_ms), reentrant=True)

    async def renew_session_execution_lease(
        self, fence: SessionExecutionLeaseFence, lease_ttl_ms: int
    ) -> SessionExecutionLease:
        """Extend a live lease. Raises: SessionExecutionLeaseExpiredError, SessionBindingMismatchError."""
        check_lease_ttl(lease_ttl_ms)
        with self._state.lock:
            self._leased(fence)
            return self._state.extend_lease(self._session_id, self._state.clock.now_ms() + lease_ttl_ms)

    async def release_session_execution_lease(self, completion: SessionExecutionLeaseCompletion) -> bool:
        """Release when it is still this one; else nothing happens. Raises: SessionBindingMismatchError."""
        self._check_bound(completion.session_id)
        with self._state.lock:
            return self._state.release_lease(self._session_id, completion)

    async def get_session_execution_lease(self, session_id: str) -> SessionExecutionLease | None:
        """The live lease, or None. Raises: SessionBindingMismatchError."""
        self._check_bound(session_id)
        with self._state.lock:
            return self._state.live_lease(session_id)


def _busy(held: SessionExecutionLease | None) -> SessionLeaseBusy:
    if held is None:
        raise SessionExecutionLeaseExpiredError("a session without a lease is never busy")
    return SessionLeaseBusy(held)
