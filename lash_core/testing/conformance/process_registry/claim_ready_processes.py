"""``claim_ready_processes``: DESIGN 3.2 and 4, decisions 2, 3 and 8."""

from __future__ import annotations

import asyncio

from lash_core.errors import InvalidArgumentError
from lash_core.model.facts import AbandonRequest, ProcessStarted
from lash_core.model.lease import ProcessLeaseCompletion, ReleaseReason
from lash_core.store.process_batches import LeasedRelease
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    SUCCESS,
    TTL_MS,
    claim_ready,
    claimed,
    completed,
    current,
    event,
    external,
    note,
    owner_bound,
    registered,
    registration,
    running,
    unique,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def gives_each_row_its_own_attempt(stores: ConformanceStores) -> None:
    """Every lease of a batch has the owner's id, an incarnation of its own under the worker's, and its row."""
    queue, owner = unique("queue"), worker()
    wanted = [registration(queue=queue) for _ in range(5)]
    rows = [await registered(stores, item) for item in wanted]

    found = await claim_ready(stores, queue, owner=owner)

    assert sorted(row.id for row in rows) == sorted(item.lease.process_id for item in found)
    assert {row.id: row for row in rows} == {item.record.id: item.record for item in found}
    incarnations = {item.lease.owner.incarnation_id for item in found}
    assert 5 == len(incarnations)
    assert all(incarnation.startswith(f"{owner.incarnation_id}:") for incarnation in incarnations)
    assert {owner.owner_id} == {item.lease.owner.owner_id for item in found}
    assert 5 == len({item.lease.fencing_token for item in found}) == len({item.lease.lease_token for item in found})
    assert {queue} == {item.lease.queue for item in found}
    for item in found:
        assert item.lease.claimed_at_epoch_ms + TTL_MS == item.lease.expires_at_epoch_ms


async def its_leases_are_leases(stores: ConformanceStores) -> None:
    """They can be read, renewed, written with, released and completed like any other."""
    record = await registered(stores)
    (item,) = await claim_ready(stores, record.queue, owner=worker())
    registry = stores.process_registry

    held = await registry.get_process_lease(record.id)
    assert held is not None
    assert item.lease.same_acquisition(held)
    renewed = await registry.renew_process_lease(item.lease, TTL_MS)
    await registry.append_event(record.id, note(), lease=renewed)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(renewed))
    (again,) = await claim_ready(stores, record.queue, owner=worker())
    ended = await registry.complete_process_with_lease(again.lease, SUCCESS)

    assert again.lease.fencing_token > item.lease.fencing_token
    assert "completed" == ended.status.state


async def a_second_batch_of_the_same_worker_takes_no_held_row(stores: ConformanceStores) -> None:
    """The worker's own live attempts are not handed to it again."""
    record, owner = await registered(stores), worker()

    first = await claim_ready(stores, record.queue, owner=owner)
    second = await claim_ready(stores, record.queue, owner=owner)

    assert (1, 0) == (len(first), len(second))


async def never_more_than_the_limit(stores: ConformanceStores) -> None:
    """Only as many as there are free slots; the rest stays for others."""
    queue = unique("queue")
    for _ in range(7):
        await registered(stores, registration(queue=queue))

    three = await stores.process_registry.claim_ready_processes(worker(), 3, TTL_MS, (queue,))
    none = await stores.process_registry.claim_ready_processes(worker(), 0, TTL_MS, (queue,))
    rest = await claim_ready(stores, queue)

    assert len(three) <= 3
    assert () == none
    assert 7 == len({item.lease.process_id for item in (*three, *rest)})


async def only_the_given_queues(stores: ConformanceStores) -> None:
    """Rows of other queues stay where they are; several queues may be served."""
    mine, also, foreign = [await registered(stores) for _ in range(3)]

    found = await stores.process_registry.claim_ready_processes(worker(), 10, TTL_MS, (mine.queue, also.queue))

    assert {mine.id, also.id} == {item.lease.process_id for item in found}
    assert None is await stores.process_registry.get_process_lease(foreign.id)
    assert () == await stores.process_registry.claim_ready_processes(worker(), 10, TTL_MS, ())


async def rows_that_are_not_due_stay(stores: ConformanceStores) -> None:
    """A delayed row is claimed when its time has come and not before."""
    delay_ms = await short_ttl_ms(stores)
    record = await registered(stores, registration(delay_ms=delay_ms))

    assert () == await claim_ready(stores, record.queue)
    await elapse(stores, delay_ms + 1)

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def a_due_time_in_the_past_is_due(stores: ConformanceStores) -> None:
    """An absolute due time before now means at once."""
    record = await registered(stores, registration(due_at_ms=1))

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def an_event_makes_no_delayed_row_due(stores: ConformanceStores) -> None:
    """A note or a signal for a row that has not started does not start it early."""
    record = await registered(stores, registration(delay_ms=3_600_000))

    await stores.process_registry.append_event(record.id, note())
    await stores.process_registry.append_event(record.id, event("signal.approve", {"by": "a"}, "s"))

    assert () == await claim_ready(stores, record.queue)


async def ended_rows_are_not_offered(stores: ConformanceStores) -> None:
    """However the row ended, and also after the lease of an ended row has lapsed."""
    registry = stores.process_registry
    ended = await completed(stores)
    by_event = await registered(stores)
    await registry.append_event(by_event.id, event("finished", {}, "end"))
    ttl_ms = await short_ttl_ms(stores)
    lapsed = await registered(stores)
    await claimed(stores, lapsed.id, ttl_ms=ttl_ms)
    await registry.append_event(lapsed.id, event("finished", {}, "end"))
    released = await registered(stores)
    lease = await claimed(stores, released.id)
    await registry.append_event(released.id, event("finished", {}, "end"))
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))
    await elapse(stores, ttl_ms + 50)

    for record in (ended, by_event, lapsed, released):
        assert () == await claim_ready(stores, record.queue), record.id


async def externally_owned_rows_are_not_offered(stores: ConformanceStores) -> None:
    """Not at the start, not after an event or a cancel request, not after a lease on them was released."""
    registry = stores.process_registry
    record = await registered(stores, external())
    assert () == await claim_ready(stores, record.queue)

    await registry.append_event(record.id, note())
    await registry.append_event(record.id, event("process.cancel_requested", {"reason": None}, "cancel"))
    assert () == await claim_ready(stores, record.queue)

    lease = await claimed(stores, record.id)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))
    assert () == await claim_ready(stores, record.queue)
    assert "running" == (await current(stores, record.id)).status.state


async def an_abandon_request_offers_an_externally_owned_row(stores: ConformanceStores) -> None:
    """A worker has to record the abandonment (contract 3.4)."""
    record = await registered(stores, external())

    await stores.process_registry.request_abandon(record.id, AbandonRequest(requested_by="ops", requested_at_ms=1))

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def a_started_owner_bound_row_waits_for_evidence(stores: ConformanceStores) -> None:
    """Given back without evidence it is offered to nobody; an abandon request offers it again."""
    registry = stores.process_registry
    record, lease = await running(stores, owner_bound())
    await registry.record_first_started(
        record.id, ProcessStarted(owner=lease.owner, started_at_ms=lease.claimed_at_epoch_ms), lease=lease
    )
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert () == await claim_ready(stores, record.queue)
    await registry.request_abandon(record.id, AbandonRequest(requested_by="ops", requested_at_ms=1))

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def an_owner_bound_row_before_its_start_is_offered_again(stores: ConformanceStores) -> None:
    """Until the start is recorded anyone may run it."""
    record, lease = await running(stores, owner_bound())
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def expired_leases_come_back(stores: ConformanceStores) -> None:
    """A dead worker's row is claimable as soon as its lease has expired: the first takeover is immediate."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    first = await claim_ready(stores, record.queue, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    second = await claim_ready(stores, record.queue)

    assert [record.id] == [item.record.id for item in second]
    assert second[0].lease.fencing_token > first[0].lease.fencing_token
    assert (1, 1) == (second[0].record.attempt, second[0].record.deaths)


async def the_record_is_read_under_the_lease(stores: ConformanceStores) -> None:
    """The row in the answer has everything written before the claim (hazard 1)."""
    registry = stores.process_registry
    record = await registered(stores, owner_bound())
    lease = await claimed(stores, record.id)
    started = ProcessStarted(owner=lease.owner, started_at_ms=lease.claimed_at_epoch_ms)
    await registry.record_first_started(record.id, started, lease=lease)
    await registry.request_abandon(record.id, AbandonRequest(requested_by="ops", requested_at_ms=1))
    await registry.append_event(record.id, note("last word"), lease=lease)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    (item,) = await claim_ready(stores, record.queue)

    assert started == item.record.first_started
    assert (1, 2, 1) == (item.record.last_sequence, item.record.fenced_writes, item.record.attempt)
    assert 2 == item.lease.fenced_writes
    assert await current(stores, record.id) == item.record


async def racing_workers_share_the_rows(stores: ConformanceStores) -> None:
    """Eight workers at once over forty rows: every row once."""
    queue = unique("queue")
    wanted = [registration(queue=queue) for _ in range(40)]
    await stores.process_registry.register_processes(wanted)

    batches = await asyncio.gather(*(claim_ready(stores, queue, limit=10) for _ in range(8)))

    taken = [item.lease.process_id for batch in batches for item in batch]
    assert sorted(item.id for item in wanted) == sorted(taken)


async def a_declined_row_comes_back_after_its_delay(stores: ConformanceStores) -> None:
    """A declined row comes back after its delay only."""
    record = await registered(stores)
    (item,) = await claim_ready(stores, record.queue)
    reason = ReleaseReason(kind="declined", due_in_ms=3_600_000, detail="unknown kind")
    await stores.process_registry.release_process_leases([LeasedRelease(item.lease, reason)])

    assert () == await claim_ready(stores, record.queue)


async def bad_arguments_are_refused(stores: ConformanceStores) -> None:
    """A negative limit or TTL names its field."""
    queue = unique("queue")
    for limit, ttl_ms, field in ((-1, TTL_MS, "limit"), (1, -1, "lease_ttl_ms")):
        with refused(InvalidArgumentError) as refusal:
            await stores.process_registry.claim_ready_processes(worker(), limit, ttl_ms, (queue,))
        assert field == refusal.error.field
