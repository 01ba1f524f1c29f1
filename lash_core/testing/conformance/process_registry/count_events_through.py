"""``count_events_through``: contract 2.6; the ordinal of a signal is counted with it (decision 10, hazard 5)."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import note, registered, unique, unknown_text
from lash_core.testing.conformance.stores import ConformanceStores


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Zero events and no row are different answers."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.count_events_through(process_id, "note", 1)


async def counts_one_type_up_to_and_including(stores: ConformanceStores) -> None:
    """The bound is inclusive, other types do not count, an undeclared type counts zero."""
    record = await registered(stores)
    for n in range(3):
        await stores.process_registry.append_event(record.id, note(str(n)))
        request = ProcessEventAppendRequest.signal(record.id, "approve", {"by": str(n)}, signal_id=f"s{n}")
        await stores.process_registry.append_event(record.id, request)

    async def count(event_type: str, through: int) -> int:
        return await stores.process_registry.count_events_through(record.id, event_type, through)

    assert [0, 1, 1, 2, 2, 3, 3] == [await count("note", through) for through in range(7)]
    assert [0, 0, 1, 1, 2, 2, 3] == [await count("signal.approve", through) for through in range(7)]
    assert 3 == await count("note", 999)
    assert 0 == await count("never.declared", 6)


async def a_retried_signal_keeps_its_ordinal(stores: ConformanceStores) -> None:
    """The ordinal follows from the signal's own sequence, so a late retry of the first is still the first."""
    record = await registered(stores)
    first = ProcessEventAppendRequest.signal(record.id, "approve", {"by": "a"}, signal_id="s1")
    second = ProcessEventAppendRequest.signal(record.id, "approve", {"by": "b"}, signal_id="s2")
    await stores.process_registry.append_event(record.id, first)
    await stores.process_registry.append_event(record.id, second)

    retried = await stores.process_registry.append_event(record.id, first)

    assert 1 == await stores.process_registry.count_events_through(record.id, "signal.approve", retried.event.sequence)
    assert 2 == len(await stores.process_registry.events_after(record.id, 0))
