"""What ends a wait of a held run: its log, promises and children, by few looks. Time is moved by the test."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.errors import LimitExceededError, UnknownProcessError
from lash_core.model.await_event import Resolution
from tests.worker.waiting_run import WaitingRun, begun, promise_key, settled


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
