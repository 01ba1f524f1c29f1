"""Claims of the fleet for the cases. They look at all sessions of the stores, so a case begins by holding the rest."""

from __future__ import annotations

from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.store.ready_sessions import CLAIM_SESSIONS_MAX, ReadySession
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.session_scene import TTL_MS, SessionStores, owner, ready_sessions_of

ROUNDS_MAX = 40


HELD_MS = 3_600_000
"""Longer than any case lets pass: what other cases left behind does not come up again in the middle of one."""


async def everybody_held(stores: SessionStores) -> None:
    """Take every session that is ready now, so that the case meets its own only.

    Raises:
        AssertionError: there are more than ``ROUNDS_MAX`` calls can take.
    """
    for _ in range(ROUNDS_MAX):
        if not await ready_sessions_of(stores).claim_ready_sessions(owner(), CLAIM_SESSIONS_MAX, HELD_MS):
            return
    raise AssertionError(f"sessions are ready after {ROUNDS_MAX} claims")


async def claimed_of(
    stores: SessionStores,
    *wanted: RuntimePersistence,
    by: LeaseOwnerIdentity | None = None,
    ttl_ms: int = TTL_MS,
) -> dict[str, ReadySession]:
    """Claim what is ready; those of ``wanted``, by session id."""
    names = {store.session_id for store in wanted}
    found: dict[str, ReadySession] = {}
    for _ in range(2):
        for ready in await ready_sessions_of(stores).claim_ready_sessions(by or owner(), CLAIM_SESSIONS_MAX, ttl_ms):
            if ready.lease.session_id in names:
                found[ready.lease.session_id] = ready
    return found
