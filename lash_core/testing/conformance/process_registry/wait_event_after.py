"""``wait_event_after``: contract 2, 3.11; a wait is bounded by its caller."""

from __future__ import annotations

import asyncio

from lash_core.errors import UnknownProcessError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import event, note, registered, unique, unknown_text
from lash_core.testing.conformance.stores import ConformanceStores

WITHIN_S = 10.0


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Nobody waits for what is not there."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await asyncio.wait_for(stores.process_registry.wait_event_after(process_id, "note", 0), WITHIN_S)


async def history_comes_first(stores: ConformanceStores) -> None:
    """The first event of the type strictly after the sequence, at once when it is there."""
    record = await registered(stores)
    for request in (note("1"), event("ping", {"text": "2"}), note("3"), note("4")):
        await stores.process_registry.append_event(record.id, request)

    async def first(event_type: str, after: int) -> int:
        found = await asyncio.wait_for(stores.process_registry.wait_event_after(record.id, event_type, after), WITHIN_S)
        return found.sequence

    assert 1 == await first("note", 0)
    assert 3 == await first("note", 1)
    assert 2 == await first("ping", 0)


async def an_event_that_comes_later_ends_the_wait(stores: ConformanceStores) -> None:
    """Other types do not; several waiters all hear of it."""
    record = await registered(stores)
    waiters = [asyncio.ensure_future(stores.process_registry.wait_event_after(record.id, "ping", 0)) for _ in range(3)]
    await asyncio.sleep(0)
    await stores.process_registry.append_event(record.id, note("not this"))
    result = await stores.process_registry.append_event(record.id, event("ping", {"text": "this"}))

    found = await asyncio.wait_for(asyncio.gather(*waiters), WITHIN_S)

    assert [result.event] * 3 == list(found)


async def a_wait_may_be_given_up(stores: ConformanceStores) -> None:
    """Cancelling a waiter is clean: the next one works."""
    record = await registered(stores)
    waiter = asyncio.ensure_future(stores.process_registry.wait_event_after(record.id, "note", 0))
    await asyncio.sleep(0.02)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)

    await stores.process_registry.append_event(record.id, note())

    found = await asyncio.wait_for(stores.process_registry.wait_event_after(record.id, "note", 0), WITHIN_S)
    assert (True, 1) == (waiter.cancelled(), found.sequence)
