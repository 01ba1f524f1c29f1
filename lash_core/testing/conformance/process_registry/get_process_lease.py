"""``get_process_lease``, ``leases_of_owner`` and ``lease_owners``: raw facts (contract 2.8)."""

from __future__ import annotations

from lash_core.model.lease import ProcessLeaseCompletion
from lash_core.testing.conformance.process_registry.arrange import (
    TTL_MS,
    claim_ready,
    claimed,
    completed,
    registered,
    registration,
    unique,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def none_when_nobody_ever_held_it(stores: ConformanceStores) -> None:
    """Never claimed, released, completed, unknown: no lease."""
    registry = stores.process_registry
    record = await registered(stores)
    assert None is await registry.get_process_lease(record.id)
    lease = await claimed(stores, record.id)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert None is await registry.get_process_lease(record.id)
    assert None is await registry.get_process_lease((await completed(stores)).id)
    assert None is await registry.get_process_lease(unique("absent"))


async def an_expired_lease_is_still_shown(stores: ConformanceStores) -> None:
    """The raw fact, until somebody takes or requeues it."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    raw = await stores.process_registry.get_process_lease(record.id)

    assert raw is not None
    assert lease.same_acquisition(raw)
    assert (lease.expires_at_epoch_ms, lease.claimed_at_epoch_ms) == (
        raw.expires_at_epoch_ms,
        raw.claimed_at_epoch_ms,
    )


async def leases_are_found_by_worker(stores: ConformanceStores) -> None:
    """All attempts of one worker incarnation, and nobody else's; the limit bounds the answer."""
    registry = stores.process_registry
    queue, owner = unique("queue"), worker()
    for _ in range(4):
        await registered(stores, registration(queue=queue))
    batch = await claim_ready(stores, queue, owner=owner)
    named = await registered(stores)
    lease = await claimed(stores, named.id, owner)
    await claimed(stores, (await registered(stores)).id, worker())
    await claimed(stores, (await registered(stores)).id, owner.with_incarnation(unique("reboot")))

    held = await registry.leases_of_owner(owner, 100)

    expected = {item.lease.lease_token for item in batch} | {lease.lease_token}
    assert expected == {item.lease_token for item in held}
    assert 5 == len(held)
    assert 2 == len(await registry.leases_of_owner(owner, 2))


async def owners_that_hold_leases_are_listed(stores: ConformanceStores) -> None:
    """Worker incarnations, not their attempts, each once; gone when they hold nothing."""
    registry = stores.process_registry
    record, owner = await registered(stores), worker()
    (item,) = await claim_ready(stores, record.queue, owner=owner)

    assert 1 == sum(owner == found for found in await registry.lease_owners())
    assert item.lease.owner not in await registry.lease_owners()
    await registry.renew_process_lease(item.lease, TTL_MS)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(item.lease))

    assert owner not in await registry.lease_owners()
