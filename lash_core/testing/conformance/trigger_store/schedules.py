"""Next ticks, and their emission once in the fleet (``docs/contracts/triggers.md`` 4)."""

from __future__ import annotations

import asyncio

from lash_core.errors import InvalidArgumentError, InvalidScheduleError
from lash_core.model.trigger import TriggerDefinition, TriggerTarget
from lash_core.model.trigger_command import ReviveTrigger
from lash_core.model.trigger_schedule import TriggerSchedule
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import can_advance, elapse
from lash_core.testing.conformance.trigger_store.arrange import (
    HOST,
    HOUR_MS,
    TriggerStores,
    apply,
    definition,
    deleted,
    disabled,
    due_ms,
    enabled,
    named,
    redefined,
    register,
    registered,
    scheduled,
    source,
    tick,
    unique,
    updated,
    waiting_ids,
)


async def _now_ms(stores: TriggerStores) -> int:
    return (await stores.triggers.next_schedule_ms())[1]


async def a_schedule_knows_its_next_tick(stores: TriggerStores) -> None:
    """The first one after its registration, by the store's clock."""
    before = await _now_ms(stores)

    hourly = await scheduled(stores)

    due = await due_ms(stores, hourly)
    assert due is not None
    assert due % HOUR_MS == 0
    assert before < due <= before + HOUR_MS + 1_000
    earliest, _ = await stores.triggers.next_schedule_ms()
    assert earliest is not None
    assert earliest <= due


async def other_triggers_have_no_tick(stores: TriggerStores) -> None:
    """A source is no schedule."""
    assert await due_ms(stores, await registered(stores)) is None


async def a_tick_is_emitted_once(stores: TriggerStores) -> None:
    """Ten workers see it: one reservation, and the schedule stands at the next tick."""
    if not await can_advance(stores):
        return
    hourly = await scheduled(stores)
    due = await due_ms(stores, hourly)
    assert due is not None
    await elapse(stores, HOUR_MS)
    found = [item for item in await stores.triggers.due_schedules(1_000) if item.subscription == hourly]
    assert [due] == [item.due_ms for item in found]

    wanted = tick(hourly, due, due=due, following=due + HOUR_MS)
    results = await asyncio.gather(*(stores.triggers.fire_tick(wanted) for _ in range(10)))

    outcomes = sorted(result.outcome for result in results)
    assert ["fired", *["stale"] * 9] == outcomes
    delivery = next(result.delivery for result in results if result.delivery is not None)
    assert ("reserved", hourly) == (delivery.reservation_status, delivery.subscription)
    assert delivery.process_id in await waiting_ids(stores)
    assert due + HOUR_MS == await due_ms(stores, hourly)
    stored = await stores.triggers.get_occurrence(delivery.occurrence_id)
    assert stored is not None
    assert {"scheduled_at_ms": due} == stored.occurrence.payload
    assert str(due) == stored.occurrence.idempotency_key


async def a_tick_of_the_future_is_early(stores: TriggerStores) -> None:
    """A worker whose clock runs ahead emits nothing."""
    hourly = await scheduled(stores)
    due = await due_ms(stores, hourly)
    assert due is not None

    fired = await stores.triggers.fire_tick(tick(hourly, due, due=due, following=due + HOUR_MS))

    assert ("early", None) == (fired.outcome, fired.delivery)
    assert due == await due_ms(stores, hourly)


async def a_changed_or_paused_schedule_emits_nothing(stores: TriggerStores) -> None:
    """Who looked before the change is stale."""
    hourly = await scheduled(stores)
    past = await _now_ms(stores) - HOUR_MS
    changed = await redefined(stores, hourly, hourly.definition.model_copy(update={"target": TriggerTarget("other")}))

    assert "stale" == (await stores.triggers.fire_tick(tick(hourly, past))).outcome
    off = await disabled(stores, changed)
    assert "stale" == (await stores.triggers.fire_tick(tick(off, past))).outcome
    await deleted(stores, off)
    assert "stale" == (await stores.triggers.fire_tick(tick(off, past))).outcome


async def a_backfilled_tick_leaves_the_schedule_alone(stores: TriggerStores) -> None:
    """Without a due time only the tick is made, and once."""
    hourly = await scheduled(stores)
    due = await due_ms(stores, hourly)
    past = await _now_ms(stores) // HOUR_MS * HOUR_MS - 5 * HOUR_MS

    first = await stores.triggers.fire_tick(tick(hourly, past))
    again = await stores.triggers.fire_tick(tick(hourly, past))

    assert ("fired", "exists") == (first.outcome, again.outcome)
    assert first.delivery is not None
    assert again.delivery is not None
    assert first.delivery.process_id == again.delivery.process_id
    assert ("already_reserved", "waiting") == (again.delivery.reservation_status, again.delivery.state)
    assert due == await due_ms(stores, hourly)


async def a_schedule_is_moved_on_without_a_tick(stores: TriggerStores) -> None:
    """Compare and set, as with one."""
    hourly = await scheduled(stores)
    due = await due_ms(stores, hourly)
    assert due is not None
    later = tick(hourly, 0, due=due, following=due + HOUR_MS)

    assert await stores.triggers.move_schedule(later)
    assert not await stores.triggers.move_schedule(later)

    assert due + HOUR_MS == await due_ms(stores, hourly)


async def a_schedule_may_end(stores: TriggerStores) -> None:
    """Without a next tick it is not due any more; it stays live for a backfill."""
    hourly = await scheduled(stores)
    due = await due_ms(stores, hourly)

    assert await stores.triggers.move_schedule(tick(hourly, 0, due=due))

    assert await due_ms(stores, hourly) is None


async def a_paused_schedule_has_no_next_tick(stores: TriggerStores) -> None:
    """Resumed, it starts from then: ticks of the pause are not made up for."""
    hourly = await scheduled(stores)
    off = await disabled(stores, hourly)

    assert await due_ms(stores, off) is None
    on = await enabled(stores, off)
    due = await due_ms(stores, on)
    assert due is not None
    assert due > await _now_ms(stores)


async def a_deleted_and_revived_schedule_starts_from_then(stores: TriggerStores) -> None:
    """No tick while it is deleted."""
    hourly = await scheduled(stores)
    gone = await deleted(stores, hourly)

    assert await due_ms(stores, gone) is None
    back = updated(await apply(stores, ReviveTrigger(**named(gone), definition=hourly.definition)))
    assert await due_ms(stores, back) is not None


async def an_update_of_other_things_keeps_the_next_tick(stores: TriggerStores) -> None:
    """A due tick is not lost by a change of the params; another schedule starts from then."""
    if not await can_advance(stores):
        return
    hourly = await scheduled(stores)
    due = await due_ms(stores, hourly)
    await elapse(stores, HOUR_MS)
    target = TriggerTarget("job", params={"n": 2})

    second = await redefined(stores, hourly, hourly.definition.model_copy(update={"target": target}))
    assert due == await due_ms(stores, second)

    daily = TriggerSchedule(interval_ms=24 * HOUR_MS)
    third = await redefined(stores, second, second.definition.model_copy(update={"schedule": daily}))
    moved = await due_ms(stores, third)
    assert moved is not None
    assert moved % (24 * HOUR_MS) == 0
    assert moved > await _now_ms(stores)


async def a_schedule_that_becomes_a_source_ticks_no_more(stores: TriggerStores) -> None:
    """And gets the occurrences of its source."""
    hourly = await scheduled(stores)

    changed = await redefined(stores, hourly, definition(source()))

    assert await due_ms(stores, changed) is None


async def what_cannot_tick_is_refused(stores: TriggerStores) -> None:
    """Expression, zone, interval, and a source key that is not its own id."""
    key = unique("s")
    for schedule, field in (
        (TriggerSchedule(), "cron"),
        (TriggerSchedule(cron="0 3 * * *", interval_ms=60_000), "cron"),
        (TriggerSchedule(cron="0 25 * * *"), "cron"),
        (TriggerSchedule(cron="0 0 30 2 *"), "cron"),
        (TriggerSchedule(cron="0 3 * * *", timezone="Mars/Olympus"), "timezone"),
        (TriggerSchedule(interval_ms=10), "interval_ms"),
    ):
        wanted = TriggerDefinition.scheduled(HOST, key, schedule, TriggerTarget("job"))
        with refused(InvalidArgumentError) as refusal:
            await apply(stores, register(key, wanted))
        assert field == refusal.error.field, schedule
    wanted = TriggerDefinition.scheduled(HOST, "other", TriggerSchedule(interval_ms=60_000), TriggerTarget("job"))
    with refused(InvalidArgumentError) as foreign:
        await apply(stores, register(key, wanted))
    assert "source_key" == foreign.error.field
    assert not isinstance(foreign.error, InvalidScheduleError)
