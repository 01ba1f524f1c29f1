"""Waiting processes over the in-memory store: in memory they keep no slot, hear at once, and go on before new work."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput, Success
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.runtime import run_looks
from lash_core.testing.waiting import eventually
from lash_worker.services.process_run import ProcessRun
from tests.worker.parking_kit import begun, cancel_task, signal, with_signal
from tests.worker.rig import local_owner, registration, running, succeed


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
