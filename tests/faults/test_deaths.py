"""Workers that are killed, stopped and continued: their work goes on, once."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator

import pytest

from lash_core.model.await_output import AbandonedOutput, CancelledOutput, FailureOutput, Success
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from tests.faults.fleet import Fleet, fleet, seconds_until

pytestmark = pytest.mark.faults

SHORT = ("--lease-ttl-ms", "1500")


@pytest.fixture
async def defaults() -> AsyncGenerator[Fleet]:
    """A fleet with default settings."""
    with ValkeyServer() as server:
        async with fleet(server.url) as made:
            yield made


@pytest.fixture
async def short() -> AsyncGenerator[Fleet]:
    """A fleet whose leases live 1.5 s."""
    with ValkeyServer() as server:
        async with fleet(server.url, *SHORT) as made:
            yield made


async def test_work_of_a_killed_worker_goes_on_within_two_seconds(defaults: Fleet) -> None:
    """With default settings, on the same host: the lease would live for 30 s."""
    victim = await defaults.add("victim")
    ids = [f"p{number}" for number in range(10)]
    await defaults.put("nap", ids, {"seconds": 60})
    await eventually(lambda: _all_held_by(defaults, ids, "victim"))
    await defaults.add("peer")
    victim.kill()

    assert 2.0 > await seconds_until(lambda: _all_held_by(defaults, ids, "peer"))
    for process_id in ids:
        entries = await defaults.stores.process_registry.audit_entries(process_id)
        assert ["reclaim"] == [entry.kind for entry in entries]
    await eventually(lambda: _started_twice(defaults, ids))
    assert 10.0 == await defaults.metric("peer", 'lash_takeovers_total{evidence="provably_dead"}')


async def test_worker_stopped_past_its_lease_writes_nothing_and_says_so(short: Fleet) -> None:
    """It wakes up, sees its own deadline behind it or is refused a renewal, drops the result and counts the loss."""
    sleeper = await short.add("sleeper")
    await short.put("quiet", ["p"], {"seconds": 1.0})
    # Asked of the worker: one that waits for the answer to its claim would find the row ended, and lose nothing.
    await eventually(lambda: _keeps_a_lease(short, "sleeper"))
    sleeper.signal(signal.SIGSTOP)
    await short.add("peer")
    output = (await short.end_of("p")).await_output
    sleeper.signal(signal.SIGCONT)
    await eventually(lambda: _lost_one(short, "sleeper"))

    assert isinstance(output, Success)
    assert short.workers["peer"].process.pid == output.value["pid"]
    await short.check_one_outcome_each(["p"])
    assert 0.0 == await short.metric("sleeper", 'lash_processes_finished_total{kind="quiet",outcome="completed"}')
    assert 0.0 == await short.metric("sleeper", 'lash_fenced_writes_total{verb="complete_processes_with_lease"}')


async def test_cancel_recorded_before_a_crash_cancels_the_rerun(defaults: Fleet) -> None:
    """Nobody runs it when the request is made and its worker is dead; the next worker carries it out."""
    victim = await defaults.add("victim")
    await defaults.put("nap", ["p"], {"seconds": 60})
    await eventually(lambda: _all_held_by(defaults, ["p"], "victim"))
    victim.kill()
    await defaults.stores.process_registry.append_event("p", ProcessEventAppendRequest.cancel_requested("p", "enough"))
    await defaults.add("next")
    record = await defaults.end_of("p", 10)

    assert CancelledOutput(message="enough") == record.await_output
    assert record.cancel_request is not None
    assert record.cancel_request.seen_at_ms is not None


async def test_started_owner_bound_work_of_a_killed_worker_is_abandoned(defaults: Fleet) -> None:
    """Nobody runs it again; the outcome names the dead owner as evidence."""
    victim = await defaults.add("victim")
    await defaults.put("once", ["p"], disposition=RecoveryDisposition.OWNER_BOUND)
    await eventually(lambda: _is_started(defaults, "p"))
    await defaults.add("peer")
    victim.kill()
    output = (await defaults.end_of("p", 5)).await_output

    assert isinstance(output, AbandonedOutput)
    assert "sweep" == output.evidence.writer.value
    assert output.evidence.owner is not None
    assert "victim" == output.evidence.owner.owner_id


async def test_process_that_kills_its_workers_is_poisoned_with_evidence(defaults: Fleet) -> None:
    """Two deaths are enough here; the third worker does not try, and stays alive."""
    limit = ("--poison-deaths-max", "2")
    await defaults.add("one", *limit)
    await defaults.put("killer", ["p"])
    defaults.workers["one"].wait()
    await defaults.add("three", *limit)
    second = defaults.workers["three"]
    second.wait()
    await defaults.add("survivor", *limit)
    output = (await defaults.end_of("p", 10)).await_output

    assert isinstance(output, FailureOutput)
    assert ("resource_limit", "process_poisoned") == (output.class_.value, output.code)
    assert 2 == output.raw["deaths"]
    assert 2 == len(output.raw["evidence"])
    assert defaults.workers["survivor"].process.poll() is None


async def test_blocked_loop_costs_no_lease_and_shows_in_readiness(short: Fleet) -> None:
    """Code that blocks the loop for three lease lives runs once; readiness is red meanwhile and green again."""
    await short.add("blocked")
    await short.add("peer")
    await short.put("block", ["p"], {"seconds": 4.5})
    await eventually(lambda: _has_started(short, "p"))
    holder = await short.holder("p")
    assert holder is not None
    url = (await short.entry(holder)).metrics_url
    await eventually(lambda: _ready_is(short, holder, 503, url), within_ms=4_000)
    output = (await short.end_of("p")).await_output

    assert isinstance(output, Success)
    assert 1 == output.value["attempt"]
    assert 1 == len(await short.events("p", "started"))
    await eventually(lambda: _ready_is(short, holder, 200, url), within_ms=10_000)


async def _all_held_by(made: Fleet, ids: list[str], name: str) -> bool:
    return all([await made.holder(process_id) == name for process_id in ids])


async def _started_twice(made: Fleet, ids: list[str]) -> bool:
    return all([2 == len(await made.events(process_id, "started")) for process_id in ids])


async def _has_started(made: Fleet, process_id: str) -> bool:
    return bool(await made.events(process_id, "started"))


async def _is_started(made: Fleet, process_id: str) -> bool:
    record = await made.stores.process_registry.get_process(process_id)
    return record is not None and record.first_started is not None


async def _keeps_a_lease(made: Fleet, name: str) -> bool:
    return await made.metric(name, "lash_leases_held") == 1


async def _lost_one(made: Fleet, name: str) -> bool:
    return await made.leases_lost(name) >= 1


async def _ready_is(made: Fleet, name: str, status: int, url: str | None) -> bool:
    return (await made.readiness(name, url))[0] == status
