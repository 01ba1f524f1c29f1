"""``complete_processes_with_lease``: the batch form of contract 2.7; atomic per item."""

from __future__ import annotations

from lash_core.errors import AlreadyTerminalError, LeaseLostError, ReplayKeyConflictError, UnknownProcessError
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.facts import ProcessStarted
from lash_core.store.process_batches import LeasedCompletion
from lash_core.testing.conformance.process_registry.arrange import (
    OUTPUTS,
    SUCCESS,
    current,
    event,
    running,
    unique,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores


async def answers_every_item_in_order(stores: ConformanceStores) -> None:
    """One lost lease or unknown row stops no other item."""
    good, good_lease = await running(stores)
    lost, lost_lease = await running(stores)
    ended, ended_lease = await running(stores)
    last, last_lease = await running(stores)
    await stores.process_registry.append_event(ended.id, event("finished", {}, "end"))
    absent = unique("absent")
    started = ProcessStarted(owner=worker(), started_at_ms=1_700_000_000_001)

    outcomes = await stores.process_registry.complete_processes_with_lease(
        [
            LeasedCompletion(good_lease, SUCCESS, started),
            LeasedCompletion(lost_lease.model_copy(update={"lease_token": "forged"}), SUCCESS),
            LeasedCompletion(good_lease.model_copy(update={"process_id": absent}), SUCCESS),
            LeasedCompletion(ended_lease, OUTPUTS["failed"]),
            LeasedCompletion(last_lease, OUTPUTS["failed"]),
        ]
    )

    assert [good.id, lost.id, absent, ended.id, last.id] == [item.process_id for item in outcomes]
    errors = [type(item.error) for item in outcomes]
    assert [type(None), LeaseLostError, UnknownProcessError, AlreadyTerminalError, type(None)] == errors
    rows = [await current(stores, record.id) for record in (good, lost, ended, last)]
    assert ["completed", "running", "completed", "failed"] == [row.status.state for row in rows]
    assert started == rows[0].first_started
    assert None is await stores.process_registry.get_process_lease(good.id)


async def repeating_a_batch_changes_nothing(stores: ConformanceStores) -> None:
    """Each item replays."""
    items = [await running(stores) for _ in range(5)]
    batch = [LeasedCompletion(lease, SUCCESS) for _, lease in items]
    await stores.process_registry.complete_processes_with_lease(batch)
    before = [await current(stores, record.id) for record, _ in items]

    again = await stores.process_registry.complete_processes_with_lease(batch)

    assert [None] * 5 == [item.error for item in again]
    assert before == [await current(stores, record.id) for record, _ in items]


async def a_row_that_is_named_twice_ends_once(stores: ConformanceStores) -> None:
    """The later item is answered as a later call: same outcome, other outcome of the kind, another kind."""
    for second, expected in (
        (SUCCESS, type(None)),
        (ProcessAwaitOutput.success({"other": True}), ReplayKeyConflictError),
        (OUTPUTS["failed"], LeaseLostError),
    ):
        record, lease = await running(stores)
        batch = [LeasedCompletion(lease, SUCCESS), LeasedCompletion(lease, second)]

        outcomes = await stores.process_registry.complete_processes_with_lease(batch)

        assert [type(None), expected] == [type(item.error) for item in outcomes]
        single = await stores.process_registry.complete_processes_with_lease(batch[1:])
        assert [expected] == [type(item.error) for item in single]
        assert 1 == len(await stores.process_registry.events_after(record.id, 0))
        assert "completed" == (await current(stores, record.id)).status.state


async def an_empty_batch_answers_nothing(stores: ConformanceStores) -> None:
    """No item, no answer."""
    assert () == await stores.process_registry.complete_processes_with_lease([])
