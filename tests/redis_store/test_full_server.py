"""A server without memory refuses new work, and can still finish, give back, cancel and prune (DESIGN 3.3 rule 1)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from lash_core.errors import StoreFullError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.lease import ReleaseReason
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import ClaimBoundary, HostEventPayload, QueuedWorkDraft
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.redis_store.session_factory import RedisSessionStoreFactory
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_batches import BatchOutcome, LeasedRelease
from lash_core.testing.servers import ValkeyServer
from tests.redis_store.rows import DONE, NOTE, TTL_MS, claimed, redis, registration, started


@pytest.fixture
async def stores() -> AsyncGenerator[RedisStores]:
    """Stores on a server of their own, that a test can fill."""
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url) as stores:
            yield stores
            await redis(stores, "CONFIG", "SET", "maxmemory", 0)


async def fill(stores: RedisStores) -> None:
    """From now on the server has no room."""
    await redis(stores, "CONFIG", "SET", "maxmemory", 1)


async def test_new_work_is_refused(stores: RedisStores) -> None:
    """A start and an event are refused, and leave nothing behind."""
    process_id = await started(stores)
    item = await claimed(stores)
    await fill(stores)

    with pytest.raises(StoreFullError):
        await stores.process_registry.register_process(registration("late"))
    with pytest.raises(StoreFullError):
        await stores.process_registry.append_event(process_id, NOTE, lease=item.lease)

    assert await stores.process_registry.get_process("late") is None
    assert () == await stores.process_registry.events_after(process_id, 0)


async def test_running_work_finishes_and_is_pruned(stores: RedisStores) -> None:
    """Claim, renewal, completion and prune go through, and memory comes back."""
    registry = stores.process_registry
    process_id = await started(stores)
    await fill(stores)

    item = await claimed(stores)
    await registry.renew_process_lease(item.lease, TTL_MS)
    record = await registry.complete_process_with_lease(item.lease, DONE)
    report = await registry.prune_terminal_processes(record.updated_at_ms + 1)

    assert "completed" == record.status.state
    assert 1 == report.pruned_processes
    assert await registry.get_process(process_id) is None


async def test_running_work_is_given_back_and_cancelled(stores: RedisStores) -> None:
    """A release and a cancel request go through."""
    registry = stores.process_registry
    process_id = await started(stores)
    item = await claimed(stores)
    await fill(stores)

    outcomes = await registry.release_process_leases([LeasedRelease(item.lease, ReleaseReason(kind="declined"))])
    await registry.append_event(process_id, ProcessEventAppendRequest.cancel_requested(process_id, "full"))

    assert (BatchOutcome(process_id),) == outcomes
    record = await registry.get_process(process_id)
    assert record is not None
    assert "cancelled" == record.status.state


async def test_sessions_are_claimed_given_back_and_emptied(stores: RedisStores) -> None:
    """New work is refused; claims, renewals, cancels and releases go through."""
    factory = RedisSessionStoreFactory(stores.context)
    session = await factory.create_store(SessionStoreCreateRequest(session_id="s"))
    draft = QueuedWorkDraft(session_id="s", payloads=(HostEventPayload("event"),), source_key="k")
    batch = await session.enqueue_queued_work(draft)
    await fill(stores)

    with pytest.raises(StoreFullError):
        await session.enqueue_queued_work(draft.model_copy(update={"source_key": "late"}))
    (ready,) = await factory.claim_ready_sessions(LeaseOwnerIdentity.opaque("w", "i"), 1, TTL_MS)
    lease = ready.lease
    await session.renew_session_execution_lease(lease.fence, TTL_MS)
    claim = await session.claim_ready_queued_work(lease.fence, ClaimBoundary.IDLE)
    assert claim is not None
    assert (batch.batch_id,) == await session.abandon_queued_work_claim(claim)
    assert batch == await session.cancel_queued_work_batch("s", batch.batch_id)
    assert await session.release_session_execution_lease(lease.completion)
    assert () == await session.list_queued_work("s")
