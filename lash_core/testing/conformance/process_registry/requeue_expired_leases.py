"""``requeue_expired_leases``: deaths, their count and their back-off (DESIGN 3.2, 4: poison)."""

from __future__ import annotations

from lash_core.errors import LeaseLostError
from lash_core.model.lease import ReleaseReason
from lash_core.store.process_batches import LeasedRelease
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    SUCCESS,
    claim_ready,
    claimed,
    completed,
    current,
    note,
    registered,
    unique,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores, can_advance, elapse, short_ttl_ms


async def _requeue(stores: ConformanceStores, queue: str) -> int:
    return await stores.process_registry.requeue_expired_leases(100, (queue,))


async def _die(stores: ConformanceStores, queue: str) -> None:
    """Claim the one row of a queue, let its lease lapse and give it back."""
    ttl_ms = await short_ttl_ms(stores)
    (item,) = await claim_ready(stores, queue, ttl_ms=ttl_ms, limit=1)
    await elapse(stores, ttl_ms + 50)
    assert 1 == await _requeue(stores, queue), item.record.id


async def live_leases_stay(stores: ConformanceStores) -> None:
    """Only what has expired goes back."""
    record = await registered(stores)
    lease = await claimed(stores, record.id)

    assert 0 == await _requeue(stores, record.queue)

    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert lease.same_acquisition(held)


async def an_expired_lease_goes_back_to_its_queue(stores: ConformanceStores) -> None:
    """The row is free, its death and its attempt count, and the dead run can write nothing."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    assert 1 == await _requeue(stores, record.queue)
    assert 0 == await _requeue(stores, record.queue)

    row = await current(stores, record.id)
    assert (1, 1) == (row.attempt, row.deaths)
    assert record.updated_at_ms == row.updated_at_ms
    assert None is await stores.process_registry.get_process_lease(record.id)
    with refused(LeaseLostError, LOST):
        await stores.process_registry.append_event(record.id, note(), lease=lease)
    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def the_limit_and_the_queues_bound_it(stores: ConformanceStores) -> None:
    """Only rows of the given queues, and never more than asked for."""
    queue, other = unique("queue"), await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    await claimed(stores, other.id, ttl_ms=ttl_ms)
    for _ in range(3):
        record = await registered(stores, queue=queue)
        await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    registry = stores.process_registry

    counts = [await registry.requeue_expired_leases(2, (queue,)) for _ in range(3)]

    assert [2, 1, 0] == counts
    raw = await registry.get_process_lease(other.id)
    assert raw is not None
    assert 0 == await registry.requeue_expired_leases(0, (other.queue,))


async def a_claim_by_name_counts_the_death_too(stores: ConformanceStores) -> None:
    """Whoever takes an expired lease counts its death."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    await claimed(stores, record.id)

    row = await current(stores, record.id)
    assert (1, 1) == (row.attempt, row.deaths)


async def later_takeovers_stand_back(stores: ConformanceStores) -> None:
    """The first takeover is immediate; after deaths in a row the waits are 1, 5, 15, 60 and 60 s."""
    record = await registered(stores)
    await _die(stores, record.queue)
    await _die(stores, record.queue)
    assert 2 == (await current(stores, record.id)).deaths
    assert () == await claim_ready(stores, record.queue)
    if not await can_advance(stores):
        return
    await elapse(stores, 1_000)

    for deaths, wait_ms in ((3, 5_000), (4, 15_000), (5, 60_000), (6, 60_000)):
        await _die(stores, record.queue)
        assert deaths == (await current(stores, record.id)).deaths
        await elapse(stores, wait_ms - 500)
        assert () == await claim_ready(stores, record.queue), f"after death {deaths}"
        await elapse(stores, 500)

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def progress_resets_the_count(stores: ConformanceStores) -> None:
    """A fenced write since the last death means the process is not what kills its owners."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    await _die(stores, record.queue)
    (item,) = await claim_ready(stores, record.queue, ttl_ms=ttl_ms)
    await stores.process_registry.append_event(record.id, note("progress"), lease=item.lease)
    await elapse(stores, ttl_ms + 50)

    assert 1 == await _requeue(stores, record.queue)

    assert 1 == (await current(stores, record.id)).deaths
    assert [record.id] == [found.record.id for found in await claim_ready(stores, record.queue)]


async def releases_are_no_deaths(stores: ConformanceStores) -> None:
    """Parks, yields and declines between two deaths neither count nor reset."""
    record = await registered(stores)
    await _die(stores, record.queue)
    for kind in ("yielded", "declined", "parked", "released"):
        (item,) = await claim_ready(stores, record.queue)
        await stores.process_registry.release_process_leases([LeasedRelease(item.lease, ReleaseReason(kind=kind))])

    assert 1 == (await current(stores, record.id)).deaths
    await _die(stores, record.queue)
    assert 2 == (await current(stores, record.id)).deaths


async def a_terminal_rows_lease_goes_without_a_death(stores: ConformanceStores) -> None:
    """An ended row that somebody held is let go, and nothing else happens to it."""
    ended = await completed(stores)
    ttl_ms = await short_ttl_ms(stores)
    await claimed(stores, ended.id, worker(), ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    await _requeue(stores, ended.queue)

    row = await current(stores, ended.id)
    assert (0, SUCCESS) == (row.deaths, row.await_output)
    assert () == await claim_ready(stores, ended.queue)
