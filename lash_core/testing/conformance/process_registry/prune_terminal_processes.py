"""``prune_terminal_processes``: contract 2.11, decisions 22 and 31."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lash_core.errors import UnknownProcessError
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import PruneReport
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    SUCCESS,
    claim_ready,
    claimed,
    completed,
    current,
    event,
    feed_end,
    in_feed,
    note,
    registered,
    registration,
    running,
    scope,
    unique,
)
from lash_core.testing.conformance.process_registry.handovers import segment
from lash_core.testing.conformance.process_registry.set_wait import wait_for
from lash_core.testing.conformance.stores import ConformanceStores, elapse

NOTHING = PruneReport(pruned_processes=0, pruned_events=0)


def _any_of(kind: str) -> ProcessFilter:
    return ProcessFilter(status="any", identity_kind=kind)


async def _ended(stores: ConformanceStores, kind: str, process_id: str | None = None) -> ProcessRecord:
    return await completed(stores, registration(process_id, identity=ProcessIdentity(kind=kind)))


async def only_rows_older_than_the_cutoff(stores: ConformanceStores) -> None:
    """Strictly before: a row of exactly that time stays."""
    kind = unique("kind")
    old = await _ended(stores, kind)
    await elapse(stores, 5)
    new = await _ended(stores, kind)
    assert old.updated_at_ms < new.updated_at_ms

    at = await stores.process_registry.prune_terminal_processes(old.updated_at_ms, _any_of(kind))
    after = await stores.process_registry.prune_terminal_processes(new.updated_at_ms, _any_of(kind))

    assert NOTHING == at
    assert PruneReport(pruned_processes=1, pruned_events=1) == after
    assert None is await stores.process_registry.get_process(old.id)
    assert new == await current(stores, new.id)


async def live_rows_are_never_pruned(stores: ConformanceStores) -> None:
    """Whatever the cutoff: ready, leased, waiting, cancelled but still running."""
    kind = unique("kind")
    ready = await registered(stores, registration(identity=ProcessIdentity(kind=kind)))
    leased, _ = await running(stores, registration(identity=ProcessIdentity(kind=kind)))
    waits = await registered(stores, registration(identity=ProcessIdentity(kind=kind)))
    await stores.process_registry.set_wait(waits.id, wait_for(waits.id))

    report = await stores.process_registry.prune_terminal_processes(2**53, _any_of(kind))

    assert NOTHING == report
    for record in (ready, leased, waits):
        assert "running" == (await current(stores, record.id)).status.state


async def a_filter_without_a_status_prunes_nothing(stores: ConformanceStores) -> None:
    """The default status is running, and running rows are never pruned."""
    kind = unique("kind")
    ended = await _ended(stores, kind)

    report = await stores.process_registry.prune_terminal_processes(2**53, ProcessFilter(identity_kind=kind))

    assert NOTHING == report
    assert ended == await current(stores, ended.id)


async def the_filter_chooses(stores: ConformanceStores) -> None:
    """Rows that do not match stay; a given end status is honoured."""
    kind = unique("kind")
    mine, other = await _ended(stores, kind), await _ended(stores, unique("other"))

    report = await stores.process_registry.prune_terminal_processes(
        2**53, ProcessFilter(status="failed", identity_kind=kind)
    )
    assert NOTHING == report
    report = await stores.process_registry.prune_terminal_processes(
        2**53, ProcessFilter(status="completed", identity_kind=kind)
    )

    assert PruneReport(pruned_processes=1, pruned_events=1) == report
    assert None is await stores.process_registry.get_process(mine.id)
    assert other == await current(stores, other.id)


async def without_a_filter_every_ended_row_is_a_candidate(stores: ConformanceStores) -> None:
    """No filter is not the default filter."""
    ended = await completed(stores)
    live = await registered(stores)

    report = await stores.process_registry.prune_terminal_processes(ended.updated_at_ms + 1)

    assert report.pruned_processes >= 1
    assert None is await stores.process_registry.get_process(ended.id)
    assert live == await current(stores, live.id)


async def a_projectors_cursor_is_honoured(stores: ConformanceStores) -> None:
    """What changed after the cursor stays until the projector has seen it."""
    kind = unique("kind")
    seen = await _ended(stores, kind)
    cursor = await feed_end(stores)
    unseen = await _ended(stores, kind)

    report = await stores.process_registry.prune_terminal_processes(2**53, _any_of(kind), cursor)

    assert PruneReport(pruned_processes=1, pruned_events=1) == report
    assert None is await stores.process_registry.get_process(seen.id)
    assert unseen == await current(stores, unseen.id)
    end = await feed_end(stores)
    report = await stores.process_registry.prune_terminal_processes(2**53, _any_of(kind), end)
    assert 1 == report.pruned_processes


async def a_late_event_makes_the_row_young_again(stores: ConformanceStores) -> None:
    """Retention counts from the last change."""
    kind = unique("kind")
    ended = await _ended(stores, kind)
    await elapse(stores, 5)
    await stores.process_registry.append_event(ended.id, note("late"))

    report = await stores.process_registry.prune_terminal_processes(ended.updated_at_ms + 1, _any_of(kind))

    assert NOTHING == report


async def everything_the_row_owned_goes(stores: ConformanceStores) -> None:
    """Row, events, wake acks, grants, lease, handovers, audit: reads answer as for an id that never was."""
    registry = stores.process_registry
    kind, target = unique("kind"), scope()
    wanted = registration(identity=ProcessIdentity(kind=kind), wake_target=target)
    record, lease = await running(stores, wanted)
    await registry.grant_handle(target, record.id, ProcessHandleDescriptor(label="x"))
    await registry.append_event(record.id, event("ping", {"text": "a"}, "key"), lease=lease)
    await registry.ack_wake(record.id, 1)
    await registry.put_handover(record.id, segment(0), lease=lease)
    await registry.complete_process_with_lease(lease, SUCCESS)
    held = await claimed(stores, record.id)

    report = await registry.prune_terminal_processes(2**53, _any_of(kind))

    assert PruneReport(pruned_processes=1, pruned_events=2) == report
    assert None is await registry.get_process(record.id)
    assert None is await registry.get_process_lease(record.id)
    assert None is await registry.latest_handover(record.id)
    assert not await registry.has_handle(target, record.id)
    assert () == await registry.list_handles(target)
    assert (record.id,) == await registry.filter_unregistered([record.id])
    reads: list[Callable[[], Awaitable[object]]] = [
        lambda: registry.events_after(record.id, 0),
        lambda: registry.wake_events_after(record.id, 0),
        lambda: registry.recent_events(record.id, 5),
        lambda: registry.count_events_through(record.id, "ping", 9),
        lambda: registry.handles_for_process(record.id),
        lambda: registry.audit_entries(record.id),
        lambda: registry.complete_process_with_lease(held, SUCCESS),
    ]
    for read in reads:
        with refused(UnknownProcessError, f"unknown process `{record.id}`"):
            await read()


async def a_second_run_finds_nothing(stores: ConformanceStores) -> None:
    """Prune is idempotent."""
    kind = unique("kind")
    for _ in range(3):
        await _ended(stores, kind)

    first = await stores.process_registry.prune_terminal_processes(2**53, _any_of(kind))
    second = await stores.process_registry.prune_terminal_processes(2**53, _any_of(kind))

    assert PruneReport(pruned_processes=3, pruned_events=3) == first
    assert NOTHING == second


async def the_limit_bounds_one_call(stores: ConformanceStores) -> None:
    """Repeating until nothing is left prunes all."""
    kind = unique("kind")
    for _ in range(5):
        await _ended(stores, kind)
    counts: list[int] = []

    for nothing in (0, -1):
        assert NOTHING == await stores.process_registry.prune_terminal_processes(2**53, _any_of(kind), limit=nothing)
    for _ in range(50):
        report = await stores.process_registry.prune_terminal_processes(2**53, _any_of(kind), limit=2)
        assert report.pruned_processes <= 2
        counts.append(report.pruned_processes)
        if sum(counts) == 5:
            break

    assert 5 == sum(counts)


async def a_registered_again_id_starts_a_clean_life(stores: ConformanceStores) -> None:
    """No old event, ack, replay key, grant, handover, audit entry or attempt is left; the feed shows the new row."""
    registry = stores.process_registry
    kind, target = unique("kind"), scope()
    wanted = registration(identity=ProcessIdentity(kind=kind), wake_target=target)
    record, lease = await running(stores, wanted)
    await registry.grant_handle(target, record.id, ProcessHandleDescriptor())
    await registry.append_event(record.id, event("ping", {"text": "a"}, "key"), lease=lease)
    await registry.ack_wake(record.id, 1)
    await registry.put_handover(record.id, segment(0), lease=lease)
    await registry.complete_process_with_lease(lease, SUCCESS)
    await registry.prune_terminal_processes(2**53, _any_of(kind))
    end = await feed_end(stores)

    again = await registry.register_process(wanted)

    assert ("running", 0, 0, 0, 0) == (
        again.status.state,
        again.attempt,
        again.deaths,
        again.last_sequence,
        again.fenced_writes,
    )
    assert again.created_at_ms >= record.created_at_ms
    assert None is again.first_started
    assert () == await registry.events_after(record.id, 0)
    assert () == await registry.handles_for_process(record.id)
    assert () == await registry.audit_entries(record.id)
    assert None is await registry.latest_handover(record.id)
    assert await in_feed(stores, end, record.id)
    other = await registry.append_event(record.id, event("ping", {"text": "other"}, "key"))
    assert (1, False) == (other.event.sequence, other.replayed)
    assert [1] == [item.sequence for item in await registry.wake_events_after(record.id, 0)]
    assert [record.id] == [item.record.id for item in await claim_ready(stores, wanted.queue)]
