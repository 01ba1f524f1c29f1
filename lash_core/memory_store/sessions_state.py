"""All sessions of one in-memory store, their leases, and the few moves that every operation is made of.

One lock guards everything: an operation takes it, checks, writes and lets go, without an await in between.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

from lash_core.clock import Clock, SystemClock
from lash_core.errors import UnknownSessionError
from lash_core.memory_store.attachment_manifest import MemoryAttachmentManifest
from lash_core.memory_store.scope_state import ScopeState
from lash_core.memory_store.session_notices import MemorySessionNotices
from lash_core.memory_store.session_rows import StoredSession
from lash_core.memory_store.state import RegistryState
from lash_core.model.limits import Limits
from lash_core.model.owner import LeaseOwnerIdentity, ProcessTable
from lash_core.model.session_lease import SessionExecutionLease, SessionExecutionLeaseFence
from lash_core.store.session_refusals import session_lease_lost


class SessionsState:
    """Sessions, leases and fences.

    Args:
        clock: decides expiry, due times and fences; the machine's by default.
        registry: gives lock, limits, process table and the journals of scopes, which turns share with it. None: own
            ones, and nobody can be proved dead.
        manifest: of attachments, stamped by commits; None: there are none.
        notices: told of commits and of changes of queues; None: own ones.
        on_delete: called with the id of a session that is deleted, for what other stores keep of it.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        registry: RegistryState | None = None,
        manifest: MemoryAttachmentManifest | None = None,
        notices: MemorySessionNotices | None = None,
        on_delete: Callable[[str], None] | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.limits = registry.limits if registry else Limits()
        self._registry = registry
        self.lock = registry.lock if registry else threading.RLock()
        self.scopes = registry.scopes if registry else ScopeState()
        self.manifest = manifest
        self.notices = notices or MemorySessionNotices()
        self.on_delete = on_delete
        self.sessions: dict[str, StoredSession] = {}
        self._leases: dict[str, SessionExecutionLease] = {}
        self._last_fence = 0

    @property
    def process_table(self) -> ProcessTable | None:
        """The registry's, as it is now: a worker brings it after the stores were made."""
        return self._registry.process_table if self._registry else None

    def require(self, session_id: str) -> StoredSession:
        """A session.

        Raises:
            UnknownSessionError: there is none.
        """
        session = self.sessions.get(session_id)
        if session is None:
            raise UnknownSessionError(session_id)
        return session

    # -- leases ------------------------------------------------------------------------------------------

    def live_lease(self, session_id: str) -> SessionExecutionLease | None:
        """The lease that has not expired, or None."""
        lease = self._leases.get(session_id)
        return lease if lease is not None and lease.expires_at_ms > self.clock.now_ms() else None

    def live_generation(self, session_id: str) -> int | None:
        """The fencing number of the live lease; None when there is none."""
        lease = self.live_lease(session_id)
        return None if lease is None else lease.fencing_token

    def require_lease(self, session_id: str, fence: SessionExecutionLeaseFence | None) -> StoredSession:
        """The session, when ``fence`` is its live lease.

        Raises:
            SessionExecutionLeaseExpiredError: there is none, it is over, or somebody else's.
        """
        if fence is None or fence.session_id != session_id:
            raise session_lease_lost(session_id, "missing")
        held = self.lease_of(session_id)
        if held is None:
            raise session_lease_lost(session_id, "released")
        if not held.same_acquisition(fence):
            raise session_lease_lost(session_id, "taken")
        if self.live_lease(session_id) is None:
            raise session_lease_lost(session_id, "expired")
        return self.require(session_id)

    def give_lease(self, session_id: str, owner: LeaseOwnerIdentity, ttl_ms: int) -> SessionExecutionLease:
        """Put a session under a new lease. Who had it and did not release it died, as far as anybody knows."""
        self.require(session_id)
        self.end_lost_lease(session_id)
        self._last_fence = max(self._last_fence + 1, self.clock.now_us())
        now_ms = self.clock.now_ms()
        lease = self._leases[session_id] = SessionExecutionLease(
            session_id=session_id,
            owner=owner,
            lease_token=secrets.token_hex(8),
            fencing_token=self._last_fence,
            claimed_at_ms=now_ms,
            expires_at_ms=now_ms + ttl_ms,
        )
        return lease

    def end_lost_lease(self, session_id: str) -> None:
        """Drop a lease that nobody released, and count that."""
        if self._leases.pop(session_id, None) is not None:
            self.require(session_id).note_loss(self.clock.now_ms())
            self.notices.tell(session_id)

    def lease_of(self, session_id: str) -> SessionExecutionLease | None:
        """The lease as it was given, maybe expired; None when it was released, or there never was one."""
        return self._leases.get(session_id)

    def extend_lease(self, session_id: str, expires_at_ms: int) -> SessionExecutionLease:
        """Move the end of the lease that there is."""
        lease = self._leases[session_id].model_copy(update={"expires_at_ms": expires_at_ms})
        self._leases[session_id] = lease
        return lease

    def release_lease(self, session_id: str, completion: SessionExecutionLeaseFence) -> bool:
        """Drop the lease when it is this one. A released session is due again if it has work."""
        lease = self._leases.get(session_id)
        if lease is None or not lease.same_acquisition(completion):
            return False
        del self._leases[session_id]
        self.notices.tell(session_id)
        return True

    def forget_lease(self, session_id: str) -> None:
        """Drop the lease of a session that is deleted. Fences go on rising (decision 9)."""
        self._leases.pop(session_id, None)
