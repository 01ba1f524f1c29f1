"""What a failover may do to a partition, and what the scripts make of it (DESIGN 3.3 rules 4 to 6)."""

from __future__ import annotations

import pytest

from lash_core.errors import ClaimsPausedError, LeaseLostError, StoreBehindError
from lash_core.model.lease import Acquired, ProcessLeaseCompletion, Renewed
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from tests.redis_store.conftest import OpenStores
from tests.redis_store.rows import (
    DONE,
    NOTE,
    TTL_MS,
    claimed,
    claimed_by_name,
    colocated,
    partition,
    redis,
    registration,
    started,
    worker,
)

LONG_MS = 3_600_000
"""Longer than the server of these tests runs: a restart's grace counts from the server's start."""


async def promote(stores: RedisStores) -> None:
    """Another replication id than the one the partition knows, as after a promotion or a restart."""
    await redis(stores, "HSET", partition(stores).meta, "rid", "0" * 40)


async def test_fences_rise_over_everything(open_stores: OpenStores) -> None:
    """Release, expiry, prune with a new start, and a failover that lost the last fence: never equal, never lower."""
    async with open_stores(failover_grace_ms=0) as stores:
        registry = stores.process_registry
        process_id = await started(stores)
        fences: list[int] = []

        lease = await claimed_by_name(stores, process_id)
        fences.append(lease.fencing_token)
        await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))
        lease = await claimed_by_name(stores, process_id)
        fences.append(lease.fencing_token)
        await stores.advance_clock(TTL_MS + 1)
        lease = await claimed_by_name(stores, process_id)
        fences.append(lease.fencing_token)
        record = await registry.complete_process_with_lease(lease, DONE)
        await stores.advance_clock(1)
        await registry.prune_terminal_processes(record.updated_at_ms + 1)
        await registry.register_process(registration(process_id))
        fences.append((await claimed_by_name(stores, process_id)).fencing_token)
        await redis(stores, "HDEL", partition(stores).meta, "f")
        await promote(stores)
        await stores.advance_clock(TTL_MS + 1)
        fences.append((await claimed_by_name(stores, process_id)).fencing_token)

        assert sorted(set(fences)) == fences


async def test_no_lease_is_given_in_the_grace(stores: RedisStores) -> None:
    """After a changed replication id nobody claims until the largest TTL ever claimed has passed; renewals go on."""
    registry = stores.process_registry
    held = await started(stores)
    lease = await claimed_by_name(stores, held, LONG_MS)
    waiting = await started(stores)
    await promote(stores)

    assert () == await registry.claim_ready_processes(worker(), 10, TTL_MS)
    with pytest.raises(ClaimsPausedError) as paused:
        await registry.claim_process_lease(waiting, worker(), TTL_MS)
    (renewed,) = await registry.renew_process_leases([lease], TTL_MS)

    assert isinstance(renewed, Renewed)
    assert held == renewed.lease.process_id
    await stores.advance_clock(paused.value.until_ms - await registry.server_time_ms())
    assert [waiting] == [item.record.id for item in await registry.claim_ready_processes(worker(), 1, TTL_MS)]


async def test_leases_stay_renewable_in_the_grace(open_stores: OpenStores) -> None:
    """A lease that lapsed while the store was away is renewed, since nobody else may have taken it; after it, not."""
    async with open_stores(failover_grace_ms=600_000) as stores:
        registry = stores.process_registry
        await started(stores)
        lease = (await claimed(stores)).lease
        await promote(stores)
        assert () == await registry.claim_ready_processes(worker(), 1, TTL_MS)
        await stores.advance_clock(TTL_MS + 1)

        assert 0 == await registry.requeue_expired_leases(10)
        renewed = await registry.renew_process_lease(lease, TTL_MS)

        assert lease.fencing_token == renewed.fencing_token
        await stores.advance_clock(600_001)
        with pytest.raises(LeaseLostError):
            await registry.renew_process_lease(lease, TTL_MS)


async def test_a_restarted_server_gives_no_lease_until_the_largest_ttl_has_passed() -> None:
    """A real restart has a new replication id; the grace counts from the server's start."""
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url, test_clock=True) as stores:
            process_id = await started(stores)
            await claimed_by_name(stores, process_id, LONG_MS)
            waiting = await started(stores, id=colocated(stores, stores.context.keyspace.of_process(process_id)))
            server.restart()
            now_ms = await stores.process_registry.server_time_ms()

            with pytest.raises(ClaimsPausedError) as paused:
                await stores.process_registry.claim_process_lease(waiting, worker(), TTL_MS)

            assert now_ms < paused.value.until_ms <= now_ms + LONG_MS + 1_000


async def test_a_promoted_replica_gives_no_lease_until_the_largest_ttl_has_passed() -> None:
    """A real promotion: the grace counts from the moment the promotion is seen, however long the replica has run."""
    with ValkeyServer(tcp=True) as primary, ValkeyServer(tcp=True) as replica:
        async with RedisStores.connect(primary.url) as stores:
            process_id = await started(stores)
            await claimed_by_name(stores, process_id, LONG_MS)
            keys = stores.context.keyspace.of_process(process_id)
        settings = StoreSettings()
        connection = await RedisConnection.open(replica.url, settings)
        await connection.execute("", "REPLICAOF", "127.0.0.1", primary.port)

        async def is_copied() -> bool:
            return process_id == (await connection.execute("", "ZRANGE", keys.leases, 0, 0) or [""])[0]

        await eventually(is_copied, within_ms=20_000)
        await connection.execute("", "REPLICAOF", "NO", "ONE")
        await connection.close()
        async with RedisStores.connect(replica.url) as stores:
            waiting = await started(stores, id=colocated(stores, keys))
            now_ms = await stores.process_registry.server_time_ms()

            with pytest.raises(ClaimsPausedError) as paused:
                await stores.process_registry.claim_process_lease(waiting, worker(), TTL_MS)

            assert now_ms + LONG_MS <= paused.value.until_ms


async def test_the_first_sight_of_a_server_is_no_change(stores: RedisStores) -> None:
    """A fresh namespace claims at once, and so does one whose id stays."""
    first, second = await started(stores), await started(stores)

    found = [(await claimed(stores)).record.id, (await claimed(stores)).record.id]

    assert {first, second} == set(found)


async def test_a_grace_of_zero_is_off(open_stores: OpenStores) -> None:
    """``LASH_FAILOVER_GRACE_MS=0``: nothing can be promoted behind the embedded server."""
    async with open_stores(failover_grace_ms=0) as stores:
        process_id = await started(stores)
        await promote(stores)

        outcome = await stores.process_registry.claim_process_lease(process_id, worker(), TTL_MS)

        assert isinstance(outcome, Acquired)


async def test_a_store_that_forgot_writes_is_refused(stores: RedisStores) -> None:
    """A fenced write whose predecessors are gone writes nothing, so that the log has no silent hole."""
    registry = stores.process_registry
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    await registry.append_event(process_id, NOTE, lease=lease)
    keys = partition(stores)
    await redis(stores, "HDEL", keys.control(process_id), "wn", "wl", "q", "lb")
    await redis(stores, "DEL", keys.events(process_id))

    with pytest.raises(StoreBehindError) as appended:
        await registry.append_event(process_id, NOTE, lease=lease)
    with pytest.raises(StoreBehindError):
        await registry.complete_process_with_lease(lease, DONE)

    assert (1, 0) == (appended.value.acknowledged, appended.value.stored)
    assert 0 == await redis(stores, "EXISTS", keys.events(process_id))
    record = await registry.get_process(process_id)
    assert record is not None
    assert "running" == record.status.state


async def test_a_claim_that_the_store_forgot_is_lost(stores: RedisStores) -> None:
    """The lease's own entry is gone after the failover: its holder may not write."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    keys = partition(stores)
    await redis(stores, "HDEL", keys.owners, process_id)
    await redis(stores, "ZREM", keys.leases, process_id)

    with pytest.raises(LeaseLostError):
        await stores.process_registry.append_event(process_id, NOTE, lease=lease)
