"""Stale runs and journals (decisions 24 and 25, hazard 2): what is stored is answered, nothing new is written."""

from __future__ import annotations

from lash_core.errors import LeaseLostError, StoreBehindError
from lash_core.model.effect_record import ChildStart
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease, ProcessLeaseCompletion
from lash_core.testing.conformance.effect_journal.arrange import (
    completed,
    ended,
    failed,
    journal_of,
    record,
    recorded,
    starting,
    waiting,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    SUCCESS,
    claimed,
    current,
    event,
    registered,
    registration,
    running,
)
from lash_core.testing.conformance.stores import EffectStores, elapse, short_ttl_ms


async def _nothing_is_written(stores: EffectStores, lease: ProcessLease) -> None:
    """New entries, ends of waits and child starts are refused; the row and the journal stay as they are."""
    before = await current(stores, lease.process_id), await journal_of(stores, lease.process_id)
    child = registration()
    started = ProcessStarted(owner=lease.owner, started_at_ms=1)
    refused_writes = (completed("new", 1), failed("bad"), waiting("nap", 5_000), ended("wait"))
    for write in (*refused_writes, starting("child", ChildStart(child))):
        with refused(LeaseLostError, LOST):
            await stores.effect_journal.record_effects(lease, [write], first_started=started)
    with refused(LeaseLostError, LOST):
        await record(stores, lease, completed("k", 1), completed("new", 1))
    assert before == (await current(stores, lease.process_id), await journal_of(stores, lease.process_id))
    assert None is await stores.process_registry.get_process(child.id)


async def _recorded_by(stores: EffectStores, lease: ProcessLease) -> None:
    await record(stores, lease, completed("k", 1), waiting("wait", 5_000))


async def an_expired_lease_records_nothing(stores: EffectStores) -> None:
    """A run that was stopped past its lease adds nothing to its journal, even if nobody took its row."""
    row = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, row.id, ttl_ms=ttl_ms)
    await _recorded_by(stores, lease)
    await elapse(stores, ttl_ms + 50)

    await _nothing_is_written(stores, lease)


async def a_taken_lease_records_nothing(stores: EffectStores) -> None:
    """Two runs of one row: only the newer one writes the journal, and it goes on with what the older one wrote."""
    row = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    old = await claimed(stores, row.id, ttl_ms=ttl_ms)
    await _recorded_by(stores, old)
    await elapse(stores, ttl_ms + 50)
    new = await claimed(stores, row.id)

    await _nothing_is_written(stores, old)

    answers = await record(stores, new, completed("k", 2), completed("next", 2))
    assert [(1, True), (2, False)] == [(answer.record.outcome, answer.replayed) for answer in answers]


async def a_released_lease_records_nothing(stores: EffectStores) -> None:
    """What was given back by its run is not the run's any more."""
    _, lease = await running(stores)
    await _recorded_by(stores, lease)
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    await _nothing_is_written(stores, lease)


async def a_forged_lease_records_nothing(stores: EffectStores) -> None:
    """Neither a lower nor a higher fence, nor another token or incarnation, is the lease."""
    _, lease = await running(stores)
    await _recorded_by(stores, lease)
    for forgery in (
        {"fencing_token": lease.fencing_token - 1},
        {"fencing_token": lease.fencing_token + 1},
        {"lease_token": "forged"},
        {"owner": lease.owner.with_incarnation("another")},
    ):
        await _nothing_is_written(stores, lease.model_copy(update=forgery))


async def a_lease_of_another_process_records_nothing(stores: EffectStores) -> None:
    """A lease on one row opens no other."""
    _, lease = await running(stores)
    other, other_lease = await running(stores)
    await _recorded_by(stores, other_lease)

    await _nothing_is_written(stores, lease.model_copy(update={"process_id": other.id}))


async def a_run_that_ended_records_nothing(stores: EffectStores) -> None:
    """The end releases the lease: a late step of the same run is refused, and what it had recorded is still read."""
    row, lease = await running(stores)
    await _recorded_by(stores, lease)
    await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    await _nothing_is_written(stores, lease)

    assert {"k", "wait"} == set(await journal_of(stores, row.id))


async def a_stale_run_is_answered_what_is_stored(stores: EffectStores) -> None:
    """The replay comes before the lease: a call of nothing but known effects, or of another's key, is answered."""
    row = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, row.id, ttl_ms=ttl_ms)
    await record(stores, lease, completed("k", 1), waiting("wait", 5_000))
    await elapse(stores, ttl_ms + 50)
    before = await current(stores, row.id), await journal_of(stores, row.id)

    answers = await record(stores, lease, completed("k", 2), waiting("wait", 1), completed("k", 1, asked="b"))

    assert [True, True, False] == [answer.replayed for answer in answers]
    assert [False, False, True] == [answer.conflict for answer in answers]
    assert before == (await current(stores, row.id), await journal_of(stores, row.id))


async def a_store_that_is_behind_records_nothing(stores: EffectStores) -> None:
    """A store that lost acknowledged writes says so instead of leaving a hole in the journal."""
    row, lease = await running(stores)
    before = await current(stores, row.id)

    with refused(StoreBehindError, "the store is behind", "0 of 10"):
        await recorded(stores, lease.model_copy(update={"fenced_writes": 10}), completed("k", 1))

    assert before == await current(stores, row.id)
    assert {} == await journal_of(stores, row.id)


async def journal_writes_are_acknowledged_writes(stores: EffectStores) -> None:
    """A successor starts from what its predecessor recorded, also when that was in the journal only."""
    row, lease = await running(stores)
    await recorded(stores, lease, completed("k", 1))
    await recorded(stores, lease, completed("l", 1))
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    successor = await claimed(stores, row.id)

    assert 2 == successor.fenced_writes
    assert {"k", "l"} == set(await journal_of(stores, row.id))


async def a_held_row_that_ended_elsewhere_still_answers(stores: EffectStores) -> None:
    """An end from outside leaves the lease to its run: its entries are still written, and harm nobody."""
    row, lease = await running(stores)
    await stores.process_registry.append_event(row.id, event("finished", {}, "end"))

    answer = await recorded(stores, lease, completed("k", 1))

    assert not answer.replayed
    assert {"k"} == set(await journal_of(stores, row.id))
