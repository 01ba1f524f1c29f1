"""Fences and stale runs across all fenced writes (decisions 16, 24 and 31; hazard 2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lash_core.errors import LeaseLostError, PluginSessionError, StoreBehindError, UnknownProcessError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease, ProcessLeaseCompletion, ReleaseReason
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.store.process_batches import LeasedRelease
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    SUCCESS,
    TTL_MS,
    claimed,
    current,
    note,
    registered,
    registration,
    running,
    unique,
)
from lash_core.testing.conformance.process_registry.handovers import segment
from lash_core.testing.conformance.process_registry.set_wait import wait_for
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms

Write = Callable[[ProcessLease], Awaitable[object]]


def _writes(stores: ConformanceStores) -> dict[str, Write]:
    """Every write that a run makes under its lease."""
    registry = stores.process_registry

    async def release(lease: ProcessLease) -> None:
        (outcome,) = await registry.release_process_leases([LeasedRelease(lease, ReleaseReason(kind="yielded"))])
        if outcome.error is not None:
            raise outcome.error

    return {
        "append_event": lambda lease: registry.append_event(lease.process_id, note("stale"), lease=lease),
        "append_events": lambda lease: registry.append_events(lease.process_id, [note("stale")], lease=lease),
        "record_first_started": lambda lease: registry.record_first_started(
            lease.process_id, ProcessStarted(owner=lease.owner, started_at_ms=1), lease=lease
        ),
        "set_wait": lambda lease: registry.set_wait(lease.process_id, wait_for(lease.process_id), lease=lease),
        "clear_wait": lambda lease: registry.clear_wait(lease.process_id, lease=lease),
        "put_handover": lambda lease: registry.put_handover(lease.process_id, segment(0), lease=lease),
        "mark_cancel_seen": registry.mark_cancel_seen,
        "renew_process_lease": lambda lease: registry.renew_process_lease(lease, TTL_MS),
        "complete_process_with_lease": lambda lease: registry.complete_process_with_lease(lease, SUCCESS),
        "release_process_leases": release,
    }


async def _all_refused(stores: ConformanceStores, lease: ProcessLease) -> None:
    before = await current(stores, lease.process_id)
    held = await stores.process_registry.get_process_lease(lease.process_id)
    for name, write in _writes(stores).items():
        try:
            await write(lease)
        except LeaseLostError as error:
            assert LOST in str(error), name
        else:
            raise AssertionError(f"{name} was accepted with a lost lease")
    assert before == await current(stores, lease.process_id)
    after = await stores.process_registry.get_process_lease(lease.process_id)
    assert held == after
    assert None is await stores.process_registry.latest_handover(lease.process_id)


async def every_write_of_an_expired_lease_is_refused(stores: ConformanceStores) -> None:
    """A run that was stopped past its lease writes nothing, even if nobody took its row."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    await _all_refused(stores, lease)


async def every_write_of_a_taken_lease_is_refused(stores: ConformanceStores) -> None:
    """Two runs of one row: only the newer one writes."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    old = await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    new = await claimed(stores, record.id)

    await _all_refused(stores, old)

    await stores.process_registry.append_event(record.id, note("mine"), lease=new)


async def every_write_of_a_released_lease_is_refused(stores: ConformanceStores) -> None:
    """What was given back by its run is not the run's any more."""
    record, lease = await running(stores)
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))
    # The release itself may be repeated; that it changes nothing is another module's promise.
    before = await current(stores, record.id)
    for name, write in _writes(stores).items():
        if name != "release_process_leases":
            with refused(LeaseLostError, LOST):
                await write(lease)
    assert before == await current(stores, record.id)


async def every_write_with_a_forged_fence_is_refused(stores: ConformanceStores) -> None:
    """Neither a lower nor a higher number, nor another token or incarnation, is the lease."""
    _, lease = await running(stores)
    for forgery in (
        {"fencing_token": lease.fencing_token - 1},
        {"fencing_token": lease.fencing_token + 1},
        {"lease_token": "forged"},
        {"owner": lease.owner.with_incarnation("another")},
    ):
        await _all_refused(stores, lease.model_copy(update=forgery))


async def leases_of_a_pruned_life_are_refused(stores: ConformanceStores) -> None:
    """A re-registered id starts a clean life: old leases write nothing, and the fence goes on rising."""
    registry = stores.process_registry
    kind = unique("kind")
    wanted = registration(identity=ProcessIdentity(kind=kind))
    record, old = await running(stores, wanted)
    ended = await registry.complete_process_with_lease(old, SUCCESS)
    chosen = ProcessFilter(status="any", identity_kind=kind)
    await registry.prune_terminal_processes(ended.updated_at_ms + 1, chosen)
    with refused(UnknownProcessError):
        await registry.append_event(record.id, note(), lease=old)
    await registry.register_process(wanted)

    await _all_refused(stores, old)
    new = await claimed(stores, record.id)
    await _all_refused(stores, old)

    assert new.fencing_token > old.fencing_token
    await registry.append_event(record.id, note("mine"), lease=new)


async def every_write_of_a_live_lease_is_accepted(stores: ConformanceStores) -> None:
    """The same writes with the lease itself, also with the copy from the claim after many writes."""
    record, lease = await running(stores)
    writes = _writes(stores)
    for name in ("release_process_leases", "complete_process_with_lease"):
        writes.pop(name)

    for write in writes.values():
        await write(lease)

    assert (await current(stores, record.id)).fenced_writes >= 5
    ended = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    assert "completed" == ended.status.state


async def equal_unkeyed_writes_of_a_run_are_two(stores: ConformanceStores) -> None:
    """Repeats are known by their request and not by their content: two equal notes are two events."""
    record, lease = await running(stores)

    for _ in range(3):
        await stores.process_registry.append_event(record.id, note("same"), lease=lease)

    assert [1, 2, 3] == [item.sequence for item in await stores.process_registry.events_after(record.id, 0)]
    assert 3 == (await current(stores, record.id)).fenced_writes


async def every_write_ahead_of_the_store_is_refused(stores: ConformanceStores) -> None:
    """A store that lost acknowledged writes says that it is behind, and writes nothing."""
    record, lease = await running(stores)
    ahead = lease.model_copy(update={"fenced_writes": 10})
    before = await current(stores, record.id)
    names = ("append_event", "append_events", "set_wait", "record_first_started", "complete_process_with_lease")

    for name in names:
        with refused(StoreBehindError, "the store is behind", "0 of 10"):
            await _writes(stores)[name](ahead)

    assert before == await current(stores, record.id)


async def leases_know_the_rows_fenced_writes(stores: ConformanceStores) -> None:
    """A successor starts from what its predecessor wrote."""
    record, lease = await running(stores)
    for n in range(3):
        await stores.process_registry.append_event(record.id, note(str(n)), lease=lease)
    await stores.process_registry.append_event(record.id, note("unfenced"))
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    successor = await claimed(stores, record.id)

    assert 3 == successor.fenced_writes


async def unfenced_requests_need_no_lease(stores: ConformanceStores) -> None:
    """Signals and cancels come from outside and are accepted whoever holds the row."""
    record, _ = await running(stores)
    requests = [
        ProcessEventAppendRequest.cancel_requested(record.id, "stop"),
        ProcessEventAppendRequest.signal(record.id, "approve", {"by": "ops"}, signal_id="s1"),
    ]

    for request in requests:
        await stores.process_registry.append_event(record.id, request)

    row = await current(stores, record.id)
    assert (2, 0) == (row.last_sequence, row.fenced_writes)


async def the_lease_must_be_of_the_same_process(stores: ConformanceStores) -> None:
    """A lease on one row opens no other."""
    _, lease = await running(stores)
    other = await registered(stores)

    with refused(PluginSessionError, LOST):
        await stores.process_registry.append_event(other.id, note(), lease=lease)

    assert other == await current(stores, other.id)
