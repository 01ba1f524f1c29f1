"""Notices of the in-memory registry: who hears what, and how an ear that does not listen stays bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lash_core.clock import VirtualClock
from lash_core.memory_store import InMemoryStores
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.lease import ReleaseReason
from lash_core.model.limits import Limits
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.store.process_batches import LeasedRelease
from lash_core.store.process_notices import ProcessNotices
from tests.model.registrations import engine

OWNER = LeaseOwnerIdentity("w", "i")
CANCEL = ProcessEventAppendRequest.cancel_requested("p", "why")


@pytest.fixture
async def stores() -> AsyncIterator[InMemoryStores]:
    """Stores with a small notice buffer."""
    async with InMemoryStores(VirtualClock(), limits=Limits(notices_max=64)) as opened, asyncio.timeout(10):
        yield opened


@pytest.fixture
async def ear(stores: InMemoryStores) -> AsyncIterator[ProcessNotices]:
    """An ear whose first resync was heard."""
    opened = stores.process_registry.notices()
    assert ["resync"] == [notice.kind for notice in await opened.next(0)]
    yield opened
    await opened.close()


async def heard(ear: ProcessNotices, timeout_ms: int = 0) -> list[tuple[str, str]]:
    """Kinds and ids of what was heard."""
    return [(notice.kind, notice.process_id) for notice in await ear.next(timeout_ms)]


async def test_ready_is_heard_from_watched_partitions_only(stores: InMemoryStores, ear: ProcessNotices) -> None:
    """Partition 0 is the only one; a row that is due later is not ready, its time is told."""
    await stores.process_registry.register_process(engine("early"))
    ear.watch_partitions([0])
    await stores.process_registry.register_process(engine("p"))
    await stores.process_registry.register_process(engine("later", delay_ms=60_000))

    assert [("ready", "p"), ("due", "later")] == await heard(ear)
    ear.watch_partitions([1])
    await stores.process_registry.register_process(engine("q"))
    assert [] == await heard(ear)


async def test_a_released_row_is_ready(stores: InMemoryStores, ear: ProcessNotices) -> None:
    """A yielded row is heard at once, a parked one when its event comes."""
    registry = stores.process_registry
    await registry.register_process(engine("p"))
    ear.watch_partitions([0])

    (first,) = await registry.claim_ready_processes(OWNER, 1, 60_000)
    await registry.release_process_leases([LeasedRelease(first.lease, ReleaseReason("yielded"))])
    assert [("ready", "p")] == await heard(ear)

    (second,) = await registry.claim_ready_processes(OWNER, 1, 60_000)
    await registry.release_process_leases([LeasedRelease(second.lease, ReleaseReason("parked", -1))])
    assert [] == await heard(ear)
    await registry.append_event("p", CANCEL)
    assert [("ready", "p")] == await heard(ear)


async def test_the_holder_hears_of_its_row(stores: InMemoryStores, ear: ProcessNotices) -> None:
    """Its worker's incarnation and every attempt of it, and nobody else."""
    registry = stores.process_registry
    stranger = registry.notices()
    stranger.watch_owner(LeaseOwnerIdentity("w", "j"))
    await stranger.next(0)
    ear.watch_owner(OWNER)
    await registry.register_process(engine("p"))
    await registry.claim_ready_processes(OWNER, 1, 60_000)

    await registry.append_event("p", CANCEL)

    assert [("cancel", "p")] == await heard(ear)
    assert [] == await heard(stranger)
    await stranger.close()


async def test_an_ear_waits(stores: InMemoryStores, ear: ProcessNotices) -> None:
    """A notice ends the wait; without one the timeout does."""
    ear.watch_partitions([0])
    assert [] == await heard(ear, 5)
    waiting = asyncio.create_task(heard(ear, 9_000))
    await asyncio.sleep(0)

    await stores.process_registry.register_process(engine("p"))

    assert [("ready", "p")] == await waiting


async def test_a_deaf_ear_is_bounded(stores: InMemoryStores, ear: ProcessNotices) -> None:
    """What did not fit is one resync, and hearing goes on after it."""
    ear.watch_partitions([0])
    await stores.process_registry.register_processes([engine(f"p-{n}") for n in range(65)])

    assert [("resync", "")] == await heard(ear)
    await stores.process_registry.register_process(engine("q"))
    assert [("ready", "q")] == await heard(ear)


async def test_closing_ends_a_wait(stores: InMemoryStores) -> None:
    """A closed ear is silent, and may be closed twice."""
    ear = stores.process_registry.notices()
    await ear.next(0)
    waiting = asyncio.create_task(ear.next(9_000))
    await asyncio.sleep(0)

    await ear.close()
    await ear.close()

    assert () == await waiting
    assert () == await ear.next(9_000)


async def test_only_the_earliest_later_time_is_told(stores: InMemoryStores, ear: ProcessNotices) -> None:
    """Of each queue: whoever hears it need not be told of what comes after; what is due already does not count."""
    registry = stores.process_registry
    ear.watch_partitions([0])
    due: dict[str, int | None] = {}
    wanted = [("b", 50, "x"), ("c", 90, "x"), ("a", 10, "x"), ("now", 0, "y"), ("d", 30, "y")]
    for name, seconds, queue in wanted:
        row = await registry.register_process(engine(name, delay_ms=seconds * 1_000, queue=queue))
        due[name] = row.due_at_ms

    told = [(notice.process_id, notice.due_at_ms) for notice in await ear.next(0) if notice.kind == "due"]
    assert [(name, due[name]) for name in "bad"] == told
    assert {0: due["a"]} == registry.next_due_ms()

    await stores.advance_clock(10_000)
    assert {0: due["d"]} == registry.next_due_ms()
    await stores.advance_clock(90_000)
    assert {} == registry.next_due_ms()


async def test_rows_that_are_parked_for_ever_cost_no_memory(stores: InMemoryStores) -> None:
    """Each parking leaves an entry in the heaps of due times; they are dropped again."""
    registry = stores.process_registry
    await registry.register_process(engine("p"))
    for _ in range(3_000):
        (item,) = await registry.claim_ready_processes(OWNER, 1, 60_000)
        reason = ReleaseReason("parked", due_in_ms=3_600_000)
        await registry.release_process_leases([LeasedRelease(item.lease, reason)])
        await registry.append_event("p", CANCEL.with_replay_key(item.lease.lease_token))

    assert registry.state.due_entries() < 1_000
