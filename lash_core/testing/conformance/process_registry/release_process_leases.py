"""``release_process_leases``: giving rows back with a reason and a next time (DESIGN 4: parking, declining, drain)."""

from __future__ import annotations

from lash_core.errors import LeaseLostError, UnknownProcessError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.lease import ReleaseReason
from lash_core.store.process_batches import LeasedRelease
from lash_core.testing.conformance.process_registry.arrange import (
    claim_ready,
    claimed,
    current,
    event,
    note,
    registered,
    running,
    unique,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def a_yielded_row_is_free_at_once(stores: ConformanceStores) -> None:
    """A drain hands its work to a peer without a wait; the attempt counts, a death does not."""
    record, lease = await running(stores)

    (outcome,) = await stores.process_registry.release_process_leases(
        [LeasedRelease(lease, ReleaseReason(kind="yielded", detail="drain"))]
    )

    assert (record.id, None) == (outcome.process_id, outcome.error)
    assert None is await stores.process_registry.get_process_lease(record.id)
    (item,) = await claim_ready(stores, record.queue)
    assert (1, 0) == (item.record.attempt, item.record.deaths)


async def a_parked_row_waits_for_its_time(stores: ConformanceStores) -> None:
    """Due in so many ms of the store's clock."""
    record, lease = await running(stores)
    wait_ms = await short_ttl_ms(stores)

    await stores.process_registry.release_process_leases(
        [LeasedRelease(lease, ReleaseReason(kind="parked", due_in_ms=wait_ms))]
    )

    assert () == await claim_ready(stores, record.queue)
    await elapse(stores, wait_ms + 1)
    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def a_row_parked_for_an_event_waits_for_it(stores: ConformanceStores) -> None:
    """Not before something happens, and then at once."""
    record, lease = await running(stores)
    await stores.process_registry.release_process_leases(
        [LeasedRelease(lease, ReleaseReason(kind="parked", due_in_ms=-1))]
    )
    assert () == await claim_ready(stores, record.queue)

    await stores.process_registry.append_event(
        record.id, ProcessEventAppendRequest.signal(record.id, "approve", {"by": "ops"}, signal_id="s1")
    )

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def a_signal_before_the_parking_is_not_missed(stores: ConformanceStores) -> None:
    """An event that came while the run was deciding to park makes the row claimable at once."""
    record, lease = await running(stores)
    await stores.process_registry.append_event(
        record.id, ProcessEventAppendRequest.signal(record.id, "approve", {"by": "ops"}, signal_id="s1")
    )

    await stores.process_registry.release_process_leases(
        [LeasedRelease(lease, ReleaseReason(kind="parked", due_in_ms=-1))]
    )

    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def a_declined_row_counts_no_attempt(stores: ConformanceStores) -> None:
    """A worker that lacks the kind gives the row back as if it had never had it, with a delay."""
    record, lease = await running(stores)
    wait_ms = await short_ttl_ms(stores)

    await stores.process_registry.release_process_leases(
        [LeasedRelease(lease, ReleaseReason(kind="declined", due_in_ms=wait_ms, detail="unknown kind"))]
    )

    assert (0, 0) == ((await current(stores, record.id)).attempt, (await current(stores, record.id)).deaths)
    assert () == await claim_ready(stores, record.queue)
    await elapse(stores, wait_ms + 1)
    assert [record.id] == [item.record.id for item in await claim_ready(stores, record.queue)]


async def releases_are_fenced(stores: ConformanceStores) -> None:
    """A stale run gives nothing back: each item has its own answer."""
    registry = stores.process_registry
    ttl_ms = await short_ttl_ms(stores)
    expired_row = await registered(stores)
    expired = await claimed(stores, expired_row.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    held_row, held = await running(stores)
    good_row, good = await running(stores)
    parked = ReleaseReason(kind="parked", due_in_ms=-1)
    absent = unique("absent")

    outcomes = await registry.release_process_leases(
        [
            LeasedRelease(expired, parked),
            LeasedRelease(held.model_copy(update={"lease_token": "forged"}), parked),
            LeasedRelease(held.model_copy(update={"process_id": absent}), parked),
            LeasedRelease(good, parked),
        ]
    )

    assert [expired_row.id, held_row.id, absent, good_row.id] == [item.process_id for item in outcomes]
    errors = [type(item.error) for item in outcomes]
    assert [LeaseLostError, LeaseLostError, UnknownProcessError, type(None)] == errors
    still = await registry.get_process_lease(held_row.id)
    assert still is not None
    assert held.same_acquisition(still)


async def repeating_a_release_changes_nothing(stores: ConformanceStores) -> None:
    """A repeat after a lost reply is not refused, counts nothing and does not move the due time."""
    record, lease = await running(stores)
    release = LeasedRelease(lease, ReleaseReason(kind="yielded"))
    await stores.process_registry.release_process_leases([release])
    before = await current(stores, record.id)

    (again,) = await stores.process_registry.release_process_leases([release])

    assert None is again.error
    assert before == await current(stores, record.id)


async def a_terminal_row_is_released_for_good(stores: ConformanceStores) -> None:
    """Whatever the reason says, an ended row is offered to nobody."""
    record, lease = await running(stores)
    await stores.process_registry.append_event(record.id, event("finished", {}, "end"))

    await stores.process_registry.release_process_leases([LeasedRelease(lease, ReleaseReason(kind="yielded"))])

    assert None is await stores.process_registry.get_process_lease(record.id)
    assert () == await claim_ready(stores, record.queue)


async def the_row_is_not_touched(stores: ConformanceStores) -> None:
    """Giving back appends no event and moves no time."""
    record, lease = await running(stores)
    await stores.process_registry.append_event(record.id, note(), lease=lease)
    before = await current(stores, record.id)
    await elapse(stores, 5)

    await stores.process_registry.release_process_leases([LeasedRelease(lease, ReleaseReason(kind="yielded"))])

    after = await current(stores, record.id)
    assert (before.updated_at_ms, before.last_sequence) == (after.updated_at_ms, after.last_sequence)
