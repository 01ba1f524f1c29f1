"""``ack_wake``: contract 2.6."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    current,
    event,
    feed_end,
    in_feed,
    registered,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """There is no log to acknowledge in."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.ack_wake(process_id, 1)


async def is_idempotent_and_checks_no_sequence(stores: ConformanceStores) -> None:
    """Twice is once; a sequence that is not there yet is acknowledged for when it comes."""
    record = await registered(stores)
    await stores.process_registry.append_event(record.id, event("ping", {"text": "a"}))

    await stores.process_registry.ack_wake(record.id, 1)
    await stores.process_registry.ack_wake(record.id, 1)
    await stores.process_registry.ack_wake(record.id, 2)
    await stores.process_registry.append_event(record.id, event("ping", {"text": "b"}))

    assert () == await stores.process_registry.wake_events_after(record.id, 0)
    assert 2 == len(await stores.process_registry.events_after(record.id, 0))


async def the_row_and_the_feed_do_not_notice(stores: ConformanceStores) -> None:
    """An acknowledgement is no change of the row."""
    record = await registered(stores)
    await stores.process_registry.append_event(record.id, event("ping", {"text": "a"}))
    before = await current(stores, record.id)
    end = await feed_end(stores)
    await elapse(stores, 5)

    await stores.process_registry.ack_wake(record.id, 1)

    assert before == await current(stores, record.id)
    assert not await in_feed(stores, end, record.id)
