"""The journal over Redis: one fenced write a call, bounded, safe to repeat, large outcomes beside it."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.errors import LeaseLostError, LimitExceededError, RuntimeFailure, UnknownProcessError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import (
    ChildStart,
    EffectClaimed,
    EffectConflict,
    EffectInProgress,
    EffectRecord,
    EffectRecorded,
    EffectWrite,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.limits import Limits
from lash_core.redis_store.effect_journal import PAGE
from lash_core.redis_store.stores import RedisStores
from tests.redis_store.conftest import OpenStores
from tests.redis_store.rows import claimed_by_name, lose_replies, partition, redis, registration, started, worker

HASH = "ab" * 16


def step(name: str, value: Any = 1, **facts: Any) -> EffectWrite:
    """The outcome of a step under a key of any process."""
    given: dict[str, Any] = {
        "key": name,
        "kind": EffectKind.DURABLE_STEP,
        "state": "completed",
        "envelope_hash": HASH,
        "digests": "a=1",
        "outcome_json": canonical_json(value),
    }
    return EffectWrite(**(given | facts))


def sleep(name: str, delay_ms: int) -> EffectWrite:
    """A sleep."""
    return EffectWrite(key=name, kind=EffectKind.SLEEP, state="waiting", envelope_hash=HASH, delay_ms=delay_ms)


async def test_entries_are_loaded_by_their_keys(stores: RedisStores) -> None:
    """Keys of the process's own, of another start, long ones; outcomes, errors, waits."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    keys = [f"process:{process_id}:step:a", "step:a", ":odd", "=odd", "x" * 512, f"process:{process_id}:"]
    failed = step("failed", {"code": "c", "message": "m"}, state="failed")

    answers = await stores.effect_journal.record_effects(
        lease, [*(step(key, {"of": key}) for key in keys), failed, sleep("nap", 500)]
    )
    loaded = await stores.effect_journal.load_effects(process_id)

    assert {answer.record.key: answer.record for answer in answers} == dict(loaded)
    assert [{"of": key} for key in keys] == [loaded[key].outcome for key in keys]
    assert ("failed", {"code": "c", "message": "m"}) == (loaded["failed"].state, loaded["failed"].outcome)
    assert ("waiting", answers[0].now_ms + 500) == (loaded["nap"].state, loaded["nap"].due_at_ms)
    assert {} == dict(await stores.effect_journal.load_effects("unknown"))


async def test_a_call_is_one_fenced_write_and_brings_the_start(stores: RedisStores) -> None:
    """However many entries; the first start is recorded once."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    first = ProcessStarted(owner=worker("first"), started_at_ms=1)

    await stores.effect_journal.record_effects(lease, [step(str(n)) for n in range(50)], first_started=first)
    await stores.effect_journal.record_effects(
        lease, [step("more")], first_started=ProcessStarted(owner=worker(), started_at_ms=2)
    )

    record = await stores.process_registry.get_process(process_id)
    assert record is not None
    assert (2, first) == (record.fenced_writes, record.first_started)


async def test_what_is_stored_is_answered(stores: RedisStores) -> None:
    """The same effect again, another one under its key, a final one over a wait; twins in one call."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    journal = stores.effect_journal
    _, first = await journal.record_effects(lease, [step("a", 1), sleep("w", 500)])
    await stores.advance_clock(200)

    again, other, waits = await journal.record_effects(
        lease, [step("a", 2), step("a", 3, envelope_hash="cd" * 16), sleep("w", 500)]
    )
    (timeout,) = await journal.record_effects(
        lease, [step("w", {"code": "t"}, kind=EffectKind.SLEEP, digests="", state="failed")]
    )
    one, two = await journal.record_effects(lease, [step("twin", 1), step("twin", 2)])

    assert (1, True, False) == (again.record.outcome, again.replayed, again.conflict)
    assert (1, False, True) == (other.record.outcome, other.replayed, other.conflict)
    assert (first.now_ms + 500, True) == (waits.record.due_at_ms, waits.replayed)
    assert ("failed", waits.record.due_at_ms, False) == (
        timeout.record.state,
        timeout.record.due_at_ms,
        timeout.replayed,
    )
    assert (1, 1, False, True) == (one.record.outcome, two.record.outcome, one.replayed, two.replayed)
    record = await stores.process_registry.get_process(process_id)
    assert record is not None
    assert 3 == record.fenced_writes


async def test_a_stale_run_sees_what_is_stored_and_writes_nothing(stores: RedisStores) -> None:
    """Replay before the lease, the lease before the rest; one new entry is enough to be refused."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id, ttl_ms=1_000)
    await stores.effect_journal.record_effects(lease, [step("a")])
    await stores.advance_clock(2_000)

    (seen,) = await stores.effect_journal.record_effects(lease, [step("a")])
    with pytest.raises(LeaseLostError):
        await stores.effect_journal.record_effects(lease, [step("a"), step("b")])

    assert seen.replayed
    assert ["a"] == list(await stores.effect_journal.load_effects(process_id))
    gone = lease.model_copy(update={"process_id": "unknown"})
    with pytest.raises(UnknownProcessError):
        await stores.effect_journal.record_effects(gone, [step("a")])


async def test_a_lost_reply_is_one_write(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run of the script finds what the first one wrote: entries, child and due time alike."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    lost = lose_replies(monkeypatch, stores, "record_effects")
    child = registration()
    start = step("child", outcome_json=None, kind=EffectKind.PROCESS, state="starting", start=ChildStart(child))

    answers = await stores.effect_journal.record_effects(lease, [step("a"), sleep("w", 500), start])

    assert 1 == len(lost)
    record = await stores.process_registry.get_process(process_id)
    assert record is not None
    assert 1 == record.fenced_writes
    assert {"id": child.id} == answers[2].record.outcome
    assert 0 == await redis(stores, "XLEN", partition(stores).outbox)
    assert await stores.process_registry.get_process(child.id) is not None


async def test_large_outcomes_are_kept_beside_the_journal(stores: RedisStores) -> None:
    """Over 16 KB: in the blobs, read back by load and by a repeat, counted."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    big = {str(n): "x" * (17_000 + n) for n in range(40)}
    writes = [step(name, text) for name, text in big.items()]

    await stores.effect_journal.record_effects(lease, writes)
    again = await stores.effect_journal.record_effects(lease, writes)
    loaded = await stores.effect_journal.load_effects(process_id)

    keys = partition(stores)
    assert 40 == await redis(stores, "HLEN", keys.blobs(process_id))
    assert list(big.values()) == [answer.record.outcome for answer in again]
    assert big == {name: record.outcome for name, record in loaded.items()}
    assert await stored_bytes(stores, process_id) == int(await redis(stores, "HGET", keys.control(process_id), "jb"))


async def stored_bytes(stores: RedisStores, process_id: str) -> int:
    """Bytes of journal and blobs."""
    total = 0
    for key in (partition(stores).journal(process_id), partition(stores).blobs(process_id)):
        total += sum(len(text) for text in await redis(stores, "HKEYS", key))
        total += sum(len(text) for text in await redis(stores, "HVALS", key))
    return total


async def test_bytes_are_counted_exactly(stores: RedisStores) -> None:
    """New entries, an entry that becomes final, a child start that was carried out."""
    process_id = await started(stores)
    lease = await claimed_by_name(stores, process_id)
    start = step(
        "child", outcome_json=None, kind=EffectKind.PROCESS, state="starting", start=ChildStart(registration())
    )
    final = step("w", None, kind=EffectKind.SLEEP, digests="")

    await stores.effect_journal.record_effects(lease, [step("a"), sleep("w", 10), start])
    await stores.effect_journal.record_effects(lease, [final])

    control = partition(stores).control(process_id)
    assert await stored_bytes(stores, process_id) == int(await redis(stores, "HGET", control, "jb"))


@pytest.mark.parametrize(
    ("field", "limits"),
    [("journal_entries", {"journal_entries_max": 10}), ("journal_bytes", {"journal_bytes_max": 64 * 1024})],
)
async def test_a_full_journal_is_refused_by_name(open_stores: OpenStores, field: str, limits: dict[str, int]) -> None:
    """The whole call is refused, what is stored is still answered, and the lease may still complete."""
    async with open_stores(limits=Limits(**limits)) as stores:
        process_id = await started(stores)
        lease = await claimed_by_name(stores, process_id)
        filled = [step(str(n), "x" * 6_000) for n in range(10)]
        await stores.effect_journal.record_effects(lease, filled)

        with pytest.raises(LimitExceededError) as refused:
            await stores.effect_journal.record_effects(lease, [*filled, step("one", "x" * 10_000)])

        assert (field, limits[f"{field}_max"]) == (refused.value.field, refused.value.limit)
        assert 10 == len(await stores.effect_journal.record_effects(lease, filled))
        assert 10 == len(await stores.effect_journal.load_effects(process_id))


async def test_long_journals_and_long_calls_are_paged(open_stores: OpenStores) -> None:
    """More writes than a batch, more entries than a page."""
    async with open_stores(limits=Limits(batch_max=1_000)) as stores:
        process_id = await started(stores)
        lease = await claimed_by_name(stores, process_id)
        writes = [step(f"process:{process_id}:step:{n}", n) for n in range(2 * PAGE + 500)]

        answers = await stores.effect_journal.record_effects(lease, writes)
        loaded = await stores.effect_journal.load_effects(process_id)

        assert [False] * len(writes) == [answer.replayed for answer in answers]
        assert {write.key: n for n, write in enumerate(writes)} == {key: one.outcome for key, one in loaded.items()}


async def test_an_effect_of_a_scope_without_a_lease(stores: RedisStores) -> None:
    """Claimed once, busy meanwhile, finalized once, then recorded; another effect under the key is a conflict."""
    scope, journal = ExecutionScope.turn("session", "turn"), stores.effect_journal
    wait = step("k", outcome_json=None, state="waiting", delay_ms=300)
    claim = await journal.claim_effect(scope, wait, owner="me", ttl_ms=1_000)
    assert isinstance(claim, EffectClaimed)
    assert claim.now_ms + 300 == claim.due_at_ms

    busy = await journal.claim_effect(scope, wait, owner="other", ttl_ms=1_000)
    await stores.advance_clock(800)
    await journal.renew_effect(scope, "k", claim.token, ttl_ms=1_000)
    await stores.advance_clock(800)
    under_way = await journal.find_effect(scope, "k")
    record = await journal.finalize_effect(scope, step("k", {"v": 1}), claim.token)
    again = await journal.finalize_effect(scope, step("k", {"v": 1}), claim.token)
    recorded = await journal.claim_effect(scope, wait, owner="other", ttl_ms=1_000)
    other = await journal.claim_effect(scope, step("k", envelope_hash="cd" * 16), owner="other", ttl_ms=1_000)

    assert EffectInProgress(claim.now_ms + 1_000) == busy
    assert under_way is not None
    assert ("waiting", claim.due_at_ms) == (under_way.state, under_way.due_at_ms)
    expected = EffectRecord("k", EffectKind.DURABLE_STEP, "completed", HASH, "a=1", '{"v":1}', claim.due_at_ms)
    assert [expected] * 3 == [record, again, await journal.find_effect(scope, "k")]
    assert isinstance(recorded, EffectRecorded)
    assert expected == recorded.record
    assert EffectConflict(expected) == other
    assert None is await journal.find_effect(ExecutionScope.turn("session", "other"), "k")


async def test_an_expired_claim_is_taken_over_with_its_due_time(stores: RedisStores) -> None:
    """The old owner can neither renew nor finalize any more."""
    scope, journal = ExecutionScope.runtime_operation("op"), stores.effect_journal
    wait = step("k", outcome_json=None, state="waiting", delay_ms=60_000)
    first = await journal.claim_effect(scope, wait, owner="me", ttl_ms=1_000)
    assert isinstance(first, EffectClaimed)
    await stores.advance_clock(1_000)

    with pytest.raises(RuntimeFailure, match="redis_effect_replay_lease_lost"):
        await journal.finalize_effect(scope, step("k"), first.token)
    second = await journal.claim_effect(scope, wait, owner="other", ttl_ms=1_000)

    assert isinstance(second, EffectClaimed)
    assert first.due_at_ms == second.due_at_ms
    for verb in (
        journal.renew_effect(scope, "k", first.token, ttl_ms=1_000),
        journal.finalize_effect(scope, step("k"), first.token),
        journal.finalize_effect(scope, step("k", envelope_hash="cd" * 16), second.token),
        journal.finalize_effect(scope, step("none"), second.token),
    ):
        with pytest.raises(RuntimeFailure, match="redis_effect_replay_lease_lost"):
            await verb
    await journal.finalize_effect(scope, step("k"), second.token)


async def test_a_lost_reply_of_a_claim_is_the_same_claim(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repeat names the same token."""
    lose_replies(monkeypatch, stores, "claim_effect")
    lose_replies(monkeypatch, stores, "finalize_effect")
    scope = ExecutionScope.runtime_operation("op")

    claim = await stores.effect_journal.claim_effect(scope, step("k"), owner="me", ttl_ms=1_000)

    assert isinstance(claim, EffectClaimed)
    assert 1 == (await stores.effect_journal.finalize_effect(scope, step("k"), claim.token)).outcome


async def test_forgotten_scopes_leave_nothing(stores: RedisStores) -> None:
    """By the last touch, at most as many as asked."""
    journal = stores.effect_journal
    for number in range(5):
        await journal.claim_effect(ExecutionScope.runtime_operation(f"op{number}"), step("k"), owner="me", ttl_ms=10)
    await stores.advance_clock(10_000)
    fresh = ExecutionScope.runtime_operation("op0")
    await journal.claim_effect(fresh, step("j"), owner="me", ttl_ms=10)

    assert [3, 1, 0] == [await journal.forget_effects(5_000, 3) for _ in range(3)]
    assert await journal.find_effect(fresh, "k") is not None
    keys = await redis(stores, "KEYS", f"{{{stores.context.keyspace.namespace}:*:jo:*")
    assert 1 == len(keys)
    assert 1 == await redis(stores, "ZCARD", partition(stores).scopes)
