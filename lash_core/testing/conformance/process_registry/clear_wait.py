"""``clear_wait``: contract 2.9."""

from __future__ import annotations

from lash_core.errors import LeaseLostError, UnknownProcessError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    completed,
    current,
    feed_end,
    in_feed,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.process_registry.set_wait import wait_for
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Nobody waits that is not there."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.clear_wait(process_id)


async def clears_and_always_bumps(stores: ConformanceStores) -> None:
    """The wait is gone; the time rises even when there was none, also on a terminal row."""
    record = await registered(stores)
    await stores.process_registry.set_wait(record.id, wait_for(record.id))
    ended = await completed(stores)
    await elapse(stores, 5)

    first = await stores.process_registry.clear_wait(record.id)
    await elapse(stores, 5)
    end = await feed_end(stores)
    second = await stores.process_registry.clear_wait(record.id)
    late = await stores.process_registry.clear_wait(ended.id)

    assert (None, None) == (first.wait, second.wait)
    assert first.updated_at_ms < second.updated_at_ms
    assert late.updated_at_ms > ended.updated_at_ms
    assert ended.status == late.status
    assert await in_feed(stores, end, record.id)
    assert await in_feed(stores, end, ended.id)


async def a_lost_lease_clears_nothing(stores: ConformanceStores) -> None:
    """A stale run cannot end the wait of its successor (hazard 2); a live one can."""
    record, lease = await running(stores)
    await stores.process_registry.set_wait(record.id, wait_for(record.id), lease=lease)
    stale = lease.model_copy(update={"lease_token": "forged"})

    with refused(LeaseLostError, LOST):
        await stores.process_registry.clear_wait(record.id, lease=stale)
    assert wait_for(record.id) == (await current(stores, record.id)).wait

    row = await stores.process_registry.clear_wait(record.id, lease=lease)
    assert (None, 2) == (row.wait, row.fenced_writes)
