"""``begin_signal_wait`` and ``end_signal_wait``: the wait and its events in one unit each (contract 4.5, hazard 5)."""

from __future__ import annotations

from lash_core.errors import LeaseLostError, StoreBehindError, TerminalProcessError, UnknownProcessError
from lash_core.model.event_type import RESUMED, WAITING
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease, Renewed
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    TTL_MS,
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
from lash_core.testing.conformance.run_waits.arrange import approval, look
from lash_core.testing.conformance.stores import EffectStores, elapse, run_waits, short_ttl_ms


async def a_wait_begins_on_the_row_and_in_the_log(stores: EffectStores) -> None:
    """One fenced write: the facet, and ``process.waiting`` under the key of its ordinal."""
    row, lease = await running(stores)
    wait, cursor = wait_for(row.id), await feed_end(stores)

    assert wait == await run_waits(stores).begin_signal_wait(row.id, wait, lease=lease)

    found = await current(stores, row.id)
    assert (wait, "running", 1, 1) == (found.wait, found.status.state, found.fenced_writes, found.last_sequence)
    assert found.updated_at_ms >= row.updated_at_ms
    (written,) = await stores.process_registry.events_after(row.id, 0)
    assert (WAITING, f"process:{row.id}:waiting:signal.approve:1") == (written.event_type, written.replay_key)
    kind = {
        "type": "signal",
        "name": "approve",
        "event_type": "signal.approve",
        "key": f"process:{row.id}:signal.approve:1",
        "ordinal": 1,
    }
    assert {"wait": {"since_ms": 1_700_000_000_000, "kind": kind}} == written.payload
    assert await in_feed(stores, cursor, row.id)


async def a_wait_ends_on_the_row_and_in_the_log(stores: EffectStores) -> None:
    """One fenced write: the facet goes, and ``process.resumed`` says which signal came."""
    row, lease = await running(stores)
    wait = wait_for(row.id, 2)
    await run_waits(stores).begin_signal_wait(row.id, wait, lease=lease)
    cursor = await feed_end(stores)

    await run_waits(stores).end_signal_wait(row.id, wait, lease=lease, received=True)

    found = await current(stores, row.id)
    assert (None, 2, 2) == (found.wait, found.fenced_writes, found.last_sequence)
    written = (await stores.process_registry.events_after(row.id, 1))[0]
    assert (RESUMED, f"process:{row.id}:resumed:signal.approve:2") == (written.event_type, written.replay_key)
    key = f"process:{row.id}:signal.approve:2"
    assert {"signal": "approve", "key": key, "ordinal": 2} == written.payload
    assert await in_feed(stores, cursor, row.id)


async def a_wait_that_timed_out_ends_without_an_event(stores: EffectStores) -> None:
    """Only the facet goes; a later wait of the same ordinal may still be received."""
    row, lease = await running(stores)
    wait = wait_for(row.id)
    await run_waits(stores).begin_signal_wait(row.id, wait, lease=lease)

    await run_waits(stores).end_signal_wait(row.id, wait, lease=lease, received=False)

    found = await current(stores, row.id)
    assert (None, 1, 2) == (found.wait, found.last_sequence, found.fenced_writes)
    again = await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id, since_ms=5), lease=lease)
    await run_waits(stores).end_signal_wait(row.id, again, lease=lease, received=True)
    assert wait == again
    types = [item.event_type for item in await stores.process_registry.events_after(row.id, 0)]
    assert [WAITING, RESUMED] == types


async def repeats_change_nothing(stores: EffectStores) -> None:
    """After a lost reply: no second event, no fenced write, no time; the first ``since_ms`` is answered."""
    row, lease = await running(stores)
    waits, wait, other = run_waits(stores), wait_for(row.id), wait_for(row.id, since_ms=5)
    await waits.begin_signal_wait(row.id, wait, lease=lease)
    before = await current(stores, row.id)
    await elapse(stores, 5)

    assert [wait, wait] == [await waits.begin_signal_wait(row.id, one, lease=lease) for one in (wait, other)]
    assert before == await current(stores, row.id)

    await waits.end_signal_wait(row.id, wait, lease=lease, received=True)
    before = await current(stores, row.id)
    for received in (True, False):
        await waits.end_signal_wait(row.id, other, lease=lease, received=received)
    assert before == await current(stores, row.id)


async def a_successor_waits_since_the_first_time(stores: EffectStores) -> None:
    """The next run of the row begins the same wait: the event is there, the facet stays, and nothing is written."""
    row = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    old = await claimed(stores, row.id, ttl_ms=ttl_ms)
    wait = wait_for(row.id)
    await run_waits(stores).begin_signal_wait(row.id, wait, lease=old)
    await elapse(stores, ttl_ms + 50)
    new = await claimed(stores, row.id)

    answer = await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id, since_ms=5), lease=new)

    assert wait == answer == (await current(stores, row.id)).wait
    assert 1 == (await current(stores, row.id)).last_sequence


async def a_replay_sets_the_wait_again(stores: EffectStores) -> None:
    """A run that replays past an old wait: its event is not repeated, the facet says what is waited for now."""
    row, lease = await running(stores)
    waits, first, second = run_waits(stores), wait_for(row.id), wait_for(row.id, 2)
    await waits.begin_signal_wait(row.id, first, lease=lease)
    await waits.begin_signal_wait(row.id, second, lease=lease)

    assert first == await waits.begin_signal_wait(row.id, wait_for(row.id, since_ms=5), lease=lease)

    found = await current(stores, row.id)
    assert (first, 2, 3) == (found.wait, found.last_sequence, found.fenced_writes)


async def the_end_of_one_wait_leaves_another(stores: EffectStores) -> None:
    """Two waits beside each other share the facet; the end of the older one does not clear the newer."""
    row, lease = await running(stores)
    waits, first, second = run_waits(stores), wait_for(row.id), wait_for(row.id, 2)
    await waits.begin_signal_wait(row.id, first, lease=lease)
    await waits.begin_signal_wait(row.id, second, lease=lease)

    await waits.end_signal_wait(row.id, first, lease=lease, received=True)
    assert second == (await current(stores, row.id)).wait

    await waits.end_signal_wait(row.id, second, lease=lease, received=True)
    assert None is (await current(stores, row.id)).wait


async def the_start_rides_in_the_first_wait(stores: EffectStores) -> None:
    """A run whose first act is to wait needs no write of its own for its start."""
    row = await registered(stores)
    lease = await claimed(stores, row.id)
    started = ProcessStarted(owner=lease.owner, started_at_ms=1_700_000_000_000)

    await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id), lease=lease, first_started=started)

    found = await current(stores, row.id)
    assert (started, 1) == (found.first_started, found.fenced_writes)
    other = ProcessStarted(owner=lease.owner, started_at_ms=5)
    await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id, 2), lease=lease, first_started=other)
    assert started == (await current(stores, row.id)).first_started


async def _refused_everywhere(stores: EffectStores, lease: ProcessLease) -> None:
    """New waits, old ones that are not waited for now, and ends of waits are refused; the row stays as it is.

    The row waits for its second signal and has waited for its first.
    """
    row = await current(stores, lease.process_id)
    events = await stores.process_registry.events_after(row.id, 0)
    waits = run_waits(stores)
    for ordinal in (1, 3):
        with refused(LeaseLostError, LOST):
            await waits.begin_signal_wait(row.id, wait_for(row.id, ordinal), lease=lease)
    for received in (True, False):
        with refused(LeaseLostError, LOST):
            await waits.end_signal_wait(row.id, wait_for(row.id, 2), lease=lease, received=received)
    assert row == await current(stores, row.id)
    assert events == await stores.process_registry.events_after(row.id, 0)


async def an_expired_lease_neither_waits_nor_resumes(stores: EffectStores) -> None:
    """A run that was stopped past its lease says nothing about the row any more (hazard 2)."""
    row = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, row.id, ttl_ms=ttl_ms)
    for ordinal in (1, 2):
        await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id, ordinal), lease=lease)
    await elapse(stores, ttl_ms + 50)

    await _refused_everywhere(stores, lease)
    # The replay comes before the lease: what is stored already is answered.
    assert wait_for(row.id, 2) == await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id, 2), lease=lease)

    new = await claimed(stores, row.id)
    await _refused_everywhere(stores, lease)
    await run_waits(stores).end_signal_wait(row.id, wait_for(row.id, 2), lease=new, received=True)


async def a_forged_lease_neither_waits_nor_resumes(stores: EffectStores) -> None:
    """Neither another fence, nor another token or incarnation, is the lease."""
    row, lease = await running(stores)
    for ordinal in (1, 2):
        await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id, ordinal), lease=lease)
    for forgery in (
        {"fencing_token": lease.fencing_token - 1},
        {"fencing_token": lease.fencing_token + 1},
        {"lease_token": "forged"},
        {"owner": lease.owner.with_incarnation("another")},
    ):
        await _refused_everywhere(stores, lease.model_copy(update=forgery))


async def a_store_that_is_behind_is_refused(stores: EffectStores) -> None:
    """A store that lost acknowledged writes says so."""
    row, lease = await running(stores)
    await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id), lease=lease)
    ahead = lease.model_copy(update={"fenced_writes": 10})

    with refused(StoreBehindError, "the store is behind", "1 of 10"):
        await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id, 2), lease=ahead)
    with refused(StoreBehindError, "the store is behind", "1 of 10"):
        await run_waits(stores).end_signal_wait(row.id, wait_for(row.id), lease=ahead, received=True)


async def an_ended_row_waits_for_nothing(stores: EffectStores) -> None:
    """The facet went with the end; a new wait is refused, the end of an old one changes nothing."""
    row, lease = await running(stores)
    await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id), lease=lease)
    await stores.process_registry.append_event(row.id, event("finished", {}, "end"))
    ended = await current(stores, row.id)

    for ordinal in (1, 2):
        with refused(TerminalProcessError, f"terminal process `{row.id}` cannot enter a wait state"):
            await run_waits(stores).begin_signal_wait(row.id, wait_for(row.id, ordinal), lease=lease)
    for received in (True, False):
        await run_waits(stores).end_signal_wait(row.id, wait_for(row.id), lease=lease, received=received)

    assert None is ended.wait
    assert ended == await current(stores, row.id)


async def an_unknown_process_is_refused(stores: EffectStores) -> None:
    """Nobody waits that is not there."""
    _, lease = await running(stores)
    absent = unique("absent")
    other = lease.model_copy(update={"process_id": absent})

    with refused(UnknownProcessError, unknown_text(absent)):
        await run_waits(stores).begin_signal_wait(absent, wait_for(absent), lease=other)
    with refused(UnknownProcessError, unknown_text(absent)):
        await run_waits(stores).end_signal_wait(absent, wait_for(absent), lease=other, received=True)


async def the_nth_signal_is_the_nth_event(stores: EffectStores) -> None:
    """A retried signal is no second one, and two signals inside one wait are two: the log alone counts (hazard 5)."""
    row, lease = await running(stores)
    registry, waits = stores.process_registry, run_waits(stores)
    await registry.append_event(row.id, approval(row.id, "one"))
    await waits.begin_signal_wait(row.id, wait_for(row.id), lease=lease)
    await waits.end_signal_wait(row.id, wait_for(row.id), lease=lease, received=True)
    await waits.begin_signal_wait(row.id, wait_for(row.id, 2), lease=lease)
    before = await look(stores, lease)

    retried = await registry.append_event(row.id, approval(row.id, "one"))
    after_retry = await look(stores, lease)
    for signal_id in ("two", "three"):
        await registry.append_event(row.id, approval(row.id, signal_id))

    assert retried.replayed
    assert before.marks_seen == after_retry.marks_seen
    signals = [item for item in (await look(stores, lease)).events if item.event_type == "signal.approve"]
    keys = [f"process:{row.id}:signal.approve:{signal_id}" for signal_id in ("one", "two", "three")]
    assert keys == [item.replay_key for item in signals]
    (renewed,) = await registry.renew_process_leases([lease], TTL_MS)
    assert isinstance(renewed, Renewed)
    assert renewed.signalled
