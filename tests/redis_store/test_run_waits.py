"""Waits of runs over Redis: nothing that happened is slept through, ends are told, retries count."""

from __future__ import annotations

import pytest

from lash_core.errors import AlreadyTerminalError, InvalidArgumentError, LeaseLostError, UnknownProcessError
from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import EffectWrite
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted, SignalWait, WaitState
from lash_core.model.lease import ProcessLease, ReleaseReason, Renewed
from lash_core.model.reports import CompletionAuthority
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_batches import LeasedCompletion, LeasedRelease
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

SIGNALS = (ProcessEventType(name="note"), ProcessEventType.signal("go"))


async def held(stores: RedisStores) -> ProcessLease:
    """A new row under a lease."""
    return await claimed_by_name(stores, await started(stores, event_types=SIGNALS))


def key_of(process_id: str, name: str) -> AwaitEventKey:
    """A promise of a process."""
    return AwaitEventKey.mint(ExecutionScope.process(process_id), WaitIdentity.custom(name), b"secret")


def wait_of(process_id: str, since_ms: int = 5, ordinal: int = 1) -> WaitState:
    """A wait for ``go``."""
    return WaitState(since_ms=since_ms, kind=SignalWait.of(process_id, "go", ordinal))


async def park(stores: RedisStores, lease: ProcessLease, due_in_ms: int = 600_000, seen: str | None = None) -> None:
    """Give back as parked."""
    reason = ReleaseReason(kind="parked", due_in_ms=due_in_ms, marks_seen=seen)
    (outcome,) = await stores.process_registry.release_process_leases([LeasedRelease(lease, reason)])
    assert outcome.error is None


async def due(stores: RedisStores) -> list[str]:
    """Rows that a worker would get now."""
    now_ms = await stores.process_registry.server_time_ms()
    return await redis(stores, "ZRANGE", partition(stores).ready("default"), "-inf", now_ms, "BYSCORE")


async def test_a_look_reads_events_promises_and_marks(stores: RedisStores) -> None:
    """Events after a sequence, resolutions that there are, the server's time; a stale lease may look."""
    lease = await held(stores)
    process_id, registry = lease.process_id, stores.process_registry
    for _ in range(3):
        await registry.append_event(process_id, NOTE)
    one, two, three = (key_of(process_id, name) for name in ("one", "two", "three"))
    await stores.promises.resolve_promise(one, Resolution.ok(1))
    await stores.promises.open_promise(two)

    look = await registry.look_at_run(lease, 1, [one, two, three])

    assert [2, 3] == [event.sequence for event in look.events]
    assert {one.key_id: Resolution.ok(1)} == look.resolutions
    assert 50 > await registry.server_time_ms() - look.server_time_ms
    assert look.marks_seen == (await registry.look_at_run(lease, 3)).marks_seen
    await registry.complete_process_with_lease(lease, DONE)
    ended = await registry.look_at_run(lease, 3, [two])
    assert {two.key_id: Resolution.cancelled()} == ended.resolutions
    with pytest.raises(InvalidArgumentError):
        await registry.look_at_run(lease, 0, [key_of("other", "one")])
    with pytest.raises(UnknownProcessError):
        await registry.look_at_run(lease.model_copy(update={"process_id": "unknown"}), 0)


@pytest.mark.parametrize("stimulus", ["event", "promise", "told"])
async def test_what_happened_after_the_look_makes_a_parked_row_due(stores: RedisStores, stimulus: str) -> None:
    """Seen before the look: it stays parked; after it: due at once."""
    for late in (False, True):
        lease = await held(stores)
        child = await started(stores)
        await stores.process_registry.watch_processes(lease.process_id, [child])
        look = await stores.process_registry.look_at_run(lease, 0)
        await happen(stores, stimulus, lease.process_id, child)
        if not late:
            look = await stores.process_registry.look_at_run(lease, 0)
        await park(stores, lease, seen=look.marks_seen)

        assert late == (lease.process_id in await due(stores))


async def happen(stores: RedisStores, stimulus: str, process_id: str, child: str) -> None:
    """One thing that a run may wait for."""
    match stimulus:
        case "event":
            await stores.process_registry.append_event(process_id, NOTE)
        case "promise":
            await stores.promises.resolve_promise(key_of(process_id, "k"), Resolution.ok(1))
        case _:
            lease = await claimed_by_name(stores, child)
            await stores.process_registry.complete_processes_with_lease([LeasedCompletion(lease, DONE)])


@pytest.mark.parametrize("stimulus", ["event", "promise", "told"])
@pytest.mark.parametrize("due_in_ms", [600_000, -1])
async def test_what_happens_to_a_parked_row_wakes_it(stores: RedisStores, stimulus: str, due_in_ms: int) -> None:
    """Whether it is parked until a time or for ever; told once, the watcher is forgotten."""
    lease = await held(stores)
    child = await started(stores)
    (row,) = await stores.process_registry.watch_processes(lease.process_id, [child])
    assert row is not None
    assert not row.is_terminal
    await park(stores, lease, due_in_ms)
    assert lease.process_id not in await due(stores)

    await happen(stores, stimulus, lease.process_id, child)

    assert lease.process_id in await due(stores)
    assert 0 == await redis(stores, "XLEN", partition(stores).outbox)


@pytest.mark.parametrize("kind", ["yielded", "declined", "retried", "died"])
async def test_a_row_that_stands_back_is_not_woken(stores: RedisStores, kind: str) -> None:
    """Parked once, then given back for another reason: events, promises and ends do not make it due early."""
    lease = await held(stores)
    child = await started(stores)
    await park(stores, lease, due_in_ms=0)
    lease = await claimed_by_name(stores, lease.process_id, ttl_ms=1_000)
    registry = stores.process_registry
    await registry.watch_processes(lease.process_id, [child])
    match kind:
        case "retried":
            await registry.retry_process(lease, delay_ms=600_000, drop=(), detail="")
        case "died":
            for _ in range(2):
                await stores.advance_clock(60_000)
                await registry.requeue_expired_leases(10)
                lease = await claimed_by_name(stores, lease.process_id, ttl_ms=1_000)
            await stores.advance_clock(1_000)
            await registry.requeue_expired_leases(10)
        case _:
            reason = ReleaseReason(kind="yielded" if kind == "yielded" else "declined", due_in_ms=600_000)
            await registry.release_process_leases([LeasedRelease(lease, reason)])

    for stimulus in ("event", "promise", "told"):
        await happen(stores, stimulus, lease.process_id, child)

    assert lease.process_id not in await due(stores)
    cancel = ProcessEventAppendRequest.cancel_requested(lease.process_id, "stop")
    await registry.append_event(lease.process_id, cancel)
    assert lease.process_id in await due(stores)


async def test_parking_records_the_start_and_counts_no_death(stores: RedisStores) -> None:
    """In the same unit; the first start stays."""
    lease = await held(stores)
    first = ProcessStarted(owner=worker("first"), started_at_ms=7)
    parked = ReleaseReason(kind="parked", due_in_ms=0)

    await stores.process_registry.release_process_leases([LeasedRelease(lease, parked, first)])
    again = await claimed_by_name(stores, lease.process_id)
    second = ProcessStarted(owner=worker("second"), started_at_ms=8)
    await stores.process_registry.release_process_leases([LeasedRelease(again, parked, second)])

    record = await stores.process_registry.get_process(lease.process_id)
    assert record is not None
    assert (first, 0, 2) == (record.first_started, record.deaths, record.attempt)


async def test_every_way_to_end_tells_the_watchers(stores: RedisStores) -> None:
    """By lease, by authority, by a cancel before the start, by an appended terminal event."""
    registry = stores.process_registry
    lease = await held(stores)
    children = [await started(stores) for _ in range(3)]
    await registry.watch_processes(lease.process_id, children)
    seen: list[bool] = []

    async def told() -> None:
        (renewed,) = await registry.renew_process_leases([lease], TTL_MS)
        assert isinstance(renewed, Renewed)
        seen.append(renewed.signalled)

    await told()
    await registry.complete_process_with_lease(await claimed_by_name(stores, children[0]), DONE)
    await told()
    await registry.complete_process(children[1], DONE, CompletionAuthority.for_workflow_key("w"))
    await told()
    await registry.append_event(children[2], ProcessEventAppendRequest.cancel_requested(children[2], "stop"))
    await told()

    assert [False, True, True, True] == seen
    rows = await registry.watch_processes(lease.process_id, [*children, "unknown"])
    assert [True, True, True, None] == [row and row.is_terminal for row in rows]
    for child in children:
        assert None is await redis(stores, "HGET", partition(stores).control(child), "pw")


async def test_an_end_whose_reply_was_lost_is_told_by_the_outbox(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeat finds the end stored and knows of no watchers; the step is there."""
    lease = await held(stores)
    child = await started(stores)
    await stores.process_registry.watch_processes(lease.process_id, [child])
    ending = await claimed_by_name(stores, child)
    lost = lose_replies(monkeypatch, stores, "complete_processes_with_lease")

    await stores.process_registry.complete_processes_with_lease([LeasedCompletion(ending, DONE)])

    assert lost[0][0].endswith(f" {lease.process_id}")
    assert 1 == await stores.process_registry.deliver_outbox(min_age_ms=0, limit=10)
    (renewed,) = await stores.process_registry.renew_process_leases([lease], TTL_MS)
    assert isinstance(renewed, Renewed)
    assert renewed.signalled


async def test_a_signal_wait_is_set_and_cleared_with_its_events(stores: RedisStores) -> None:
    """One event each over every replay; the first ``since`` stays; another wait is not cleared."""
    lease = await held(stores)
    process_id, registry = lease.process_id, stores.process_registry
    first = ProcessStarted(owner=worker("first"), started_at_ms=7)

    begun = await registry.begin_signal_wait(process_id, wait_of(process_id), lease=lease, first_started=first)
    again = await registry.begin_signal_wait(process_id, wait_of(process_id, 99), lease=lease)
    record = await registry.get_process(process_id)

    assert wait_of(process_id) == begun == again
    assert record is not None
    assert (wait_of(process_id), first, 1) == (record.wait, record.first_started, record.fenced_writes)
    for _ in range(2):
        await registry.end_signal_wait(process_id, wait_of(process_id), lease=lease, received=True)
    assert wait_of(process_id) == await registry.begin_signal_wait(process_id, wait_of(process_id, 99), lease=lease)
    await registry.begin_signal_wait(process_id, wait_of(process_id, 6, 2), lease=lease)
    await registry.end_signal_wait(process_id, wait_of(process_id), lease=lease, received=False)
    record = await registry.get_process(process_id)
    assert record is not None
    assert wait_of(process_id, 6, 2) == record.wait
    await registry.end_signal_wait(process_id, wait_of(process_id, 6, 2), lease=lease, received=False)
    events = await registry.events_after(process_id, 0)
    assert ["process.waiting", "process.resumed", "process.waiting"] == [event.event_type for event in events]
    key = f"process:{process_id}:signal.go:1"
    assert {"signal": "go", "key": key, "ordinal": 1} == events[1].payload
    assert f"process:{process_id}:resumed:signal.go:1" == events[1].replay_key
    assert {"wait": wait_of(process_id).to_json_value()} == events[0].payload


async def test_a_signal_wait_is_fenced_and_survives_lost_replies(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale run sees what is stored and writes nothing; a repeat is one write."""
    lease = await held(stores)
    process_id, registry = lease.process_id, stores.process_registry
    lose_replies(monkeypatch, stores, "begin_signal_wait")
    lose_replies(monkeypatch, stores, "end_signal_wait")
    await registry.begin_signal_wait(process_id, wait_of(process_id), lease=lease)
    await stores.advance_clock(TTL_MS)

    assert wait_of(process_id) == await registry.begin_signal_wait(process_id, wait_of(process_id, 9), lease=lease)
    with pytest.raises(LeaseLostError):
        await registry.begin_signal_wait(process_id, wait_of(process_id, 9, 2), lease=lease)
    with pytest.raises(LeaseLostError):
        await registry.end_signal_wait(process_id, wait_of(process_id), lease=lease, received=False)
    fresh = await claimed_by_name(stores, process_id)
    await registry.end_signal_wait(process_id, wait_of(process_id), lease=fresh, received=True)
    assert ["process.waiting", "process.resumed"] == [
        event.event_type for event in await registry.events_after(process_id, 0)
    ]


async def test_a_retry_drops_failures_and_keeps_successes(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted on the row, noted in the audit, due after its delay; repeated after a lost reply it is one."""
    lease = await held(stores)
    process_id, registry, journal = lease.process_id, stores.process_registry, stores.effect_journal
    kept = EffectWrite("kept", EffectKind.DURABLE_STEP, "completed", "ab", outcome_json="1")
    failed = EffectWrite("failed", EffectKind.DURABLE_STEP, "failed", "ab", outcome_json=f'"{"x" * 20_000}"')
    await journal.record_effects(lease, [kept, failed])
    lost = lose_replies(monkeypatch, stores, "retry_process")

    assert 1 == await registry.retry_process(lease, delay_ms=5_000, drop=["failed", "never"], detail="boom")

    assert [["retried", 1]] == lost
    assert 1 == await registry.retry_process(lease, delay_ms=5_000, drop=[], detail="boom")
    assert ["kept"] == list(await journal.load_effects(process_id))
    record = await registry.get_process(process_id)
    assert record is not None
    assert (1, 1, 2) == (record.retries, record.attempt, record.fenced_writes)
    control = partition(stores).control(process_id)
    entry = await redis(stores, "HGET", partition(stores).journal(process_id), "=kept")
    assert len("=kept") + len(entry) == int(await redis(stores, "HGET", control, "jb"))
    (note,) = await registry.audit_entries(process_id)
    assert ("retry", {"detail": "boom", "retries": 1}) == (note.kind, note.evidence)
    assert [] == await due(stores)
    await stores.advance_clock(5_000)
    item = await claimed(stores)
    await registry.append_event(process_id, ProcessEventAppendRequest.cancel_requested(process_id, "stop"))
    assert 2 == await registry.retry_process(item.lease, delay_ms=600_000, drop=[], detail="")
    assert [process_id] == await due(stores)


async def test_an_ended_row_is_not_retried(stores: RedisStores) -> None:
    """Ended by authority under a live lease; and a stale run retries nothing."""
    lease = await held(stores)
    authority = CompletionAuthority.for_workflow_key("w")
    await stores.process_registry.complete_process(lease.process_id, DONE, authority)
    with pytest.raises(AlreadyTerminalError):
        await stores.process_registry.retry_process(lease, delay_ms=0, drop=[], detail="")
    other = await held(stores)
    await stores.advance_clock(TTL_MS)
    with pytest.raises(LeaseLostError):
        await stores.process_registry.retry_process(other, delay_ms=0, drop=[], detail="")
