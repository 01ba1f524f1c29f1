"""Slots: bounded, free while a run rests, given to those that go on before those that begin."""

from __future__ import annotations

import asyncio

from lash_core.metrics import WorkerMetrics
from lash_worker.services.slots import Slots
from tests.worker.waiting_run import settled


def full(total: int) -> Slots:
    """Slots that are all taken."""
    slots = Slots(total, WorkerMetrics())
    assert total == slots.reserve(total + 5)
    return slots


async def test_resting_runs_come_before_claims_in_the_order_of_asking() -> None:
    """A claim gets what nobody who rests waits for."""
    slots = full(1)
    order: list[str] = []
    for _ in range(3):
        slots.rest()
        assert 1 == slots.reserve(1)

    async def go_on(name: str) -> None:
        await slots.resume()
        order.append(name)

    tasks = [asyncio.create_task(go_on(name)) for name in "abc"]
    await settled()
    assert [] == order
    for expected in ("a", "b", "c"):
        slots.release()
        assert 0 == slots.free
        assert 0 == slots.reserve(1)
        await settled()
        assert expected == order[-1]
    slots.release()

    assert (1, 0) == (slots.free, slots.resting)
    await asyncio.gather(*tasks)


async def test_a_cancelled_resumer_takes_no_place() -> None:
    """Before and after the place was given to it."""
    slots = full(1)
    slots.rest()
    slots.reserve(1)
    waiting = asyncio.create_task(slots.resume())
    await settled()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    slots.release()
    assert (1, 1) == (slots.free, slots.resting)

    slots.reserve(1)
    given = asyncio.create_task(slots.resume())
    await settled()
    slots.release()
    assert 0 == slots.free
    given.cancel()
    await asyncio.gather(given, return_exceptions=True)
    assert (1, 1) == (slots.free, slots.resting)


async def test_a_cancelled_resumer_passes_its_place_on() -> None:
    """The next in the line gets it."""
    slots = full(1)
    slots.rest()
    slots.reserve(1)
    slots.rest()
    slots.reserve(1)
    first, second = asyncio.create_task(slots.resume()), asyncio.create_task(slots.resume())
    await settled()
    slots.release()
    first.cancel()
    await settled()

    assert second.done()
    assert (0, 1) == (slots.free, slots.resting)
    slots.leave()


async def test_slots_are_idle_when_nothing_runs_and_nothing_rests() -> None:
    """A drain waits for both."""
    slots = full(2)
    slots.rest()
    slots.release()
    idle = asyncio.create_task(slots.wait_idle())
    await settled()
    assert not idle.done()
    slots.leave()
    await settled()

    assert idle.done()


async def test_a_forced_place_is_beyond_the_bound_and_frees_nothing() -> None:
    """What was taken beyond the bound is given back first."""
    slots = full(1)
    slots.force()
    assert (0, 2) == (slots.free, slots.taken)
    slots.release()
    assert 0 == slots.free
    slots.release()
    assert 1 == slots.free


async def test_the_gauges_show_resting_runs_as_parked() -> None:
    """``slots{state=parked}``: in memory, without a place."""
    metrics = WorkerMetrics()
    slots = Slots(3, metrics)
    slots.reserve(2)
    slots.rest()
    slots.show()

    shown = {
        state: metrics.registry.get_sample_value("lash_slots", {"state": state}) for state in ("free", "busy", "parked")
    }
    assert {"free": 2.0, "busy": 1.0, "parked": 1.0} == shown
