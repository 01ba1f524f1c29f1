"""Waits and process commands of a run: what is recorded of them (docs/contracts/effects.md 3 and 4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import LeaseLostError, RuntimeFailure
from lash_core.model.await_event import Resolution, WaitIdentity
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_record import ChildStart
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.testing.waiting import eventually
from tests.runtime.effect_kit import Executor, Scene, envelope, outcome_of


async def test_a_sleep_is_written_first_and_its_replay_waits_the_remainder() -> None:
    """By the server's clock; when it is over, nothing waits and nothing is written."""
    scene = await Scene.claimed()
    asked = envelope(EffectKind.SLEEP, "sleep:1", duration_ms=90_000)
    executor = Executor(error=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await scene.effects().execute_effect(asked, executor)
    assert [("waiting", 90_000)] == [
        (write.state, write.delay_ms) for batch in scene.journal.batches for write in batch
    ]

    await scene.next_lease()
    passed = 90_000 - 60_001
    later = Executor()
    await scene.effects().execute_effect(asked, later)
    assert [90_000, passed] == [call.command.args["duration_ms"] for call in (*executor.asked, *later.asked)]

    await scene.next_lease()
    writes = len(scene.journal.batches)
    over = Executor()
    await scene.effects().execute_effect(asked, over)

    assert (0, writes) == (over.calls, len(scene.journal.batches))


async def test_a_wait_with_a_limit_keeps_its_due_time_and_its_timeout_is_final() -> None:
    """So a signal that comes after the timeout changes nothing of what the function saw."""
    scene = await Scene.claimed()
    asked = envelope(EffectKind.AWAIT_EVENT, "w", signal="go", ordinal=1, timeout_ms=70_000)
    waiting = Executor(error=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await scene.effects().execute_effect(asked, waiting)
    await scene.next_lease()
    late = Executor(error=RuntimeFailure("signal_wait_timeout", "too late"))
    first = await outcome_of(scene.effects().execute_effect(asked, late))
    again = await outcome_of(scene.effects().execute_effect(asked, Executor("a signal")))

    assert ("RuntimeFailure", "signal_wait_timeout", "signal_wait_timeout: too late") == first == again
    assert [70_000, 9_999] == [call.command.args["timeout_ms"] for call in (*waiting.asked, *late.asked)]


async def test_a_promise_of_the_process_is_not_copied_and_one_of_another_scope_is() -> None:
    """The own one lives as long as the journal; another process may be pruned before a replay."""
    scene = await Scene.claimed()
    events = scene.host.await_events
    value = Resolution.ok(1).to_json_value()
    for name, scope in (("own", ExecutionScope.process("p")), ("other", ExecutionScope.process("q"))):
        key = events.mint(scope, WaitIdentity.custom(name))
        asked = envelope(EffectKind.AWAIT_EVENT, name, key=key.to_json_value())
        await scene.effects().execute_effect(asked, Executor(value))
    entries = await scene.stores.effect_journal.load_effects("p")

    assert {"process:p:own": "waiting", "process:p:other": "completed"} == {
        key: record.state for key, record in entries.items()
    }


class Starts(Executor):
    """Starts the process ``c``."""

    @property
    def child_start(self) -> ChildStart:
        return ChildStart(
            ProcessRegistration("c", ProcessInput.engine("k"), RecoveryDisposition.RERUNNABLE, env_ref=EMPTY_ENV_REF)
        )


async def test_a_child_is_started_by_the_journal_once() -> None:
    """Its executor is for hosts without a journal."""
    scene, executor = await Scene.claimed(), Starts()
    asked = envelope(EffectKind.PROCESS, "start:c", op="start", process_id="c")
    values = [(await scene.effects().execute_effect(asked, executor)).value for _ in range(2)]

    assert await scene.stores.process_registry.get_process("c") is not None
    assert ([{"id": "c"}, {"id": "c"}], 0) == (values, executor.calls)


async def test_a_run_that_lost_its_lease_starts_no_child() -> None:
    """The start is fenced as every write of a run (decision 25)."""
    scene = await Scene.claimed()
    effects = scene.effects(is_fresh=True)
    stale = scene.run
    await scene.next_lease()
    assert stale.lease is not scene.run.lease
    with pytest.raises(LeaseLostError):
        await effects.execute_effect(envelope(EffectKind.PROCESS, "start:c", op="start"), Starts())

    assert await scene.stores.process_registry.get_process("c") is None


async def test_a_process_command_survives_its_cancelled_caller() -> None:
    """It is carried out and recorded."""
    scene = await Scene.claimed()
    effects, executor = scene.effects(), Executor({}, gate=asyncio.Event())
    asked = envelope(EffectKind.PROCESS, "cancel:c", op="cancel", process_id="c")
    caller = asyncio.create_task(effects.execute_effect(asked, executor))
    await eventually(lambda: executor.calls == 1)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert executor.gate is not None
    executor.gate.set()

    await eventually(lambda: effects.find("process:p:cancel:c") is not None)


async def test_a_run_works_but_for_the_wait_itself() -> None:
    """What is written before and after a wait is work: parked in between, the row would not be due with this wait."""
    scene, seen = await Scene.claimed(), list[tuple[str, int]]()
    write = scene.stores.effect_journal.record_effects

    async def watched_write(*args: Any, **options: Any) -> Any:
        seen.append(("write", scene.run.at_work))
        return await write(*args, **options)

    scene.journal.record_effects = watched_write
    effects = scene.effects()

    async def execute(asked: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        seen.append((asked.kind.value, scene.run.at_work))
        return RuntimeEffectOutcome(asked.kind, Resolution.ok().to_json_value())

    other = scene.host.await_events.mint(ExecutionScope.process("q"), WaitIdentity.custom("go"))
    for asked in (
        envelope(EffectKind.DURABLE_STEP, "d", step_id="d"),
        envelope(EffectKind.SLEEP, "s", duration_ms=5_000),
        envelope(EffectKind.AWAIT_EVENT, "w", key=other.to_json_value()),
        envelope(EffectKind.PROCESS, "a", op="await", process_id="q"),
    ):
        await effects.execute_effect(asked, execute)

    assert [
        *(("durable_step", 1), ("write", 1)),
        *(("write", 1), ("sleep", 0)),
        *(("write", 1), ("await_event", 0), ("write", 1)),
        *(("process", 0), ("write", 1)),
    ] == seen
    assert 0 == scene.run.at_work
