"""Runs that wait: rows under a lease, parked rows, and what may wake them."""

from __future__ import annotations

from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease, ReleaseReason
from lash_core.model.record import ProcessRecord
from lash_core.store.process_batches import LeasedRelease
from lash_core.store.process_run_waits import RunLook
from lash_core.testing.conformance.expectations import reached
from lash_core.testing.conformance.process_registry.arrange import claim_ready, running
from lash_core.testing.conformance.stores import ConformanceStores, run_waits

UNTIL_SOMETHING = -1
LATER_MS = 3_600_000
"""A due time that no case reaches by accident."""


def approval(process_id: str, signal_id: str = "s1") -> ProcessEventAppendRequest:
    """A signal from outside."""
    return ProcessEventAppendRequest.signal(process_id, "approve", {"by": "ops"}, signal_id=signal_id)


async def look(stores: ConformanceStores, lease: ProcessLease, after: int = 0) -> RunLook:
    """One look of a run at its row."""
    return await run_waits(stores).look_at_run(lease, after)


async def given_back(
    stores: ConformanceStores,
    lease: ProcessLease,
    *,
    kind: str = "parked",
    due_in_ms: int | None = UNTIL_SOMETHING,
    marks_seen: str | None = None,
    first_started: ProcessStarted | None = None,
) -> None:
    """Release one lease, which must be accepted."""
    reason = ReleaseReason.model_validate({"kind": kind, "due_in_ms": due_in_ms, "marks_seen": marks_seen})
    (outcome,) = await stores.process_registry.release_process_leases([LeasedRelease(lease, reason, first_started)])
    assert outcome.error is None, f"the release was refused: {outcome.error!r}"


async def parked(
    stores: ConformanceStores, row: ProcessRecord | None = None, *, due_in_ms: int = UNTIL_SOMETHING
) -> ProcessRecord:
    """A row that its run gave back to wait; nobody can claim it now."""
    if row is None:
        row, lease = await running(stores)
    else:
        _, lease = await running(stores, row.to_registration())
    await given_back(stores, lease, due_in_ms=due_in_ms, marks_seen=(await look(stores, lease)).marks_seen)
    assert not await is_due(stores, row)
    return row


async def is_due(stores: ConformanceStores, row: ProcessRecord) -> bool:
    """Claims the row when it is due."""
    return row.id in {item.record.id for item in await claim_ready(stores, row.queue)}


async def becomes_due(stores: ConformanceStores, row: ProcessRecord) -> None:
    """Claims the row as soon as it is due; what is carried between partitions takes a moment."""
    await reached(lambda: is_due(stores, row))


async def tell_watchers(stores: ConformanceStores) -> None:
    """Carry out what ends of processes have left for other partitions, as a worker's outbox loop does."""
    registry = stores.process_registry
    deliver = getattr(registry, "deliver_outbox", None)
    if deliver is not None:
        await deliver(min_age_ms=0, limit=10_000)
