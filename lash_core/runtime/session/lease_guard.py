"""A session's execution lease while this program holds it: kept alive, and its loss told at once.

``docs/contracts/sessions.md`` 2.3.

Losing a lease is an error of its own, ``session_execution_lease_lost``: never a failed commit, never a cancelled turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lash_core.clock import own_time_ms
from lash_core.errors import LashError, RuntimeFailure
from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import (
    SessionExecutionLease,
    SessionExecutionLeaseFence,
    SessionLeaseAcquired,
    SessionLeaseBusy,
    SessionLeaseTimings,
)
from lash_core.runtime.cancellation import CancellationToken
from lash_core.store.session_execution_lease import SessionExecutionLeases

_log = logging.getLogger(__name__)

SESSION_BUSY = "session_execution_busy"
LEASE_LOST = "session_execution_lease_lost"

RETRY_DELAY_MS = 250
"""Between two tries of a renewal that failed: a 30 s lease gets dozens before its deadline."""
MARGIN_MIN_MS = 500
MARGIN_PART_MAX = 4
"""The holder stops this long before the store would: a tenth of the life, at least 500 ms, at most a fourth."""


class SessionBusyError(RuntimeFailure):
    """Somebody else writes the session; nothing was done.

    Attributes:
        holder: the lease that is in the way; None = a turn of this very runtime.
    """

    def __init__(self, session_id: str, holder: SessionExecutionLease | None = None) -> None:
        who = "a turn of this runtime" if holder is None else f"`{holder.owner.owner_id}`"
        super().__init__(SESSION_BUSY, f"session execution lease for session `{session_id}` is busy: {who} holds it")
        self.session_id = session_id
        self.holder = holder


class SessionLeaseLostError(RuntimeFailure):
    """The session is somebody else's now, or may be: nothing more may be written for this turn."""

    def __init__(self, session_id: str, why: str) -> None:
        super().__init__(LEASE_LOST, f"the execution lease of session `{session_id}` is lost: {why}")
        self.session_id = session_id


class SessionLeaseGuard:
    """Renews a lease until it is released. Belongs to the event loop that made it.

    Args:
        store: where the lease is.
        lease: as acquired.
        timings: its life and how often it is renewed.
        sent_at_ms: own time at which the claim was sent: the lease cannot have begun before.
        clock: own time in ms, counting suspend.

    Attributes:
        lost: fired once when the lease is lost; its reason says how.
    """

    def __init__(
        self,
        store: SessionExecutionLeases,
        lease: SessionExecutionLease,
        timings: SessionLeaseTimings,
        *,
        sent_at_ms: float | None = None,
        clock: Callable[[], float] = own_time_ms,
    ) -> None:
        self._store = store
        self._lease = lease
        self._timings = timings
        self._clock = clock
        self._released = False
        self.lost = CancellationToken()
        self._deadline_ms = 0.0
        self._extend(clock() if sent_at_ms is None else sent_at_ms)
        self._task = asyncio.create_task(self._keep())

    @classmethod
    async def acquire(
        cls,
        store: SessionExecutionLeases,
        owner: LeaseOwnerIdentity,
        timings: SessionLeaseTimings | None = None,
        *,
        session_id: str = "",
        clock: Callable[[], float] = own_time_ms,
    ) -> SessionLeaseGuard:
        """Take the session and keep it. The same incarnation may take it again: both guards then hold one lease.

        Args:
            store: a session's store.
            owner: who takes it.
            timings: 30 s, renewed every 10 s by default.
            session_id: the store's own by default.
            clock: own time in ms.

        Raises:
            SessionBusyError: somebody else writes it. SessionBindingMismatchError, ClaimsPausedError.
        """
        timings = timings or SessionLeaseTimings()
        session_id = session_id or str(getattr(store, "session_id", ""))
        sent_at_ms = clock()
        match await store.try_claim_session_execution_lease(session_id, owner, timings.ttl_ms):
            case SessionLeaseAcquired(lease=lease):
                return cls(store, lease, timings, sent_at_ms=sent_at_ms, clock=clock)
            case SessionLeaseBusy(holder=holder):
                raise SessionBusyError(session_id, holder)

    @classmethod
    def adopt(
        cls,
        store: SessionExecutionLeases,
        lease: SessionExecutionLease,
        timings: SessionLeaseTimings | None = None,
        *,
        sent_at_ms: float | None = None,
    ) -> SessionLeaseGuard:
        """Keep a lease that was claimed elsewhere, with ``sent_at_ms`` as the own time at which that claim was sent."""
        return cls(store, lease, timings or SessionLeaseTimings(), sent_at_ms=sent_at_ms)

    # -- what holders ask ------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The session."""
        return self._lease.session_id

    @property
    def lease(self) -> SessionExecutionLease:
        """The lease as last renewed."""
        return self._lease

    @property
    def fence(self) -> SessionExecutionLeaseFence:
        """What writes name."""
        return self._lease.fence

    @property
    def generation(self) -> int:
        """The lease's fencing number: what queue claims pin."""
        return self._lease.fencing_token

    @property
    def released(self) -> bool:
        """True once it was given back."""
        return self._released

    @property
    def is_lost(self) -> bool:
        """True once the lease is lost. Looks at the clock itself: whoever wakes after a long stop sees it at once."""
        if not self.lost.cancelled and not self._released and self._clock() >= self._deadline_ms:
            self._lose("it was not renewed in time")
        return self.lost.cancelled

    def require(self) -> SessionExecutionLeaseFence:
        """The fence, for a write.

        Raises:
            SessionLeaseLostError: the lease is lost.
        """
        if self.is_lost:
            raise self.lost_error()
        return self._lease.fence

    def lost_error(self) -> SessionLeaseLostError:
        """The error of a turn whose lease went."""
        return SessionLeaseLostError(self.session_id, self.lost.reason or "somebody else holds it")

    def lose(self, why: str) -> None:
        """Believe in it no more: a write was refused. Safe to repeat; nothing after a release."""
        if not self._released:
            self._lose(why)

    # -- the end ---------------------------------------------------------------------------------------

    async def release(self) -> bool:
        """Give the session back. Safe to repeat, and nothing where a commit did so or the lease was lost.

        Returns:
            True when the store released it now. A store that cannot be reached is logged: the lease ends by itself.
        """
        if self._released:
            return False
        self.mark_released()
        if self.lost.cancelled:
            return False
        try:
            return await self._store.release_session_execution_lease(self._lease.completion)
        except (LashError, OSError):
            _log.warning("the execution lease of session %s ends by itself", self.session_id, exc_info=True)
            return False

    def mark_released(self) -> None:
        """A commit released it: renew no more."""
        self._released = True
        self._task.cancel()

    # -- inside ----------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        pause_ms = float(self._timings.renew_interval_ms)
        while True:
            await asyncio.sleep(max(0.0, min(pause_ms, self._deadline_ms - self._clock())) / 1_000)
            if self.is_lost:
                return
            sent_at_ms = self._clock()
            try:
                async with asyncio.timeout(max(0.001, (self._deadline_ms - sent_at_ms) / 1_000)):
                    self._lease = await self._store.renew_session_execution_lease(
                        self._lease.fence, self._timings.ttl_ms
                    )
            except SessionExecutionLeaseExpiredError as error:
                self._lose(error.message)
                return
            except Exception:  # noqa: BLE001 - one failed call is no loss while there is margin (DESIGN 4)
                _log.debug("a renewal of session %s failed", self.session_id, exc_info=True)
                pause_ms = min(RETRY_DELAY_MS, self._timings.renew_interval_ms)
            else:
                self._extend(sent_at_ms)
                pause_ms = float(self._timings.renew_interval_ms)

    def _extend(self, sent_at_ms: float) -> None:
        ttl_ms = self._timings.ttl_ms
        margin_ms = min(max(ttl_ms / 10, MARGIN_MIN_MS), ttl_ms / MARGIN_PART_MAX)
        self._deadline_ms = sent_at_ms + ttl_ms - margin_ms

    def _lose(self, why: str) -> None:
        if self.lost.cancel(why):
            _log.warning("the execution lease of session %s is lost: %s", self.session_id, why)
