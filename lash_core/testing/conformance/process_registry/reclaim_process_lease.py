"""``reclaim_process_lease``: takeover by proof (contract 2.8, decision 35); the proof is the worker's to bring."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.model.lease import Acquired, Busy, ProcessLeaseCompletion
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    TTL_MS,
    claimed,
    registered,
    running,
    unique,
    unknown_text,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """There is nothing to take over."""
    _, lease = await running(stores)
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.reclaim_process_lease(process_id, worker(), lease, TTL_MS)


async def a_free_or_expired_row_is_claimed(stores: ConformanceStores) -> None:
    """Without a live holder no proof is needed; the fence rises."""
    registry = stores.process_registry
    ttl_ms = await short_ttl_ms(stores)
    expired_row, released_row = await registered(stores), await registered(stores)
    expired = await claimed(stores, expired_row.id, ttl_ms=ttl_ms)
    released = await claimed(stores, released_row.id)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(released))
    await elapse(stores, ttl_ms + 50)

    for observed in (expired, released):
        outcome = await registry.reclaim_process_lease(observed.process_id, worker(), observed, TTL_MS)
        assert isinstance(outcome, Acquired)
        assert outcome.lease.fencing_token > observed.fencing_token
        assert observed.lease_token != outcome.lease.lease_token


async def a_holder_that_may_live_is_busy(stores: ConformanceStores) -> None:
    """Opaque owners, other hosts, other boots and other pid namespaces are never provably dead."""
    registry = stores.process_registry
    here = LocalProcessLiveness(host_id="h1", boot_id="b1", pid_namespace="n1", pid=2**22 - 1, process_start=1)
    claimant = LeaseOwnerIdentity(owner_id=unique("worker"), incarnation_id=unique("boot"), liveness=here)
    elsewhere = [
        here.model_copy(update={"host_id": "h2"}),
        here.model_copy(update={"boot_id": "b2"}),
        here.model_copy(update={"pid_namespace": "n2"}),
    ]
    holders = [
        worker(),
        *(worker().model_copy(update={"liveness": liveness}) for liveness in elsewhere),
    ]

    for holder in holders:
        record = await registered(stores)
        lease = await claimed(stores, record.id, holder)
        outcome = await registry.reclaim_process_lease(record.id, claimant, lease, TTL_MS)
        assert isinstance(outcome, Busy)
        assert lease.same_acquisition(outcome.holder)
    opaque_claimant = worker()
    record = await registered(stores)
    lease = await claimed(stores, record.id, claimant)
    outcome = await registry.reclaim_process_lease(record.id, opaque_claimant, lease, TTL_MS)
    assert isinstance(outcome, Busy)


async def a_lease_that_changed_since_it_was_observed_is_busy(stores: ConformanceStores) -> None:
    """Compare and swap: whoever took the row in between keeps it."""
    record, observed = await running(stores)
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(observed))
    newer = await claimed(stores, record.id)

    outcome = await stores.process_registry.reclaim_process_lease(record.id, worker(), observed, TTL_MS)

    assert isinstance(outcome, Busy)
    assert newer.same_acquisition(outcome.holder)


async def the_own_incarnation_is_no_proof(stores: ConformanceStores) -> None:
    """Another incarnation of the same owner id proves nothing about the first."""
    record, lease = await running(stores)

    outcome = await stores.process_registry.reclaim_process_lease(
        record.id, lease.owner.with_incarnation(unique("reboot")), lease, TTL_MS
    )

    assert isinstance(outcome, Busy)
