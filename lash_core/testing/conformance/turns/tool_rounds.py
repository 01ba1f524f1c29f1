"""Tool calls of turns over any store: batches, attempts and children, and an owner that dies between them (3.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lash_core.model.base import JsonValue
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.model.message import ToolCallPart
from lash_core.model.session import ModelSpec
from lash_core.model.tool_output import AnyToolOutput, ToolFailure, ToolSuccess
from lash_core.model.tool_retry import ToolRetryPolicy
from lash_core.model.tool_state import ToolArgumentProjectionPolicy, ToolManifest
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.runtime.batch_tool import batch_tool
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import SessionStores, enqueued
from lash_core.testing.conformance.stores import short_ttl_ms
from lash_core.testing.conformance.turns.arrange import Bench, Scene, finished, scene_of, words
from lash_core.testing.conformance.turns.crashes import Life, MortalStore, mortal_host, until_death
from lash_core.testing.scripted_provider import ScriptedProvider, calls_tools, says
from lash_core.testing.waiting import eventually

Work = Callable[[ToolContext, Any], Awaitable[AnyToolOutput]]


@dataclass
class _Tools(Bench):
    """``batch``, and a tool ``work`` that a case gives; it may be taken away."""

    work: Work | None = None
    seen: list[Any] = field(default_factory=list[Any])

    def tools(self) -> Sequence[Tool]:
        """The tools."""
        if self.work is None:
            return [batch_tool()]
        return [batch_tool(), Tool(ToolManifest("work", "work", retry=ToolRetryPolicy(3, 0, 0)), self.work)]


class _ToolScene(Scene):
    """A scene whose tools start processes."""

    @property
    def environment(self) -> RuntimeEnvironment:
        """With the stores' registry."""
        return replace(super().environment, process_registry=self.stores.process_registry)


def _scene(stores: SessionStores, call: tuple[str, JsonValue], *, ttl_ms: int | None = None) -> tuple[Scene, _Tools]:
    plain = scene_of(stores, [])
    bench = _Tools()
    # A redo may ask again: the script begins anew for each owner that has to.
    scene = _ToolScene(
        stores, plain.session_id, ScriptedProvider([calls_tools(call), says("done")]), bench=bench, policy=plain.policy
    )
    if ttl_ms is not None:
        scene.ttl_ms = ttl_ms
    return scene, bench


async def _one_life(scene: Scene, life: Life) -> AssembledTurn | None:
    scene.effect_host = mortal_host(scene.stores, life)
    runtime = await scene.runtime(MortalStore(await scene.store(), life))  # type: ignore[arg-type]
    try:
        return await until_death(life, runtime.stream_turn(words("go"), turn_id="turn-1"))
    finally:
        runtime.close()


async def a_batch_answers_each_of_its_calls(stores: SessionStores) -> None:
    """By index, each with its own result or error."""
    calls: list[JsonValue] = [{"tool": "work", "args": {"n": n}} for n in range(3)]
    scene, bench = _scene(stores, ("batch", {"calls": [*calls, {"tool": "nobody"}]}))

    async def work(_context: ToolContext, args: Any) -> AnyToolOutput:
        return ToolSuccess(args["n"] * 2)

    bench.work = work
    turn = await (await scene.runtime()).stream_turn(words("go"))

    assert "done" == finished(turn)
    entries = turn.tool_calls[0].output["value"]
    assert [0, 1, 2, 3] == [entry["index"] for entry in entries]
    assert [0, 2, 4] == [entry["result"] for entry in entries[:3]]
    assert (False, "unknown tool `nobody`") == (entries[3]["success"], entries[3]["error"])


async def a_batch_leaves_references_to_the_tools_that_it_calls(stores: SessionStores) -> None:
    """Each tool keeps them where it said so; one that stands for nothing is the failure of its call alone."""
    ref, lost = {"__projected__": "call:first"}, {"__projected__": "call:nobody"}
    policy = ToolArgumentProjectionPolicy.preserve_projected_refs_in_field("seed")
    got: dict[str, Any] = {}

    class Keeping(_Tools):
        def tools(self) -> Sequence[Tool]:
            async def keep(_context: ToolContext, args: Any) -> AnyToolOutput:
                got["keep"] = args
                return ToolSuccess()

            return [*super().tools(), Tool(ToolManifest("keep", "keep", argument_projection=policy), keep)]

    async def work(_context: ToolContext, args: Any) -> AnyToolOutput:
        if args:
            got["work"] = args
        return ToolSuccess("big")

    calls: list[JsonValue] = [
        {"tool": "keep", "args": {"seed": ref, "other": ref}},
        {"tool": "work", "args": {"seed": ref}},
        {"tool": "work", "args": {"seed": lost}},
    ]
    scene, _ = _scene(stores, ("batch", {"calls": calls}))
    scene.bench = Keeping(work=work)
    scene.provider = ScriptedProvider(
        [calls_tools(ToolCallPart("first", "work", {})), calls_tools(("batch", {"calls": calls})), says("done")]
    )
    turn = await (await scene.runtime()).stream_turn(words("go"))

    assert "done" == finished(turn)
    assert {"keep": {"seed": ref, "other": "big"}, "work": {"seed": "big"}} == got
    entries = turn.tool_calls[1].output["value"]
    assert [True, True, False] == [entry["success"] for entry in entries]
    assert "call:nobody" in entries[2]["error"]


async def attempts_go_on_where_a_dead_owner_left_them(stores: SessionStores) -> None:
    """An attempt that was recorded is not made again, the one under way is."""
    scene, bench = _scene(stores, ("work", {}), ttl_ms=await short_ttl_ms(stores))
    life = Life()

    async def work(context: ToolContext, _args: Any) -> AnyToolOutput:
        bench.seen.append(context.attempt)
        if context.attempt == 1:
            return _safe_failure()
        if len(bench.seen) == 2:
            life.dies_at = len(life.writes)
        return ToolSuccess("at last")

    bench.work = work
    assert await _one_life(scene, life) is None
    await scene.outlive_leases()
    turn = await _one_life(scene, Life())

    assert "done" == finished(turn)
    assert [1, 2, 2] == bench.seen
    assert turn is not None
    assert (2, "at last") == (turn.tool_calls[0].attempts, turn.tool_calls[0].output["value"])
    assert 2 == len(scene.provider.requests), "the recorded model call is not made again"


async def a_batch_goes_on_where_a_dead_owner_left_it(stores: SessionStores) -> None:
    """Of its calls only those that were not recorded run again."""
    calls: list[JsonValue] = [{"tool": "work", "args": {"n": n}} for n in range(2)]
    scene, bench = _scene(stores, ("batch", {"calls": calls}), ttl_ms=await short_ttl_ms(stores))
    life = Life()

    async def work(_context: ToolContext, args: Any) -> AnyToolOutput:
        bench.seen.append(args["n"])
        if args["n"] == 1 and bench.seen.count(1) == 1:
            await _recorded(scene, "turn:turn-1:tool:", ":00:attempt:1")
            life.dies_at = len(life.writes)
        return ToolSuccess(args["n"])

    bench.work = work
    assert await _one_life(scene, life) is None
    await scene.outlive_leases()
    turn = await _one_life(scene, Life())

    assert "done" == finished(turn)
    assert [0, 1, 1] == sorted(bench.seen)


async def the_boundary_after_a_batch_is_heard_by_the_redo(stores: SessionStores) -> None:
    """What the batch's calls left in the journal is nobody's any more: the replay is over with the round."""
    scene, bench = _scene(stores, ("batch", {"calls": [{"tool": "work"}]}), ttl_ms=await short_ttl_ms(stores))

    async def work(_context: ToolContext, _args: Any) -> AnyToolOutput:
        bench.seen.append("work")
        return ToolSuccess(1)

    bench.work = work
    assert await _one_life(scene, Life(dies_at="claim_checkpoint_work")) is None
    await enqueued(await scene.store(), "wait")
    await scene.outlive_leases()

    assert "done" == finished(await _one_life(scene, Life()))
    assert ["work"] == bench.seen
    assert "wait" == scene.provider.requests[-1].messages[-1].text


async def a_tool_that_vanished_answers_what_was_recorded(stores: SessionStores) -> None:
    """The turn is redone as it was, by a program that has no such tool."""
    scene, bench = _scene(stores, ("work", {}), ttl_ms=await short_ttl_ms(stores))
    life = Life()

    async def work(_context: ToolContext, _args: Any) -> AnyToolOutput:
        life.dies_at, life.after = len(life.writes), True
        return ToolSuccess("then")

    bench.work = work
    assert await _one_life(scene, life) is None
    await scene.outlive_leases()
    bench.work = None
    turn = await _one_life(scene, Life())

    assert "done" == finished(turn)
    assert turn is not None
    assert "then" == turn.tool_calls[0].output["value"]


async def a_first_turn_is_redone_with_the_policy_that_it_began_with(stores: SessionStores) -> None:
    """Nothing of the session is stored yet, and the program that redoes it gives new sessions another model."""
    scene, bench = _scene(stores, ("work", {}), ttl_ms=await short_ttl_ms(stores))
    life = Life()

    async def work(_context: ToolContext, _args: Any) -> AnyToolOutput:
        bench.seen.append("work")
        life.dies_at, life.after = len(life.writes), True
        return ToolSuccess("then")

    bench.work = work
    assert await _one_life(scene, life) is None
    await scene.outlive_leases()
    scene.policy = scene.policy.model_copy(update={"model": ModelSpec("model-2"), "max_turns": 1})
    turn = await _one_life(scene, Life())

    assert "done" == finished(turn)
    assert ["work"] == bench.seen
    assert ["model-1", "model-1"] == [request.model.id for request in scene.provider.requests]
    assert "model-1" == (await scene.runtime()).state.effective_policy().model.id


async def a_child_that_a_tool_starts_is_started_once(stores: SessionStores) -> None:
    """With the session's history as it was, however often the call is made."""
    scene, bench = _scene(stores, ("work", {}), ttl_ms=await short_ttl_ms(stores))
    child, life = unique("child"), Life()

    async def work(context: ToolContext, _args: Any) -> AnyToolOutput:
        reply = await context.execution.start_tool_process(child, "work", {"n": 1})
        bench.seen.append(reply.output.to_json_value())
        if len(bench.seen) == 1:
            life.dies_at = len(life.writes)
        return ToolSuccess("started")

    bench.work = work
    assert await _one_life(scene, life) is None
    await scene.outlive_leases()
    turn = await _one_life(scene, Life())

    assert "done" == finished(turn)
    first, again = bench.seen
    assert ("success", first) == (first["type"], again), "the same handle"
    record = await scene.stores.process_registry.get_process(child)
    assert record is not None
    data = await scene.stores.env_store.get(record.env_ref)
    history = ProcessExecutionEnvSpec.decode(data).history
    assert ["go"] == [entry.payload["message"]["parts"][0]["text"] for entry in history.entries]


async def _recorded(scene: Scene, *parts: str) -> None:
    """Wait until the open turn's journal has an entry whose key begins and ends so."""
    store = await scene.store()

    async def is_there() -> bool:
        entries = await store.load_turn_effects(scene.session_id, "turn-1")
        return any(entry.key.startswith(parts[0]) and entry.key.endswith(parts[1]) for entry in entries)

    await eventually(is_there)


def _safe_failure() -> ToolFailure:
    return ToolFailure.model_validate(
        {"class": "external", "code": "busy", "message": "busy", "retry": {"disposition": "safe"}}
    )
