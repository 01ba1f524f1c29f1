"""``watch_processes``: a run that awaits others is told of their end, wherever its row is by then."""

from __future__ import annotations

from lash_core.errors import LimitExceededError
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.lease import ProcessLease, Renewed
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import CompletionAuthority
from lash_core.testing.conformance.expectations import reached, refused
from lash_core.testing.conformance.process_registry.arrange import (
    SUCCESS,
    TTL_MS,
    claim_ready,
    claimed,
    completed,
    current,
    event,
    external,
    note,
    registered,
    running,
    unique,
)
from lash_core.testing.conformance.run_waits.arrange import (
    LATER_MS,
    becomes_due,
    given_back,
    is_due,
    look,
    parked,
    tell_watchers,
)
from lash_core.testing.conformance.stores import EffectStores, run_waits


async def rows_are_answered_by_id(stores: EffectStores) -> None:
    """In order, None for an unknown one, as they are now; a name twice is answered twice."""
    watcher, _ = await running(stores)
    one, two, ended = await registered(stores), await registered(stores), await completed(stores)

    found = await run_waits(stores).watch_processes(watcher.id, [two.id, unique("absent"), one.id, ended.id, two.id])

    assert (two, None, one, ended, two) == found
    assert () == await run_waits(stores).watch_processes(watcher.id, [])
    assert [one, two] == [await current(stores, row.id) for row in (one, two)]


async def _end(stores: EffectStores, row: ProcessRecord, way: str) -> None:
    registry = stores.process_registry
    match way:
        case "run":
            await registry.complete_process_with_lease(await claimed(stores, row.id), SUCCESS)
        case "failed run":
            failure = ProcessAwaitOutput.failure("execution", "process_failed", "no")
            await registry.complete_process_with_lease(await claimed(stores, row.id), failure)
        case "event":
            await registry.append_event(row.id, event("finished", {}, "end"))
        case "events":
            await registry.append_events(row.id, [note(), event("finished", {}, "end")])
        case "cancel before the start":
            await registry.append_event(row.id, ProcessEventAppendRequest.cancel_requested(row.id, "no"))
        case _:
            await registry.complete_process(row.id, SUCCESS, CompletionAuthority.external_owner("ci"))
    await tell_watchers(stores)


WAYS = ("run", "failed run", "event", "events", "cancel before the start", "authority")


async def _watched(stores: EffectStores, way: str, watcher: str) -> ProcessRecord:
    row = await registered(stores, external() if way == "authority" else None)
    await run_waits(stores).watch_processes(watcher, [row.id])
    return row


async def an_end_wakes_a_parked_watcher(stores: EffectStores) -> None:
    """However the other process ends; also a watcher that is due much later."""
    for way in WAYS:
        watcher, lease = await running(stores)
        row = await _watched(stores, way, watcher.id)
        seen = (await look(stores, lease)).marks_seen
        await given_back(stores, lease, due_in_ms=LATER_MS, marks_seen=seen)
        assert not await is_due(stores, watcher)

        await _end(stores, row, way)

        await becomes_due(stores, watcher)


async def an_end_marks_a_running_watcher(stores: EffectStores) -> None:
    """Its next renewal says that something happened, and a release after the last look is due at once."""
    for way in WAYS:
        watcher, lease = await running(stores)
        row = await _watched(stores, way, watcher.id)
        seen = (await look(stores, lease)).marks_seen

        await _end(stores, row, way)

        await reached(lambda lease=lease, seen=seen: _has_marks(stores, lease, seen))
        (renewed,) = await stores.process_registry.renew_process_leases([lease], TTL_MS)
        assert isinstance(renewed, Renewed)
        assert renewed.signalled
        await given_back(stores, lease, marks_seen=seen)
        assert await is_due(stores, watcher)


async def _has_marks(stores: EffectStores, lease: ProcessLease, seen: str) -> bool:
    await tell_watchers(stores)
    return (await look(stores, lease)).marks_seen != seen


async def one_of_many_children_wakes_their_parent(stores: EffectStores) -> None:
    """Each end is told: the parent may wait for the first, or for all."""
    parent, lease = await running(stores)
    children = [await registered(stores) for _ in range(5)]
    await run_waits(stores).watch_processes(parent.id, [child.id for child in children])
    await given_back(stores, lease)

    for child in children:
        assert not await is_due(stores, parent)
        await _end(stores, child, "run")
        await reached(lambda: _claimed_and_parked(stores, parent))


async def _claimed_and_parked(stores: EffectStores, row: ProcessRecord) -> bool:
    await tell_watchers(stores)
    for item in await claim_ready(stores, row.queue):
        await given_back(stores, item.lease, marks_seen=(await look(stores, item.lease)).marks_seen)
        return True
    return False


async def all_watchers_are_told(stores: EffectStores) -> None:
    """Several processes may wait for one end."""
    row = await registered(stores)
    watchers = [await parked(stores) for _ in range(4)]
    for watcher in watchers:
        await run_waits(stores).watch_processes(watcher.id, [row.id])

    await _end(stores, row, "run")

    for watcher in watchers:
        await becomes_due(stores, watcher)


async def watching_twice_is_watching_once(stores: EffectStores) -> None:
    """A repeat after a lost reply tells nobody twice, and an end is told once."""
    watcher = await parked(stores)
    row = await registered(stores)
    for _ in range(3):
        await run_waits(stores).watch_processes(watcher.id, [row.id, row.id])

    await _end(stores, row, "run")

    await reached(lambda: _claimed_and_parked(stores, watcher))
    await stores.process_registry.append_event(row.id, note("after the end"))
    await tell_watchers(stores)
    assert not await is_due(stores, watcher)


async def a_watcher_that_is_gone_harms_nobody(stores: EffectStores) -> None:
    """Unknown, ended, or merely delayed: the end of the other one stands, and nobody is started early."""
    row, ended = await registered(stores), await completed(stores)
    delayed = await registered(stores, delay_ms=LATER_MS)
    for watcher in (unique("absent"), ended.id, delayed.id, row.id):
        await run_waits(stores).watch_processes(watcher, [row.id])

    await _end(stores, row, "run")
    await tell_watchers(stores)

    assert "completed" == (await current(stores, row.id)).status.state
    assert ended == await current(stores, ended.id)
    assert not await is_due(stores, delayed)


async def a_refused_end_tells_nobody(stores: EffectStores) -> None:
    """A batch whose later event is refused ends nothing; the watcher is told of the real end."""
    watcher = await parked(stores)
    row, lease = await running(stores)
    await run_waits(stores).watch_processes(watcher.id, [row.id])
    try:
        await stores.process_registry.append_events(row.id, [event("finished", {}, "end"), event("undeclared", 1)])
    except Exception as error:  # noqa: BLE001 - which error is said elsewhere
        assert "undeclared" in str(error)
    await tell_watchers(stores)
    assert not await is_due(stores, watcher)

    await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    await tell_watchers(stores)
    await becomes_due(stores, watcher)


async def watchers_of_one_row_are_bounded(stores: EffectStores) -> None:
    """A hundred; those that watch already may ask again."""
    row = await registered(stores)
    names = [unique("watcher") for _ in range(100)]
    for name in names:
        await run_waits(stores).watch_processes(name, [row.id])

    with refused(LimitExceededError, "100") as refusal:
        await run_waits(stores).watch_processes(unique("watcher"), [row.id])

    assert ("watchers", 100) == (refusal.error.field, refusal.error.limit)
    assert (row,) == await run_waits(stores).watch_processes(names[0], [row.id])
