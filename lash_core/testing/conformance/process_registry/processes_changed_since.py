"""``processes_changed_since``: contract 2.6, decision 22; the feed never skips."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lash_core.errors import InvalidCursorError
from lash_core.model.facts import (
    AbandonRequest,
    ProcessExternalRef,
    ProcessStarted,
    SignalWait,
    WaitState,
)
from lash_core.model.lease import ProcessLeaseCompletion
from lash_core.model.reports import ChangeCursor
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    SUCCESS,
    TTL_MS,
    claimed,
    feed_end,
    in_feed,
    note,
    registered,
    registration,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores

PAGES_MAX = 10_000


async def the_latest_state_once_per_row(stores: ConformanceStores) -> None:
    """Several changes of one row are one entry with the row as it is."""
    end = await feed_end(stores)
    record = await registered(stores)
    for n in range(3):
        await stores.process_registry.append_event(record.id, note(str(n)))

    changes = await stores.process_registry.processes_changed_since(end, 1_000)

    mine = [row for row in changes.records if row.id == record.id]
    assert [3] == [row.last_sequence for row in mine]


async def the_cursor_goes_on_where_it_stopped(stores: ConformanceStores) -> None:
    """Pages of one row each see every row once; after the last page the cursor stays."""
    end = await feed_end(stores)
    wanted = [registration() for _ in range(12)]
    ids = {item.id for item in wanted}
    await stores.process_registry.register_processes(wanted)
    found: list[str] = []
    cursor = end
    for _ in range(PAGES_MAX):
        changes = await stores.process_registry.processes_changed_since(cursor, 1)
        assert len(changes.records) <= 1
        if not changes.records:
            assert cursor == changes.cursor
            break
        found.extend(row.id for row in changes.records if row.id in ids)
        cursor = changes.cursor

    assert sorted(ids) == sorted(found)


async def limit_zero_answers_nothing(stores: ConformanceStores) -> None:
    """Empty, with the cursor that was given."""
    end = await feed_end(stores)
    await registered(stores)

    for cursor in (end, ChangeCursor.initial()):
        changes = await stores.process_registry.processes_changed_since(cursor, 0)
        assert ((), cursor) == (changes.records, changes.cursor)


async def a_foreign_cursor_is_refused(stores: ConformanceStores) -> None:
    """A token that no store issued is an error: going on from the start would look like progress."""
    foreign = ChangeCursor.model_validate({"token": "not-a-cursor"})
    with refused(InvalidCursorError):
        await stores.process_registry.processes_changed_since(foreign, 10)


async def a_row_that_changes_again_moves_to_the_end(stores: ConformanceStores) -> None:
    """A reader that has passed a row sees it again after its next change."""
    record = await registered(stores)
    end = await feed_end(stores)

    await stores.process_registry.append_event(record.id, note())

    assert await in_feed(stores, end, record.id)
    assert not await in_feed(stores, await feed_end(stores), record.id)


def _signal_wait(process_id: str) -> WaitState:
    key = f"process:{process_id}:signal.approve:1"
    return WaitState(since_ms=1, kind=SignalWait(name="approve", event_type="signal.approve", key=key, ordinal=1))


async def every_change_of_a_row_is_in_the_feed(stores: ConformanceStores) -> None:
    """Register, append, wait set and clear, external reference, first start, abandon request, end."""
    registry = stores.process_registry
    record = await registered(stores)
    process_id = record.id
    owner = worker()
    lease = await claimed(stores, process_id)
    steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("append", lambda: registry.append_event(process_id, note())),
        ("set_wait", lambda: registry.set_wait(process_id, _signal_wait(process_id))),
        ("clear_wait", lambda: registry.clear_wait(process_id)),
        ("external ref", lambda: registry.set_external_ref(process_id, ProcessExternalRef(backend="b", id="1"))),
        (
            "first started",
            lambda: registry.record_first_started(process_id, ProcessStarted(owner=owner, started_at_ms=1)),
        ),
        (
            "abandon request",
            lambda: registry.request_abandon(process_id, AbandonRequest(requested_by="ops", requested_at_ms=1)),
        ),
        ("completion", lambda: registry.complete_process_with_lease(lease, SUCCESS)),
    ]

    for name, step in steps:
        end = await feed_end(stores)
        await step()
        assert await in_feed(stores, end, process_id), name


async def leases_are_not_in_the_feed(stores: ConformanceStores) -> None:
    """Claiming, renewing and releasing changes no row."""
    registry = stores.process_registry
    record = await registered(stores)
    end = await feed_end(stores)

    lease = await claimed(stores, record.id)
    await registry.renew_process_lease(lease, TTL_MS)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert not await in_feed(stores, end, record.id)
    row = await registry.get_process(record.id)
    assert row is not None
    assert record.updated_at_ms == row.updated_at_ms


async def a_reader_beside_writers_misses_nothing(stores: ConformanceStores) -> None:
    """While eight writers append, a follower that only goes forward sees the last state of every row."""
    registry = stores.process_registry
    cursor = await feed_end(stores)
    rows = [await registered(stores) for _ in range(8)]
    latest: dict[str, int] = {}

    async def write(process_id: str) -> None:
        for n in range(10):
            await registry.append_event(process_id, note(str(n)))

    async def follow(cursor: ChangeCursor, writers: asyncio.Future[list[None]]) -> None:
        for _ in range(PAGES_MAX):
            finished = writers.done()
            changes = await registry.processes_changed_since(cursor, 3)
            latest.update((row.id, row.last_sequence) for row in changes.records)
            cursor = changes.cursor
            if finished and not changes.records:
                return
            await asyncio.sleep(0)

    writers = asyncio.gather(*(write(row.id) for row in rows))
    await follow(cursor, writers)
    await writers

    assert {row.id: 10 for row in rows} == {row.id: latest.get(row.id) for row in rows}
