"""Notices: edge-triggered, heard by those who watch, told as ``resync`` when something may have been missed."""

from __future__ import annotations

from lash_core.model.event import ProcessEventAppendRequest
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_notices import ProcessNotice
from tests.redis_store.rows import DONE, NOTE, claimed, partition, redis, started, worker


async def kinds(stores: RedisStores) -> list[tuple[str, str]]:
    """Kind and process ids of each entry of the partition's stream."""
    entries = await redis(stores, "XRANGE", partition(stores).notices, "-", "+")
    return [(fields[1], fields[3]) for _, fields in entries]


async def test_ready_notices_are_edge_triggered(stores: RedisStores) -> None:
    """One notice a burst: a queue that has a due row is being worked on already."""
    first = await started(stores)
    await started(stores)
    await started(stores, delay_ms=60_000)

    assert [("ready", first)] == await kinds(stores)


async def test_a_completion_leaves_one_done_notice(stores: RedisStores) -> None:
    """The stream records what ended."""
    process_id = await started(stores)
    item = await claimed(stores)

    await stores.process_registry.complete_process_with_lease(item.lease, DONE)

    assert [("ready", process_id), ("done", process_id)] == await kinds(stores)


async def test_an_ear_hears_ready_rows_of_its_partitions(stores: RedisStores) -> None:
    """First ``resync``, then what happens."""
    notices = stores.process_registry.notices()
    try:
        notices.watch_partitions([0])
        assert ProcessNotice("resync") in await notices.next(5_000)

        process_id = await started(stores)

        assert (ProcessNotice("ready", process_id, 0),) == await notices.next(5_000)
        assert () == await notices.next(10)
    finally:
        await notices.close()


async def test_a_holder_hears_of_cancels_and_signals(stores: RedisStores) -> None:
    """On the channel of its worker incarnation, for leases taken in a batch too; not of its own events."""
    owner = worker()
    process_id = await started(stores)
    notices = stores.process_registry.notices()
    try:
        notices.watch_owner(owner)
        await notices.next(5_000)
        item = await claimed(stores, owner)
        registry = stores.process_registry

        await registry.append_event(process_id, NOTE, lease=item.lease)
        await registry.append_event(process_id, NOTE)
        heard = await notices.next(5_000)
        await registry.append_event(process_id, ProcessEventAppendRequest.cancel_requested(process_id, "stop"))
        heard += await notices.next(5_000)

        assert (ProcessNotice("signal", process_id, 0), ProcessNotice("cancel", process_id, 0)) == heard
    finally:
        await notices.close()
        await notices.close()


async def test_a_time_before_all_others_is_heard(stores: RedisStores) -> None:
    """Delayed rows and parked ones; a later time and a row that waits for ever ring nobody."""
    notices = stores.process_registry.notices()
    try:
        notices.watch_partitions([0])
        await notices.next(5_000)
        heard: list[int] = []
        for delay_ms in (60_000, 90_000, 30_000):
            now_ms = await stores.process_registry.server_time_ms()
            await started(stores, delay_ms=delay_ms)
            for notice in await notices.next(50 if delay_ms == 90_000 else 5_000):
                assert ("due", 0, "") == (notice.kind, notice.partition, notice.process_id)
                heard.append(round((notice.due_at_ms - now_ms) / 1_000))
                assert {0: notice.due_at_ms} == stores.process_registry.next_due_ms()
    finally:
        await notices.close()

    assert [60, 30] == heard


async def test_claims_learn_when_the_next_row_becomes_due(stores: RedisStores) -> None:
    """Of the queues that were asked for, also when nothing is due; parked for ever counts as never."""
    registry, owner = stores.process_registry, worker()
    await started(stores, queue="other", delay_ms=10_000)
    first = await started(stores)
    await claimed(stores, owner)
    assert {} == registry.next_due_ms()

    later = await started(stores, delay_ms=60_000)
    await registry.claim_ready_processes(owner, 1, 30_000)
    score = int(float(await redis(stores, "ZSCORE", partition(stores).ready("default"), later)))
    assert {0: score} == registry.next_due_ms()
    await started(stores)
    await registry.claim_ready_processes(owner, 1, 30_000, ("default", "other"))
    assert score > registry.next_due_ms()[0]

    await stores.advance_clock(60_000)
    await registry.claim_ready_processes(owner, 10, 30_000, ("default", "other"))
    await registry.claim_ready_processes(owner, 10, 30_000)
    assert {} == registry.next_due_ms()
    assert first
