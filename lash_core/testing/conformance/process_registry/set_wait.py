"""``set_wait``: contract 2.9."""

from __future__ import annotations

from lash_core.errors import LeaseLostError, TerminalProcessError, UnknownProcessError
from lash_core.model.facts import SignalWait, WaitState
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    SUCCESS,
    completed,
    current,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


def wait_for(process_id: str, ordinal: int = 1, since_ms: int = 1_700_000_000_000) -> WaitState:
    """Waiting for the n-th approval."""
    key = f"process:{process_id}:signal.approve:{ordinal}"
    kind = SignalWait(name="approve", event_type="signal.approve", key=key, ordinal=ordinal)
    return WaitState(since_ms=since_ms, kind=kind)


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Nobody waits that is not there."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.set_wait(process_id, wait_for(process_id))


async def a_terminal_row_is_refused(stores: ConformanceStores) -> None:
    """The end is nothing to wait after; a lost lease is said first."""
    ended = await completed(stores)
    record, lease = await running(stores)
    await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    with refused(TerminalProcessError, f"terminal process `{ended.id}` cannot enter a wait state"):
        await stores.process_registry.set_wait(ended.id, wait_for(ended.id))
    with refused(LeaseLostError, LOST):
        await stores.process_registry.set_wait(record.id, wait_for(record.id), lease=lease)

    assert ended == await current(stores, ended.id)


async def a_wait_is_stored_and_overwritten(stores: ConformanceStores) -> None:
    """The row is running, its wait is the last one, its time rises each time."""
    record = await registered(stores)
    await elapse(stores, 5)

    first = await stores.process_registry.set_wait(record.id, wait_for(record.id))
    await elapse(stores, 5)
    second = await stores.process_registry.set_wait(record.id, wait_for(record.id, 2, 5))

    assert wait_for(record.id) == first.wait
    assert wait_for(record.id, 2, 5) == second.wait
    assert "running" == second.status.state
    assert record.updated_at_ms < first.updated_at_ms < second.updated_at_ms
    assert second == await current(stores, record.id)
    assert () == await stores.process_registry.events_after(record.id, 0)


async def a_lost_lease_sets_nothing(stores: ConformanceStores) -> None:
    """A stale run cannot say that the row waits (hazard 2); a live one can."""
    record, lease = await running(stores)
    stale = lease.model_copy(update={"fencing_token": lease.fencing_token - 1})

    with refused(LeaseLostError, LOST):
        await stores.process_registry.set_wait(record.id, wait_for(record.id), lease=stale)
    assert None is (await current(stores, record.id)).wait

    row = await stores.process_registry.set_wait(record.id, wait_for(record.id), lease=lease)
    assert (wait_for(record.id), 1) == (row.wait, row.fenced_writes)
