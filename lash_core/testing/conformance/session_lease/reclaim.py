"""``reclaim_session_execution_lease``: takeover by proof of death, which is the claimant's to bring (contract 2.3)."""

from __future__ import annotations

from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.model.session_lease import SessionLeaseAcquired, SessionLeaseBusy
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import TTL_MS, SessionStores, leased, opened, owner, taken_over
from lash_core.testing.conformance.stores import elapse, short_ttl_ms


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
