"""Waiting processes over the in-memory store: they leave memory, nothing is slept through, and they go on in time."""

from __future__ import annotations

import asyncio
import itertools
import math
from functools import partial
from typing import Any

from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AbandonedOutput, AnyAwaitOutput, FailureOutput, ProcessAwaitOutput, Success
from lash_core.testing.waiting import eventually
from lash_worker.services.process_run import ProcessRun
from tests.worker.parking_kit import DAY_MS, Journal, begun, parked_times, signal, with_signal
from tests.worker.rig import registration, running


async def test_a_waiting_run_leaves_memory_and_any_worker_goes_on() -> None:
    """It rests, is parked with its due time, and a day later another worker replays it to its end."""
    clock = VirtualClock()
    stores = InMemoryStores(clock)
    journal = Journal(clock)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        journal.calls.append(run.context.identity.owner_id)
        await journal.sleep(run, "nap", DAY_MS)
        return ProcessAwaitOutput.success(run.record.attempt)

    async with running(stores, body, pid=1, park_after_ms=20, concurrency=1) as first:
        await first.put(registration("p"))
        await eventually(lambda: first.sample("lash_processes_parked_total") == 1.0)
        await eventually(lambda: (0, 0) == (first.driver.slots.taken, first.driver.slots.resting))
        assert {} == first.driver.executor.runs
        assert 0 == first.driver.keeper.count
        record = await first.row("p")
        assert (1, 0) == (record.attempt, record.deaths)
        assert record.first_started is not None
        assert "a sleep" == (await first.registry.audit_entries("p"))[-1].evidence["detail"]
    due_ms = stores.process_registry.next_due_ms()[0]
    assert DAY_MS - 5_000 < due_ms - clock.now_ms() <= DAY_MS

    async with running(stores, body, pid=2, park_after_ms=20) as second:
        assert ["worker1"] == journal.calls
        clock.advance_ms(DAY_MS)
        await eventually(lambda: len(journal.calls) == 2)
        assert 1 == (await second.output_of("p", Success)).value
        assert ["worker1", "worker2"] == journal.calls
        assert 1.0 == second.sample("lash_timer_lateness_seconds_count")
        assert 5.0 > second.sample("lash_timer_lateness_seconds_sum")


async def test_a_run_that_rests_too_short_stays_in_memory() -> None:
    """A wait that is over within a second is waited out, however short the time to park."""
    clock = VirtualClock()
    journal = Journal(clock)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        journal.calls.append(run.process_id)
        await journal.sleep(run, "nap", 200)
        return ProcessAwaitOutput.success()

    async with running(InMemoryStores(clock), body, park_after_ms=10) as rig:
        await rig.put(registration("p"))
        await rig.end_of("p")

        assert ["p"] == journal.calls
        assert 0.0 == rig.sample("lash_processes_parked_total")


async def test_with_no_time_to_park_every_wait_is_parked() -> None:
    """``LASH_PARK_AFTER_MS=0``: three waits, four attempts, one outcome, one due time each."""
    clock = VirtualClock()
    journal = Journal(clock)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        journal.calls.append(run.process_id)
        for number in range(3):
            await journal.sleep(run, str(number), 30)
        return ProcessAwaitOutput.success(run.record.attempt)

    async with running(InMemoryStores(clock), body, park_after_ms=0) as rig:
        await rig.put(registration("p"))

        assert 3 == (await rig.output_of("p", Success)).value
        assert 4 == len(journal.calls)
        assert 0 == (await rig.row("p")).deaths


async def test_a_parked_run_hears_its_signal() -> None:
    """The signal makes the row due now; the wait finds it in the log."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        event = await begun(run).signal("signal.go", 1)
        return ProcessAwaitOutput.success([event.payload, run.record.attempt])

    async with running(InMemoryStores(), body, park_after_ms=0) as rig:
        await rig.put(with_signal("p", "go"))
        await eventually(lambda: rig.sample("lash_processes_parked_total") == 1.0)
        await eventually(lambda: rig.driver.slots.resting == 0)
        await rig.registry.append_event("p", signal("go", "now"))

        assert ["now", 1] == (await rig.output_of("p", Success)).value


async def test_a_run_parks_for_good_after_what_it_has_seen() -> None:
    """A signal that it received in memory does not make the row due again."""
    calls: list[int] = []

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        calls.append(run.record.attempt)
        for ordinal in (1, 2):
            await begun(run).signal("signal.go", ordinal)
        return ProcessAwaitOutput.success()

    async with running(InMemoryStores(), body, park_after_ms=60_000) as rig:
        await rig.put(with_signal("p", "go"))
        await eventually(lambda: rig.driver.slots.resting == 1)
        await rig.registry.append_event("p", signal("go"))
        waits = rig.driver.executor.runs["p"].waits
        assert waits is not None
        await eventually(lambda: len(waits.open_subjects) == 1 and ("signal.go", 2) in waits.open_subjects)
        rig.driver.executor.park_all()
        await eventually(lambda: parked_times(rig, 1))

        assert math.inf == await rig.registry.ready_at_ms("p")
        await rig.registry.append_event("p", signal("go"))
        await rig.end_of("p")
        assert [0, 1] == calls


async def test_an_event_between_look_and_release_is_not_slept_through() -> None:
    """The release names what was seen; whatever came after it makes the row due at once."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        event = await begun(run).signal("signal.go", 1)
        return ProcessAwaitOutput.success(event.payload)

    stores = InMemoryStores()
    async with running(stores, body, park_after_ms=0) as rig:
        release = stores.process_registry.release_process_leases
        released: list[Any] = []

        async def late(releases: Any) -> Any:
            released.extend(releases)
            if len(released) == 1:
                await rig.registry.append_event("p", signal("go", "just now"))
            return await release(releases)

        stores.process_registry.release_process_leases = late
        await rig.put(with_signal("p", "go"))

        assert "just now" == (await rig.output_of("p", Success)).value
        assert ["parked"] == [item.reason.kind for item in released]


async def test_resting_runs_beyond_the_bound_leave_memory_the_longest_resting_first() -> None:
    """A backlog of sleepers does not fill the memory."""
    clock = VirtualClock()
    journal = Journal(clock)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        await journal.sleep(run, "nap", DAY_MS)
        return ProcessAwaitOutput.success()

    async with running(InMemoryStores(clock), body, park_after_ms=600_000, concurrency=4) as rig:
        await rig.put(*(registration(f"p{number:03}") for number in range(300)))
        await eventually(lambda: rig.sample("lash_processes_parked_total") == 300.0 - 256.0)
        await eventually(lambda: rig.driver.slots.resting == 256)
        left = set(rig.driver.executor.runs)

        assert {f"p{number:03}" for number in range(44, 300)} == left


async def test_a_drain_parks_what_rests_at_once() -> None:
    """It does not wait out a sleep of a day, counts no death, and started owner-bound work is abandoned as always."""
    clock = VirtualClock()
    stores = InMemoryStores(clock)
    journal = Journal(clock)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        await journal.sleep(run, "nap", DAY_MS)
        return ProcessAwaitOutput.success()

    async with running(stores, body) as rig:
        await rig.put(registration("p"), registration("once", "owner_bound"))
        await eventually(lambda: rig.driver.slots.resting == 2)
        assert 1 == await rig.driver.drain(100)

        record = await rig.row("p")
        assert ("running", 1, 0) == (record.status.state, record.attempt, record.deaths)
        assert DAY_MS - 5_000 < stores.process_registry.next_due_ms()[0] - clock.now_ms()
        assert isinstance((await rig.row("once")).await_output, AbandonedOutput)


async def test_a_result_after_a_refusal_is_no_outcome() -> None:
    """A function that takes the way out of memory for a cancel and returns something: the something is dropped."""
    clock = VirtualClock()
    journal = Journal(clock)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        journal.calls.append(run.process_id)
        try:
            await journal.sleep(run, "nap", 50)
        except asyncio.CancelledError:
            return ProcessAwaitOutput.success("wrong")
        return ProcessAwaitOutput.success("right")

    async with running(InMemoryStores(clock), body, park_after_ms=0) as rig:
        await rig.put(registration("p"))

        assert "right" == (await rig.output_of("p", Success)).value
        assert 2 == len(journal.calls)


async def test_a_timeout_counts_over_parks() -> None:
    """The time is the process's, not the attempt's: a row that sleeps past its deadline fails at the deadline."""
    clock = VirtualClock()
    journal = Journal(clock)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        journal.calls.append(run.process_id)
        if run.cancellation.cancelled:
            return ProcessAwaitOutput.cancelled("timeout")
        for number in itertools.count():
            await journal.sleep(run, str(number), 3_600_000)
        raise AssertionError(run.process_id)

    async with running(InMemoryStores(clock), body, park_after_ms=0) as rig:
        await rig.put(registration("p", timeout_ms=9_000_000))
        for number in (1, 2, 3):
            await eventually(partial(parked_times, rig, number))
            assert number == len(journal.calls)
            clock.advance_ms(1_800_000 if number == 3 else 3_600_000)
            rig.claimer.poke_all()
        output = await rig.output_of("p", FailureOutput)

        assert ("timeout", "process_timeout") == (output.class_.value, output.code)
        assert 4 == len(journal.calls)
