"""The loops of a worker together, over the in-memory store: one outcome for every process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import OutcomeUnknownError, StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import (
    AbandonedOutput,
    AnyAwaitOutput,
    CancelledOutput,
    FailureOutput,
    ProcessAwaitOutput,
    Success,
)
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import AbandonRequest
from lash_core.model.lease import Acquired
from lash_core.model.process_input import ProcessInput
from lash_core.testing.waiting import eventually
from lash_worker.services.process_run import ProcessRun
from tests.worker.rig import Deaths, for_ever, local_owner, registration, running, succeed, until_cancelled


async def test_every_process_ends_once_and_the_slots_bound_the_runs() -> None:
    """A backlog is worked off by as many runs as there are slots, never more."""
    together: list[int] = []

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        together.append(rig.driver.slots.taken)
        await asyncio.sleep(0.002)
        return ProcessAwaitOutput.success(run.process_id)

    async with running(InMemoryStores(), body, concurrency=5) as rig:
        await rig.put(*(registration(f"p{number}") for number in range(60)))
        outputs = [await rig.output_of(f"p{number}", Success) for number in range(60)]

        assert [f"p{number}" for number in range(60)] == [output.value for output in outputs]
        assert 5 >= max(together)
        assert 60.0 == rig.sample("lash_processes_finished_total", kind="work", outcome="completed")
        await eventually(lambda: rig.driver.slots.free == 5)
        assert {} == rig.driver.executor.runs
        assert 0 == rig.driver.keeper.count


async def test_a_failure_is_logged_with_the_facts_of_its_run(caplog: pytest.LogCaptureFixture) -> None:
    """Process id, fence and owner are fields of their own; the start is when the run began and not when it ended."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        await asyncio.sleep(0.1)
        return ProcessAwaitOutput.failure("execution", "process_failed", "ValueError: no")

    async with running(InMemoryStores(), body) as rig:
        await rig.put(registration("p"))
        await rig.output_of("p", FailureOutput)
        await eventually(lambda: bool(caplog.records))
        record = await rig.registry.get_process("p")

    line = caplog.records[-1]
    assert "process p failed: execution / process_failed: ValueError: no" == line.getMessage()
    assert "p" == vars(line)["process_id"]
    assert vars(line)["fence"] > 0
    assert vars(line)["owner"]
    assert record is not None
    assert record.first_started is not None
    assert record.first_started.started_at_ms <= record.updated_at_ms - 50


async def test_cancel_fires_the_token_of_a_running_process_with_its_reason() -> None:
    """The notice arrives in milliseconds, the receipt is written before the outcome."""
    async with running(InMemoryStores(), until_cancelled) as rig:
        await rig.put(registration("p"))
        await eventually(lambda: "p" in rig.driver.executor.runs)
        await rig.registry.append_event("p", ProcessEventAppendRequest.cancel_requested("p", "enough"))
        record = await rig.end_of("p", 1)

        assert "cancelled" == record.status.state
        assert CancelledOutput(message="enough") == record.await_output
        assert record.cancel_request is not None
        assert record.cancel_request.seen_at_ms is not None
        assert 1.0 == rig.sample("lash_cancel_latency_seconds_count")


async def test_cancel_recorded_before_a_crash_cancels_the_rerun() -> None:
    """The request counts from sequence 0, whoever ran when it was made."""
    stores = InMemoryStores()
    registry = stores.process_registry
    await registry.register_process(registration("p"))
    dead = local_owner("dead", 99)
    assert isinstance(await registry.claim_process_lease("p", dead, 60_000), Acquired)
    await registry.append_event("p", ProcessEventAppendRequest.cancel_requested("p", "before the crash"))

    deaths = Deaths()
    deaths.pids.add(99)
    async with running(stores, until_cancelled, deaths=deaths) as rig:
        assert "before the crash" == (await rig.output_of("p", CancelledOutput)).message


async def test_work_of_a_provably_dead_peer_goes_on_at_once() -> None:
    """Its lease would last another minute; the proof makes it free now, and the audit names the evidence."""
    stores = InMemoryStores()
    registry = stores.process_registry
    await registry.register_process(registration("p"))
    outcome = await registry.claim_process_lease("p", local_owner("dead", 99), 60_000)
    assert isinstance(outcome, Acquired)

    deaths = Deaths()
    async with running(stores, succeed, deaths=deaths) as rig:
        await asyncio.sleep(0)
        assert "running" == (await rig.row("p")).status.state
        deaths.pids.add(99)
        record = await rig.end_of("p", 2)

        assert "completed" == record.status.state
        assert 1.0 == rig.sample("lash_takeovers_total", evidence="provably_dead")
        assert ["reclaim"] == [entry.kind for entry in await registry.audit_entries("p")]


async def test_started_owner_bound_work_of_a_dead_owner_is_abandoned_not_repeated() -> None:
    """Nobody runs it again; the evidence names the owner that died."""
    stores = InMemoryStores()
    ran: list[str] = []
    deaths = Deaths()

    async def first(run: ProcessRun) -> AnyAwaitOutput:
        ran.append("first")
        return await for_ever(run)

    async def second(run: ProcessRun) -> AnyAwaitOutput:
        ran.append("second")
        return await succeed(run)

    async with running(stores, first, deaths=deaths, pid=99) as victim:
        await victim.put(registration("p", "owner_bound"))
        await eventually(lambda: ran == ["first"])
        assert (await victim.row("p")).first_started is not None
        deaths.pids.add(99)
        async with running(stores, second, deaths=deaths, pid=1) as rig:
            evidence = (await rig.output_of("p", AbandonedOutput)).evidence

    assert "sweep" == evidence.writer.value
    assert evidence.owner is not None
    assert "worker99" == evidence.owner.owner_id
    assert ["first"] == ran


async def test_abandon_request_on_externally_owned_work_is_reconciled() -> None:
    """The sweep never runs it; it carries the request out."""
    async with running(InMemoryStores(), succeed) as rig:
        await rig.put(registration("p", "externally_owned", input=ProcessInput.external({"label": "x"}), env_ref=None))
        await rig.registry.request_abandon("p", AbandonRequest(requested_by="ops", requested_at_ms=1))
        evidence = (await rig.output_of("p", AbandonedOutput)).evidence

        assert "reconciled_request" == evidence.writer.value
        assert evidence.owner is None


async def test_unknown_kind_is_declined_and_never_fails() -> None:
    """Another worker may know it; until then it waits, counted."""
    async with running(InMemoryStores(), succeed) as rig:
        await rig.put(registration("p", input=ProcessInput.engine("elsewhere")))
        await eventually(lambda: rig.sample("lash_processes_declined_total", kind="other") == 1.0)
        await eventually(lambda: rig.driver.slots.free == 8)

        record = await rig.row("p")
        assert "running" == record.status.state
        assert 0 == record.attempt


async def test_poisoned_process_fails_with_the_evidence_of_its_deaths() -> None:
    """Three workers died of it: the fourth does not try."""
    stores = InMemoryStores()
    registry = stores.process_registry
    deaths = Deaths()
    deaths.pids.update((90, 91, 92))
    await registry.register_process(registration("p"))
    registry.use_process_table(deaths)
    observed = None
    for pid in (90, 91, 92):
        owner = local_owner(f"victim{pid}", pid)
        if observed is None:
            outcome = await registry.claim_process_lease("p", owner, 60_000)
        else:
            outcome = await registry.reclaim_process_lease("p", owner, observed, 60_000)
        assert isinstance(outcome, Acquired)
        observed = outcome.lease

    async with running(stores, succeed, deaths=deaths, poison_deaths_max=3) as rig:
        output = await rig.output_of("p", FailureOutput)

        assert ("resource_limit", "process_poisoned") == (output.class_.value, output.code)
        assert 3 == len(output.raw["evidence"])
        assert ["reclaim", "reclaim", "reclaim"] == [entry["kind"] for entry in output.raw["evidence"]]


async def test_drain_hands_rerunnable_work_to_a_peer_and_abandons_started_owner_bound_work() -> None:
    """A drain past its deadline: what may run again starts elsewhere at once, the rest ends with evidence."""
    stores = InMemoryStores()
    started: list[str] = []

    async def stuck(run: ProcessRun) -> AnyAwaitOutput:
        started.append(run.process_id)
        return await for_ever(run)

    async with running(stores, stuck, pid=1) as leaving:
        await leaving.put(registration("again"), registration("once", "owner_bound"))
        await eventually(lambda: len(started) == 2)
        async with running(stores, succeed, pid=2) as peer:
            assert 2 == await leaving.driver.drain(20)
            again, once = await peer.end_of("again", 1), await peer.output_of("once", AbandonedOutput, 1)

        assert "completed" == again.status.state
        assert ["yield"] == [entry.kind for entry in await stores.process_registry.audit_entries("again")]
        assert "owner_drain" == once.evidence.writer.value
        assert 0 == again.deaths


async def test_finished_work_is_not_handed_over_by_a_drain() -> None:
    """Runs that end within the deadline end as usual."""

    go_on = asyncio.Event()

    async def short(run: ProcessRun) -> AnyAwaitOutput:
        await go_on.wait()
        return await succeed(run)

    async with running(InMemoryStores(), short) as rig:
        await rig.put(registration("p"))
        await eventually(lambda: "p" in rig.driver.executor.runs)
        draining = asyncio.create_task(rig.driver.drain(60_000))
        await asyncio.sleep(0)
        go_on.set()

        assert 0 == await draining
        assert "completed" == (await rig.row("p")).status.state


async def test_timeout_ends_a_process_as_failed() -> None:
    """The time is per process; the run is told like by a cancel."""
    async with running(InMemoryStores(), until_cancelled) as rig:
        await rig.put(registration("p", timeout_ms=30))
        output = await rig.output_of("p", FailureOutput)

        assert ("timeout", "process_timeout") == (output.class_.value, output.code)


async def test_store_failure_of_a_run_is_retried_not_recorded() -> None:
    """Decision 29: a broken network is no outcome."""
    tries: list[int] = []

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        tries.append(1)
        if len(tries) < 3:
            raise StoreUnreachableError("no route")
        return await succeed(run)

    async with running(InMemoryStores(), body) as rig:
        await rig.put(registration("p"))

        assert "completed" == (await rig.end_of("p")).status.state
        assert 3 == len(tries)


async def test_store_that_stays_away_costs_the_lease_and_not_the_process() -> None:
    """After one TTL of failures the row goes back for another worker, not counted as a death."""
    broken = True

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        if broken:
            raise StoreUnreachableError("no route")
        return await succeed(run)

    async with running(InMemoryStores(), body, lease_ttl_ms=400) as rig:
        await rig.put(registration("p"))
        await eventually(lambda: "p" in rig.driver.executor.runs)
        await eventually(lambda: "p" not in rig.driver.executor.runs)
        broken = False

        record = await rig.end_of("p")
        assert "completed" == record.status.state
        assert 0 == record.deaths


async def test_boundary_error_of_a_run_fails_the_process() -> None:
    """A permanent error of the runner is recorded under its code."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        raise ValueError("no such plugin")

    async with running(InMemoryStores(), body) as rig:
        await rig.put(registration("p"))
        output = await rig.output_of("p", FailureOutput)

        assert ("execution", "process_recovery_failed") == (output.class_.value, output.code)


async def test_lost_reply_of_a_completion_doubles_nothing() -> None:
    """The outcome is sent again until its answer is known; there is one terminal event."""
    stores = InMemoryStores()
    registry = stores.process_registry
    complete = registry.complete_processes_with_lease
    calls: list[int] = []

    async def lossy(completions: Any) -> Any:
        answer = await complete(completions)
        calls.append(len(completions))
        if len(calls) == 1:
            raise OutcomeUnknownError("the reply was lost")
        return answer

    registry.complete_processes_with_lease = lossy
    async with running(stores, succeed) as rig:
        await rig.put(registration("p"))
        await eventually(lambda: rig.sample("lash_fenced_writes_total", verb="complete_processes_with_lease") == 1.0)

        events = await registry.events_after("p", 0)
        assert ["process.completed"] == [event.event_type for event in events]
        assert 2 == len(calls)
        assert 0.0 == rig.sample("lash_fenced_writes_refused_total")


async def test_result_that_the_store_refuses_fails_the_process() -> None:
    """A result over the payload limit is an outcome of its own, not a worker that tries for ever."""

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        return ProcessAwaitOutput.success("x" * 300_000)

    async with running(InMemoryStores(), body) as rig:
        await rig.put(registration("p"))
        output = await rig.output_of("p", FailureOutput)

        assert ("invalid_request", "process_result_invalid") == (output.class_.value, output.code)


async def test_lost_lease_drops_the_result() -> None:
    """Another owner took the row: the run is cancelled, nothing is written, the loss is counted."""
    stores = InMemoryStores()
    async with running(stores, for_ever, lease_ttl_ms=600) as rig:
        await rig.put(registration("p"))
        await eventually(lambda: "p" in rig.driver.executor.runs)
        run = rig.driver.executor.runs["p"]
        deaths = Deaths()
        deaths.pids.add(1)
        stores.process_registry.use_process_table(deaths)
        taken = await stores.process_registry.reclaim_process_lease(
            "p", local_owner("other", 2), run.held.lease, 60_000
        )
        assert isinstance(taken, Acquired)
        await eventually(lambda: "p" not in rig.driver.executor.runs)

        assert () == await stores.process_registry.events_after("p", 0)
        assert 1.0 == rig.sample("lash_leases_lost_total", reason="taken")
        assert taken.lease.fencing_token > run.held.lease.fencing_token
