"""A program dies at any call of an emit or a tick: recovery ends where a run without the crash would have ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import OutcomeUnknownError
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.trigger_occurrence import ScheduleTick, TriggerOccurrence
from lash_core.runtime.trigger_router import RETRY_MS_MAX, TriggerRouter
from tests.triggers.conftest import AnyStores
from tests.triggers.kit import DiedError, Mortal, client_of, router_of

HOUR_MS = 3_600_000
OCCURRENCE = TriggerOccurrence("w", "k", "the one", {"month": "2026-10"})
CALLS = [
    ("triggers", "ingest_occurrence"),
    ("process_registry", "register_processes"),
    ("triggers", "settle_deliveries"),
]


async def _arrange(stores: AnyStores) -> None:
    lash = client_of(stores)
    await lash.triggers.create("one", "report", source="w:k")
    await lash.triggers.create("two", "plain", source="w:k")
    await lash.triggers.create("three", "plain", {"x": {"$payload": "/none"}}, source="w:k")


def _mortal(stores: AnyStores, part: str, verb: str, *, after: bool) -> TriggerRouter:
    """A router of a program that dies at that call."""
    parts: dict[str, Any] = {"triggers": stores.triggers, "process_registry": stores.process_registry}
    parts[part] = Mortal(parts[part], verb, after=after)
    plan = router_of(stores)._plan
    return TriggerRouter(parts["triggers"], parts["process_registry"], plan)


async def _end_state(stores: AnyStores, occurrence: TriggerOccurrence) -> dict[str, Any]:
    """What an observer can tell: rows, and where each delivery stands; without names that differ from run to run."""
    rows = await stores.process_registry.list_processes(ProcessFilter(status="any"))
    stored = await stores.triggers.get_occurrence(occurrence.occurrence_id)
    assert stored is not None
    return {
        "rows": sorted(
            (row.identity.kind, row.identity.label, str(getattr(row.input, "payload", None))) for row in rows
        ),
        "deliveries": sorted(
            (one.subscription.subscription_key if one.subscription else "", one.state) for one in stored.deliveries
        ),
        "waiting": len(await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=100)),
    }


EXPECTED = {
    "rows": [("plain", "two", "{'month': '2026-10'}"), ("report", "one", "{'month': '2026-10'}")],
    "deliveries": [("one", "started"), ("three", "failed"), ("two", "started")],
    "waiting": 0,
}


async def test_without_a_crash(stores: AnyStores) -> None:
    """What all of the following have to end like."""
    await _arrange(stores)

    await router_of(stores).emit(OCCURRENCE)

    assert EXPECTED == await _end_state(stores, OCCURRENCE)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("part", "verb"), CALLS)
async def test_recovery_ends_like_a_run_without_the_crash(stores: AnyStores, part: str, verb: str, after: bool) -> None:
    """Dead before or after each store call of an emit; another worker's sweep does the rest."""
    await _arrange(stores)
    with pytest.raises(DiedError):
        await _mortal(stores, part, verb, after=after).emit(OCCURRENCE)
    taken_in = verb != "ingest_occurrence" or after
    if not taken_in:
        assert await stores.triggers.get_occurrence(OCCURRENCE.occurrence_id) is None
        await router_of(stores).emit(OCCURRENCE)
    await stores.advance_clock(RETRY_MS_MAX)

    await router_of(stores).recover()

    assert EXPECTED == await _end_state(stores, OCCURRENCE)
    assert 0 == await router_of(stores).recover()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("part", "verb"), CALLS[1:])
async def test_the_sender_may_repeat_instead(stores: AnyStores, part: str, verb: str, after: bool) -> None:
    """A caller that got no answer emits again with the same key, and nothing is started twice."""
    await _arrange(stores)
    with pytest.raises(DiedError):
        await _mortal(stores, part, verb, after=after).emit(OCCURRENCE)

    await router_of(stores).emit(OCCURRENCE)

    assert EXPECTED == await _end_state(stores, OCCURRENCE)


async def test_recovery_itself_may_die(stores: AnyStores) -> None:
    """The next one goes on where it was."""
    await _arrange(stores)
    with pytest.raises(DiedError):
        await _mortal(stores, "process_registry", "register_processes", after=False).emit(OCCURRENCE)
    await stores.advance_clock(RETRY_MS_MAX)
    for after in (False, True):
        with pytest.raises(DiedError):
            await _mortal(stores, "triggers", "settle_deliveries", after=after).recover()

    await router_of(stores).recover()

    assert EXPECTED == await _end_state(stores, OCCURRENCE)


async def test_sweeps_of_many_workers_start_each_delivery_once(stores: AnyStores) -> None:
    """They may meet; the process id is one."""
    await _arrange(stores)
    for number in range(20):
        await stores.triggers.ingest_occurrence(TriggerOccurrence("w", "k", str(number), {"month": str(number)}))

    await asyncio.gather(*(router_of(stores).recover(min_age_ms=0) for _ in range(5)))

    assert 40 == await client_of(stores).count()
    assert () == await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=100)


async def test_a_lost_settlement_is_made_up_for(stores: AnyStores) -> None:
    """The processes are there, the store went away before that was noted: emit reports them as started."""
    await _arrange(stores)

    class Forgetful:
        def __getattr__(self, name: str) -> Any:
            return getattr(stores.triggers, name)

        async def settle_deliveries(self, settlements: Any) -> None:
            raise OutcomeUnknownError("no answer")

    router = TriggerRouter(Forgetful(), stores.process_registry, router_of(stores)._plan)  # pyright: ignore[reportArgumentType]
    report = await router.emit(OCCURRENCE)
    await stores.advance_clock(RETRY_MS_MAX)
    await router_of(stores).recover()

    assert ["failed", "started", "started"] == sorted(one.status for one in report.deliveries)
    assert EXPECTED == await _end_state(stores, OCCURRENCE)


async def _due_tick(stores: AnyStores) -> ScheduleTick:
    made = (await client_of(stores).triggers.create("hourly", "plain", interval_ms=HOUR_MS)).subscription
    await stores.advance_clock(HOUR_MS)
    due = (await stores.triggers.due_schedules())[0]
    return ScheduleTick(
        subscription_id=made.subscription_id,
        incarnation=made.incarnation,
        revision=made.revision,
        tick_ms=due.due_ms,
        due_ms=due.due_ms,
        next_due_ms=due.due_ms + HOUR_MS,
    )


async def test_two_workers_and_one_tick_make_one_process(stores: AnyStores) -> None:
    """One fires it, the others are stale."""
    tick = await _due_tick(stores)

    reports = await asyncio.gather(*(router_of(stores).fire(tick) for _ in range(4)))

    assert ["fired", "stale", "stale", "stale"] == sorted(report.outcome for report in reports)
    assert 1 == await client_of(stores).count()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("part", "verb"), [("triggers", "fire_tick"), ("process_registry", "register_processes"), CALLS[2]]
)
async def test_a_worker_that_dies_at_a_tick_loses_nothing(stores: AnyStores, part: str, verb: str, after: bool) -> None:
    """Not reserved yet: the next worker fires it. Reserved: recovery starts it."""
    tick = await _due_tick(stores)
    with pytest.raises(DiedError):
        await _mortal(stores, part, verb, after=after).fire(tick)
    await router_of(stores).fire(tick)
    await stores.advance_clock(RETRY_MS_MAX)

    await router_of(stores).recover()

    assert 1 == await client_of(stores).count()
    assert () == await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=10)
    assert (tick.next_due_ms,) == await stores.triggers.schedule_due_ms([tick.subscription_id])
