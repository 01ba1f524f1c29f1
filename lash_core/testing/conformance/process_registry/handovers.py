"""``put_handover``, ``get_handover``, ``latest_handover``, ``delete_handovers``: contract 2.10."""

from __future__ import annotations

from lash_core.errors import HandoverConflictError, LeaseLostError, UnknownProcessError
from lash_core.model.reports import ProcessSegmentHandover
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
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


def segment(ordinal: int, state: bytes = b"state") -> ProcessSegmentHandover:
    """A continuation."""
    return ProcessSegmentHandover(ordinal=ordinal, reason="journal_budget", program_hash="abc", engine_state=state)


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Storing needs a row; reading and deleting of nothing is nothing."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.put_handover(process_id, segment(0))

    assert None is await stores.process_registry.get_handover(process_id, 0)
    assert None is await stores.process_registry.latest_handover(process_id)
    await stores.process_registry.delete_handovers(process_id)


async def the_newest_two_are_kept(stores: ConformanceStores) -> None:
    """A new ordinal drops all below its predecessor."""
    record = await registered(stores)
    registry = stores.process_registry
    for ordinal in range(4):
        await registry.put_handover(record.id, segment(ordinal, b"%d" % ordinal))

    kept = [await registry.get_handover(record.id, ordinal) for ordinal in range(4)]

    assert [None, None, segment(2, b"2"), segment(3, b"3")] == kept
    assert segment(3, b"3") == await registry.latest_handover(record.id)


async def the_latest_is_the_highest_number(stores: ConformanceStores) -> None:
    """Ordinals are compared as numbers."""
    record = await registered(stores)
    for ordinal in (9, 10):
        await stores.process_registry.put_handover(record.id, segment(ordinal))

    assert segment(10) == await stores.process_registry.latest_handover(record.id)


async def any_bytes_come_back(stores: ConformanceStores) -> None:
    """Engine state is opaque bytes; absent parts stay absent."""
    record = await registered(stores)
    state = bytes(range(256)) * 4
    bare = ProcessSegmentHandover(ordinal=1, reason="duration_cap")
    await stores.process_registry.put_handover(record.id, segment(0, state))
    await stores.process_registry.put_handover(record.id, bare)

    assert segment(0, state) == await stores.process_registry.get_handover(record.id, 0)
    assert bare == await stores.process_registry.get_handover(record.id, 1)


async def identical_data_again_changes_nothing(stores: ConformanceStores) -> None:
    """A repeat is harmless; other data under the ordinal is a conflict."""
    record = await registered(stores)
    await stores.process_registry.put_handover(record.id, segment(1))

    await stores.process_registry.put_handover(record.id, segment(1))
    with refused(HandoverConflictError, "handover conflict"):
        await stores.process_registry.put_handover(record.id, segment(1, b"other"))

    assert segment(1) == await stores.process_registry.get_handover(record.id, 1)


async def deleting_drops_all(stores: ConformanceStores) -> None:
    """Twice is fine."""
    record = await registered(stores)
    await stores.process_registry.put_handover(record.id, segment(0))
    await stores.process_registry.put_handover(record.id, segment(1))

    await stores.process_registry.delete_handovers(record.id)
    await stores.process_registry.delete_handovers(record.id)

    assert None is await stores.process_registry.latest_handover(record.id)


async def the_row_and_the_feed_do_not_notice(stores: ConformanceStores) -> None:
    """Handovers are no events and no change of the row."""
    record = await registered(stores)
    end = await feed_end(stores)
    await elapse(stores, 5)

    await stores.process_registry.put_handover(record.id, segment(0))
    await stores.process_registry.delete_handovers(record.id)

    assert record == await current(stores, record.id)
    assert () == await stores.process_registry.events_after(record.id, 0)
    assert not await in_feed(stores, end, record.id)


async def a_lost_lease_stores_nothing(stores: ConformanceStores) -> None:
    """A stale run cannot hand over (hazard 2); its repeat of what is stored is answered."""
    record, lease = await running(stores)
    stale = lease.model_copy(update={"lease_token": "forged"})

    with refused(LeaseLostError, LOST):
        await stores.process_registry.put_handover(record.id, segment(0), lease=stale)
    assert None is await stores.process_registry.latest_handover(record.id)

    await stores.process_registry.put_handover(record.id, segment(0), lease=lease)
    await stores.process_registry.put_handover(record.id, segment(0), lease=stale)
    with refused(LeaseLostError, LOST):
        await stores.process_registry.put_handover(record.id, segment(0, b"other"), lease=stale)
    assert segment(0) == await stores.process_registry.latest_handover(record.id)
