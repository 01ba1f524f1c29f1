"""A request whose reply was lost is sent again; nothing happens twice and nothing is lost (DESIGN 3.3 rule 8)."""

from __future__ import annotations

import pytest

from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.lease import Acquired, ReleaseReason, Renewed
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_batches import BatchOutcome, LeasedCompletion, LeasedRelease
from tests.redis_store.rows import (
    DONE,
    NOTE,
    TTL_MS,
    claimed,
    claimed_by_name,
    lose_replies,
    partition,
    redis,
    started,
    worker,
)


async def test_a_repeated_batch_claim_gives_the_same_rows(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipt answers a claim that is repeated with its request id: same rows, fences and tokens, no others."""
    for _ in range(5):
        await started(stores)
    lost = lose_replies(monkeypatch, stores, "claim_ready_processes")

    found = await stores.process_registry.claim_ready_processes(worker(), 3, TTL_MS)

    assert 1 == len(lost)
    assert lost[0][8::3] == [item.record.id for item in found]
    assert [int(due_ms) for due_ms in lost[0][9::3]] == [item.due_at_ms for item in found]
    assert 3 == len({item.record.id for item in found})
    assert 3 == await redis(stores, "ZCARD", partition(stores).leases)
    for item in found:
        assert item.lease == await stores.process_registry.get_process_lease(item.record.id)


async def test_a_repeated_claim_by_name_is_the_same_lease(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run finds the claimant's own live lease and answers it."""
    process_id = await started(stores)
    lost = lose_replies(monkeypatch, stores, "claim_process_lease")

    outcome = await stores.process_registry.claim_process_lease(process_id, worker(), TTL_MS)

    assert isinstance(outcome, Acquired)
    assert lost[0][1].startswith(f"{outcome.lease.fencing_token};")


async def test_a_repeated_fenced_append_without_a_key_is_one_event(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a lease the write's own id tells the repeat, so an event needs no replay key."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    lose_replies(monkeypatch, stores, "append_events")

    results = await stores.process_registry.append_events(process_id, [NOTE, NOTE], lease=lease)

    assert [1, 2] == [result.event.sequence for result in results]
    assert 2 == len(await stores.process_registry.events_after(process_id, 0))


async def test_two_equal_fenced_appends_are_two_events(stores: RedisStores) -> None:
    """A repeat is known by the call, not by its content: what was meant twice happens twice."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)

    for _ in range(2):
        await stores.process_registry.append_event(process_id, NOTE, lease=lease)

    assert 2 == len(await stores.process_registry.events_after(process_id, 0))


async def test_a_repeated_completion_is_done(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run finds the stored outcome, although the lease is gone."""
    process_id = await started(stores)
    item = await claimed(stores)
    lost = lose_replies(monkeypatch, stores, "complete_processes_with_lease")

    outcomes = await stores.process_registry.complete_processes_with_lease([LeasedCompletion(item.lease, DONE)])

    assert ["ok"] == lost[0]
    assert (BatchOutcome(process_id),) == outcomes


async def test_one_batch_may_name_a_row_twice(stores: RedisStores) -> None:
    """The second item finds what the first one wrote."""
    process_id = await started(stores)
    item = await claimed(stores)
    completion = LeasedCompletion(item.lease, DONE)

    outcomes = await stores.process_registry.complete_processes_with_lease([completion, completion])

    assert (BatchOutcome(process_id), BatchOutcome(process_id)) == outcomes
    assert 1 == len(await stores.process_registry.events_after(process_id, 0))


async def test_a_repeated_release_is_done(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run of a release changes neither due time nor attempts."""
    process_id = await started(stores)
    item = await claimed(stores)
    lose_replies(monkeypatch, stores, "release_process_leases")

    (outcome,) = await stores.process_registry.release_process_leases(
        [LeasedRelease(item.lease, ReleaseReason(kind="yielded"))]
    )

    assert BatchOutcome(process_id) == outcome
    record = await stores.process_registry.get_process(process_id)
    assert record is not None
    assert 1 == record.attempt


async def test_marks_outlive_a_lost_renewal(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark whose renewal was not answered comes with the next one, and only with that."""
    process_id = await started(stores)
    item = await claimed(stores)
    registry = stores.process_registry
    await registry.append_event(process_id, ProcessEventAppendRequest.cancel_requested(process_id, "stop"))
    lost = lose_replies(monkeypatch, stores, "renew_process_leases")

    (first,) = await registry.renew_process_leases([item.lease], TTL_MS)
    (second,) = await registry.renew_process_leases([item.lease], TTL_MS)

    assert "1;0;0" == lost[0][1]
    assert isinstance(first, Renewed)
    assert isinstance(second, Renewed)
    assert (True, False) == (first.cancel_requested, second.cancel_requested)


async def test_scripts_survive_a_flush_before_every_call(stores: RedisStores) -> None:
    """A promoted replica knows no script: each is sent in full when it is missing."""
    registry = stores.process_registry

    await redis(stores, "SCRIPT", "FLUSH")
    process_id = await started(stores)
    await redis(stores, "SCRIPT", "FLUSH")
    item = await claimed(stores)
    await redis(stores, "SCRIPT", "FLUSH")
    await registry.append_event(process_id, NOTE, lease=item.lease)
    await redis(stores, "SCRIPT", "FLUSH")
    record = await registry.complete_process_with_lease(item.lease, DONE)

    assert "completed" == record.status.state
