"""``reclaim_session_execution_lease``: takeover by proof of death, which is the claimant's to bring.

``docs/contracts/sessions.md`` 2.3.
"""

from __future__ import annotations

import asyncio
from typing import Any

from lash_core.errors.session import SessionBindingMismatchError
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.model.session_lease import SessionLeaseAcquired, SessionLeaseBusy
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import TTL_MS, SessionStores, leased, opened, owner, taken_over
from lash_core.testing.conformance.stores import elapse, short_ttl_ms

_PLACE: dict[str, Any] = {"host_id": "h1", "boot_id": "b1", "pid_namespace": "n1", "process_start": 1}
_DEAD_PID = 2**22 - 1


class _Dead:
    """Sees one process as gone."""

    def is_dead(self, pid: int, process_start: int) -> bool:
        """True for that one."""
        return pid == _DEAD_PID


async def what_is_not_live_is_claimed(stores: SessionStores) -> None:
    """Expired or released: no proof is needed, the fencing number rises."""
    expired_store, released_store = await opened(stores), await opened(stores)
    ttl_ms = await short_ttl_ms(stores)
    expired, released = await leased(expired_store, ttl_ms=ttl_ms), await leased(released_store)
    assert await released_store.release_session_execution_lease(released.completion)
    await elapse(stores, ttl_ms + 50)

    for store, observed in ((expired_store, expired), (released_store, released)):
        outcome = await store.reclaim_session_execution_lease(store.session_id, owner(), observed.fence, TTL_MS)
        assert isinstance(outcome, SessionLeaseAcquired)
        assert outcome.lease.fencing_token > observed.fencing_token


async def an_observed_lease_of_another_session_is_refused(stores: SessionStores) -> None:
    """It proves nothing about this one."""
    store, other = await opened(stores), await opened(stores)
    await leased(store)
    theirs = await leased(other)

    with refused(SessionBindingMismatchError, store.session_id, other.session_id):
        await store.reclaim_session_execution_lease(store.session_id, owner(), theirs.fence, TTL_MS)


async def a_holder_that_may_live_is_busy(stores: SessionStores) -> None:
    """An opaque owner, another host, another boot: never provably dead."""
    here = LocalProcessLiveness(host_id="h1", boot_id="b1", pid_namespace="n1", pid=2**22 - 1, process_start=1)
    claimant = LeaseOwnerIdentity(owner_id=unique("owner"), incarnation_id=unique("boot"), liveness=here)
    elsewhere = [here.model_copy(update=change) for change in ({"host_id": "h2"}, {"boot_id": "b2"})]
    holders = [owner(), *(owner().model_copy(update={"liveness": liveness}) for liveness in elsewhere)]
    for holder in holders:
        store = await opened(stores)
        held = await leased(store, holder)

        outcome = await store.reclaim_session_execution_lease(store.session_id, claimant, held.fence, TTL_MS)

        assert isinstance(outcome, SessionLeaseBusy)
        assert held == await store.get_session_execution_lease(store.session_id)


async def a_dead_holder_is_taken_over_by_one(stores: SessionStores) -> None:
    """Of many that see that it is dead one wins, also when they learned to see it after the stores were made."""
    use_process_table = getattr(stores.process_registry, "use_process_table", None)
    if use_process_table is None:
        return
    use_process_table(_Dead())
    store, here = await opened(stores), LocalProcessLiveness(**_PLACE, pid=7)
    held = await leased(store, owner().model_copy(update={"liveness": here.model_copy(update={"pid": _DEAD_PID})}))
    claimants = [owner().model_copy(update={"liveness": here}) for _ in range(8)]

    outcomes = await asyncio.gather(
        *(store.reclaim_session_execution_lease(store.session_id, one, held.fence, TTL_MS) for one in claimants)
    )

    taken = [outcome.lease for outcome in outcomes if isinstance(outcome, SessionLeaseAcquired)]
    assert 1 == len(taken)
    assert taken[0].fencing_token > held.fencing_token


async def a_proof_is_of_the_stored_owner(stores: SessionStores) -> None:
    """An opaque owner is never provably dead, whatever the caller says that it observed."""
    use_process_table = getattr(stores.process_registry, "use_process_table", None)
    if use_process_table is None:
        return
    use_process_table(_Dead())
    store, here = await opened(stores), LocalProcessLiveness(**_PLACE, pid=7)
    held = await leased(store)
    dead = held.owner.model_copy(update={"liveness": here.model_copy(update={"pid": _DEAD_PID})})
    observed = held.fence.model_copy(update={"owner": dead})
    claimant = owner().model_copy(update={"liveness": here})

    outcome = await store.reclaim_session_execution_lease(store.session_id, claimant, observed, TTL_MS)

    assert isinstance(outcome, SessionLeaseBusy)


async def another_holder_than_observed_is_busy(stores: SessionStores) -> None:
    """Compare and swap: who was faster stays."""
    store = await opened(stores)
    observed = await leased(store)
    held = await taken_over(store, observed)

    outcome = await store.reclaim_session_execution_lease(store.session_id, owner(), observed.fence, TTL_MS)

    assert isinstance(outcome, SessionLeaseBusy)
    assert held.fencing_token == outcome.holder.fencing_token


async def the_own_lease_is_reentered(stores: SessionStores) -> None:
    """Who holds the session already goes on holding it."""
    store, me = await opened(stores), owner()
    held = await leased(store, me)

    outcome = await store.reclaim_session_execution_lease(store.session_id, me, held.fence, TTL_MS)

    assert isinstance(outcome, SessionLeaseAcquired)
    assert held.same_acquisition(outcome.lease)
