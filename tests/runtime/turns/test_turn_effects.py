"""Effects of a turn under its session's lease (docs/contracts/turns.md 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import Failure, RuntimeFailure, StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.limits import Limits
from lash_core.runtime.journal import writer as journaled_writer
from lash_core.runtime.journal.errors import NotRecordedError
from lash_core.runtime.session.lease_guard import SessionLeaseGuard, SessionLeaseLostError
from lash_core.runtime.turns.turn_at_work import HeldTurn
from lash_core.runtime.turns.turn_effects import TurnEffects
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.session_scene import opened, owner
from lash_core.testing.waiting import eventually
from tests.runtime.effect_kit import Executor


class _Journal:
    """The session's store: writes are counted, and held up or failed on demand."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.batches: list[list[str]] = []
        self.taken: list[tuple[str, ...]] = []
        self.loads = 0
        self.failing: list[Exception] = []
        self.gate: asyncio.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def load_turn_effects(self, *args: Any) -> Any:
        self.loads += 1
        return await self._store.load_turn_effects(*args)

    async def record_turn_effects(
        self, lease: Any, turn_id: str, writes: Sequence[Any], *, taken_batch_ids: Sequence[str] = ()
    ) -> Any:
        self.batches.append([write.key for write in writes])
        self.taken.append(tuple(taken_batch_ids))
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise self.failing.pop(0)
        return await self._store.record_turn_effects(lease, turn_id, writes, taken_batch_ids=taken_batch_ids)


class _Scene:
    """A turn that is open, and its effects as often as it is begun."""

    def __init__(self, stores: InMemoryStores, journal: _Journal, guard: SessionLeaseGuard) -> None:
        self.stores = stores
        self.journal = journal
        self.guard = guard

    @classmethod
    async def opened(cls, **limits: int) -> _Scene:
        stores = InMemoryStores(VirtualClock(), limits=Limits(**limits))
        journal = _Journal(await opened(stores))
        store: Any = journal
        guard = await SessionLeaseGuard.acquire(store, owner())
        await journal.open_turn(guard.fence, OpenTurn("turn-1"))
        return cls(stores, journal, guard)

    def effects(self, *, is_fresh: bool = False) -> TurnEffects:
        run = HeldTurn(self.guard, self.journal, "turn-1", is_fresh=is_fresh)  # type: ignore[arg-type]
        return self.stores.effect_host.scoped_turn(run)


def _step(name: str = "a", kind: EffectKind = EffectKind.DURABLE_STEP, **args: Any) -> RuntimeEffectEnvelope:
    scope = TurnScope("s", "turn-1", 0, None)  # type: ignore[arg-type]
    return scope.envelope(f"step:{name}", kind, {"step_id": name, **args})


async def test_a_recorded_outcome_is_answered_without_the_executor() -> None:
    """In the same life of the turn and in a later one; one write, one read."""
    scene, executor = await _Scene.opened(), Executor({"n": [1, None]})
    asked = _step(kind=EffectKind.LLM_CALL)
    first = scene.effects(is_fresh=True)
    values = [(await first.execute_effect(asked, executor)).value for _ in range(2)]
    later = scene.effects()
    await later.load()
    assert later.is_replaying
    values.append((await later.execute_effect(asked, executor)).value)

    assert [{"n": [1, None]}] * 3 == values
    assert (1, 1, 1) == (executor.calls, len(scene.journal.batches), scene.journal.loads)
    assert not later.is_replaying


async def test_what_a_tool_did_inside_a_recorded_attempt_ends_no_replay() -> None:
    """Nobody asks for it again; calls of other rounds are still to come."""
    scene, executor = await _Scene.opened(), Executor(1)
    turn = TurnScope("s", "turn-1", 0, None)  # type: ignore[arg-type]
    inner, outer, later_call = (
        turn.envelope(
            f"tool:{call}:attempt:1", EffectKind.TOOL_ATTEMPT, {"call_id": call, "attempt": 1, "attempts_max": 1}
        )
        for call in ("c1:00", "c1", "c2")
    )
    first = scene.effects(is_fresh=True)
    for envelope in (inner, _step("inside"), outer, later_call):
        await first.execute_effect(envelope, executor)
    later = scene.effects()
    await later.load()
    asked: list[bool] = []
    for envelope in (outer, later_call):
        await later.execute_effect(envelope, executor)
        asked.append(later.is_replaying)

    assert [True, False] == asked
    assert 4 == executor.calls


async def test_fifty_effects_at_once_share_writes() -> None:
    """While one call is under way the next collects."""
    scene = await _Scene.opened()
    effects = scene.effects(is_fresh=True)
    scene.journal.gate = asyncio.Event()
    first = asyncio.create_task(effects.execute_effect(_step("0"), Executor(0)))
    await eventually(lambda: len(scene.journal.batches) == 1)
    others = [asyncio.create_task(effects.execute_effect(_step(str(n)), Executor(n))) for n in range(1, 50)]
    for _ in range(5):
        await asyncio.sleep(0)
    scene.journal.gate.set()
    outcomes = await asyncio.gather(first, *others)

    assert list(range(50)) == [outcome.value for outcome in outcomes]
    assert [1, 49] == [len(batch) for batch in scene.journal.batches]


async def test_one_key_asked_for_twice_at_once_runs_once() -> None:
    """Both hear the outcome."""
    scene, executor = await _Scene.opened(), Executor(7, gate=asyncio.Event())
    effects = scene.effects(is_fresh=True)
    both = [asyncio.create_task(effects.execute_effect(_step(), executor)) for _ in range(2)]
    await eventually(lambda: executor.calls == 1)
    assert executor.gate is not None
    executor.gate.set()

    assert [7, 7] == [outcome.value for outcome in await asyncio.gather(*both)]
    assert 1 == executor.calls


async def test_an_error_is_an_outcome() -> None:
    """It is raised again as it was."""
    scene, executor = await _Scene.opened(), Executor(error=Failure("execution", "broken", "no luck"))
    for _ in range(2):
        with pytest.raises(Failure, match="no luck"):
            await scene.effects().execute_effect(_step(), executor)

    assert 1 == executor.calls


@pytest.mark.parametrize("error", [NotRecordedError(), StoreUnreachableError("gone")])
async def test_what_is_not_the_effects_fault_is_not_recorded(error: Exception) -> None:
    """The effect runs again when the turn is redone."""
    scene = await _Scene.opened()
    with pytest.raises(type(error)):
        await scene.effects(is_fresh=True).execute_effect(_step(), Executor(error=error))

    assert [] == scene.journal.batches


async def test_another_request_under_a_key_is_a_mismatch() -> None:
    """It names what differs, and nothing is executed after it."""
    scene = await _Scene.opened()
    await scene.effects().execute_effect(_step(of="x"), Executor(1))
    effects, executor = scene.effects(), Executor(2)
    for envelope in (_step(of="y"), _step("b")):
        with pytest.raises(RuntimeFailure, match="memory_effect_replay_hash_conflict"):
            await effects.execute_effect(envelope, executor)

    assert effects.mismatch is not None
    assert 0 == executor.calls


async def test_the_frontier_is_told_once_before_the_first_new_effect() -> None:
    """Not while recorded ones are answered."""
    scene = await _Scene.opened()
    await scene.effects().execute_effect(_step("a"), Executor(1))
    effects, told = scene.effects(), list[int]()
    executor = Executor(2)
    effects.on_frontier = lambda: told.append(executor.calls)
    await effects.execute_effect(_step("a"), executor)
    assert [] == told
    for name in ("b", "c"):
        await effects.execute_effect(_step(name), executor)

    assert ([0], 2) == (told, executor.calls)


async def test_a_lost_lease_refuses_the_next_effect() -> None:
    """And the write of one that was under way: it is told as a lost lease."""
    scene = await _Scene.opened()
    effects, executor = scene.effects(is_fresh=True), Executor(1, gate=asyncio.Event())
    under_way = asyncio.create_task(effects.execute_effect(_step("a"), executor))
    await eventually(lambda: executor.calls == 1)
    await scene.journal.release_session_execution_lease(scene.guard.fence)
    assert executor.gate is not None
    executor.gate.set()
    with pytest.raises(SessionLeaseLostError):
        await under_way
    assert scene.guard.lost.cancelled

    with pytest.raises(SessionLeaseLostError):
        await effects.execute_effect(_step("b"), executor)
    assert 1 == executor.calls


async def test_a_write_outlasts_a_short_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The effect is not run again for it."""
    monkeypatch.setattr(journaled_writer, "RETRY_DELAY_MS", 0)
    scene, executor = await _Scene.opened(), Executor(1)
    scene.journal.failing = [StoreUnreachableError("gone"), StoreUnreachableError("gone")]

    assert 1 == (await scene.effects(is_fresh=True).execute_effect(_step(), executor)).value
    assert (1, 3) == (executor.calls, len(scene.journal.batches))


async def test_a_delivery_takes_its_batches_in_the_same_write() -> None:
    """Also when the write is repeated; the open turn has them then."""
    scene = await _Scene.opened()
    effects, envelope = scene.effects(is_fresh=True), _step("checkpoint")
    effects.taking(envelope.replay_key, ["b1", "b2"])
    await effects.execute_effect(envelope, Executor(1))
    await effects.execute_effect(_step("other"), Executor(2))

    assert [("b1", "b2"), ()] == scene.journal.taken
    turn = await scene.journal.load_open_turn(scene.guard.session_id)
    assert turn is not None
    assert ("b1", "b2") == turn.batch_ids


async def test_a_sleep_goes_on_where_it_was() -> None:
    """Its due time is recorded first, by the store's clock."""
    scene, executor = await _Scene.opened(), Executor()
    envelope = _step("nap", EffectKind.SLEEP, duration_ms=1_000)
    await scene.effects().execute_effect(envelope, executor)
    await scene.stores.advance_clock(400)
    await scene.effects().execute_effect(envelope, executor)
    await scene.stores.advance_clock(700)
    await scene.effects().execute_effect(envelope, executor)

    asked = [envelope.command.args["duration_ms"] for envelope in executor.asked]
    assert 2 == len(asked)
    assert 900 < asked[0] <= 1_000
    assert 400 < asked[1] <= 600


async def test_a_full_journal_ends_the_turn() -> None:
    """The error says so, and nothing is executed after it."""
    scene = await _Scene.opened(journal_entries_max=10)
    effects, executor = scene.effects(is_fresh=True), Executor(1)
    for number in range(10):
        await effects.execute_effect(_step(str(number)), executor)
    for name in ("one too many", "another"):
        with pytest.raises(RuntimeFailure, match="turn_journal_full"):
            await effects.execute_effect(_step(name), executor)

    assert 11 == executor.calls


async def test_an_outcome_that_does_not_fit_is_recorded_as_a_failure() -> None:
    """The effect was done: it must not be done again."""
    scene, executor = await _Scene.opened(payload_bytes_max=1_024), Executor("x" * 2_000)
    for _ in range(2):
        with pytest.raises(RuntimeFailure, match="effect_outcome_too_large"):
            await scene.effects().execute_effect(_step(), executor)

    assert 1 == executor.calls


async def test_a_cancelled_effect_is_not_recorded() -> None:
    """A redo makes it."""
    scene, executor = await _Scene.opened(), Executor(1, gate=asyncio.Event())
    task = asyncio.create_task(scene.effects(is_fresh=True).execute_effect(_step(), executor))
    await eventually(lambda: executor.calls == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [] == scene.journal.batches


async def test_an_outcome_is_answered_as_it_was_written() -> None:
    """A first life sees what every later one sees: JSON, not the object."""

    async def execute(envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        return RuntimeEffectOutcome(envelope.kind, (1, 2))

    scene = await _Scene.opened()
    assert [1, 2] == (await scene.effects(is_fresh=True).execute_effect(_step(), execute)).value
