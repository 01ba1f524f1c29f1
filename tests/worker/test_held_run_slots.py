"""The slot of a waiting run: free while it rests, taken again before it goes on. Time is moved by the test."""

from __future__ import annotations

import asyncio

from lash_core.runtime.run_waits import ParkPoint
from tests.worker.waiting_run import WaitingRun, begun, settled


async def test_a_sleeping_run_gives_its_slot_back_and_takes_it_again() -> None:
    """The slot is free for the whole sleep and not for a moment longer."""
    run = WaitingRun()
    sleep = begun(run.waits.sleep(1_000))
    await settled()
    assert (1, 1) == (run.slots.free, run.slots.resting)

    await run.timers.advance(999)
    assert not sleep.done()
    await run.timers.advance(1)
    assert sleep.done()
    assert (0, 0) == (run.slots.free, run.slots.resting)
    assert [] == run.registry.looks


async def test_a_run_that_works_keeps_its_slot_while_it_waits() -> None:
    """A sleep beside a step: the slot is free only when the step is over."""
    run = WaitingRun()
    with run.waits.working():
        begun(run.waits.sleep(1_000))
        await settled()
        assert 0 == run.slots.free
        assert run.waits.park_point() is None
    await settled()

    assert 1 == run.slots.free
    run.waits.close()


async def test_a_wait_returns_only_with_a_slot() -> None:
    """Somebody else has it meanwhile; the run goes on when it is given back."""
    run = WaitingRun()
    sleep, other = begun(run.waits.sleep(10)), begun(run.waits.sleep(1_000))
    await settled()
    assert run.waits.park_point() is not None
    assert 1 == run.slots.reserve(1)
    await run.timers.advance(10)
    assert not sleep.done()
    assert run.waits.park_point() is None

    run.slots.release()
    await settled()
    assert sleep.done()
    assert not other.done()
    run.waits.close()


async def test_after_one_wait_of_two_the_run_rests_again() -> None:
    """A task that ends with its wait leaves the other one waiting, and the slot is free again."""
    run = WaitingRun()
    waits = begun(asyncio.gather(run.waits.sleep(10), run.waits.sleep(500)))
    await run.timers.advance(10)

    assert 1 == run.slots.free
    assert ParkPoint(490, None) == run.waits.park_point()
    await run.timers.advance(490)
    assert waits.done()


async def test_a_task_that_was_woken_may_start_its_next_effect_before_the_run_rests() -> None:
    """Two gathers deep: the run keeps the slot between a wait and the step after it."""
    run = WaitingRun()
    free: list[int] = []

    async def pipeline() -> None:
        await asyncio.gather(asyncio.gather(run.waits.sleep(10)))
        free.append(run.slots.free)
        with run.waits.working():
            await settled()

    begun(run.waits.sleep(5_000))
    done = begun(pipeline())
    await run.timers.advance(10)

    assert done.done()
    assert [0] == free
    run.waits.close()


async def test_a_cancelled_wait_goes_on_with_a_slot() -> None:
    """The code that catches a cancel may work: it waits for its slot like any other."""
    run = WaitingRun()
    caught: list[int] = []

    async def body() -> None:
        try:
            await run.waits.sleep(1_000)
        except asyncio.CancelledError:
            caught.append(run.slots.resting)
            raise

    task = asyncio.create_task(body())
    await settled()
    run.slots.reserve(1)
    task.cancel()
    await settled()
    assert [] == caught
    run.slots.release()
    await settled()

    assert [0] == caught
    assert 0 == run.timers.waiting


async def test_a_slot_that_nobody_waits_for_any_more_is_given_back() -> None:
    """The wait that asked for it was cancelled meanwhile; what is left of the run rests."""
    run = WaitingRun()
    ended, _ = begun(run.waits.sleep(10)), begun(run.waits.sleep(1_000))
    await settled()
    run.slots.reserve(1)
    await run.timers.advance(10)
    ended.cancel()
    await settled()
    assert ended.cancelled()
    run.slots.release()
    await settled()

    assert (1, 1) == (run.slots.free, run.slots.resting)
    run.waits.close()


async def test_work_that_begins_in_a_resting_run_takes_a_slot() -> None:
    """``ready`` waits for a free one; an effect that did not ask takes one beyond the bound."""
    run = WaitingRun()
    begun(run.waits.sleep(1_000))
    await settled()
    run.slots.reserve(1)
    ready = begun(run.waits.ready())
    await settled()
    assert not ready.done()
    run.slots.release()
    await settled()
    assert ready.done()
    assert 1 == run.slots.free

    run.slots.reserve(1)
    with run.waits.working():
        assert 2 == run.slots.taken
    await settled()
    assert 1 == run.slots.taken
    run.waits.close()
