"""``wake_events_after``: contract 2.6."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import event, note, registered, unique, unknown_text
from lash_core.testing.conformance.stores import ConformanceStores


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """As every read of a log."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.wake_events_after(process_id, 0)


async def only_materialized_and_unacknowledged_wakes(stores: ConformanceStores) -> None:
    """Plain events, wakes whose ``when`` was false and acknowledged ones are left out."""
    record = await registered(stores)
    for request in (
        note("plain"),
        event("ping", {"text": "a"}),
        event("ping.when", {"urgent": False, "who": "b"}),
        event("ping.when", {"urgent": True, "who": "c"}),
        event("ping", {"text": "d"}),
    ):
        await stores.process_registry.append_event(record.id, request)
    await stores.process_registry.ack_wake(record.id, 4)

    async def after(sequence: int) -> list[int]:
        return [item.sequence for item in await stores.process_registry.wake_events_after(record.id, sequence)]

    assert [2, 5] == await after(0)
    assert [5] == await after(2)
    assert [] == await after(5)
