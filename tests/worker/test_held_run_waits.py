"""A waiting run: its slot, its looks, its way out of memory. No time passes but what a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest

from lash_core.errors import LimitExceededError, UnknownProcessError
from lash_core.model.await_event import Resolution
from lash_core.runtime.run_waits import ParkPoint
from tests.worker.waiting_run import WaitingRun, promise_key, settled

T = TypeVar("T")


def begun(wait: Awaitable[T]) -> asyncio.Task[T]:
    """The wait as a task."""

    async def waiting() -> T:
        return await wait

    return asyncio.create_task(waiting())


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


async def test_signals_are_counted_in_the_log_and_waits_share_one_look() -> None:
    """Two waits open at once: each gets its own ordinal, by one look."""
    run = WaitingRun()
    first, second = begun(run.waits.signal("signal.go", 1)), begun(run.waits.signal("signal.go", 2))
    await settled()
    assert [0] == run.registry.looks

    run.registry.signal("go", "a")
    run.registry.signal("other")
    run.registry.signal("go", "b")
    run.waits.stimulus()
    await settled()
    one, two = first.result(), second.result()
    assert one is not None
    assert two is not None
    assert ["a", "b"] == [one.payload, two.payload]
    assert [0, 0] == run.registry.looks


async def test_a_known_event_ends_a_wait_without_a_look() -> None:
    """The log is read on from where it was read to."""
    run = WaitingRun()
    run.registry.signal("go", 1)
    run.registry.signal("go", 2)
    assert 1 == getattr(await run.waits.signal("signal.go", 1), "payload", None)
    assert 2 == getattr(await run.waits.signal("signal.go", 2), "payload", None)
    assert [0] == run.registry.looks

    begun(run.waits.signal("signal.go", 3))
    await settled()
    assert [0, 2] == run.registry.looks
    assert 2 == len(await run.waits.logged("signal.go"))
    run.waits.close()


async def test_a_lost_notice_costs_time_and_nothing_else() -> None:
    """Without a stimulus the run looks by itself, ever more rarely."""
    run = WaitingRun()
    wait = begun(run.waits.signal("signal.go", 1))
    await run.timers.advance(20_000)
    looks = len(run.registry.looks)
    assert 6 <= looks <= 9
    run.registry.signal("go", "late")
    await run.timers.advance(5_000)

    event = wait.result()
    assert event is not None
    assert "late" == event.payload


async def test_an_event_in_the_log_counts_when_the_time_is_over() -> None:
    """Its notice was lost: the look at the end of the time finds it. Without one the wait ends as over."""
    run = WaitingRun()
    wait, empty = begun(run.waits.signal("signal.go", 1, 100)), begun(run.waits.signal("signal.no", 1, 100))
    await settled()
    run.registry.signal("go", "in time")
    await run.timers.advance(100)

    event = wait.result()
    assert event is not None
    assert "in time" == event.payload
    assert empty.result() is None
    assert run.waits.park_point() is None


async def test_a_time_that_is_over_before_the_wait_still_reads_the_log() -> None:
    """A replay after the due time: the event in the log comes before the time."""
    run = WaitingRun()
    run.registry.signal("go", 1)

    assert await run.waits.signal("signal.go", 1, 0) is not None
    assert await run.waits.signal("signal.go", 2, 0) is None


async def test_promises_end_waits() -> None:
    """By key; another promise waits on."""
    run = WaitingRun()
    one, other = begun(run.waits.promise(promise_key("one"))), begun(run.waits.promise(promise_key("other"), 50))
    await settled()
    run.registry.resolutions[promise_key("one").key_id] = Resolution.ok(1)
    run.waits.stimulus()
    await settled()

    assert Resolution.ok(1) == one.result()
    await run.timers.advance(50)
    assert other.result() is None


async def test_children_are_watched_once_and_read_in_batches() -> None:
    """A thousand children that end one after the other cost a few thousand reads, not half a million."""
    run = WaitingRun()
    names = [f"c{number}" for number in range(1_000)]
    for name in names:
        run.registry.child(name)
    waits = begun(asyncio.gather(*(run.waits.ended(name) for name in names)))
    await settled()
    for name in names:
        run.registry.child(name, ended=True)
        run.waits.stimulus()
        await run.timers.advance(1)
    await run.timers.advance(300)

    assert names == [record.id for record in waits.result()]
    assert names == run.registry.watched
    assert sum(run.registry.reads) < 10_000
    assert max(run.registry.reads) <= 200


async def test_a_child_that_ended_before_it_is_watched_ends_the_wait() -> None:
    """The watch answers the row; an unknown child is an error of its wait alone."""
    run = WaitingRun()
    run.registry.child("done", ended=True)

    assert (await run.waits.ended("done")).is_terminal
    with pytest.raises(UnknownProcessError):
        await run.waits.ended("nobody")


async def test_a_child_that_too_many_wait_for_fails_its_wait_alone() -> None:
    """The limit is an answer and not a wait for ever; the others are watched."""
    run = WaitingRun()
    run.registry.child("crowded")
    run.registry.child("quiet")
    run.registry.crowded = "crowded"
    quiet, crowded = begun(run.waits.ended("quiet")), begun(run.waits.ended("crowded"))
    await run.timers.advance(1)

    assert isinstance(crowded.exception(), LimitExceededError)
    assert ["quiet"] == run.registry.watched
    assert not quiet.done()
    run.waits.close()


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
