"""Sessions with ready work over Redis: notices, lost replies, failovers, pages, identities."""

from __future__ import annotations

import pytest

from lash_core.errors import ClaimsPausedError
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import HostEventPayload, QueuedWorkDraft
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.model.session_lease import SessionExecutionLease, SessionLeaseAcquired
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.session_factory import RedisSessionStoreFactory
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_notices import ProcessNotice, ProcessNotices
from lash_core.testing.servers import ValkeyServer
from tests.redis_store.conftest import OpenStores
from tests.redis_store.rows import lose_replies, partition, redis

WORKER = LeaseOwnerIdentity.opaque("w", "boot")
TTL_MS = 30_000


async def session(stores: RedisStores, session_id: str, *, delay_ms: int | None = 0) -> RedisRuntimePersistence:
    """A session's store, with a batch that is due after the delay; None = without one."""
    store = await factory(stores).create_store(SessionStoreCreateRequest(session_id=session_id))
    if delay_ms is not None:
        await put(stores, store, delay_ms)
    return store


async def put(stores: RedisStores, store: RedisRuntimePersistence, delay_ms: int = 0) -> None:
    """A batch that is due after the delay."""
    available = await stores.process_registry.server_time_ms() + delay_ms if delay_ms else 0
    draft = QueuedWorkDraft(
        session_id=store.session_id, payloads=(HostEventPayload("event"),), available_at_ms=available
    )
    await store.enqueue_queued_work(draft)


def factory(stores: RedisStores) -> RedisSessionStoreFactory:
    """What the fleet asks."""
    return RedisSessionStoreFactory(stores.context)


async def leased(store: RedisRuntimePersistence, owner_id: str) -> SessionExecutionLease:
    """The session's lease for an owner outside of the fleet."""
    owner = LeaseOwnerIdentity.opaque(owner_id, "i")
    outcome = await store.try_claim_session_execution_lease(store.session_id, owner, TTL_MS)
    assert isinstance(outcome, SessionLeaseAcquired)
    return outcome.lease


async def listening(stores: RedisStores) -> ProcessNotices:
    """An ear that has heard all that there was."""
    ear = stores.process_registry.notices()
    ear.watch_partitions(range(stores.process_registry.partition_count()))
    assert await ear.next(5_000)
    return ear


async def heard(ear: ProcessNotices, kind: str) -> ProcessNotice:
    """The only notice of a kind among the next ones."""
    (notice,) = [notice for notice in await ear.next(5_000) if notice.kind == kind]
    return notice


async def test_work_that_is_due_is_told_at_once(stores: RedisStores) -> None:
    """With the session's id; a row for later tells its time; a release with work left tells again."""
    ear = await listening(stores)
    try:
        store = await session(stores, "now")
        assert ("now", 0) == ((notice := await heard(ear, "queued")).session_id, notice.partition)
        lease = await leased(store, "one")
        await store.release_session_execution_lease(lease.completion)
        assert "now" == (await heard(ear, "queued")).session_id

        await session(stores, "later", delay_ms=5_000)
        told = await heard(ear, "queued_due")
        assert ("later", True) == (told.session_id, told.due_at_ms > await stores.process_registry.server_time_ms())
        assert {0: told.due_at_ms} == dict(factory(stores).next_session_due_ms())
    finally:
        await ear.close()


async def test_work_for_a_session_that_somebody_writes_is_told_when_that_ends(stores: RedisStores) -> None:
    """Nobody could claim it before; until then the session is due at the end of the lease."""
    store = await session(stores, "s", delay_ms=None)
    lease = await leased(store, "one")
    ear = await listening(stores)
    try:
        await put(stores, store)
        assert () == await factory(stores).claim_ready_sessions(WORKER, 10, TTL_MS)
        await store.renew_session_execution_lease(lease.fence, 2 * TTL_MS)
        await stores.advance_clock(TTL_MS + 1)
        assert () == await factory(stores).claim_ready_sessions(WORKER, 10, TTL_MS)

        assert () == await ear.next(0)
        await store.release_session_execution_lease(lease.completion)
        assert "s" == (await heard(ear, "queued")).session_id
        (found,) = await factory(stores).claim_ready_sessions(WORKER, 10, TTL_MS, [0])
        assert found.lease == await store.get_session_execution_lease("s")
    finally:
        await ear.close()


async def test_a_repeated_claim_gives_the_same_sessions(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipt answers a claim that is repeated with its request id."""
    for number in range(5):
        await session(stores, f"s{number}")
    lost = lose_replies(monkeypatch, stores, "claim_ready_sessions")

    found = await factory(stores).claim_ready_sessions(WORKER, 3, TTL_MS, [0])

    assert (1, 3) == (len(lost), len(found))
    assert 3 == await redis(stores, "HLEN", partition(stores).session_leases)
    for item in found:
        store = RedisRuntimePersistence(stores.context, item.lease.session_id)
        assert item.lease == await store.get_session_execution_lease(item.lease.session_id)
        assert WORKER.owner_id == item.lease.owner.owner_id
        assert item.lease.owner.is_attempt_of(WORKER)


async def test_no_lease_is_given_in_the_grace_after_a_failover(open_stores: OpenStores) -> None:
    """Neither by name nor to the fleet, and none is taken; live ones are renewed."""
    async with open_stores(failover_grace_ms=60_000) as stores:
        store, other = await session(stores, "s"), await session(stores, "other")
        lease = await leased(store, "one")
        await redis(stores, "HSET", partition(stores).meta, "rid", "0" * 40)

        with pytest.raises(ClaimsPausedError, match="session `other`"):
            await leased(other, "two")
        assert () == await factory(stores).claim_ready_sessions(WORKER, 10, TTL_MS)
        assert (False,) == await factory(stores).expire_session_leases([lease])
        await stores.advance_clock(TTL_MS + 1)
        renewed = await store.renew_session_execution_lease(lease.fence, TTL_MS)
        assert renewed == await store.get_session_execution_lease("s")

        await stores.advance_clock(60_000)
        assert {"s", "other"} == {
            item.lease.session_id for item in await factory(stores).claim_ready_sessions(WORKER, 10, TTL_MS)
        }


async def test_pages_of_live_leases_have_each_once(server: ValkeyServer, open_stores: OpenStores) -> None:
    """Whatever the size of the page, over several partitions; leases that are over are not listed."""
    async with open_stores(partitions=4) as stores:
        wanted = {f"s{number}" for number in range(30)}
        for session_id in wanted:
            await leased(await session(stores, session_id, delay_ms=None), "one")
        over = await session(stores, "over", delay_ms=None)
        await over.try_claim_session_execution_lease("over", WORKER, 0)

        for size in (1, 7, 500):
            found: list[str] = []
            cursor: str | None = None
            for _ in range(100):
                leases, cursor = await factory(stores).live_session_leases(cursor, size)
                found += [lease.session_id for lease in leases]
                if cursor is None:
                    break
            assert wanted == set(found)
            assert size == 1 or len(wanted) == len(found)


async def test_an_owner_that_only_writes_sessions_keeps_its_identity(stores: RedisStores) -> None:
    """The sweep drops identities that no lease names, of a row or of a session."""
    store = await session(stores, "s", delay_ms=None)
    lease = await leased(store, "one")

    assert 0 == await stores.process_registry.drop_unused_owners(10)
    assert lease == await store.get_session_execution_lease("s")

    await store.release_session_execution_lease(lease.completion)
    assert 1 == await stores.process_registry.drop_unused_owners(10)
