"""How a waiting run leaves memory: parked with what it has seen, or closed. Time is moved by the test."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.runtime.run_waits import ParkPoint
from tests.worker.waiting_run import WaitingRun, begun, promise_key, settled


async def test_a_run_is_parked_with_the_marks_of_a_look_at_all_it_waits_for() -> None:
    """Not before the look at the newest wait, not with marks older than the newest stimulus."""
    run = WaitingRun()
    run.registry.gate = asyncio.Event()
    begun(run.waits.signal("signal.go", 1, 700))
    await settled()
    assert 1 == run.slots.free
    assert run.waits.park_point() is None
    run.registry.gate.set()
    await settled()
    assert ParkPoint(700, "0") == run.waits.park_point()

    run.registry.marks = 7
    run.registry.gate = asyncio.Event()
    run.waits.stimulus()
    await settled()
    assert run.waits.park_point() is None
    run.registry.gate.set()
    await settled()
    assert ParkPoint(700, "7") == run.waits.park_point()
    run.waits.close()


async def test_a_run_whose_children_were_not_read_yet_is_not_parked() -> None:
    """The marks of a look count only with a read of the children after it."""
    run = WaitingRun()
    for name in ("a", "b"):
        run.registry.child(name)
    waits = [begun(run.waits.ended(name)) for name in ("a", "b")]
    await settled()
    run.waits.stimulus()
    await settled()
    assert [2] == run.registry.reads
    run.registry.child("a", ended=True)
    run.waits.stimulus()
    await settled()
    assert [2] == run.registry.reads
    assert run.waits.park_point() is None

    await run.timers.advance(1)
    assert waits[0].done()
    assert ParkPoint(None, "1") == run.waits.park_point()
    run.waits.close()


async def test_looked_looks_first_and_answers_none_when_it_cannot() -> None:
    """A store that is away keeps the run where it is."""
    run = WaitingRun()
    wait = begun(run.waits.signal("signal.go", 1))
    run.registry.is_away = True
    await settled()
    assert await run.waits.looked() is None
    run.registry.is_away = False
    assert ParkPoint(None, "0") == await run.waits.looked()
    assert not wait.done()
    run.waits.close()


async def test_closing_ends_every_wait_and_refuses_what_comes() -> None:
    """All with CancelledError: nothing of the run can wait or work any more, and no timer is left."""
    run = WaitingRun()
    waits: list[asyncio.Task[Any]] = [
        begun(run.waits.sleep(100)),
        begun(run.waits.signal("signal.go", 1, 50)),
        begun(run.waits.ended("c")),
        begun(run.waits.promise(promise_key("x"))),
    ]
    run.registry.child("c")
    await settled()
    run.waits.close()
    run.waits.close()
    await settled()

    assert all(wait.cancelled() for wait in waits)
    assert 0 == run.timers.waiting
    assert run.waits.refused
    with pytest.raises(asyncio.CancelledError):
        await run.waits.sleep(0)
    with pytest.raises(asyncio.CancelledError), run.waits.working():
        pass
    with pytest.raises(asyncio.CancelledError):
        await run.waits.ready()


async def test_a_wait_that_ended_is_refused_when_the_run_is_closed_before_it_returns() -> None:
    """Between the end of the wait and the slot."""
    run = WaitingRun()
    sleep = begun(run.waits.sleep(10))
    await settled()
    run.slots.reserve(1)
    await run.timers.advance(10)
    run.waits.close()
    await settled()

    assert sleep.cancelled()
    assert run.place.is_resting
    run.slots.release()
    assert 1 == run.slots.free


async def test_code_that_ignores_refusals_leaves_the_loop_to_others() -> None:
    """Each refusal takes longer than the one before."""
    run = WaitingRun()
    run.waits.close()
    refusals = 0

    async def stubborn() -> None:
        nonlocal refusals
        while True:
            try:
                await run.waits.sleep(1)
            except asyncio.CancelledError:
                refusals += 1
                if task.cancelling():
                    raise

    task = asyncio.create_task(stubborn())
    await settled()
    assert 3 > refusals
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
