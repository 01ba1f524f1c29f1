"""The contract of session execution leases (``docs/contracts/sessions.md`` 2.3; decisions 2, 9)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import (
    SessionExecutionLease,
    SessionExecutionLeaseCompletion,
    SessionExecutionLeaseFence,
    SessionLeaseOutcome,
)


@runtime_checkable
class SessionExecutionLeases(Protocol):
    """One writer of a session. Expiry is decided by the store's clock. Part of ``RuntimePersistence``."""

    async def try_claim_session_execution_lease(
        self, session_id: str, owner: LeaseOwnerIdentity, lease_ttl_ms: int
    ) -> SessionLeaseOutcome:
        """Take the session, or extend what this incarnation holds. Atomic; safe to repeat for one incarnation.

        Free or expired: a new token and a higher fencing number. Held by the same incarnation: the same token and
        number, the expiry never shortened, ``reentrant``. Held by anybody else, also by another incarnation of the
        same owner: ``SessionLeaseBusy``. A ``lease_ttl_ms`` of 0 is over at once.

        Raises:
            SessionBindingMismatchError: the store is bound to another session. ClaimsPausedError: the failover guard.
        """
        ...

    async def reclaim_session_execution_lease(
        self,
        session_id: str,
        owner: LeaseOwnerIdentity,
        observed: SessionExecutionLeaseFence,
        lease_ttl_ms: int,
    ) -> SessionLeaseOutcome:
        """Take over from a holder that is provably dead, if it still is the ``observed`` one.

        A lease that is not live any more is simply claimed; else ``SessionLeaseBusy``. Of many that try one wins.

        Raises:
            as ``try_claim_session_execution_lease``.
        """
        ...

    async def renew_session_execution_lease(
        self, fence: SessionExecutionLeaseFence, lease_ttl_ms: int
    ) -> SessionExecutionLease:
        """Extend a live lease.

        Raises:
            SessionExecutionLeaseExpiredError: it is over, released or somebody else's.
        """
        ...

    async def release_session_execution_lease(self, completion: SessionExecutionLeaseCompletion) -> bool:
        """Release. Fenced and safe to repeat: a stale one does nothing and answers False."""
        ...

    async def get_session_execution_lease(self, session_id: str) -> SessionExecutionLease | None:
        """The live lease, or None."""
        ...
