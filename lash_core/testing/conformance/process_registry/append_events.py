"""``append_events``: the batch form of contract 2.5; one unit, all or nothing."""

from __future__ import annotations

from lash_core.errors import (
    AlreadyTerminalError,
    InvalidPayloadError,
    LeaseLostError,
    LimitExceededError,
    ReplayKeyConflictError,
    UndeclaredEventTypeError,
    UnknownProcessError,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    completed,
    current,
    event,
    note,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores


async def appends_in_order_and_dense(stores: ConformanceStores) -> None:
    """One answer per request, with consecutive sequences and one time."""
    record = await registered(stores)
    await stores.process_registry.append_event(record.id, note("zero"))

    results = await stores.process_registry.append_events(
        record.id, [note("a"), event("ping", {"text": "b"}), note("c", "key-c")]
    )

    assert [2, 3, 4] == [result.event.sequence for result in results]
    assert 1 == len({result.event.occurred_at_ms for result in results})
    stored = await stores.process_registry.events_after(record.id, 1)
    assert stored == tuple(result.event for result in results)
    assert 4 == (await current(stores, record.id)).last_sequence


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """As for one event."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.append_events(process_id, [note()])


async def one_bad_item_writes_nothing(stores: ConformanceStores) -> None:
    """Undeclared, bad payload, used key, second end: the whole batch is refused."""
    record = await registered(stores)
    ended = await completed(stores)
    await stores.process_registry.append_event(record.id, note("a", "used"))
    before = await current(stores, record.id)

    with refused(UndeclaredEventTypeError):
        await stores.process_registry.append_events(record.id, [note("x"), event("undeclared", {})])
    with refused(InvalidPayloadError):
        await stores.process_registry.append_events(record.id, [note("x"), event("measured", {})])
    with refused(ReplayKeyConflictError):
        await stores.process_registry.append_events(record.id, [note("x"), note("b", "used")])
    with refused(AlreadyTerminalError):
        await stores.process_registry.append_events(ended.id, [note("x"), event("finished", {}, "e2")])

    assert before == await current(stores, record.id)
    assert ended == await current(stores, ended.id)


async def two_ends_in_one_batch_are_refused(stores: ConformanceStores) -> None:
    """The second terminal event of a batch meets the first."""
    record = await registered(stores)

    with refused(AlreadyTerminalError):
        await stores.process_registry.append_events(
            record.id, [event("finished", {}, "e1"), event("broken", {"why": "x"}, "e2")]
        )

    assert record == await current(stores, record.id)


async def an_end_may_close_a_batch(stores: ConformanceStores) -> None:
    """Notes and the terminal event are one unit."""
    record = await registered(stores)

    await stores.process_registry.append_events(record.id, [note("last words"), event("finished", {"n": 1}, "end")])

    row = await current(stores, record.id)
    assert ("completed", 2) == (row.status.state, row.last_sequence)


async def replays_and_new_events_may_mix(stores: ConformanceStores) -> None:
    """A repeated batch answers with what is stored and writes only what is new."""
    record = await registered(stores)
    first = await stores.process_registry.append_events(record.id, [note("a", "a"), note("b", "b")])

    again = await stores.process_registry.append_events(record.id, [note("a", "a"), note("b", "b"), note("c", "c")])

    assert [item.event for item in first] == [item.event for item in again[:2]]
    assert [True, True, False] == [item.replayed for item in again]
    assert 3 == again[2].event.sequence
    assert [1, 2, 3] == [item.sequence for item in await stores.process_registry.events_after(record.id, 0)]


async def one_key_twice_in_a_batch_is_one_event(stores: ConformanceStores) -> None:
    """The second item replays the first; other content under the key refuses the batch."""
    record = await registered(stores)

    results = await stores.process_registry.append_events(record.id, [note("a", "k"), note("a", "k")])

    assert [1, 1] == [item.event.sequence for item in results]
    with refused(ReplayKeyConflictError):
        await stores.process_registry.append_events(record.id, [note("a", "m"), note("b", "m")])
    assert 1 == (await current(stores, record.id)).last_sequence


async def a_lost_lease_writes_nothing(stores: ConformanceStores) -> None:
    """The batch is fenced as a whole (hazard 2)."""
    record, lease = await running(stores)
    stale = lease.model_copy(update={"fencing_token": lease.fencing_token - 1})

    with refused(LeaseLostError, LOST):
        await stores.process_registry.append_events(record.id, [note("a"), note("b")], lease=stale)

    assert () == await stores.process_registry.events_after(record.id, 0)


async def a_batch_over_the_limit_is_refused(stores: ConformanceStores) -> None:
    """200 events are one unit; more cannot be one and are refused."""
    record = await registered(stores)

    with refused(LimitExceededError, "200") as refusal:
        await stores.process_registry.append_events(record.id, [note(str(n)) for n in range(201)])

    assert 200 == refusal.error.limit
    assert () == await stores.process_registry.events_after(record.id, 0)


async def no_requests_answer_nothing(stores: ConformanceStores) -> None:
    """An empty batch changes no row."""
    record = await registered(stores)

    assert () == await stores.process_registry.append_events(record.id, [])
    assert record == await current(stores, record.id)
