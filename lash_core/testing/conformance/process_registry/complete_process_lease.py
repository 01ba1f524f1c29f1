"""``complete_process_lease``: release by token (contract 2.8)."""

from __future__ import annotations

from lash_core.model.lease import ProcessLeaseCompletion
from lash_core.testing.conformance.process_registry.arrange import (
    claim_ready,
    claimed,
    completed,
    current,
    feed_end,
    in_feed,
    registered,
    registration,
    running,
    unique,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def the_row_is_free_at_once(stores: ConformanceStores) -> None:
    """Released reads as no lease, and the next worker gets it without a wait, under a higher fence."""
    record, lease = await running(stores)

    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert None is await stores.process_registry.get_process_lease(record.id)
    assert () == await stores.process_registry.leases_of_owner(lease.owner, 10)
    (item,) = await claim_ready(stores, record.queue)
    assert item.lease.fencing_token > lease.fencing_token
    assert (1, 0) == (item.record.attempt, item.record.deaths)


async def another_token_is_silent_success(stores: ConformanceStores) -> None:
    """A stale release, an unknown process, an empty token: nothing happens to the holder."""
    record, lease = await running(stores)

    for process_id, token in ((record.id, "another"), (record.id, ""), (unique("absent"), lease.lease_token)):
        await stores.process_registry.complete_process_lease(
            ProcessLeaseCompletion(process_id=process_id, lease_token=token)
        )

    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert lease.same_acquisition(held)


async def releasing_twice_is_harmless(stores: ConformanceStores) -> None:
    """The second release does not free the next holder's lease and counts nothing."""
    record, first = await running(stores)
    completion = ProcessLeaseCompletion.from_lease(first)
    await stores.process_registry.complete_process_lease(completion)
    await stores.process_registry.complete_process_lease(completion)
    second = await claimed(stores, record.id)

    await stores.process_registry.complete_process_lease(completion)

    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert second.same_acquisition(held)
    assert 1 == (await current(stores, record.id)).attempt


async def an_expired_lease_can_be_released_while_unclaimed(stores: ConformanceStores) -> None:
    """Late is better than never; the row is free and the release is no death."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert None is await stores.process_registry.get_process_lease(record.id)
    assert 0 == (await current(stores, record.id)).deaths


async def a_delayed_row_stays_delayed(stores: ConformanceStores) -> None:
    """Claiming by name and letting go does not start a row before its time."""
    record = await registered(stores, registration(delay_ms=3_600_000))
    lease = await claimed(stores, record.id)

    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert () == await claim_ready(stores, record.queue)


async def a_terminal_row_can_be_released(stores: ConformanceStores) -> None:
    """A worker that claimed an ended row lets it go, and nobody is offered it."""
    ended = await completed(stores)
    lease = await claimed(stores, ended.id)

    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert None is await stores.process_registry.get_process_lease(ended.id)
    assert () == await claim_ready(stores, ended.queue)
    assert ended.status == (await current(stores, ended.id)).status


async def the_row_and_the_feed_do_not_notice(stores: ConformanceStores) -> None:
    """A release is no change of the row."""
    record, lease = await running(stores)
    end = await feed_end(stores)
    await elapse(stores, 5)

    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert record.updated_at_ms == (await current(stores, record.id)).updated_at_ms
    assert not await in_feed(stores, end, record.id)
