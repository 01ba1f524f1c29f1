"""Workers that are killed, stopped or drained in the middle of a turn: a peer redoes it, and it is answered once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncGenerator

import pytest

from lash_core.model.await_output import Success
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from tests.session_faults.scenes import Agents, agents

pytestmark = pytest.mark.faults

SHORT = ("--lease-ttl-ms", "1500")


@pytest.fixture
async def fleet() -> AsyncGenerator[Agents]:
    """Default settings."""
    with ValkeyServer() as server:
        async with agents(server.url) as made:
            yield made


async def test_a_killed_workers_turn_is_redone_by_a_peer_and_answered_once(fleet: Agents) -> None:
    """With default settings, on the same host; what the model said is recorded and not asked for again."""
    victim = await fleet.add("victim")
    sent = await fleet.session().send("tool:slow")
    await fleet.until_called("tool-slow")
    await fleet.add("peer")
    victim.kill()
    killed = time.monotonic()
    await fleet.until_called("tool-slow", 2)
    assert 3.0 > time.monotonic() - killed
    fleet.go("slow")

    assert "done: tool:slow" == await fleet.answer(sent)
    # The tool's attempt was not recorded, so it was made again; the model's first answer was.
    assert (1, 2, 1) == tuple(len(fleet.calls(name)) for name in ("model-1", "tool-slow", "model-3"))
    assert ["user: tool:slow", "assistant: work", "user: work", "assistant: done: tool:slow"] == await fleet.told()
    assert 1.0 == await fleet.fleet.metric("peer", "lash_session_takeovers_total")
    assert () == await fleet.session().queue()


async def test_a_model_call_that_was_not_recorded_is_made_again(fleet: Agents) -> None:
    """Its worker died while the model was thinking: nobody has its answer."""
    victim = await fleet.add("victim")
    sent = await fleet.session().send("tool:quick think:deep")
    await fleet.until_called("model-3")
    await fleet.add("peer")
    victim.kill()
    await fleet.until_called("model-3", 2)
    fleet.go("deep")

    assert "done: tool:quick think:deep" == await fleet.answer(sent)
    assert (1, 1, 2) == tuple(len(fleet.calls(name)) for name in ("model-1", "tool-quick", "model-3"))
    assert 4 == len(await fleet.told())


async def test_a_process_that_a_turn_started_is_started_once(fleet: Agents) -> None:
    """The tool is called again by the peer, and starts the same process; its wake reaches the turn at a checkpoint."""
    victim = await fleet.add("victim")
    sent = await fleet.session().send("tool:slow-order")
    await fleet.until_called("tool-slow-order")
    await fleet.add("peer")
    victim.kill()
    await fleet.until_called("tool-slow-order", 2)
    fleet.go("slow-order")

    await fleet.answer(sent)
    await eventually(lambda: _has(fleet, "slow-order is delivered"), within_ms=15_000)
    assert 1 == await fleet.lash.count(kind="tell")
    assert 1 == sum(line.startswith("user: Background process wake") for line in await fleet.told())


async def test_inputs_of_a_killed_workers_turn_are_not_lost(fleet: Agents) -> None:
    """What came while it ran is answered too, once."""
    victim = await fleet.add("victim")
    first = await fleet.session().send("tool:slow")
    await fleet.until_called("tool-slow")
    second = await fleet.session().send("and this?")
    victim.kill()
    await fleet.add("peer")
    fleet.go("slow")

    await fleet.answer(first)
    await fleet.answer(second)
    texts = [line for line in await fleet.told() if line.startswith("user: ") and line != "user: work"]
    assert ["user: tool:slow", "user: and this?"] == texts


async def test_a_worker_that_was_stopped_past_its_lease_commits_nothing() -> None:
    """It wakes up, sees its deadline behind it, and leaves the turn to the peer that took it."""
    with ValkeyServer() as server:
        async with agents(server.url, *SHORT) as fleet:
            sleeper = await fleet.add("sleeper")
            sent = await fleet.session().send("tool:slow")
            await fleet.until_called("tool-slow")
            sleeper.signal(signal.SIGSTOP)
            await fleet.add("peer")
            await fleet.until_called("tool-slow", 2)
            fleet.go("slow")
            answer = await fleet.answer(sent)
            told = await fleet.told()
            sleeper.signal(signal.SIGCONT)
            await eventually(lambda: _failed(fleet, "sleeper"), within_ms=10_000)

            assert "done: tool:slow" == answer
            assert (told, 4) == (await fleet.told(), len(told))
            assert 0.0 == await fleet.fleet.metric("sleeper", 'lash_session_turns_total{outcome="finished"}')


async def test_a_drain_hands_its_turn_to_a_peer() -> None:
    """SIGTERM: the turn may end until the deadline; then it is given back, and no cancelled turn is left behind."""
    with ValkeyServer() as server:
        async with agents(server.url, "--drain-seconds", "0.2") as fleet:
            leaver = await fleet.add("leaver")
            sent = await fleet.session().send("tool:slow")
            await fleet.until_called("tool-slow")
            await fleet.add("peer")
            leaver.signal(signal.SIGTERM)
            await fleet.until_called("tool-slow", 2)
            assert 0 == await asyncio.to_thread(leaver.wait)
            fleet.go("slow")

            assert "done: tool:slow" == await fleet.answer(sent)
            assert 1 == len(fleet.calls("model-1"))
            assert 4 == len(await fleet.told())


async def test_a_turn_goes_on_after_the_server_came_back() -> None:
    """Killed and started again on its data while a tool runs: the turn is committed once."""
    with ValkeyServer(arguments=("--appendonly", "yes", "--appendfsync", "always")) as server:
        async with agents(server.url) as fleet:
            await fleet.add("one")
            sent = await fleet.session().send("tool:slow")
            await fleet.until_called("tool-slow")
            await asyncio.to_thread(server.restart)
            fleet.go("slow")

            assert "done: tool:slow" == await fleet.answer(sent)
            assert 4 == len(await fleet.told())
            assert 1 == len(fleet.calls("model-1"))


async def test_an_idle_session_answers_at_once(fleet: Agents) -> None:
    """A notice starts the turn: no poll is waited for, which comes every three seconds."""
    await fleet.add("one")
    await fleet.answer(await fleet.session("warm").send("hello"))
    waited: list[float] = []
    for number in range(10):
        began = time.monotonic()
        await fleet.answer(await fleet.session(f"s{number}").send("hello"))
        waited.append(time.monotonic() - began)

    assert 0.75 > sorted(waited)[5], waited


async def test_a_session_turn_process_of_a_killed_worker_is_redone_once(fleet: Agents) -> None:
    """The process and its child's turn go on elsewhere; the model is not asked again for what it said."""
    victim = await fleet.add("victim")
    registry = fleet.fleet.stores.process_registry
    await registry.register_process(
        ProcessRegistration(
            id="helper",
            input=ProcessInput.session_turn({}, "tool:slow"),
            disposition=RecoveryDisposition.RERUNNABLE,
        )
    )
    await fleet.until_called("tool-slow")
    await fleet.add("peer")
    victim.kill()
    await fleet.until_called("tool-slow", 2)
    fleet.go("slow")
    output = (await fleet.fleet.end_of("helper")).await_output

    assert isinstance(output, Success), output
    assert ("helper", "process-session-turn:helper") == (output.value["process_id"], output.value["child_session_id"])
    assert 1 == len(fleet.calls("model-1"))
    assert 4 == len(await fleet.told("process-session-turn:helper"))


async def test_a_process_wakes_a_session(fleet: Agents) -> None:
    """Its event becomes a turn of the idle session it was started for."""
    await fleet.add("one")
    await fleet.answer(await fleet.session().send("hello"))
    lash = fleet.lash
    await lash.enqueue("tell", {"text": "it rains"}, wake_target=SessionScope(session_id="chat"))
    await eventually(lambda: _has(fleet, "it rains"), within_ms=15_000)

    told = await fleet.told()
    assert "assistant" == told[-1].partition(":")[0]
    await fleet.session().park(10)


async def _has(fleet: Agents, text: str) -> bool:
    return any(text in line for line in await fleet.told())


async def _failed(fleet: Agents, name: str) -> bool:
    lost = 'lash_session_runs_failed_total{reason="session_execution_lease_lost"}'
    return await fleet.fleet.metric(name, lost) >= 1
