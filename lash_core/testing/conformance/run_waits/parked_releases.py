"""Leaving memory to wait: what wakes a parked row, and that nothing between the last look and the release is missed."""

from __future__ import annotations

from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ReleaseReason
from lash_core.store.process_batches import LeasedRelease
from lash_core.testing.conformance.await_events.arrange import OK, key_of
from lash_core.testing.conformance.process_registry.arrange import (
    claim_ready,
    claimed,
    current,
    feed_end,
    in_feed,
    note,
    owner_bound,
    registered,
    running,
)
from lash_core.testing.conformance.process_registry.set_wait import wait_for
from lash_core.testing.conformance.run_waits.arrange import (
    LATER_MS,
    UNTIL_SOMETHING,
    approval,
    given_back,
    is_due,
    look,
    parked,
)
from lash_core.testing.conformance.stores import EffectStores, elapse, run_waits, short_ttl_ms


async def a_parked_row_is_due_at_its_time(stores: EffectStores) -> None:
    """The run that leaves counts as an attempt; the next one gets the row when the wait is over."""
    row, lease = await running(stores)
    wait_ms = await short_ttl_ms(stores)
    await given_back(stores, lease, due_in_ms=wait_ms, marks_seen=(await look(stores, lease)).marks_seen)

    assert not await is_due(stores, row)
    await elapse(stores, wait_ms + 1)

    (item,) = await claim_ready(stores, row.queue)
    assert (row.id, 1, 0) == (item.record.id, item.record.attempt, item.record.deaths)


async def an_event_wakes_a_parked_row(stores: EffectStores) -> None:
    """Whether it waits for ever or for a time: any event from outside may be what it waits for."""
    for due_in_ms in (UNTIL_SOMETHING, LATER_MS):
        for signalled in (True, False):
            row = await parked(stores, due_in_ms=due_in_ms)

            request = approval(row.id) if signalled else note("from outside")
            await stores.process_registry.append_event(row.id, request)

            assert await is_due(stores, row)


async def a_resolution_wakes_a_parked_row(stores: EffectStores) -> None:
    """The first one; a second resolution is refused and wakes nobody."""
    for due_in_ms in (UNTIL_SOMETHING, LATER_MS):
        row, lease = await running(stores)
        key = key_of(ExecutionScope.process(row.id))
        await stores.promises.open_promise(key)
        await given_back(stores, lease, due_in_ms=due_in_ms, marks_seen=(await look(stores, lease)).marks_seen)
        await stores.promises.peek_promise(key)
        await stores.promises.open_promise(key)
        assert not await is_due(stores, row)

        await stores.promises.resolve_promise(key, OK)

        (item,) = await claim_ready(stores, row.queue)
        await given_back(stores, item.lease, due_in_ms=due_in_ms)
        await stores.promises.resolve_promise(key, OK)
        assert not await is_due(stores, row)


async def a_sweep_wakes_a_parked_row(stores: EffectStores) -> None:
    """A cancelled wait is over; a sweep that finds nothing wakes nobody."""
    row, lease = await running(stores)
    scope = ExecutionScope.process(row.id)
    await stores.promises.open_promise(key_of(scope))
    await given_back(stores, lease)
    assert not await is_due(stores, row)

    assert 1 == await stores.promises.cancel_promises(scope)
    assert await is_due(stores, row)

    other = await parked(stores)
    assert 0 == await stores.promises.cancel_promises(ExecutionScope.process(other.id))
    assert not await is_due(stores, other)


async def a_cancel_wakes_a_parked_row(stores: EffectStores) -> None:
    """At once, whatever it waits for; a repeat of the same request wakes nobody."""
    for due_in_ms in (UNTIL_SOMETHING, LATER_MS):
        row = await parked(stores, due_in_ms=due_in_ms)
        request = ProcessEventAppendRequest.cancel_requested(row.id, "stop")

        await stores.process_registry.append_event(row.id, request)

        (item,) = await claim_ready(stores, row.queue)
        assert item.record.cancel_request is not None
        await given_back(stores, item.lease, due_in_ms=due_in_ms)
        await stores.process_registry.append_event(row.id, request)
        assert not await is_due(stores, row)


async def an_event_after_the_look_is_not_missed(stores: EffectStores) -> None:
    """The race that parking must not lose: signal, cancel or resolution between the look and the release."""
    registry = stores.process_registry
    for number in range(4):
        row, lease = await running(stores)
        await registry.append_event(row.id, note("seen"))
        seen = (await look(stores, lease)).marks_seen
        match number:
            case 0:
                await registry.append_event(row.id, approval(row.id))
            case 1:
                await registry.append_event(row.id, ProcessEventAppendRequest.cancel_requested(row.id, "stop"))
            case 2:
                await stores.promises.resolve_promise(key_of(ExecutionScope.process(row.id)), OK)
            case _:
                await registry.append_event(row.id, note("unseen"))
                await registry.renew_process_leases([lease], 600_000)

        await given_back(stores, lease, due_in_ms=LATER_MS, marks_seen=seen)

        assert await is_due(stores, row), f"what happened in race {number} was slept through"


async def an_event_before_the_look_is_not_waited_for_again(stores: EffectStores) -> None:
    """What the run has seen does not wake it: it may be parked after many signals."""
    row, lease = await running(stores)
    for number in range(3):
        await stores.process_registry.append_event(row.id, approval(row.id, str(number)))
    await stores.process_registry.renew_process_leases([lease], 600_000)

    await given_back(stores, lease, marks_seen=(await look(stores, lease)).marks_seen)

    assert not await is_due(stores, row)


async def a_run_that_never_looked_misses_nothing(stores: EffectStores) -> None:
    """Without marks, anything since the claim makes the row due at once; what was before the claim does not."""
    row = await registered(stores)
    await stores.process_registry.append_event(row.id, approval(row.id, "before"))
    lease = await claimed(stores, row.id)
    await given_back(stores, lease)
    assert not await is_due(stores, row)

    second = await claimed(stores, row.id)
    await stores.process_registry.append_event(row.id, approval(row.id, "since"))
    await stores.process_registry.renew_process_leases([second], 600_000)
    await given_back(stores, second)

    assert await is_due(stores, row)


async def marks_are_of_one_claim(stores: EffectStores) -> None:
    """Each run counts for itself: what woke it is not held against it when it parks again."""
    row = await parked(stores)
    await stores.process_registry.append_event(row.id, approval(row.id))
    (item,) = await claim_ready(stores, row.queue)
    fresh, fresh_lease = await running(stores)

    assert (await look(stores, fresh_lease)).marks_seen == (await look(stores, item.lease)).marks_seen
    await given_back(stores, item.lease, marks_seen=(await look(stores, item.lease)).marks_seen)

    assert not await is_due(stores, row)
    assert fresh.id != row.id


async def what_is_not_parked_is_not_woken_by_events(stores: EffectStores) -> None:
    """Delayed, declined, yielded for later, never started, after a death: each stands back until its time."""
    registry = stores.process_registry
    rows = [await registered(stores, delay_ms=LATER_MS)]
    for kind in ("declined", "yielded", "released"):
        row, lease = await running(stores)
        await given_back(stores, lease, kind=kind, due_in_ms=LATER_MS)
        rows.append(row)
    for row in rows:
        await registry.append_event(row.id, approval(row.id))
        await stores.promises.resolve_promise(key_of(ExecutionScope.process(row.id)), OK)

        assert not await is_due(stores, row)


async def a_row_that_was_parked_stands_back_like_others(stores: EffectStores) -> None:
    """Parked, woken, declined: the second release decides; an event does not hurry it."""
    row = await parked(stores)
    await stores.process_registry.append_event(row.id, approval(row.id))
    (item,) = await claim_ready(stores, row.queue)
    await given_back(stores, item.lease, kind="declined", due_in_ms=LATER_MS)

    await stores.process_registry.append_event(row.id, approval(row.id, "again"))

    assert not await is_due(stores, row)


async def a_death_ends_the_parking(stores: EffectStores) -> None:
    """A row whose runs die stands back; events do not start it early."""
    row = await parked(stores)
    ttl_ms = await short_ttl_ms(stores)
    for _ in range(3):
        await claimed(stores, row.id, ttl_ms=ttl_ms)
        await elapse(stores, ttl_ms + 50)
        while await stores.process_registry.requeue_expired_leases(1_000, [row.queue]):
            pass

    await stores.process_registry.append_event(row.id, approval(row.id))

    assert not await is_due(stores, row)


async def a_row_with_a_wait_is_woken_too(stores: EffectStores) -> None:
    """Also when its run was cut off by a drain while it waited for a signal."""
    row, lease = await running(stores)
    await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id), lease=lease)
    await given_back(stores, lease, kind="yielded", due_in_ms=LATER_MS)
    assert not await is_due(stores, row)

    await stores.process_registry.append_event(row.id, approval(row.id))

    assert await is_due(stores, row)


async def a_start_rides_in_a_release(stores: EffectStores) -> None:
    """A run that parks before it wrote anything leaves its start fact; a later one does not change it."""
    row = await registered(stores)
    lease = await claimed(stores, row.id)
    started = ProcessStarted(owner=lease.owner, started_at_ms=1_700_000_000_000)
    cursor = await feed_end(stores)

    await given_back(stores, lease, first_started=started)

    assert started == (await current(stores, row.id)).first_started
    assert await in_feed(stores, cursor, row.id)
    second = await claimed(stores, row.id)
    other = ProcessStarted(owner=lease.owner, started_at_ms=5)
    await given_back(stores, second, first_started=other)
    assert started == (await current(stores, row.id)).first_started


async def a_start_that_rides_in_a_release_counts(stores: EffectStores) -> None:
    """Owner-bound work that was started waits for evidence, also when the start was told with the release."""
    row = await registered(stores, owner_bound())
    lease = await claimed(stores, row.id)
    started = ProcessStarted(owner=lease.owner, started_at_ms=1_700_000_000_000)

    await given_back(stores, lease, kind="yielded", due_in_ms=None, first_started=started)

    assert not await is_due(stores, row)


async def a_refused_release_records_no_start(stores: EffectStores) -> None:
    """A stale run starts nothing (hazard 2)."""
    row, lease = await running(stores)
    started = ProcessStarted(owner=lease.owner, started_at_ms=1)
    stale = lease.model_copy(update={"fencing_token": lease.fencing_token - 1})

    (outcome,) = await stores.process_registry.release_process_leases(
        [LeasedRelease(stale, ReleaseReason(kind="parked", due_in_ms=UNTIL_SOMETHING), started)]
    )

    assert outcome.error is not None
    assert row == await current(stores, row.id)


async def a_parked_row_is_noted(stores: EffectStores) -> None:
    """``handovers`` of a row say that it left memory."""
    row = await parked(stores)

    assert ["park"] == [entry.kind for entry in await stores.process_registry.audit_entries(row.id)]
