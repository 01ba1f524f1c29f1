"""``newest_changes``: what changed last, and where to follow from (``docs/contracts/observation.md`` 7)."""

from __future__ import annotations

from lash_core.errors import InvalidCursorError
from lash_core.model.reports import ChangeCursor
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_observation.arrange import observed
from lash_core.testing.conformance.process_registry.arrange import (
    OUTPUTS,
    completed,
    feed_end,
    in_feed,
    note,
    registered,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def the_newest_change_comes_first(stores: ConformanceStores) -> None:
    """Each row once, as it is now, at most as many as wanted."""
    rows = []
    for _ in range(3):
        rows.append(await registered(stores))
        await elapse(stores, 2)
    await stores.process_registry.append_event(rows[0].id, note())

    changes = await observed(stores).newest_changes(2)

    assert [(rows[0].id, 1), (rows[2].id, 0)] == [(row.id, row.last_sequence) for row in changes.records]


async def nothing_is_missed_from_its_cursor_on(stores: ConformanceStores) -> None:
    """Whoever shows the answer and follows the feed from there sees what changes later, and nothing twice."""
    before = await registered(stores)

    changes = await observed(stores).newest_changes(50)
    rest = await stores.process_registry.processes_changed_since(changes.cursor, 100)
    after = await registered(stores)

    assert before.id in [row.id for row in changes.records]
    assert () == rest.records
    assert await in_feed(stores, changes.cursor, after.id)
    assert not await in_feed(stores, changes.cursor, before.id)


async def one_status_may_be_wanted(stores: ConformanceStores) -> None:
    """Failures alone, for people who look for them."""
    failed = await completed(stores, output=OUTPUTS["failed"])
    await completed(stores)
    await registered(stores)

    changes = await observed(stores).newest_changes(50, status="failed")

    assert failed.id in [row.id for row in changes.records]
    assert {"failed"} == {row.status.state for row in changes.records}


async def what_was_seen_may_be_left_out(stores: ConformanceStores) -> None:
    """Only what changed behind a cursor; when nothing did, the cursor stays."""
    old = await registered(stores)
    end = await feed_end(stores)
    nothing = await observed(stores).newest_changes(50, after=end)
    new = await registered(stores)

    changes = await observed(stores).newest_changes(50, after=end)

    assert ((), end) == (nothing.records, nothing.cursor)
    assert [new.id] == [row.id for row in changes.records]
    assert old.id != new.id


async def nothing_may_be_wanted(stores: ConformanceStores) -> None:
    """The end of the feed alone: to hear of what is new from now on."""
    record = await registered(stores)

    changes = await observed(stores).newest_changes(0)

    assert () == changes.records
    assert not await in_feed(stores, changes.cursor, record.id)


async def a_foreign_cursor_is_refused(stores: ConformanceStores) -> None:
    """As by the feed."""
    with refused(InvalidCursorError):
        await observed(stores).newest_changes(10, after=ChangeCursor.model_validate({"token": "not-a-cursor"}))
