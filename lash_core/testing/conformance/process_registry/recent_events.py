"""``recent_events``: contract 2.6."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import note, registered, unique, unknown_text
from lash_core.testing.conformance.stores import ConformanceStores


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """As every read of a log."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.recent_events(process_id, 1)


async def the_last_ones_ascending(stores: ConformanceStores) -> None:
    """A limit over the length gives all; zero gives none."""
    record = await registered(stores)
    for n in range(5):
        await stores.process_registry.append_event(record.id, note(str(n)))

    async def recent(limit: int) -> list[int]:
        return [item.sequence for item in await stores.process_registry.recent_events(record.id, limit)]

    assert [4, 5] == await recent(2)
    assert [1, 2, 3, 4, 5] == await recent(5)
    assert [1, 2, 3, 4, 5] == await recent(100)
    assert [] == await recent(0)
