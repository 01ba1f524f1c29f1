"""A turn whose owner died is told again by the next one: what watchers know is one consistent text, and never twice."""

from __future__ import annotations

import asyncio
from typing import Any

from lash_core.model.message import ToolResultPart
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.observation.watched_session import WatchedSession
from lash_core.testing.conformance.turns.arrange import Scene, adding, mortal_scene, texts_of, words
from lash_core.testing.conformance.turns.crashes import Life, MortalStore, mortal_host, until_death
from lash_core.testing.conformance.watching.arrange import Reader, WatchedStores, followed, reading
from lash_core.testing.scripted_provider import ScriptedReply, calls_tools, says


async def _life(scene: Scene, life: Life) -> AssembledTurn | None:
    """A life of an owner that is followed; what it told by its death is in the ring."""
    store: Any = MortalStore(await scene.store(), life)
    scene.effect_host = mortal_host(scene.stores, life)
    runtime = await scene.runtime(store)
    publisher = followed(runtime)
    try:
        return await until_death(life, _act(runtime))
    finally:
        await publisher.flush()
        runtime.close()


async def _act(runtime: LashRuntime) -> AssembledTurn | None:
    return await runtime.stream_turn(words("one and?"), turn_id="turn-1", sender=followed(runtime))


def _tools(known: WatchedSession) -> list[str]:
    return [part.name for part in known.provisional if part.kind == "tool"]


async def text_of_a_dead_owner_is_taken_back_before_the_next_one_speaks(stores: WatchedStores) -> None:
    """It died before the model's answer was recorded, so the next owner asks again, and gets another answer."""
    scene = await mortal_scene(stores, [says("the sun is", deltas=["the sun", " is"]), says("the moon is")])
    await scene.store()
    async with reading(scene) as reader:
        await _life(scene, Life("record_turn_effects"))
        await reader.until(lambda known: known.prose == "the sun is")
        await scene.outlive_leases()
        await _life(scene, Life())
        seen = await _prose_until_committed(reader)
        assert "sun" not in "".join(seen[seen.index("") :]), seen
        # The first thing that the new owner tells is that what was told is void.
        again = len(reader.kinds) - reader.kinds[::-1].index("model_request_started") - 1
        assert reader.kinds.index("model_attempt_reset") < again, reader.kinds
        assert "the moon is" in seen
        assert texts_of(await scene.history()) == reader.said
        assert ["user: one and?", "assistant: the moon is"] == reader.said


async def what_is_recorded_is_told_again_by_the_next_owner(stores: WatchedStores) -> None:
    """Watchers that saw it and watchers that come later know the same, each text and each tool once."""
    scene = await mortal_scene(stores, _adding_aloud)
    await scene.store()
    async with reading(scene) as early:
        await _life(scene, Life("commit_runtime_state"))
        await early.until(lambda known: "it is" in known.prose)
        before = (early.known.prose, _tools(early.known))
        await scene.outlive_leases()
        await _life(scene, Life("commit_runtime_state"))
        assert 2 == len(scene.provider.requests), "a redo asks nobody"
        async with reading(scene) as late:
            last = (await stores.live_replay.current_cursor(scene.session_id, 0)).parse().live_position
            for reader in (early, late):
                await reader.until(lambda known: known.cursor and known.cursor.parse().live_position == last)
                assert before == (reader.known.prose, _tools(reader.known))
            await scene.outlive_leases()
            await _life(scene, Life())
            await asyncio.gather(*(reader.until(lambda known: known.messages) for reader in (early, late)))
            assert texts_of(await scene.history()) == early.said == late.said


async def what_a_dead_owner_still_has_to_say_reaches_nobody(stores: WatchedStores) -> None:
    """It has a lower generation than whoever spoke last."""
    scene = await mortal_scene(stores, [says("old"), says("new")])
    life = Life("record_turn_effects")
    store: Any = MortalStore(await scene.store(), life)
    scene.effect_host = mortal_host(scene.stores, life)
    runtime = await scene.runtime(store)
    zombie = followed(runtime)
    await until_death(life, runtime.stream_turn(words("one and?"), turn_id="turn-1", sender=zombie))
    await zombie.flush()
    await scene.outlive_leases()
    async with reading(scene) as reader:
        await _life(scene, Life())
        await reader.until(lambda known: known.messages)
        tail = await stores.live_replay.current_cursor(scene.session_id, 0)
        await runtime.host.core.live_replay.trim_session(scene.session_id)  # type: ignore[union-attr]
        await zombie(_late())
        await zombie.flush()
        assert tail == await stores.live_replay.current_cursor(scene.session_id, 0)
    runtime.close()


def _late() -> TurnActivity:
    return TurnActivity(id="late", correlation_id="late", event=TurnEvent("assistant_prose_delta", {"text": "late"}))


async def _prose_until_committed(reader: Reader) -> list[str]:
    """What the provisional text was, after each item."""
    seen = [reader.known.prose]
    while not reader.known.messages:
        await reader.take()
        seen.append(reader.known.prose)
    return seen


def _adding_aloud(request: Any) -> ScriptedReply:
    """As ``adding``, and says that it looks."""
    newest = [message for message in request.messages if message.role != "system"][-1]
    if any(isinstance(part, ToolResultPart) for part in newest.parts):
        return adding(request)
    return calls_tools(("add", {"a": 1, "b": 2}), text="let me see; ")
