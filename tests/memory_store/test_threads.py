"""The in-memory registry between threads and event loops: a lease keeper may live in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from lash_core.errors import LashError
from lash_core.memory_store import MemoryProcessRegistry
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.model.lease import Renewed
from lash_core.model.owner import LeaseOwnerIdentity
from tests.model.registrations import engine

NOTE = (ProcessEventType("note"),)
THREADS = 4


async def _append_many(registry: MemoryProcessRegistry, thread: int, count: int) -> None:
    for n in range(count):
        request = ProcessEventAppendRequest("note", {"n": n}).with_replay_key(f"{thread}:{n}")
        await registry.append_event("p", request)


def test_appends_of_many_threads_are_dense() -> None:
    """Every event is there once, with sequences from 1 without a gap, whatever thread wrote it."""
    registry = MemoryProcessRegistry()
    asyncio.run(registry.register_process(engine(event_types=NOTE)))

    with ThreadPoolExecutor(THREADS) as pool:
        works = [pool.submit(asyncio.run, _append_many(registry, thread, 50)) for thread in range(THREADS)]
        for work in works:
            work.result()

    events = asyncio.run(registry.events_after("p", 0))
    assert list(range(1, THREADS * 50 + 1)) == [event.sequence for event in events]
    assert THREADS * 50 == len({event.replay_key for event in events})


async def _claim_all(registry: MemoryProcessRegistry, name: str) -> list[tuple[str, int]]:
    owner, taken = LeaseOwnerIdentity(name, "i"), list[tuple[str, int]]()
    for _ in range(1_000):
        claimed = await registry.claim_ready_processes(owner, 3, 60_000)
        if not claimed:
            return taken
        taken.extend((item.record.id, item.lease.fencing_token) for item in claimed)
    raise AssertionError("claims did not run dry within 1,000 calls")


def test_claims_of_many_threads_share_the_rows() -> None:
    """Each row goes to one owner, each lease has a fence of its own."""
    registry = MemoryProcessRegistry()
    asyncio.run(registry.register_processes([engine(f"p-{n}") for n in range(200)]))

    with ThreadPoolExecutor(THREADS) as pool:
        works = [pool.submit(asyncio.run, _claim_all(registry, f"w-{n}")) for n in range(THREADS)]
        taken = [item for work in works for item in work.result()]

    assert sorted(f"p-{n}" for n in range(200)) == sorted(process_id for process_id, _ in taken)
    assert 200 == len({fence for _, fence in taken})


def test_one_of_many_threads_completes() -> None:
    """Exactly one terminal event, and everybody reads that one."""
    registry = MemoryProcessRegistry()
    asyncio.run(registry.register_process(engine(event_types=NOTE)))
    (claimed,) = asyncio.run(registry.claim_ready_processes(LeaseOwnerIdentity("w", "i"), 1, 60_000))
    start = threading.Barrier(THREADS)

    def complete(n: int) -> str:
        start.wait(timeout=10)
        try:
            asyncio.run(registry.complete_process_with_lease(claimed.lease, ProcessAwaitOutput.success(n)))
        except LashError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(THREADS) as pool:
        answers = sorted(pool.map(complete, range(THREADS)))

    assert ["done"] + ["replay_key_conflict"] * (THREADS - 1) == answers
    assert 1 == len(asyncio.run(registry.events_after("p", 0)))


async def test_a_keeper_thread_renews_while_the_loop_is_blocked() -> None:
    """Renewing needs no help of the loop on which the rows are worked on."""
    registry = MemoryProcessRegistry()
    await registry.register_process(engine())
    (claimed,) = await registry.claim_ready_processes(LeaseOwnerIdentity("w", "i"), 1, 60_000)

    with ThreadPoolExecutor(1) as keeper:
        work = keeper.submit(asyncio.run, registry.renew_process_leases([claimed.lease], 90_000))
        (renewed,) = work.result(timeout=10)

    assert isinstance(renewed, Renewed)
    assert renewed.lease.same_acquisition(claimed.lease)
    assert renewed.lease.expires_at_epoch_ms > claimed.lease.expires_at_epoch_ms


async def test_a_wait_is_woken_by_another_thread() -> None:
    """The waiter's own loop is told, whichever loop wrote."""
    registry = MemoryProcessRegistry()
    await registry.register_process(engine(event_types=NOTE))
    waiting = asyncio.create_task(registry.wait_event_after("p", "note", 0))
    await asyncio.sleep(0)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _append_many(registry, 0, 1)).result(timeout=10)

    async with asyncio.timeout(10):
        assert 1 == (await waiting).sequence
