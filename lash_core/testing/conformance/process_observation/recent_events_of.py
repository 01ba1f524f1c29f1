"""``recent_events_of``: tails of several logs at once (``docs/contracts/observation.md`` 7)."""

from __future__ import annotations

from lash_core.testing.conformance.process_observation.arrange import observed
from lash_core.testing.conformance.process_registry.arrange import completed, note, registered, unique
from lash_core.testing.conformance.stores import ConformanceStores


async def each_tail_is_that_of_its_process(stores: ConformanceStores) -> None:
    """In the order of the ids, ascending each, with the sequences of the log; none for what is not there."""
    long, short, silent = [await registered(stores) for _ in range(3)]
    for n in range(5):
        await stores.process_registry.append_event(long.id, note(str(n)))
    await stores.process_registry.append_event(short.id, note("only"))
    wanted = (silent.id, long.id, unique("gone"), short.id, long.id)

    tails = await observed(stores).recent_events_of(wanted, 3)

    assert [[], [3, 4, 5], [], [1], [3, 4, 5]] == [[event.sequence for event in tail] for tail in tails]
    assert await stores.process_registry.recent_events(long.id, 3) == tails[1]


async def an_end_is_in_the_tail(stores: ConformanceStores) -> None:
    """The terminal event is an event."""
    record = await completed(stores)

    (tail,) = await observed(stores).recent_events_of([record.id], 10)

    assert await stores.process_registry.events_after(record.id, 0) == tail


async def no_tails_may_be_wanted(stores: ConformanceStores) -> None:
    """No ids, or no events."""
    record = await completed(stores)

    assert () == await observed(stores).recent_events_of([], 5)
    assert ((),) == await observed(stores).recent_events_of([record.id], 0)
