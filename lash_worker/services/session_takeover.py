"""Ends the session leases of workers that are provably dead: a peer redoes their turns at once (docs/adr/0205)."""

from __future__ import annotations

import logging

from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.session_metrics import SessionMetrics
from lash_core.store.ready_sessions import SESSION_LEASES_PAGE, ReadySessions

PAGES_MAX = 200
"""100,000 live sessions: more than any fleet has at work at once."""

_log = logging.getLogger(__name__)


class SessionTakeover:
    """The part of a takeover that concerns sessions; ``Takeover`` proves the deaths."""

    def __init__(self, ready: ReadySessions, metrics: SessionMetrics) -> None:
        self._ready = ready
        self._metrics = metrics

    async def owners(self) -> tuple[LeaseOwnerIdentity, ...]:
        """Who holds sessions now. Raises: LashError."""
        owners: dict[str, LeaseOwnerIdentity] = {}
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            leases, cursor = await self._ready.live_session_leases(cursor, SESSION_LEASES_PAGE)
            owners.update((lease.owner.incarnation_id, lease.owner) for lease in leases)
            if cursor is None:
                break
        return tuple(owners.values())

    async def free_sessions_of(self, dead: LeaseOwnerIdentity) -> int:
        """End the leases of an OS process that is gone; returns how many this call ended. Safe to repeat.

        Whatever took them, an attempt, a run of a process or a program of its own: what is dead is the OS process.

        Raises:
            LashError: the store.
        """
        ended = 0
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            leases, cursor = await self._ready.live_session_leases(cursor, SESSION_LEASES_PAGE)
            theirs = [lease for lease in leases if lease.owner.liveness == dead.liveness]
            if theirs:
                ended += sum(await self._ready.expire_session_leases(theirs))
            if cursor is None:
                break
        if ended:
            self._metrics.taken_over.inc(ended)
            _log.info("worker %s is dead; sessions that go on elsewhere: %d", dead.owner_id, ended)
        return ended
