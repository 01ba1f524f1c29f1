"""``events_after``: contract 2.6."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import note, registered, unique, unknown_text
from lash_core.testing.conformance.stores import ConformanceStores


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """An empty log and no row are different answers."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.events_after(process_id, 0)


async def strictly_after_and_ascending(stores: ConformanceStores) -> None:
    """The given sequence is not included; past the end the answer is empty."""
    record = await registered(stores)
    for n in range(5):
        await stores.process_registry.append_event(record.id, note(str(n)))

    async def after(sequence: int) -> list[int]:
        return [item.sequence for item in await stores.process_registry.events_after(record.id, sequence)]

    assert [1, 2, 3, 4, 5] == await after(0)
    assert [4, 5] == await after(3)
    assert [] == await after(5)
    assert [] == await after(99)


async def a_long_log_is_read_whole(stores: ConformanceStores) -> None:
    """A reader gets every event, however many pages the store reads."""
    record = await registered(stores)
    for start in range(0, 600, 200):
        await stores.process_registry.append_events(record.id, [note(str(n)) for n in range(start, start + 200)])

    events = await stores.process_registry.events_after(record.id, 0)

    assert [{"text": str(n)} for n in range(600)] == [item.payload for item in events]
