"""``retry_process``: a failed run's row goes back for its next try in one fenced unit (decision 23)."""

from __future__ import annotations

from lash_core.errors import AlreadyTerminalError, LeaseLostError, StoreBehindError, UnknownProcessError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.lease import ProcessLease
from lash_core.testing.conformance.await_events.arrange import OK, key_of
from lash_core.testing.conformance.effect_journal.arrange import completed as effect
from lash_core.testing.conformance.effect_journal.arrange import failed, journal_of, record, waiting
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    claim_ready,
    claimed,
    current,
    event,
    feed_end,
    in_feed,
    registered,
    running,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.process_registry.set_wait import wait_for
from lash_core.testing.conformance.run_waits.arrange import LATER_MS, approval, is_due
from lash_core.testing.conformance.stores import EffectStores, elapse, run_waits, short_ttl_ms

LARGE = "x" * 100_000
DETAIL = "execution / no: it failed"


async def _retried(stores: EffectStores, lease: ProcessLease, delay_ms: int = 0, *drop: str) -> int:
    return await run_waits(stores).retry_process(lease, delay_ms=delay_ms, drop=drop, detail=DETAIL)


async def the_row_is_given_back_for_its_next_try(stores: EffectStores) -> None:
    """Counted on the row, noted in the audit, an attempt and no death, and no event."""
    row, lease = await running(stores)
    cursor = await feed_end(stores)

    assert 1 == await _retried(stores, lease)

    assert None is await stores.process_registry.get_process_lease(row.id)
    (item,) = await claim_ready(stores, row.queue)
    found = item.record
    assert (1, 1, 0, 0) == (found.retries, found.attempt, found.deaths, found.last_sequence)
    assert "running" == found.status.state
    assert await in_feed(stores, cursor, row.id)
    (entry,) = await stores.process_registry.audit_entries(row.id)
    assert "retry" == entry.kind
    assert (DETAIL, 1) == (entry.evidence["detail"], entry.evidence["retries"])
    assert 2 == await _retried(stores, item.lease)
    assert 2 == (await current(stores, row.id)).retries


async def it_is_due_after_its_delay(stores: EffectStores) -> None:
    """By the store's clock."""
    row, lease = await running(stores)
    wait_ms = await short_ttl_ms(stores)

    await _retried(stores, lease, wait_ms)

    assert not await is_due(stores, row)
    await elapse(stores, wait_ms + 1)
    assert await is_due(stores, row)


async def recorded_failures_are_dropped(stores: EffectStores) -> None:
    """Those that are named, small or large; successes and waits stay, unknown names are no error."""
    row, lease = await running(stores)
    own = f"process:{row.id}:step:a"
    await record(stores, lease, effect("ok", 1), failed("bad"), failed(own), waiting("nap", 5_000))
    await record(stores, lease, effect("big", LARGE))

    await _retried(stores, lease, 0, "bad", own, "big", "never recorded")

    assert {"ok", "nap"} == set(await journal_of(stores, row.id))
    new = await claimed(stores, row.id)
    answers = await record(stores, new, effect("bad", 1), effect("ok", 2), effect("big", "small"))
    assert [(1, False), (1, True), ("small", False)] == [(one.record.outcome, one.replayed) for one in answers]


async def a_retried_row_is_not_woken_by_events(stores: EffectStores) -> None:
    """It stands back until its time; the wait of the failed try is over."""
    row, lease = await running(stores)
    await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id), lease=lease)
    await stores.process_registry.append_event(row.id, approval(row.id, "during"))

    await _retried(stores, lease, LATER_MS)
    await stores.process_registry.append_event(row.id, approval(row.id, "after"))
    await stores.promises.resolve_promise(key_of(ExecutionScope.process(row.id)), OK)

    assert None is (await current(stores, row.id)).wait
    assert not await is_due(stores, row)


async def a_cancel_hurries_a_retried_row(stores: EffectStores) -> None:
    """Before the retry, or while it stands back: a cancel does not wait for the next try."""
    before, lease = await running(stores)
    await stores.process_registry.append_event(before.id, ProcessEventAppendRequest.cancel_requested(before.id, "no"))
    await _retried(stores, lease, LATER_MS)
    assert await is_due(stores, before)

    after, lease = await running(stores)
    await _retried(stores, lease, LATER_MS)
    assert not await is_due(stores, after)
    await stores.process_registry.append_event(after.id, ProcessEventAppendRequest.cancel_requested(after.id, "no"))
    assert await is_due(stores, after)


async def a_repeat_after_a_lost_reply_counts_once(stores: EffectStores) -> None:
    """The same answer, and the row as it was."""
    row, lease = await running(stores)
    await record(stores, lease, failed("bad"))
    await _retried(stores, lease, LATER_MS, "bad")
    before = await current(stores, row.id)
    await elapse(stores, 5)

    assert [1, 1] == [await _retried(stores, lease, LATER_MS, "bad") for _ in range(2)]

    assert before == await current(stores, row.id)
    assert 1 == len(await stores.process_registry.audit_entries(row.id))


async def it_is_fenced(stores: EffectStores) -> None:
    """A stale run neither gives its successor's row back nor drops what that one recorded (hazard 2)."""
    row = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    old = await claimed(stores, row.id, ttl_ms=ttl_ms)
    await record(stores, old, failed("bad"))
    await elapse(stores, ttl_ms + 50)
    with refused(LeaseLostError, LOST):
        await _retried(stores, old, 0, "bad")
    new = await claimed(stores, row.id)
    before = await current(stores, row.id)

    for stale in (old, new.model_copy(update={"lease_token": "forged"}), new.model_copy(update={"fencing_token": 1})):
        with refused(LeaseLostError, LOST):
            await _retried(stores, stale, 0, "bad")

    assert before == await current(stores, row.id)
    assert {"bad"} == set(await journal_of(stores, row.id))
    held = await stores.process_registry.get_process_lease(row.id)
    assert held is not None
    assert new.same_acquisition(held)


async def a_store_that_is_behind_is_refused(stores: EffectStores) -> None:
    """A store that lost acknowledged writes says so."""
    row, lease = await running(stores)

    with refused(StoreBehindError, "the store is behind", "0 of 10"):
        await _retried(stores, lease.model_copy(update={"fenced_writes": 10}))

    assert row == await current(stores, row.id)


async def an_ended_row_is_not_retried(stores: EffectStores) -> None:
    """An end from outside stands."""
    row, lease = await running(stores)
    await stores.process_registry.append_event(row.id, event("finished", {}, "end"))
    ended = await current(stores, row.id)

    with refused(AlreadyTerminalError):
        await _retried(stores, lease)

    assert ended == await current(stores, row.id)


async def an_unknown_process_is_refused(stores: EffectStores) -> None:
    """Pruned meanwhile: nobody runs it again."""
    _, lease = await running(stores)
    absent = unique("absent")

    with refused(UnknownProcessError, unknown_text(absent)):
        await _retried(stores, lease.model_copy(update={"process_id": absent}))
