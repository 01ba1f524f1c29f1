"""A turn of a shared runtime that is run again after its owner died: its text is told once (decision 8; 1.12)."""

from __future__ import annotations

from typing import Any

from lash_core.model.session_observation import CommittedPayload, SessionObservationEvent, TurnActivityPayload
from lash_core.runtime.runtime_handle import RuntimeHandle
from lash_core.testing.conformance.observation.arrange import WatchedStores, events_after, rings_of
from lash_core.testing.conformance.turns.arrange import Scene, finished, mortal_scene, words
from lash_core.testing.conformance.turns.crashes import Life, MortalStore, mortal_host, until_death
from lash_core.testing.scripted_provider import says


async def a_turn_that_is_run_again_takes_back_what_was_told(stores: WatchedStores) -> None:
    """Whoever shows what was not taken back shows the answer once; the commit has the same text."""
    scene = await mortal_scene(stores, [says("hello world")])
    begin = (await _handle(scene, Life())).observe().cursor
    await _turn(scene, Life("commit_runtime_state"))
    await scene.outlive_leases()
    handle = await _turn(scene, Life())
    events = await events_after(handle, begin)

    committed = events[-1].payload
    assert isinstance(committed, CommittedPayload)
    assert "hello world" == committed.read_view.messages[-1].text
    kinds = [event.payload.activity.event.type for event in events if isinstance(event.payload, TurnActivityPayload)]
    assert "model_attempt_reset" in kinds
    assert 1 == len(scene.provider.requests)
    assert "hello world" == _shown(events)


async def _turn(scene: Scene, life: Life) -> RuntimeHandle:
    """The turn by one owner, published if it lives to see its end."""
    handle = await _handle(scene, life)

    async def work() -> None:
        async with handle.writer() as runtime:
            finished(await runtime.stream_turn(words("hi"), turn_id="turn-1", sender=handle.sender()))
            await handle.publish_from(runtime)

    await until_death(life, work())
    return handle


async def _handle(scene: Scene, life: Life) -> RuntimeHandle:
    scene.effect_host = mortal_host(scene.stores, life)
    store: Any = MortalStore(await scene.store(), life)
    return await RuntimeHandle.create(await scene.runtime(store), rings_of(scene.stores))


def _shown(events: tuple[SessionObservationEvent, ...]) -> str:
    """The provisional text that a watcher has right before the commit."""
    texts: dict[str, str] = {}
    for event in events:
        if not isinstance(event.payload, TurnActivityPayload):
            continue
        activity = event.payload.activity
        if activity.event.type == "model_attempt_reset":
            texts.pop(activity.correlation_id, None)
        elif activity.event.type == "assistant_prose_delta":
            told = str(activity.event.facts["text"])
            texts[activity.correlation_id] = texts.get(activity.correlation_id, "") + told
    return "".join(texts.values())
