"""A turn whose owner dies at any write is redone by the next one: one history, each recorded effect once (DESIGN 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lash_core.model.effect import EffectKind
from lash_core.model.message import Message, ToolResultPart
from lash_core.model.turn_input import ActiveTurnIngress
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.hooks import BeforeTurn, PluginCheckpoint, PluginTurn
from lash_core.runtime.plugins import SessionPlugin
from lash_core.testing.conformance.session_scene import SessionStores, enqueued, put_in
from lash_core.testing.conformance.stores import can_advance
from lash_core.testing.conformance.turns.arrange import Scene, adding, mortal_scene, texts_of, words
from lash_core.testing.conformance.turns.crashes import Life, MortalStore, mortal_host, until_death
from lash_core.testing.scripted_provider import ScriptedReply, calls_tools

Act = Callable[[LashRuntime], Awaitable[AssembledTurn | None]]


@dataclass(frozen=True)
class _Ending:
    """What is left of a scene when everything is done."""

    history: list[str]
    revision: int
    model_calls: int
    tool_calls: int
    queued: int


async def a_foreground_turn_survives_its_owner_at_every_write(stores: SessionStores) -> None:
    """The same turn id is asked for again, by another program."""

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.stream_turn(words("one and?"), turn_id="turn-1")

    await _dies_everywhere(stores, act)


async def a_drained_turn_survives_its_owner_at_every_write(stores: SessionStores) -> None:
    """The input is in the queue; whoever drains it next goes on with the turn that was begun."""

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.run_next_queued_turn()

    await _dies_everywhere(stores, act, queued=("one and?",))


async def a_turn_with_deliveries_survives_its_owner_at_every_write(stores: SessionStores) -> None:
    """What came at a checkpoint comes at the same one again, and is answered once."""

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.run_next_queued_turn()

    await _dies_everywhere(stores, act, queued=("one and?",), arrives="and more?")


async def a_turn_of_the_lane_survives_its_owner_at_every_write(stores: SessionStores) -> None:
    """Inputs that wait beside the queue, one that is meant for the running turn included."""

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.run_next_queued_turn()

    await _dies_everywhere(stores, act, queued=("one and?",), arrives="and more?", lane=True)


async def a_foreground_turn_is_finished_by_whoever_comes_next(stores: SessionStores) -> None:
    """Its caller is gone; a drain of the queue redoes it before it looks for anything else."""

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.stream_turn(words("one and?"), turn_id="turn-1")

    async def again(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.run_next_queued_turn()

    whole, writes = await _lived(stores, act)
    numbers = range(writes.index("record_turn_effects"), writes.index("commit_runtime_state") + 1)
    # Where the lease takes real time to end, one death says it.
    for number in numbers if await can_advance(stores) else numbers[-1:]:
        scene = await _scene(stores, (), None)
        await _redone(scene, whole, Life(number), act, again)


async def what_comes_after_a_death_waits_for_the_end_of_the_replay(stores: SessionStores) -> None:
    """A checkpoint that delivered nothing delivers nothing again, while recorded effects are left."""
    scene = await _scene(stores, ("one and?",), None)
    store = await scene.store()

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.run_next_queued_turn()

    await _one_life(scene, Life("commit_runtime_state"), act)
    await enqueued(store, "late")
    await scene.outlive_leases()
    turn = await _one_life(scene, Life(), act)

    assert turn is not None
    assert () == turn.errors
    asked = [text for text in texts_of(await scene.history()) if text.startswith("user: ") and "tool" not in text]
    assert ["user: one and?", "user: late"] == asked
    assert 4 == len(scene.provider.requests)


async def inputs_that_come_after_a_death_are_each_answered_once(stores: SessionStores) -> None:
    """One for the running turn is delivered after the replay, one for the next turn is left for it."""
    scene = await _scene(stores, ("one and?",), "and more?", lane=True)
    store = await scene.store()

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.run_next_queued_turn()

    await _one_life(scene, Life("commit_runtime_state"), act)
    turn = await store.load_open_turn(scene.session_id)
    assert turn is not None
    await put_in(store, "late", ActiveTurnIngress(turn.turn_id))
    await put_in(store, "next")
    await scene.outlive_leases()
    first = await _one_life(scene, Life(), act)
    asked = [text for text in texts_of(await scene.history()) if text.startswith("user: ") and "tool" not in text]
    assert ["user: one and?", "user: and more?", "user: late"] == asked
    second = await _one_life(scene, Life(), act)

    assert first is not None
    assert second is not None
    assert () == first.errors == second.errors
    assert "user: next" in texts_of(await scene.history())
    assert {"completed"} == {row.state for row in await store.list_pending_turn_inputs(scene.session_id)}


def _adds_and_finishes(request: Any) -> ScriptedReply:
    used = any(isinstance(part, ToolResultPart) for message in request.messages for part in message.parts)
    return calls_tools(("finish", {"value": 1})) if used else calls_tools(("add", {"a": 1, "b": 2}))


async def an_input_for_a_turn_that_has_no_boundary_left_goes_to_the_next(stores: SessionStores) -> None:
    """The redo claims it with what was delivered, and ends by a tool: it is given back and not lost."""
    scene = await mortal_scene(stores, _adds_and_finishes)
    store = await scene.store()

    async def arrive(_context: object, _args: object) -> None:
        await put_in(store, "in time", ActiveTurnIngress("turn-1"), source_key="arrival")

    scene.bench.before = arrive

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.stream_turn(words("go"), turn_id="turn-1")

    await _one_life(scene, Life("commit_runtime_state"), act)
    await put_in(store, "late", ActiveTurnIngress("turn-1"))
    await scene.outlive_leases()
    assert await _one_life(scene, Life(), act) is not None

    states = [row.state for row in await store.list_pending_turn_inputs(scene.session_id)]
    assert ["completed", "deferred_next_turn"] == states


class _Moody(SessionPlugin):
    """Says something else each time it is asked, and at first nothing at all when it is shy."""

    def __init__(self, asked: list[str], *, shy: bool) -> None:
        self._asked = asked
        self._shy = shy

    async def before_turn(self, turn: PluginTurn) -> BeforeTurn | None:
        self._asked.append(turn.turn_id)
        if self._shy and len(self._asked) == 1:
            return None
        return BeforeTurn((Message.system(f"mood {len(self._asked)}"),))

    async def checkpoint(self, checkpoint: PluginCheckpoint) -> tuple[Message, ...]:
        return () if checkpoint.kind == "before_completion" else (Message.system(f"still {len(self._asked)}"),)


async def a_redo_hears_from_plugins_what_it_heard_first(stores: SessionStores) -> None:
    """Messages before the turn and at checkpoints are recorded; silence before the turn is kept as well."""
    for shy in (False, True):
        asked: list[str] = []
        scene = await _scene(stores, ("one and?",), None)
        scene.plugin = partial(_Moody, asked, shy=shy)

        async def act(runtime: LashRuntime) -> AssembledTurn | None:
            return await runtime.run_next_queued_turn()

        await _one_life(scene, Life("commit_runtime_state"), act)
        calls = len(scene.provider.requests)
        await scene.outlive_leases()
        turn = await _one_life(scene, Life(), act)

        assert turn is not None
        assert () == turn.errors
        said = [text for text in texts_of(await scene.history()) if text.startswith("system")]
        assert ([] if shy else ["system: mood 1"]) + ["system: still 1"] == said
        assert calls == len(scene.provider.requests)


async def a_host_that_records_nothing_appends_an_input_once(stores: SessionStores) -> None:
    """Its progress was stored before the death: the redo finds the message in the history."""
    scene = await _scene(stores, ("one and?",), None)
    life = Life("claim_checkpoint_work")
    scene.effect_host = InlineEffectHost()
    runtime = await scene.runtime(MortalStore(await scene.store(), life))  # type: ignore[arg-type]
    await until_death(life, runtime.run_next_queued_turn())
    runtime.close()
    assert 1 == await scene.revision()
    await scene.outlive_leases()
    await (await scene.runtime()).run_next_queued_turn()

    read = await (await scene.store()).load_session()
    assert read is not None
    assert 1 == texts_of([node.message for node in read.nodes if node.message]).count("user: one and?")
    assert () == await (await scene.store()).list_queued_work(scene.session_id)


async def a_turn_that_kills_its_owners_is_given_up(stores: SessionStores) -> None:
    """Eight deaths in a row without a write: the turn is committed as stopped, its input is settled."""
    if not await can_advance(stores):
        return
    scene = await _scene(stores, ("poison",), None)

    async def act(runtime: LashRuntime) -> AssembledTurn | None:
        return await runtime.run_next_queued_turn()

    for _ in range(8):
        await _one_life(scene, Life("record_turn_effects"), act)
        await scene.outlive_leases()
    turn = await _one_life(scene, Life(), act)

    assert turn is not None
    assert ["turn_poisoned"] == [issue.code for issue in turn.errors], turn.errors
    assert ["user: poison"] == texts_of(await scene.history())
    assert () == await (await scene.store()).list_queued_work(scene.session_id)


# -- steps ----------------------------------------------------------------------------------------------------


async def _dies_everywhere(
    stores: SessionStores, act: Act, *, queued: tuple[str, ...] = (), arrives: str | None = None, lane: bool = False
) -> None:
    whole, writes = await _lived(stores, act, queued, arrives, lane=lane)
    numbers = range(len(writes)) if await can_advance(stores) else ()
    for number in numbers:
        for after in (False, True):
            scene = await _scene(stores, queued, arrives, lane=lane)
            await _redone(scene, whole, Life(number, after), act, act)


async def _redone(scene: Scene, whole: _Ending, life: Life, act: Act, again: Act) -> None:
    """One death and what comes after it: the same end, and of what was recorded nothing is done again."""
    await _one_life(scene, life, act)
    at = f"dead {'after' if life.after else 'before'} write {life.dies_at} of {life.writes}"
    done, recorded = await _ending(scene), await _recorded(scene)
    await scene.outlive_leases()
    await _one_life(scene, Life(), again)
    left = await _ending(scene)
    assert whole.history == left.history, f"{at}: {left.history}"
    assert (whole.revision, whole.queued) == (left.revision, left.queued), at
    is_over = done.revision == whole.revision
    for name in ("model_calls", "tool_calls"):
        missing = 0 if is_over else getattr(whole, name) - recorded[name]
        made = getattr(left, name) - getattr(done, name)
        assert missing == made, f"{at}: {missing} {name} were not recorded, {made} were made"


async def _lived(
    stores: SessionStores, act: Act, queued: tuple[str, ...] = (), arrives: str | None = None, *, lane: bool = False
) -> tuple[_Ending, list[str]]:
    """How it ends without a death, and the writes on the way."""
    scene, life = await _scene(stores, queued, arrives, lane=lane), Life()
    turn = await _one_life(scene, life, act)
    assert turn is not None
    assert turn.final_text is not None, f"{turn.outcome} {turn.errors}"
    return await _ending(scene), life.writes


async def _scene(stores: SessionStores, queued: tuple[str, ...], arrives: str | None, *, lane: bool = False) -> Scene:
    scene = await mortal_scene(stores, adding)
    store = await scene.store()
    running = ""
    for text in queued:
        if lane:
            running = running or f"t_{(await put_in(store, text)).input_id}"
        else:
            await enqueued(store, text)
    if arrives is not None:
        came: list[str] = []

        async def arrive(_context: object, _args: object) -> None:
            # Once in the whole story: a tool that runs again does not bring the same input twice.
            if not came:
                came.append(arrives)
                if lane:
                    await put_in(store, arrives, ActiveTurnIngress(running))
                else:
                    await enqueued(store, arrives, source_key="arrival")

        scene.bench.before = arrive
    return scene


async def _one_life(scene: Scene, life: Life, act: Act) -> AssembledTurn | None:
    store = MortalStore(await scene.store(), life)
    scene.effect_host = mortal_host(scene.stores, life)
    runtime = await scene.runtime(store)  # type: ignore[arg-type]
    try:
        return await until_death(life, act(runtime))
    finally:
        runtime.close()


async def _ending(scene: Scene) -> _Ending:
    store = await scene.store()
    return _Ending(
        history=texts_of(await scene.history()),
        revision=await scene.revision(),
        model_calls=len(scene.provider.requests),
        tool_calls=len(scene.bench.calls),
        queued=len(await store.list_queued_work(scene.session_id))
        + sum(row.state != "completed" for row in await store.list_pending_turn_inputs(scene.session_id)),
    )


async def _recorded(scene: Scene) -> dict[str, int]:
    """How many model calls and tool attempts the open turn's journal has."""
    store = await scene.store()
    turn = await store.load_open_turn(scene.session_id)
    entries = () if turn is None else await store.load_turn_effects(scene.session_id, turn.turn_id)
    kinds = [entry.kind for entry in entries]
    return {"model_calls": kinds.count(EffectKind.LLM_CALL), "tool_calls": kinds.count(EffectKind.TOOL_ATTEMPT)}
