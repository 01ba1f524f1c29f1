"""``record_first_started``: contract 2.9, decision 26."""

from __future__ import annotations

from lash_core.errors import LeaseLostError, UnknownProcessError
from lash_core.model.facts import ProcessStarted
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    current,
    feed_end,
    in_feed,
    registered,
    running,
    unique,
    unknown_text,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Nothing started that is not there."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.record_first_started(process_id, ProcessStarted(owner=worker(), started_at_ms=1))


async def the_first_writer_wins(stores: ConformanceStores) -> None:
    """Owner with its liveness and the time are kept whole; a later start changes nothing at all."""
    record = await registered(stores)
    liveness = LocalProcessLiveness(host_id="h:1", boot_id="b;2", pid_namespace="n", pid=42, process_start=7)
    owner = LeaseOwnerIdentity(owner_id=unique("w;x:"), incarnation_id=unique("i;"), liveness=liveness)
    started = ProcessStarted(owner=owner, started_at_ms=1_700_000_000_123)
    end = await feed_end(stores)
    await elapse(stores, 5)

    first = await stores.process_registry.record_first_started(record.id, started)

    assert started == first.first_started
    assert first.updated_at_ms > record.updated_at_ms
    assert await in_feed(stores, end, record.id)
    end = await feed_end(stores)
    await elapse(stores, 5)

    for later in (started, ProcessStarted(owner=worker(), started_at_ms=2)):
        again = await stores.process_registry.record_first_started(record.id, later)
        assert first == again
    assert first == await current(stores, record.id)
    assert not await in_feed(stores, end, record.id)


async def it_is_no_event(stores: ConformanceStores) -> None:
    """The log does not grow."""
    record = await registered(stores)

    await stores.process_registry.record_first_started(record.id, ProcessStarted(owner=worker(), started_at_ms=1))

    assert () == await stores.process_registry.events_after(record.id, 0)


async def a_lost_lease_records_nothing(stores: ConformanceStores) -> None:
    """A stale run must not claim the start for itself (hazard 2)."""
    record, lease = await running(stores)
    stale = lease.model_copy(update={"lease_token": "forged"})

    with refused(LeaseLostError, LOST):
        await stores.process_registry.record_first_started(
            record.id, ProcessStarted(owner=lease.owner, started_at_ms=1), lease=stale
        )

    assert None is (await current(stores, record.id)).first_started


async def a_stale_run_does_not_read_anothers_start_as_its_own(stores: ConformanceStores) -> None:
    """Once another start is recorded, a run without its lease is refused and not answered."""
    record, lease = await running(stores)
    mine = ProcessStarted(owner=lease.owner, started_at_ms=5)
    await stores.process_registry.record_first_started(record.id, mine, lease=lease)
    stale = lease.model_copy(update={"lease_token": "forged"})

    with refused(LeaseLostError, LOST):
        await stores.process_registry.record_first_started(
            record.id, ProcessStarted(owner=worker(), started_at_ms=6), lease=stale
        )

    assert mine == (await current(stores, record.id)).first_started


async def a_live_lease_records_it(stores: ConformanceStores) -> None:
    """The fenced write counts as progress."""
    record, lease = await running(stores)
    started = ProcessStarted(owner=lease.owner, started_at_ms=lease.claimed_at_epoch_ms)

    row = await stores.process_registry.record_first_started(record.id, started, lease=lease)

    assert (started, 1) == (row.first_started, row.fenced_writes)
