"""``renew_process_lease``: contract 2.8."""

from __future__ import annotations

from lash_core.errors import LeaseLostError
from lash_core.model.lease import ProcessLeaseCompletion
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    TTL_MS,
    claimed,
    current,
    registered,
    running,
    unique,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def moves_the_expiry_and_nothing_else(stores: ConformanceStores) -> None:
    """Expiry is now plus TTL; token, fence, claim time and owner stay."""
    record, lease = await running(stores)
    await elapse(stores, 5)

    renewed = await stores.process_registry.renew_process_lease(lease, TTL_MS)

    assert renewed.expires_at_epoch_ms > lease.expires_at_epoch_ms
    assert lease.same_acquisition(renewed)
    assert lease.claimed_at_epoch_ms == renewed.claimed_at_epoch_ms
    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert renewed.expires_at_epoch_ms == held.expires_at_epoch_ms


async def a_shorter_ttl_counts_from_now(stores: ConformanceStores) -> None:
    """A renewal says when the lease ends, also when that is earlier."""
    _, lease = await running(stores)

    renewed = await stores.process_registry.renew_process_lease(lease, 30_000)

    assert renewed.expires_at_epoch_ms < lease.expires_at_epoch_ms


async def renewed_leases_outlive_their_first_expiry(stores: ConformanceStores) -> None:
    """Kept up in time, a lease is never lost."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, record.id, ttl_ms=ttl_ms)

    for _ in range(4):
        await elapse(stores, ttl_ms // 3)
        lease = await stores.process_registry.renew_process_lease(lease, ttl_ms)

    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert lease.same_acquisition(held)


async def an_expired_lease_cannot_be_renewed(stores: ConformanceStores) -> None:
    """Even if nobody took the row; the caller's idea of the expiry does not count."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    for stale in (lease, lease.model_copy(update={"expires_at_epoch_ms": lease.expires_at_epoch_ms + 10**9})):
        with refused(LeaseLostError, LOST):
            await stores.process_registry.renew_process_lease(stale, TTL_MS)


async def a_forged_lease_cannot_be_renewed(stores: ConformanceStores) -> None:
    """Token, fence and incarnation must match, and the row must be there."""
    _, lease = await running(stores)
    forgeries = [
        {"lease_token": "forged"},
        {"fencing_token": lease.fencing_token + 1},
        {"owner": lease.owner.with_incarnation("another")},
        {"owner": worker()},
        {"process_id": unique("absent")},
    ]

    for forgery in forgeries:
        with refused(LeaseLostError, LOST):
            await stores.process_registry.renew_process_lease(lease.model_copy(update=forgery), TTL_MS)

    await stores.process_registry.renew_process_lease(lease, TTL_MS)


async def a_released_or_taken_lease_cannot_be_renewed(stores: ConformanceStores) -> None:
    """What was given back stays given back."""
    record, lease = await running(stores)
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))
    with refused(LeaseLostError, LOST):
        await stores.process_registry.renew_process_lease(lease, TTL_MS)

    await claimed(stores, record.id)

    with refused(LeaseLostError, LOST):
        await stores.process_registry.renew_process_lease(lease, TTL_MS)


async def the_row_is_not_touched(stores: ConformanceStores) -> None:
    """Renewing is no change of the row."""
    record, lease = await running(stores)
    await elapse(stores, 5)

    await stores.process_registry.renew_process_lease(lease, TTL_MS)

    row = await current(stores, record.id)
    assert (record.updated_at_ms, record.fenced_writes) == (row.updated_at_ms, row.fenced_writes)
