"""Effects of scopes without a lease: claimed, renewed, finalized (contract 5.3, docs/contracts/effects.md 6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import Failure, RuntimeFailure, StoreUnreachableError
from lash_core.model.effect import EffectKind
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.journal.scope import LeasedEffects
from lash_core.testing.waiting import eventually
from tests.runtime.effect_kit import Executor, Scene, envelope, outcome_of, step

OPERATION = ExecutionScope.runtime_operation("op")


def controller(scene: Scene, scope: ExecutionScope = OPERATION, **options: Any) -> LeasedEffects:
    return LeasedEffects(scope, scene.journal, scene.host.await_events, **options)


@pytest.mark.parametrize("scope", [OPERATION, ExecutionScope.turn("s", "t"), ExecutionScope.queue_drain("s", "d")])
async def test_a_recorded_outcome_is_answered_to_everybody(scope: ExecutionScope) -> None:
    """Also to another controller; another scope has a journal of its own."""
    scene, executor = await Scene.claimed(), Executor([1])
    for _ in range(2):
        assert [1] == (await controller(scene, scope).execute_effect(step(), executor)).value
    assert 1 == executor.calls

    other = ExecutionScope.runtime_operation("another")
    await controller(scene, other).execute_effect(step(), executor)
    assert 2 == executor.calls


async def test_errors_are_recorded_too() -> None:
    """And raised alike."""
    scene, executor = await Scene.claimed(), Executor(error=Failure("external", "c", "m"))
    found = [await outcome_of(controller(scene).execute_effect(step(), executor)) for _ in range(2)]

    assert (found[0], 1) == (found[1], executor.calls)


async def test_trouble_of_the_store_is_not_recorded() -> None:
    """The claim stands until it ends; then the next caller executes."""
    scene = await Scene.claimed()
    with pytest.raises(StoreUnreachableError):
        await controller(scene).execute_effect(step(), Executor(error=StoreUnreachableError("no route")))
    await scene.stores.advance_clock(30_001)

    assert 3 == (await controller(scene).execute_effect(step(), Executor(3))).value


async def test_whoever_comes_second_waits_for_the_outcome() -> None:
    """He does not execute it himself."""
    scene, executor = await Scene.claimed(), Executor(1, gate=asyncio.Event())
    first = asyncio.create_task(controller(scene).execute_effect(step(), executor))
    await eventually(lambda: executor.calls == 1)
    second = asyncio.create_task(controller(scene).execute_effect(step(), executor))
    await asyncio.sleep(0)
    assert executor.gate is not None
    executor.gate.set()

    assert [1, 1] == [outcome.value for outcome in await asyncio.gather(first, second)]
    assert 1 == executor.calls


async def test_an_expired_claim_is_taken_over_with_its_due_time() -> None:
    """A sleep of somebody who died goes on where it is."""
    scene = await Scene.claimed()
    asked = envelope(EffectKind.SLEEP, "s", duration_ms=100_000)
    with pytest.raises(asyncio.CancelledError):
        await controller(scene).execute_effect(asked, Executor(error=asyncio.CancelledError()))
    await scene.stores.advance_clock(40_000)
    later = Executor()
    await controller(scene).execute_effect(asked, later)

    assert [60_000] == [call.command.args["duration_ms"] for call in later.asked]


async def test_a_replayed_sleep_waits_until_it_is_due() -> None:
    """Its outcome is recorded, its time is not over: the executor waits the rest."""
    scene = await Scene.claimed()
    asked = envelope(EffectKind.SLEEP, "s", duration_ms=5_000)
    await controller(scene).execute_effect(asked, Executor())
    await scene.stores.advance_clock(2_000)
    again, over = Executor(), Executor()
    await controller(scene).execute_effect(asked, again)
    await scene.stores.advance_clock(3_000)
    await controller(scene).execute_effect(asked, over)

    assert ([3_000], 0) == ([call.command.args["duration_ms"] for call in again.asked], over.calls)


async def test_another_request_is_a_mismatch() -> None:
    """With the paths that differ."""
    scene = await Scene.claimed()
    await controller(scene).execute_effect(step(x=1), Executor())
    with pytest.raises(RuntimeFailure, match=r"divergent_paths=\[command\.x\]") as caught:
        await controller(scene).execute_effect(step(x=2), Executor())

    assert "memory_effect_replay_hash_conflict" == caught.value.code


async def test_a_claim_that_is_lost_ends_the_effect_and_records_nothing() -> None:
    """Its new owner's outcome is the one that counts."""
    scene = await Scene.claimed()
    executor = Executor(1, gate=asyncio.Event())
    slow = asyncio.create_task(controller(scene, ttl_ms=60).execute_effect(step(), executor))
    await eventually(lambda: executor.calls == 1)
    scene.journal.failing = [RuntimeFailure("memory_effect_replay_lease_lost", "taken over")]
    with pytest.raises(RuntimeFailure) as caught:
        async with asyncio.timeout(5):
            await slow

    assert "memory_effect_replay_lease_lost" == caught.value.code
    record = await scene.stores.effect_journal.find_effect(OPERATION, "process:p:step:a")
    assert record is None or not record.is_final


async def test_one_failed_renewal_is_no_loss() -> None:
    """The next third of the time may bring one that succeeds."""
    scene = await Scene.claimed()
    executor = Executor(1, gate=asyncio.Event())
    slow = asyncio.create_task(controller(scene, ttl_ms=60).execute_effect(step(), executor))
    await eventually(lambda: executor.calls == 1)
    scene.journal.failing = [StoreUnreachableError("away")]
    await eventually(lambda: not scene.journal.failing)
    assert executor.gate is not None
    executor.gate.set()

    assert 1 == (await slow).value


async def test_a_host_that_only_replays_executes_nothing() -> None:
    """What is recorded is answered, anything else has a code."""
    scene, executor = await Scene.claimed(), Executor(1)
    await controller(scene).execute_effect(step(), executor)
    replaying = scene.host.replaying().scoped(OPERATION)

    assert 1 == (await replaying.execute_effect(step(), executor)).value
    with pytest.raises(RuntimeFailure) as missing:
        await replaying.execute_effect(step("b"), executor)
    with pytest.raises(RuntimeFailure) as conflict:
        await replaying.execute_effect(step(x=1), executor)
    codes = ["memory_effect_replay_missing", "memory_effect_replay_hash_conflict"]
    assert (codes, 1) == ([missing.value.code, conflict.value.code], executor.calls)


async def test_a_process_command_survives_its_cancelled_caller() -> None:
    """A start that was sent is not left half done."""
    scene, executor = await Scene.claimed(), Executor({}, gate=asyncio.Event())
    asked = envelope(EffectKind.PROCESS, "start:c", op="start")
    caller = asyncio.create_task(controller(scene).execute_effect(asked, executor))
    await eventually(lambda: executor.calls == 1)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert executor.gate is not None
    executor.gate.set()

    async def is_recorded() -> bool:
        record = await scene.stores.effect_journal.find_effect(OPERATION, asked.replay_key)
        return record is not None and record.is_final

    await eventually(is_recorded)


async def test_a_blank_scope_is_refused() -> None:
    """By every host alike."""
    scene = await Scene.claimed()
    with pytest.raises(RuntimeFailure) as caught:
        scene.host.scoped(ExecutionScope.process(" "))

    assert "missing_execution_scope_id" == caught.value.code
