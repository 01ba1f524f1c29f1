"""Ends the session leases of workers that are provably dead, so that a peer redoes their turns at once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.store.ready_sessions import SESSION_LEASES_PAGE, ReadySessions

PAGES_MAX = 200
"""100,000 live sessions: more than any fleet has at work at once."""

_log = logging.getLogger(__name__)


async def expire_sessions_of(ready: ReadySessions, dead: LeaseOwnerIdentity) -> int:
    """End the leases of one OS process that is gone; returns how many were ended by this call. Safe to repeat.

    A lease whose owner is an attempt of that process or a run of its own counts alike: what is dead is the process.

    Raises:
        LashError: the store.
    """
    return await _expire(ready, lambda lease: lease.owner.liveness == dead.liveness)


async def owners_of_sessions(ready: ReadySessions) -> tuple[LeaseOwnerIdentity, ...]:
    """Who holds sessions now. Raises: LashError."""
    owners: dict[str, LeaseOwnerIdentity] = {}
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        leases, cursor = await ready.live_session_leases(cursor, SESSION_LEASES_PAGE)
        owners.update((lease.owner.incarnation_id, lease.owner) for lease in leases)
        if cursor is None:
            break
    return tuple(owners.values())


async def _expire(ready: ReadySessions, is_dead: Callable[[SessionExecutionLease], bool]) -> int:
    ended = 0
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        leases, cursor = await ready.live_session_leases(cursor, SESSION_LEASES_PAGE)
        theirs = [lease for lease in leases if is_dead(lease)]
        if theirs:
            ended += sum(await ready.expire_session_leases(theirs))
        if cursor is None:
            break
    if ended:
        _log.info("%d sessions of a dead worker go on elsewhere", ended)
    return ended
