"""Effects of a run under its lease: recorded once, answered ever after (docs/contracts/effects.md 2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import (
    Failure,
    LashError,
    LeaseLostError,
    LimitExceededError,
    OutcomeUnknownError,
    RuntimeFailure,
    StepFailed,
    StoreBehindError,
    StoreRefusedError,
    StoreUnreachableError,
)
from lash_core.model.effect import EffectKind
from lash_core.model.facts import ProcessStarted
from lash_core.runtime.journal import writer as journaled_writer
from lash_core.testing.waiting import eventually
from tests.runtime.effect_kit import OWNER, Executor, Scene, envelope, outcome_of, step


async def test_a_recorded_outcome_is_answered_without_the_executor() -> None:
    """In the same attempt and in every later one."""
    scene, executor = await Scene.claimed(), Executor({"n": [1, None]})
    first = scene.effects()
    values = [(await first.execute_effect(step(), executor)).value for _ in range(2)]
    later = (await scene.effects().execute_effect(step(), executor)).value

    assert [{"n": [1, None]}] * 3 == [*values, later]
    assert 1 == executor.calls


async def test_one_effect_is_one_write() -> None:
    """No record of its beginning; a replay writes nothing and reads once."""
    scene = await Scene.claimed()
    effects = scene.effects()
    await effects.execute_effect(step("a"), Executor(1))
    await effects.execute_effect(step("b"), Executor(2))
    assert [1, 1] == [len(batch) for batch in scene.journal.batches]

    again = scene.effects()
    await again.execute_effect(step("b"), Executor())
    await again.execute_effect(step("a"), Executor())

    assert (2, 2) == (len(scene.journal.batches), scene.journal.loads)


async def test_a_fresh_run_reads_nothing() -> None:
    """There can be no entry."""
    scene = await Scene.claimed()
    await scene.effects(is_fresh=True).execute_effect(step(), Executor(1))

    assert 0 == scene.journal.loads


async def test_fifty_effects_at_once_share_writes() -> None:
    """While one call is under way the next collects; nothing waits to fill a batch."""
    scene = await Scene.claimed()
    effects = scene.effects(is_fresh=True)
    scene.journal.gate = asyncio.Event()
    first = asyncio.create_task(effects.execute_effect(step("0"), Executor(0)))
    await eventually(lambda: len(scene.journal.batches) == 1)
    others = [asyncio.create_task(effects.execute_effect(step(str(n)), Executor(n))) for n in range(1, 50)]
    for _ in range(5):
        await asyncio.sleep(0)
    scene.journal.gate.set()
    outcomes = await asyncio.gather(first, *others)

    assert list(range(50)) == [outcome.value for outcome in outcomes]
    assert [1, 49] == [len(batch) for batch in scene.journal.batches]


@pytest.mark.parametrize(
    "error",
    [
        StepFailed("a", "step_failed", "ValueError: no", error_type="ValueError"),
        Failure("permission_denied", "no_key", "the key is missing", {"key": 7}),
        RuntimeFailure("broken", "it broke", raw=[1]),
        LookupError("what"),
        LashError("something of lash"),
        Failure("external", "c", "m", object()),
    ],
)
async def test_an_error_is_recorded_and_raised_alike_on_replay(error: Exception) -> None:
    """Type, code and text are the same whether the executor raised it now or an attempt before."""
    scene, executor = await Scene.claimed(), Executor(error=error)
    first = await outcome_of(scene.effects().execute_effect(step(), executor))
    later = await outcome_of(scene.effects().execute_effect(step(), executor))

    assert first == later
    assert 1 == executor.calls
    assert isinstance(first, tuple)


async def test_a_failure_comes_back_as_it_was_raised() -> None:
    """Class, code, message and raw; a step's failure with its step and the cause of the first run."""
    scene = await Scene.claimed()
    effects = scene.effects()
    boom = ValueError("boom")
    failed = StepFailed("a", "step_failed", "ValueError: boom", error_type="ValueError")
    failed.__cause__ = boom
    with pytest.raises(StepFailed) as caught:
        await effects.execute_effect(step("a"), Executor(error=failed))
    assert boom is caught.value.__cause__
    with pytest.raises(Failure):
        await effects.execute_effect(step("b"), Executor(error=Failure("timeout", "slow", "too slow", {"s": 1})))

    again = scene.effects()
    with pytest.raises(StepFailed) as step_failed:
        await again.execute_effect(step("a"), Executor())
    with pytest.raises(Failure) as failure:
        await again.execute_effect(step("b"), Executor())

    assert ("a", "step_failed", "ValueError: boom", "ValueError") == (
        step_failed.value.step,
        step_failed.value.code,
        step_failed.value.message,
        step_failed.value.error_type,
    )
    assert ("timeout", "slow", "too slow", {"s": 1}) == (
        failure.value.class_,
        failure.value.code,
        failure.value.message,
        failure.value.raw,
    )
    assert {"process:p:step:a", "process:p:step:b"} == set(again.failed_keys())


@pytest.mark.parametrize(
    "error",
    [
        StoreUnreachableError("no route"),
        OutcomeUnknownError("lost"),
        LeaseLostError("p", "taken"),
        StoreBehindError("p", acknowledged=2, stored=1),
        StoreRefusedError("full"),
        asyncio.CancelledError(),
    ],
)
async def test_trouble_of_the_store_and_a_cancel_are_never_recorded(error: BaseException) -> None:
    """The effect runs again."""
    scene = await Scene.claimed()
    with pytest.raises(type(error)):
        await scene.effects().execute_effect(step(), Executor(error=error))

    assert [] == scene.journal.batches
    assert 7 == (await scene.effects().execute_effect(step(), Executor(7))).value


async def test_another_request_under_a_recorded_key_is_a_mismatch() -> None:
    """Code, paths in text and raw; remembered whatever the function does, and nothing runs afterwards."""
    scene = await Scene.claimed()
    await scene.effects().execute_effect(envelope(EffectKind.SLEEP, "s", duration_ms=0), Executor())
    effects, executor = scene.effects(), Executor()
    with pytest.raises(RuntimeFailure) as caught:
        await effects.execute_effect(envelope(EffectKind.SLEEP, "s", duration_ms=5), executor)

    assert "memory_effect_replay_hash_conflict" == caught.value.code
    assert "divergent_paths=[command.duration_ms]" in str(caught.value)
    assert isinstance(caught.value.raw, dict)
    assert (1, ["command.duration_ms"]) == (
        caught.value.raw["divergent_path_count"],
        caught.value.raw["divergent_paths"],
    )
    assert caught.value is effects.mismatch
    with pytest.raises(RuntimeFailure, match="hash_conflict"):
        await effects.execute_effect(step("other"), executor)
    assert 0 == executor.calls


async def test_the_same_effect_asked_twice_at_once_runs_once() -> None:
    """Whoever came second gets the first one's outcome."""
    scene = await Scene.claimed()
    effects, executor = scene.effects(), Executor(5, gate=asyncio.Event())
    asked = [asyncio.create_task(effects.execute_effect(step(), executor)) for _ in range(3)]
    await eventually(lambda: executor.calls == 1)
    assert executor.gate is not None
    executor.gate.set()
    outcomes = await asyncio.gather(*asked)

    assert ([5, 5, 5], 1) == ([outcome.value for outcome in outcomes], executor.calls)


async def test_a_cancelled_caller_hands_the_effect_to_the_one_who_waits() -> None:
    """What the first one did not finish, the second begins."""
    scene = await Scene.claimed()
    effects, executor = scene.effects(), Executor(5, gate=asyncio.Event())
    first = asyncio.create_task(effects.execute_effect(step(), executor))
    await eventually(lambda: executor.calls == 1)
    second = asyncio.create_task(effects.execute_effect(step(), executor))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert executor.gate is not None
    executor.gate.set()

    assert 5 == (await second).value
    assert 2 == executor.calls


async def test_an_outcome_on_its_way_is_written_when_its_caller_is_cancelled() -> None:
    """The effect was done, so that the next attempt must find it."""
    scene = await Scene.claimed()
    effects = scene.effects(is_fresh=True)
    scene.journal.gate = asyncio.Event()
    caller = asyncio.create_task(effects.execute_effect(step(), Executor(1)))
    await eventually(lambda: len(scene.journal.batches) == 1)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    scene.journal.gate.set()

    async def is_there() -> bool:
        return bool(await scene.stores.effect_journal.load_effects("p"))

    await eventually(is_there)


async def test_a_short_outage_does_not_run_a_step_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write is repeated, whether it was refused, lost or not answered."""
    monkeypatch.setattr(journaled_writer, "RETRY_DELAY_MS", 1)
    scene, executor = await Scene.claimed(), Executor(1)
    effects = scene.effects(is_fresh=True)
    scene.journal.failing = [StoreUnreachableError("away"), OutcomeUnknownError("lost"), StoreRefusedError("full")]

    assert 1 == (await effects.execute_effect(step(), executor)).value
    assert (1, 4) == (executor.calls, len(scene.journal.batches))


async def test_a_lost_lease_ends_the_repeats() -> None:
    """Nothing is written any more, and the worker hears of the loss."""
    scene = await Scene.claimed()
    effects = scene.effects(is_fresh=True)
    scene.journal.failing = [StoreUnreachableError("away")] * 3
    asked = asyncio.create_task(effects.execute_effect(step(), Executor(1)))
    await eventually(lambda: len(scene.journal.batches) == 1)
    scene.run.lost = True

    with pytest.raises(LeaseLostError):
        async with asyncio.timeout(5):
            await asked


async def test_no_effect_starts_without_margin() -> None:
    """Neither runs the executor nor is anything written."""
    scene, executor = await Scene.claimed(), Executor(1)
    effects = scene.effects(is_fresh=True)
    scene.run.lost = True
    with pytest.raises(LeaseLostError):
        await effects.execute_effect(step(), executor)

    assert (0, []) == (executor.calls, scene.journal.batches)


async def test_a_run_that_leaves_memory_starts_no_effect() -> None:
    """Not even one whose outcome is recorded: its function is being unwound."""
    scene, executor = await Scene.claimed(), Executor(1)
    effects = scene.effects()
    await effects.execute_effect(step(), executor)
    effects.refuse()
    for name in ("a", "b"):
        with pytest.raises(asyncio.CancelledError):
            await effects.execute_effect(step(name), executor)

    assert 1 == executor.calls


async def test_the_start_fact_rides_in_the_first_write_only() -> None:
    """Rerunnable rows get it for free."""
    scene = await Scene.claimed()
    scene.run.start = ProcessStarted(owner=OWNER, started_at_ms=5)
    effects = scene.effects(is_fresh=True)
    for name in ("a", "b"):
        await effects.execute_effect(step(name), Executor())

    assert [scene.run.start, None] == scene.journal.starts
    record = await scene.stores.process_registry.get_process("p")
    assert record is not None
    assert scene.run.start == record.first_started


async def test_an_outcome_that_is_too_large_is_a_recorded_failure() -> None:
    """The effect was done: it must not be done in every attempt."""
    scene, executor = await Scene.claimed(), Executor("x" * 300_000)
    first = await outcome_of(scene.effects().execute_effect(step(), executor))
    later = await outcome_of(scene.effects().execute_effect(step(), executor))

    assert (first, "effect_outcome_too_large", 1) == (later, first[1], executor.calls)


async def test_one_refused_outcome_does_not_refuse_its_neighbours() -> None:
    """They were in one call."""
    scene = await Scene.claimed()
    effects = scene.effects(is_fresh=True)
    asked = [effects.execute_effect(step(name), Executor("x" * size)) for name, size in (("big", 300_000), ("a", 2))]
    found = await asyncio.gather(*(outcome_of(one) for one in asked))

    assert ["effect_outcome_too_large", "xx"] == [found[0][1], found[1]]


@pytest.mark.parametrize("what", ["journal_entries", "journal_bytes"])
async def test_a_full_journal_says_to_go_on_in_a_child(what: str) -> None:
    """And it ends the process, whatever the function does."""
    scene = await Scene.claimed()
    effects = scene.effects(is_fresh=True)
    scene.journal.failing = [LimitExceededError("the journal has 5 entries", field=what, limit=5)]
    with pytest.raises(RuntimeFailure, match="go on in a child process") as caught:
        await effects.execute_effect(step(), Executor())

    assert ("process_journal_full", caught.value) == (caught.value.code, effects.mismatch)


async def test_the_frontier_is_reached_with_the_first_thing_that_is_not_recorded() -> None:
    """Once; until then the run replays."""
    scene = await Scene.claimed()
    before = scene.effects()
    for name in ("a", "b"):
        await before.execute_effect(step(name), Executor())
    effects, reached = scene.effects(), list[str]()
    effects.on_frontier = lambda: reached.append("frontier")
    assert await effects.has_entries()
    seen: list[Any] = []
    for name in ("a", "b", "c", "d"):
        await effects.execute_effect(step(name), Executor())
        seen.append((effects.is_replaying, len(reached)))

    assert [(True, 0), (False, 0), (False, 1), (False, 1)] == seen


async def test_effects_are_counted_by_where_their_outcome_came_from() -> None:
    """Once each, also when they failed."""
    scene, told = await Scene.claimed(), list[tuple[str, str]]()
    for _ in range(2):
        effects = scene.effects()
        effects.on_effect = lambda kind, source: told.append((kind.value, source))
        await effects.execute_effect(step(), Executor())
        await outcome_of(effects.execute_effect(step("b"), Executor(error=ValueError())))
        await effects.execute_effect(envelope(EffectKind.SLEEP, "s", duration_ms=0), Executor())

    kinds = ["durable_step", "durable_step", "sleep"]
    assert [(kind, source) for source in ("run", "replay") for kind in kinds] == told
