"""Waiting processes over the in-memory store: they free their slots, leave memory, and go on when it is time."""

from __future__ import annotations

import asyncio
import itertools
import math
from functools import partial
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AbandonedOutput, AnyAwaitOutput, FailureOutput, ProcessAwaitOutput, Success
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.runtime import run_looks
from lash_core.testing.waiting import eventually
from lash_worker.services.process_run import ProcessRun
from tests.worker.rig import Rig, local_owner, registration, running, succeed

DAY_MS = 86_400_000


class Journal:
    """What the runs of a test remember over their attempts: due times by the store's clock, and who called what."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._due_ms: dict[str, int] = {}
        self.calls: list[str] = []

    async def sleep(self, run: ProcessRun, key: str, duration_ms: int) -> None:
        """A durable sleep."""
        waits = begun(run)
        due_ms = self._due_ms.setdefault(f"{run.process_id}:{key}", self._clock.now_ms() + duration_ms)
        await waits.sleep(max(0, due_ms - self._clock.now_ms()))


def begun(run: ProcessRun) -> Any:
    """The waits of a run that may be parked, as one with a journal may."""
    run.may_park = run.record.disposition.value == "rerunnable"
    assert run.waits is not None
    return run.waits


def signal(name: str, payload: Any = None) -> ProcessEventAppendRequest:
    """A signal."""
    return ProcessEventAppendRequest(event_type=f"signal.{name}", payload=payload)


def with_signal(process_id: str, *names: str, **facts: Any) -> Any:
    """A registration that takes signals."""
    types = tuple(ProcessEventType.signal(name, True) for name in names)
    return registration(process_id, event_types=types, **facts)


def cancel_task(run: ProcessRun) -> None:
    """Deliver a cancel to the function as the engine of apps does."""
    assert run.task is not None
    run.task.cancel()


def parked_times(rig: Rig, times: int) -> bool:
    """So many runs were parked, and nothing of them is left in memory."""
    return rig.sample("lash_processes_parked_total") == times and rig.driver.slots.resting == 0


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


async def test_a_resting_run_hears_its_signal_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory it hears of it by the notice; the slot was free meanwhile."""
    monkeypatch.setattr(run_looks, "POLL_FIRST_MS", 60_000.0)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        event = await begun(run).signal("signal.go", 1)
        return ProcessAwaitOutput.success([event.payload, run.record.attempt])

    async with running(InMemoryStores(), body, concurrency=1, lease_ttl_ms=60_000) as rig:
        await rig.put(with_signal("p", "go"))
        await eventually(lambda: rig.driver.slots.resting == 1)
        assert 1 == rig.driver.slots.free
        await rig.registry.append_event("p", signal("go", "now"))

        assert ["now", 0] == (await rig.output_of("p", Success)).value


async def test_a_renewal_tells_of_a_signal_whose_notice_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hears notices here: the next renewal hands the mark back."""
    monkeypatch.setattr(run_looks, "POLL_FIRST_MS", 60_000.0)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        event = await begun(run).signal("signal.go", 1)
        return ProcessAwaitOutput.success(event.payload)

    async with running(InMemoryStores(), body, lease_ttl_ms=600) as rig:
        await rig.put(with_signal("p", "go"))
        await eventually(lambda: rig.driver.slots.resting == 1)
        await rig.watcher.stop()
        await rig.registry.append_event("p", signal("go", "heard"))

        assert "heard" == (await rig.output_of("p", Success)).value


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


async def test_a_chain_of_parents_ends_with_one_slot() -> None:
    """Twenty deep, each awaits its child: nobody blocks the slot that the child needs. Parked at every wait too."""
    for park_after_ms in (5_000, 0):

        async def body(run: ProcessRun) -> AnyAwaitOutput:
            depth = int(run.process_id)
            if depth == 20:
                return ProcessAwaitOutput.success(0)
            child = str(depth + 1)
            await rig.registry.register_process(registration(child))
            record = await begun(run).ended(child)
            return ProcessAwaitOutput.success(record.await_output.value + 1)

        async with running(InMemoryStores(), body, concurrency=1, park_after_ms=park_after_ms) as rig:
            await rig.put(registration("1"))

            assert 19 == (await rig.output_of("1", Success, 20)).value
            await eventually(lambda: (0, 0) == (rig.driver.slots.taken, rig.driver.slots.resting))


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


async def test_owner_bound_work_rests_and_stays_in_memory() -> None:
    """Nobody may run it again: it gives its slot back and keeps lease and memory."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        await begun(run).sleep(150)
        return ProcessAwaitOutput.success(run.record.attempt)

    async with running(InMemoryStores(), body, park_after_ms=0, concurrency=1) as rig:
        await rig.put(registration("p", "owner_bound"))
        await eventually(lambda: rig.driver.slots.resting == 1)

        assert 1 == rig.driver.slots.free
        assert 0 == (await rig.output_of("p", Success)).value
        assert 0.0 == rig.sample("lash_processes_parked_total")


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


async def test_a_cancel_ends_a_resting_and_a_parked_run() -> None:
    """At once: a resting one by its token, a parked one because the request makes it due."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        forget = run.cancellation.on_cancel(partial(cancel_task, run))
        try:
            await begun(run).signal("signal.go", 1)
        except asyncio.CancelledError:
            if run.stop_cause is not None:
                raise
        finally:
            forget()
        return ProcessAwaitOutput.cancelled(run.cancellation.reason or "")

    for park_after_ms in (60_000, 0):
        async with running(InMemoryStores(), body, park_after_ms=park_after_ms) as rig:
            await rig.put(with_signal("p", "go"))
            await eventually(lambda: rig.driver.slots.resting == 1 or rig.sample("lash_processes_parked_total") == 1.0)
            await rig.registry.append_event("p", ProcessEventAppendRequest.cancel_requested("p", "enough"))

            assert "cancelled" == (await rig.end_of("p", 1)).status.state


async def test_a_lost_lease_ends_a_resting_run_and_frees_what_it_had() -> None:
    """Another owner took the row: the waits are refused, nothing is written or released."""
    stores = InMemoryStores()

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        await begun(run).signal("signal.go", 1)
        raise AssertionError(run.process_id)

    async with running(stores, body, lease_ttl_ms=600) as rig:
        await rig.put(with_signal("p", "go"))
        await eventually(lambda: rig.driver.slots.resting == 1)
        rig.deaths.pids.add(1)
        held = rig.driver.executor.runs["p"].held.lease
        await stores.process_registry.reclaim_process_lease("p", local_owner("other", 2), held, 60_000)
        await eventually(lambda: (0, 0) == (rig.driver.slots.taken, rig.driver.slots.resting))

        assert () == await stores.process_registry.events_after("p", 0)
        assert {} == rig.driver.executor.runs


async def test_resting_runs_go_on_before_new_ones_begin() -> None:
    """One slot, a backlog: a run whose wait is over comes next."""
    order: list[str] = []
    gate = asyncio.Event()

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        if run.process_id == "waiter":
            await begun(run).signal("signal.go", 1)
        elif run.process_id == "busy":
            await gate.wait()
        order.append(run.process_id)
        return await succeed(run)

    async with running(InMemoryStores(), body, concurrency=1) as rig:
        await rig.put(with_signal("waiter", "go"))
        await eventually(lambda: rig.driver.slots.resting == 1)
        await rig.put(registration("busy"))
        await eventually(lambda: "busy" in rig.driver.executor.runs)
        await rig.put(*(registration(f"new{number}") for number in range(5)))
        waits = rig.driver.executor.runs["waiter"].waits
        assert waits is not None
        await eventually(lambda: waits.park_point() is not None)
        await rig.registry.append_event("waiter", signal("go"))
        await eventually(lambda: waits.park_point() is None)
        gate.set()
        await eventually(lambda: len(order) == 7)

        assert ["busy", "waiter"] == order[:2]


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


async def test_the_waker_starts_a_due_row_within_milliseconds() -> None:
    """Not with the next sweep: the claimer is poked when the time comes, and again when it asked too early."""
    rig = Rig(InMemoryStores(), succeed)
    await rig.start()
    try:
        await rig.put(*(registration(f"p{number}", delay_ms=100 + 40 * number) for number in range(10)))
        for number in range(10):
            await rig.end_of(f"p{number}")
        assert 10.0 == rig.sample("lash_timer_lateness_seconds_count")
        assert 0.5 > rig.sample("lash_timer_lateness_seconds_sum")
    finally:
        await rig.stop()
