"""Turns that go on in another agent frame (``docs/contracts/sessions.md`` 3.1)."""

from __future__ import annotations

from typing import Any

from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.turns.arrange import finished, mortal_scene, scene_of, stopped, texts_of, words
from lash_core.testing.conformance.turns.crashes import Life, MortalStore, mortal_host, until_death
from lash_core.testing.scripted_provider import ScriptedReply, calls_tools, says


def _switch(frame_id: str, task: str = "go on") -> ScriptedReply:
    return calls_tools(("switch", {"frame_id": frame_id, "task": task}))


async def a_switch_goes_on_with_its_task(stores: SessionStores) -> None:
    """One logical turn, two physical ones, one lease: the new frame begins with the task alone."""
    scene = scene_of(stores, [_switch("plan"), says("planned")])
    runtime = await scene.runtime()
    turn = await runtime.stream_turn(words("hi"), turn_id="turn-1")

    assert "planned" == finished(turn)
    assert "turn-1:agent-frame:1" == turn.turn_id
    assert ["go on"] == [message.text for message in scene.provider.requests[-1].messages]
    store = await scene.store()
    read = await store.load_session()
    assert read is not None
    assert ("plan", 2) == (read.current_agent_frame_id, read.head_revision)
    assert ["superseded", "active"] == [frame.status for frame in read.agent_frames]
    assert () == await store.list_queued_work(scene.session_id)
    assert await store.get_session_execution_lease(scene.session_id) is None


async def a_repeat_of_a_switched_turn_answers_its_end(stores: SessionStores) -> None:
    """The stamps of all its physical turns are followed."""
    scene = scene_of(stores, [_switch("plan"), _switch("work"), says("worked")])
    await (await scene.runtime()).stream_turn(words("hi"), turn_id="turn-1")
    again = await (await scene.runtime()).stream_turn(words("hi"), turn_id="turn-1")

    assert "worked" == finished(again)
    assert 3 == len(scene.provider.requests)


async def seventeen_frames_are_too_many(stores: SessionStores) -> None:
    """Sixteen physical turns call the model; the handoff of the last is settled by a turn that calls nobody."""
    count = 0

    def switching(_request: Any) -> ScriptedReply:
        nonlocal count
        count += 1
        return _switch(f"frame-{count}")

    scene = scene_of(stores, switching)
    turn = stopped(await (await scene.runtime()).stream_turn(words("round")), "runtime_error")

    assert 16 == len(scene.provider.requests)
    assert [("agent_frame_switch_limit", "logical turn exceeded the limit of 16 agent frame switches")] == [
        (issue.code, issue.message) for issue in turn.errors
    ]
    store = await scene.store()
    assert () == await store.list_queued_work(scene.session_id)
    assert (17, None) == (await scene.revision(), await store.get_session_execution_lease(scene.session_id))


async def a_death_in_the_turn_too_many_calls_nobody_either(stores: SessionStores) -> None:
    """The redo knows its place in the logical turn."""
    count = 0

    def switching(_request: Any) -> ScriptedReply:
        nonlocal count
        count += 1
        return _switch(f"frame-{count}")

    scene, life = await mortal_scene(stores, switching), Life()
    store: Any = MortalStore(await scene.store(), life)
    scene.effect_host = mortal_host(stores, life)
    runtime = await scene.runtime(store)
    commit = store.commit_runtime_state

    async def count_down(*args: Any) -> Any:
        if count == 16 and life.writes.count("commit_runtime_state") == 16:
            life.dies_at = len(life.writes)
        return await commit(*args)

    store.commit_runtime_state = count_down
    assert await until_death(life, runtime.stream_turn(words("round"), turn_id="turn-1")) is None
    runtime.close()
    await scene.outlive_leases()
    scene.effect_host = None
    turn = stopped(await (await scene.runtime()).run_next_queued_turn(), "runtime_error")

    assert (16, "agent_frame_switch_limit") == (len(scene.provider.requests), turn.errors[0].code)


async def a_death_between_two_frames_is_harmless(stores: SessionStores) -> None:
    """The handoff is in the queue with the commit: whoever comes next goes on with it."""
    for by_id in (True, False):
        scene = await mortal_scene(stores, [_switch("plan"), says("planned")])
        life = Life()
        store: Any = MortalStore(await scene.store(), life)
        scene.effect_host = mortal_host(stores, life)
        runtime = await scene.runtime(store)
        commit = store.commit_runtime_state

        async def then_die(*args: Any, commit: Any = commit, life: Life = life) -> Any:
            result = await commit(*args)
            life.dies_at = len(life.writes)
            return result

        store.commit_runtime_state = then_die
        assert await until_death(life, runtime.stream_turn(words("hi"), turn_id="turn-1")) is None
        runtime.close()
        await scene.outlive_leases()
        scene.effect_host = None
        later = await scene.runtime()
        turn = await (later.stream_turn(words("hi"), turn_id="turn-1") if by_id else later.run_next_queued_turn())

        assert "planned" == finished(turn)
        assert () == await (await scene.store()).list_queued_work(scene.session_id)
        assert ["user: hi", "user: go on", "assistant: planned"] == [
            text for text in texts_of(await scene.history()) if "tool_" not in text
        ]
