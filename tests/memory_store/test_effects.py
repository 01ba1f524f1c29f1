"""Journals and promises in memory between threads and event loops, and what belongs to one program."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from lash_core.clock import VirtualClock
from lash_core.memory_store import InMemoryStores
from lash_core.memory_store.effect_journal import MemoryEffectJournal
from lash_core.memory_store.promise_store import MemoryPromiseStore
from lash_core.model.await_event import Accepted, Resolution
from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import EffectClaimed, EffectWrite
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.lease import ProcessLease
from lash_core.testing.conformance.await_events.arrange import key_of
from lash_core.testing.conformance.effect_journal.arrange import completed, operation
from lash_core.testing.conformance.process_registry.arrange import running

THREADS = 4
EACH = 40


async def _record_many(stores: InMemoryStores, lease: ProcessLease, thread: int) -> int:
    """Entries of this thread's own and entries that all threads write; how many of the latter were its own."""
    own = 0
    for n in range(EACH):
        writes = [completed(f"{thread}:{n}", thread), completed(f"shared:{n}", thread)]
        _, shared = await stores.effect_journal.record_effects(lease, writes)
        own += not shared.replayed
    return own


def test_entries_of_many_threads_are_all_there() -> None:
    """Each key once, by whoever came first; every call is one fenced write."""
    stores = InMemoryStores()
    row, lease = asyncio.run(running(stores))

    with ThreadPoolExecutor(THREADS) as pool:
        works = [pool.submit(asyncio.run, _record_many(stores, lease, thread)) for thread in range(THREADS)]
        own = [work.result() for work in works]

    journal = asyncio.run(stores.effect_journal.load_effects(row.id))
    assert (THREADS + 1) * EACH == len(journal)
    assert EACH == sum(own)
    found = asyncio.run(stores.process_registry.get_process(row.id))
    assert found is not None
    assert THREADS * EACH == found.fenced_writes


def test_one_of_many_threads_claims_an_effect() -> None:
    """The others are told that it is under way."""
    stores, scope = InMemoryStores(), operation()
    write = EffectWrite("k", EffectKind.DURABLE_STEP, "waiting", "a" * 32)
    start = threading.Barrier(THREADS)

    def claim(thread: int) -> bool:
        start.wait(10)
        call = stores.effect_journal.claim_effect(scope, write, owner=str(thread), ttl_ms=60_000)
        return isinstance(asyncio.run(call), EffectClaimed)

    with ThreadPoolExecutor(THREADS) as pool:
        assert 1 == sum(pool.map(claim, range(THREADS)))


async def test_a_resolution_from_another_thread_wakes_a_waiter() -> None:
    """A person answers from a loop of its own; the run hears it on its."""
    stores = InMemoryStores()
    row, _ = await running(stores)
    key = key_of(ExecutionScope.process(row.id))
    async with stores.promises.listening(key) as told, asyncio.timeout(10):
        outcome = await asyncio.to_thread(asyncio.run, stores.promises.resolve_promise(key, Resolution.ok(1)))
        await told.wait()

    assert Accepted() == outcome
    assert Resolution.ok(1) == await stores.promises.peek_promise(key)


async def test_who_listens_leaves_nothing_behind() -> None:
    """The subscription goes with its block."""
    stores = InMemoryStores()
    row, _ = await running(stores)
    process, turn = ExecutionScope.process(row.id), ExecutionScope.turn("s", "t")
    async with stores.promises.listening(key_of(process)), stores.promises.listening(key_of(turn)):
        assert (row.id,) == stores.process_registry.waited_for()
        assert 1 == len(stores.process_registry.state.scope_changes.waited_for())

    assert () == stores.process_registry.waited_for()
    assert () == stores.process_registry.state.scope_changes.waited_for()


def test_each_program_has_a_secret_of_its_own() -> None:
    """Random, and of 32 bytes: keys of another program open nothing here."""
    secrets = [InMemoryStores().promises.signing_secrets() for _ in range(3)]

    assert 3 == len({one.current for one in secrets})
    assert {(32, None)} == {(len(one.current), one.previous) for one in secrets}


def test_journal_and_promises_report_the_tier_of_their_registry() -> None:
    """Unless a test lets them report another one."""
    registry = InMemoryStores(VirtualClock()).process_registry
    durable = registry.with_durability_tier(DurabilityTier.DURABLE)

    for make in (MemoryEffectJournal, MemoryPromiseStore):
        assert DurabilityTier.INLINE is make(registry).durability_tier()
        assert DurabilityTier.DURABLE is make(durable).durability_tier()
        assert DurabilityTier.DURABLE is make(registry, durability_tier=DurabilityTier.DURABLE).durability_tier()


async def test_a_pruned_row_takes_its_journal_bytes_along() -> None:
    """What is dropped no longer counts against the bound."""
    stores = InMemoryStores()
    row, lease = await running(stores)
    await stores.effect_journal.record_effects(lease, [completed("big", "x" * 100_000), completed("k", 1)])
    held = stores.process_registry.state.rows[row.id]
    before = held.journal_bytes

    await stores.process_registry.retry_process(lease, delay_ms=0, drop=["big"], detail="no")

    assert 100_000 < before - held.journal_bytes < 101_000
    assert 0 < held.journal_bytes < 1_000
