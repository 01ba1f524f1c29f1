"""``complete_process_with_lease``: one fenced unit ends and releases (contract 2.7, decisions 4 and 24)."""

from __future__ import annotations

import asyncio

from lash_core.errors import AlreadyTerminalError, LeaseLostError, StoreBehindError, UnknownProcessError
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLeaseCompletion
from lash_core.model.record import ProcessRecord
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    OUTPUTS,
    SUCCESS,
    claim_ready,
    claimed,
    current,
    event,
    feed_end,
    in_feed,
    note,
    registered,
    running,
    unique,
    unknown_text,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def writes_the_end_and_releases(stores: ConformanceStores) -> None:
    """Every outcome: status, one terminal event, no lease, nothing to claim, all at once."""
    for state, output in OUTPUTS.items():
        record, lease = await running(stores)
        end = await feed_end(stores)

        ended = await stores.process_registry.complete_process_with_lease(lease, output)

        assert (state, output) == (ended.status.state, ended.await_output)
        (event,) = await stores.process_registry.events_after(record.id, 0)
        assert (f"process.{state}", {"await_output": output.to_json_value()}) == (event.event_type, event.payload)
        assert f"process:{record.id}:terminal:process.{state}" == event.replay_key
        assert event.occurred_at_ms == ended.updated_at_ms
        assert None is await stores.process_registry.get_process_lease(record.id)
        assert () == await stores.process_registry.leases_of_owner(lease.owner, 10)
        assert () == await claim_ready(stores, record.queue)
        assert await in_feed(stores, end, record.id)
        assert ended == await current(stores, record.id)


async def a_repeat_after_a_lost_reply_succeeds(stores: ConformanceStores) -> None:
    """Replay comes before the lease: the same outcome again answers with the ended row."""
    record, lease = await running(stores)
    first = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    end = await feed_end(stores)
    await elapse(stores, 5)

    again = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    assert first == again
    assert 1 == len(await stores.process_registry.events_after(record.id, 0))
    assert not await in_feed(stores, end, record.id)


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """A lease of a row that is not there."""
    _, lease = await running(stores)
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.complete_process_with_lease(
            lease.model_copy(update={"process_id": process_id}), SUCCESS
        )


async def a_forged_lease_writes_nothing(stores: ConformanceStores) -> None:
    """Token, fence and incarnation must all be those of the holder."""
    record, lease = await running(stores)
    forgeries = [
        {"lease_token": "forged"},
        {"lease_token": ""},
        {"fencing_token": lease.fencing_token + 1},
        {"fencing_token": lease.fencing_token - 1},
        {"owner": lease.owner.with_incarnation("another")},
        {"owner": worker()},
    ]

    for forgery in forgeries:
        text = f"process lease for `{record.id}` is missing or expired"
        with refused(LeaseLostError, text):
            await stores.process_registry.complete_process_with_lease(lease.model_copy(update=forgery), SUCCESS)

    assert record == await current(stores, record.id)
    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert lease.same_acquisition(held)


async def an_expired_lease_writes_nothing(stores: ConformanceStores) -> None:
    """Also while nobody else has taken the row; the caller's own idea of the expiry does not count."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    hopeful = lease.model_copy(update={"expires_at_epoch_ms": lease.expires_at_epoch_ms + 10**9})
    for stale in (lease, hopeful):
        with refused(LeaseLostError, LOST):
            await stores.process_registry.complete_process_with_lease(stale, SUCCESS)

    assert "running" == (await current(stores, record.id)).status.state


async def the_callers_expiry_is_never_an_input(stores: ConformanceStores) -> None:
    """A live lease works although its holder's copy looks old: the store's clock decides."""
    _, lease = await running(stores)

    ended = await stores.process_registry.complete_process_with_lease(
        lease.model_copy(update={"expires_at_epoch_ms": 1}), SUCCESS
    )

    assert "completed" == ended.status.state


async def a_released_lease_writes_nothing(stores: ConformanceStores) -> None:
    """After giving the row back a run may end nothing."""
    record, lease = await running(stores)
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    with refused(LeaseLostError, LOST):
        await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

    assert "running" == (await current(stores, record.id)).status.state


async def the_old_owner_cannot_end_what_another_took(stores: ConformanceStores) -> None:
    """After expiry and a new claim only the new holder's outcome counts."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    old = await claimed(stores, record.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    new = await claimed(stores, record.id)

    with refused(LeaseLostError, LOST):
        await stores.process_registry.complete_process_with_lease(old, OUTPUTS["failed"])
    ended = await stores.process_registry.complete_process_with_lease(new, SUCCESS)

    assert SUCCESS == ended.await_output
    assert new.fencing_token > old.fencing_token


async def the_lease_is_checked_before_the_end(stores: ConformanceStores) -> None:
    """On an ended row a stale run learns that it is stale; a live one that the row has ended."""
    record, lease = await running(stores)
    await stores.process_registry.append_event(record.id, event("finished", {"n": 1}, "end"))

    stale = lease.model_copy(update={"lease_token": "forged"})
    with refused(LeaseLostError, LOST):
        await stores.process_registry.complete_process_with_lease(stale, OUTPUTS["failed"])
    with refused(AlreadyTerminalError, "is already terminal"):
        await stores.process_registry.complete_process_with_lease(lease, OUTPUTS["failed"])


async def of_racing_outcomes_one_is_written(stores: ConformanceStores) -> None:
    """Eight outcomes of one lease at once: one terminal event, and it is what the row says."""
    record, lease = await running(stores)

    answers = await asyncio.gather(
        *(stores.process_registry.complete_process_with_lease(lease, ProcessAwaitOutput.success(n)) for n in range(8)),
        return_exceptions=True,
    )

    winners = [answer for answer in answers if isinstance(answer, ProcessRecord)]
    assert 1 == len(winners)
    assert winners[0] == await current(stores, record.id)
    assert 1 == len(await stores.process_registry.events_after(record.id, 0))


async def the_start_fact_rides_along(stores: ConformanceStores) -> None:
    """``first_started`` is recorded in the same unit when the row has none, and never replaces one."""
    started = ProcessStarted(owner=worker(), started_at_ms=1_700_000_000_001)
    record, lease = await running(stores)
    early, early_lease = await running(stores)
    first = ProcessStarted(owner=worker(), started_at_ms=1_600_000_000_000)
    await stores.process_registry.record_first_started(early.id, first)

    one = await stores.process_registry.complete_process_with_lease(lease, SUCCESS, first_started=started)
    two = await stores.process_registry.complete_process_with_lease(early_lease, SUCCESS, first_started=started)

    assert started == one.first_started
    assert first == two.first_started
    assert started == (await current(stores, record.id)).first_started


async def a_store_that_forgot_writes_refuses(stores: ConformanceStores) -> None:
    """A lease that remembers more fenced writes than the store holds is told so, and nothing is written."""
    record, lease = await running(stores)
    await stores.process_registry.append_event(record.id, note("a"), lease=lease)
    ahead = lease.model_copy(update={"fenced_writes": lease.fenced_writes + 50})

    with refused(StoreBehindError, "the store is behind"):
        await stores.process_registry.complete_process_with_lease(ahead, SUCCESS)

    assert "running" == (await current(stores, record.id)).status.state
