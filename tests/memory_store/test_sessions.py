"""Sessions in memory: between threads, at their bounds, and taken over by proof of death."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from lash_core.errors import LimitExceededError
from lash_core.memory_store import session_queue
from lash_core.memory_store.session_factory import MemorySessionFactory
from lash_core.memory_store.session_journal import keep_stamp
from lash_core.memory_store.session_queue import append_batch, settle_batch
from lash_core.memory_store.session_rows import StoredSession
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session import SessionMeta
from lash_core.model.session_commit import RuntimeCommitResult, TurnStampRecord
from lash_core.model.session_lease import SessionLeaseAcquired, SessionLeaseBusy
from lash_core.store import session_bounds
from lash_core.store.queued_work_store import QUEUED_BATCHES_MAX
from lash_core.store.session_bounds import check_queue_room
from lash_core.store.turn_journal import TURN_RESULTS_MAX, TURN_STAMPS_MAX
from lash_core.testing.conformance.session_scene import (
    TTL_MS,
    committed,
    draft,
    enqueued,
    leased,
    opened,
    owner,
)

THREADS = 4
HERE = LocalProcessLiveness(host_id="h", boot_id="b", pid_namespace="n", pid=7, process_start=1)


class _Deaths:
    """Everybody but the claimant is gone."""

    def is_dead(self, pid: int, process_start: int) -> bool:
        return pid == HERE.pid


def _local(name: str, pid: int) -> LeaseOwnerIdentity:
    liveness = HERE.model_copy(update={"pid": pid})
    return LeaseOwnerIdentity(owner_id=name, incarnation_id=f"{name}-i", liveness=liveness)


def _session() -> StoredSession:
    return StoredSession(SessionMeta(session_id="s", session_name="s", created_at_ms=1))


async def test_of_many_that_proved_a_death_one_takes_over() -> None:
    """With a higher fence; the others see the new holder, who is alive."""
    stores = InMemoryStores(process_table=_Deaths())
    store = await opened(stores)
    held = await leased(store, _local("dead", HERE.pid))

    answers = await asyncio.gather(
        *(
            store.reclaim_session_execution_lease(store.session_id, _local(f"w{n}", 100 + n), held.fence, TTL_MS)
            for n in range(5)
        )
    )

    (won,) = [answer for answer in answers if isinstance(answer, SessionLeaseAcquired)]
    assert won.lease.fencing_token > held.fencing_token
    assert 4 == sum(isinstance(answer, SessionLeaseBusy) for answer in answers)


def test_enqueues_of_many_threads_have_numbers_of_their_own() -> None:
    """Each batch is there once, in the order of its number; one of them got the lease."""
    factory = MemorySessionFactory()
    stores = _Sessions(factory)
    asyncio.run(_open(stores))

    async def work(thread: int) -> bool:
        store = await opened(stores, "s")
        for n in range(40):
            await enqueued(store, f"{thread}:{n}", source_key=f"{thread}:{n // 2}")
        outcome = await store.try_claim_session_execution_lease("s", owner(), TTL_MS)
        return isinstance(outcome, SessionLeaseAcquired)

    with ThreadPoolExecutor(THREADS) as pool:
        won = [one.result() for one in [pool.submit(asyncio.run, work(thread)) for thread in range(THREADS)]]

    batches = asyncio.run(_queue(stores))
    assert list(range(1, THREADS * 20 + 1)) == [batch.enqueue_seq for batch in batches]
    assert THREADS * 20 == len({batch.batch_id for batch in batches})
    assert 1 == sum(won)


def test_the_newest_receipts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 of a session, here 5: the oldest settled ones go first; what is queued still is never among them."""
    assert 10_000 == session_queue.SOURCE_KEY_RECEIPTS_MAX
    monkeypatch.setattr(session_queue, "SOURCE_KEY_RECEIPTS_MAX", 5)
    session = _session()
    append_batch(session, draft("s", source_key="queued"), "q", 1)
    for n in range(7):
        append_batch(session, draft("s", source_key=f"k{n}"), f"b{n}", 1)
        settle_batch(session, f"b{n}")

    assert 6 == len(session.receipts)
    assert ["queued", "k2"] == list(session.receipts)[:2]


def test_a_full_queue_is_refused() -> None:
    """With the number and the limit; what settles in the same commit makes room."""
    check_queue_room("s", QUEUED_BATCHES_MAX - 1)
    with pytest.raises(LimitExceededError, match=str(QUEUED_BATCHES_MAX)) as refusal:
        check_queue_room("s", QUEUED_BATCHES_MAX)
    assert "queued_batches" == refusal.value.field


async def test_a_commit_needs_room_for_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue refuses its outbox; a batch that is known already needs none."""
    store = await opened(InMemoryStores(), "s")
    known = await enqueued(store, source_key="known")
    monkeypatch.setattr(session_bounds, "QUEUED_BATCHES_MAX", 1)
    lease = await leased(store)

    with pytest.raises(LimitExceededError, match="queued work"):
        await committed(store, lease, enqueued_queue_batches=(draft("s"),))
    result = await committed(store, lease, enqueued_queue_batches=(draft("s", source_key="known"),))

    assert ((known,), 1) == (result.enqueued_queue_batches, result.head_revision)


def test_the_newest_stamps_are_kept() -> None:
    """And of the newest of them what the turn itself answered."""
    session = _session()
    for n in range(TURN_STAMPS_MAX + 5):
        result = RuntimeCommitResult(head_revision=n)
        keep_stamp(session, TurnStampRecord(turn_id=f"t{n}", turn_commit_hash="h", result=result, turn_result=n))

    stamps = list(session.stamps.values())
    assert ("t5", TURN_STAMPS_MAX) == (stamps[0].turn_id, len(stamps))
    assert TURN_RESULTS_MAX == sum(stamp.turn_result is not None for stamp in stamps)
    assert stamps[-TURN_RESULTS_MAX].turn_result is not None


class _Sessions:
    """Stores that have sessions only."""

    def __init__(self, factory: MemorySessionFactory) -> None:
        self.session_store_factory = factory


async def _open(stores: _Sessions) -> None:
    await opened(stores, "s")


async def _queue(stores: _Sessions) -> tuple[QueuedWorkBatch, ...]:
    return await (await opened(stores, "s")).list_queued_work("s")
