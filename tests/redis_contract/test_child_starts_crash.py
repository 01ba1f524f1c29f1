"""A crash between the partitions of parent and child starts the child once, and the parent learns it (decision 25)."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.errors import LeaseLostError, LimitExceededError, OutcomeUnknownError
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import ChildStart, EffectWrite
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.lease import Acquired, ProcessLease, ReleaseReason, Renewed
from lash_core.model.process_input import EngineInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.redis_store.effect_journal import RedisEffectJournal
from lash_core.redis_store.outbox_steps import OutboxEntry
from lash_core.redis_store.process_children import CONFLICT_CODE
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_batches import LeasedRelease
from tests.redis_contract.rows import owner, registration, unique
from tests.redis_contract.test_grants_crash import Cut, deliver, entries

JOB = ProcessHandleDescriptor(kind="job", label="child")


async def held(stores: RedisStores, process_id: str | None = None) -> ProcessLease:
    """A row, new unless named, under a lease."""
    if process_id is None:
        process_id = (await stores.process_registry.register_process(registration())).id
    outcome = await stores.process_registry.claim_process_lease(process_id, owner(), 60_000)
    assert isinstance(outcome, Acquired)
    return outcome.lease


def start(child: ProcessRegistration, scope: SessionScope | None = None) -> EffectWrite:
    """The effect that starts a child."""
    given = ChildStart(child, scope, JOB if scope is not None else None)
    return EffectWrite(f"start:{child.id}", EffectKind.PROCESS, "starting", "ab" * 16, start=given)


async def state_of(stores: RedisStores, lease: ProcessLease, write: EffectWrite) -> tuple[str, Any]:
    """State and outcome in the journal."""
    record = (await stores.effect_journal.load_effects(lease.process_id))[write.key]
    return record.state, record.outcome


def started(write: EffectWrite) -> tuple[str, Any]:
    """What a journal says of a child that was started."""
    assert write.start is not None
    return "completed", {"id": write.start.registration.id}


async def test_children_are_started_with_their_grants(stores: RedisStores) -> None:
    """Several of one call, with and without a grant; repeated, nothing changes; the outbox is empty."""
    lease, scope = await held(stores), SessionScope(session_id=unique("session"))
    writes = [start(registration()), start(registration(), scope), start(registration())]

    answers = await stores.effect_journal.record_effects(lease, writes)
    again = await stores.effect_journal.record_effects(lease, writes)

    assert [started(write) for write in writes] == [(a.record.state, a.record.outcome) for a in answers]
    assert [a.record for a in answers] == [a.record for a in again]
    assert [True] * 3 == [a.replayed for a in again]
    ((grant, record),) = await stores.process_registry.list_handles(scope)
    assert (JOB, writes[1].key) == (grant.descriptor, f"start:{record.id}")
    assert [] == await entries(stores)


@pytest.mark.parametrize("cut", ["register_processes", "put_session_grants", "finish_child_start"])
async def test_a_start_cut_short_is_finished_by_the_outbox(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """Wherever between the two partitions; the holder of the parent hears of it."""
    lease, scope = await held(stores), SessionScope(session_id=unique("session"))
    write = start(registration(), scope)

    with Cut(monkeypatch, cut), pytest.raises(OutcomeUnknownError):
        await stores.effect_journal.record_effects(lease, [write])

    assert ("starting", None) == await state_of(stores, lease, write)
    assert await deliver(stores) >= 1
    assert started(write) == await state_of(stores, lease, write)
    assert 1 == len(await stores.process_registry.list_handles(scope))
    assert [] == await entries(stores)
    (renewed,) = await stores.process_registry.renew_process_leases([lease], 60_000)
    assert isinstance(renewed, Renewed)
    assert renewed.signalled
    assert 0 == await deliver(stores)


@pytest.mark.parametrize("cut", ["register_processes", "finish_child_start"])
async def test_a_replay_finishes_a_start_cut_short(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """The next run asks for the same effect and gets the child; the outbox then has nothing to do."""
    lease = await held(stores)
    write = start(registration())
    with Cut(monkeypatch, cut), pytest.raises(OutcomeUnknownError):
        await stores.effect_journal.record_effects(lease, [write])
    released = ReleaseReason(kind="yielded")
    await stores.process_registry.release_process_leases([LeasedRelease(lease, released)])
    again = await held(stores, lease.process_id)

    (answer,) = await stores.effect_journal.record_effects(again, [write])

    assert (*started(write), True) == (answer.record.state, answer.record.outcome, answer.replayed)
    assert [] == await entries(stores)
    assert started(write) == await state_of(stores, lease, write)


async def test_a_parked_parent_is_woken_by_the_outbox(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that left memory before its child was started is due once it is."""
    lease, write = await held(stores), start(registration())
    with Cut(monkeypatch, "register_processes"), pytest.raises(OutcomeUnknownError):
        await stores.effect_journal.record_effects(lease, [write])
    parked = ReleaseReason(kind="parked", due_in_ms=3_600_000)
    await stores.process_registry.release_process_leases([LeasedRelease(lease, parked)])

    await deliver(stores)

    claimed = await stores.process_registry.claim_ready_processes(owner(), 10, 60_000)
    assert lease.process_id in [item.record.id for item in claimed]


async def test_a_child_that_ended_and_was_pruned_is_not_started_again(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a replay of a finished start, by one of a start whose end was cut off, by an old page of the outbox."""
    lease, write = await held(stores), start(registration())
    assert write.start is not None
    child = write.start.registration.id
    with Cut(monkeypatch, "finish_child_start"), pytest.raises(OutcomeUnknownError):
        await stores.effect_journal.record_effects(lease, [write])
    (page,) = await entries(stores)
    await deliver(stores)
    ended = await held(stores, child)
    await stores.process_registry.complete_process_with_lease(ended, ProcessAwaitOutput.success(1))
    await stores.process_registry.prune_terminal_processes(2**50)
    assert None is await stores.process_registry.get_process(child)

    (answer,) = await stores.effect_journal.record_effects(lease, [write])
    await stores.process_registry.carry_out([page])

    assert started(write) == (answer.record.state, answer.record.outcome)
    assert None is await stores.process_registry.get_process(child)


async def test_an_id_with_other_content_fails_the_start(stores: RedisStores) -> None:
    """Recorded as a failure: a replay sees the same; the row keeps its content."""
    lease = await held(stores)
    there = await stores.process_registry.register_process(registration())
    write = start(registration(there.id, input=EngineInput(kind="other")))

    (answer,) = await stores.effect_journal.record_effects(lease, [write])

    assert ("failed", CONFLICT_CODE) == (answer.record.state, answer.record.outcome["code"])
    assert there.id in answer.record.outcome["message"]
    assert (answer.record.state, answer.record.outcome) == await state_of(stores, lease, write)
    assert there == await stores.process_registry.get_process(there.id)
    assert [] == await entries(stores)


async def test_a_run_that_lost_its_lease_starts_no_child(stores: RedisStores) -> None:
    """Neither entry nor outbox step nor row; a refused registration writes nothing either."""
    lease = await held(stores)
    await stores.advance_clock(60_000)
    write = start(registration())
    assert write.start is not None

    with pytest.raises(LeaseLostError):
        await stores.effect_journal.record_effects(lease, [write])

    fresh = await held(stores, lease.process_id)
    large = start(registration(input=EngineInput(kind="job", payload="x" * 300_000)))
    with pytest.raises(LimitExceededError):
        await stores.effect_journal.record_effects(fresh, [large])
    assert [] == await entries(stores)
    assert {} == dict(await stores.effect_journal.load_effects(lease.process_id))
    assert None is await stores.process_registry.get_process(write.start.registration.id)


async def test_a_step_of_a_pruned_parent_is_carried_out_and_dropped(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start was decided; a new life of the parent's id gets no entry of the old one."""
    lease, write = await held(stores), start(registration())
    assert write.start is not None
    with Cut(monkeypatch, "register_processes"), pytest.raises(OutcomeUnknownError):
        await stores.effect_journal.record_effects(lease, [write])
    await stores.process_registry.complete_process_with_lease(lease, ProcessAwaitOutput.success(1))
    await stores.process_registry.prune_terminal_processes(2**50)
    await stores.process_registry.register_process(registration(lease.process_id))

    assert 1 == await deliver(stores)

    assert await stores.process_registry.get_process(write.start.registration.id) is not None
    assert {} == dict(await stores.effect_journal.load_effects(lease.process_id))
    assert [] == await entries(stores)


async def test_a_step_of_the_old_life_leaves_the_entry_of_the_new_one(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry becomes final by its own step."""
    pages: list[OutboxEntry] = []
    lease, child = await held(stores), registration()
    for life in (1, 2):
        with Cut(monkeypatch, "register_processes"), pytest.raises(OutcomeUnknownError):
            await stores.effect_journal.record_effects(lease, [start(child)])
        pages = await entries(stores)
        if life == 1:
            await stores.process_registry.complete_process_with_lease(lease, ProcessAwaitOutput.success(1))
            await stores.process_registry.prune_terminal_processes(2**50)
            await stores.process_registry.register_process(registration(lease.process_id))
            lease = await held(stores, lease.process_id)

    await stores.process_registry.carry_out(pages[:1])

    assert ("starting", None) == await state_of(stores, lease, start(child))
    assert 1 == await deliver(stores)
    assert started(start(child)) == await state_of(stores, lease, start(child))


async def test_a_watcher_cut_off_is_told_by_the_outbox(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end stands although nobody could be told; a later delivery tells, and only once."""
    lease, child = await held(stores), await held(stores)
    await stores.process_registry.watch_processes(lease.process_id, [child.process_id])

    with Cut(monkeypatch, "tell_process"):
        await stores.process_registry.complete_process_with_lease(child, ProcessAwaitOutput.success(1))

    (quiet,) = await stores.process_registry.renew_process_leases([lease], 60_000)
    assert 1 == len(await entries(stores))
    assert 1 == await deliver(stores)
    (told,) = await stores.process_registry.renew_process_leases([lease], 60_000)
    assert isinstance(quiet, Renewed)
    assert isinstance(told, Renewed)
    assert (False, True) == (quiet.signalled, told.signalled)
    assert [] == await entries(stores)


async def test_a_watcher_that_is_gone_is_dropped(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pruned, started anew with another queue, or ended: the step is done."""
    watchers = [await held(stores) for _ in range(3)]
    child = await held(stores)
    for lease in watchers:
        await stores.process_registry.watch_processes(lease.process_id, [child.process_id])
    with Cut(monkeypatch, "tell_process"):
        await stores.process_registry.complete_process_with_lease(child, ProcessAwaitOutput.success(1))
    for lease in watchers:
        await stores.process_registry.complete_process_with_lease(lease, ProcessAwaitOutput.success(1))
    await stores.process_registry.prune_terminal_processes(2**50)
    await stores.process_registry.register_process(registration(watchers[1].process_id, queue="other"))
    await held(stores, watchers[1].process_id)

    assert await deliver(stores) >= 1
    assert [] == await entries(stores)


def test_the_journal_is_of_the_same_stores(stores: RedisStores) -> None:
    """Its children are started by the registry beside it, its writes go one at a time with the registry's."""
    assert isinstance(stores.effect_journal, RedisEffectJournal)
    assert stores.effect_journal._context is stores.context
    assert stores.process_registry._writes is stores.context.writes
