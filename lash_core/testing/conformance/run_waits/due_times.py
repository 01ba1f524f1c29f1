"""Due times that wake an idle fleet: ``due`` notices and ``next_due_ms`` (hints; sweeps are the net below)."""

from __future__ import annotations

from typing import cast

from lash_core.model.record import ProcessRecord
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_core.store.process_notices import ProcessNotice, ProcessNotices
from lash_core.testing.conformance.process_registry.arrange import (
    claim_ready,
    registered,
    registration,
    running,
    unique,
)
from lash_core.testing.conformance.run_waits.arrange import given_back, look
from lash_core.testing.conformance.stores import EffectStores

HINT_MS = 5_000
SOON_MS = 600_000
LATER_MS = 1_200_000


def _fleet(stores: EffectStores) -> ProcessMaintenance:
    return cast("ProcessMaintenance", stores.process_registry)


async def _ear(stores: EffectStores) -> ProcessNotices:
    fleet = _fleet(stores)
    ear = fleet.notices()
    ear.watch_partitions(range(fleet.partition_count()))
    # The first read is when an ear begins to hear; it answers as soon as all partitions are listened to.
    await ear.next(HINT_MS)
    return ear


async def _heard(ear: ProcessNotices, wanted_ms: int) -> bool:
    for _ in range(100):
        notices: tuple[ProcessNotice, ...] = await ear.next(HINT_MS)
        if not notices:
            return False
        if any(notice.kind == "due" and notice.due_at_ms == wanted_ms for notice in notices):
            return True
    return False


async def the_earliest_later_time_is_told(stores: EffectStores) -> None:
    """A delayed start, and a run that parks, that are due before what is known: idle workers set their timer."""
    ear = await _ear(stores)
    try:
        queue = unique("queue")
        delayed = await registered(stores, registration(queue=queue, delay_ms=LATER_MS))
        assert delayed.due_at_ms is not None
        assert await _heard(ear, delayed.due_at_ms)

        row, lease = await running(stores)
        now_ms = (await look(stores, lease)).server_time_ms
        await given_back(stores, lease, due_in_ms=SOON_MS)
        told = await _due_notice(ear)
        assert told is not None
        assert now_ms + SOON_MS <= told.due_at_ms <= now_ms + SOON_MS + HINT_MS
        assert row.id != delayed.id
    finally:
        await ear.close()


async def _due_notice(ear: ProcessNotices) -> ProcessNotice | None:
    for _ in range(100):
        for notice in await ear.next(HINT_MS):
            if notice.kind == "due":
                return notice
    return None


async def a_claim_learns_the_next_due_time(stores: EffectStores) -> None:
    """After an empty claim of its queue a worker knows when to look again, in one of the partitions."""
    row: ProcessRecord = await registered(stores, delay_ms=SOON_MS)
    assert row.due_at_ms is not None

    assert () == await claim_ready(stores, row.queue)

    known = _fleet(stores).next_due_ms()
    assert known, "no due time is known after a claim"
    assert all(0 <= partition < _fleet(stores).partition_count() for partition in known)
    assert min(known.values()) <= row.due_at_ms
