"""What is told of turns that are followed: their text as it comes, their tools, and their commits."""

from __future__ import annotations

from lash_core.model.session_observation import AgentFrameSwitchedPayload, CommittedPayload, SessionObservationEvent
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.testing.conformance.turns.arrange import adding, scene_of, texts_of, words
from lash_core.testing.conformance.watching.arrange import (
    WatchedStores,
    followed,
    observer_of,
    reading,
    take_turn,
)
from lash_core.testing.scripted_provider import calls_tools, fails, says


async def text_comes_while_it_is_said_and_then_the_commit(stores: WatchedStores) -> None:
    """The commit's history is the stored one, at its revision."""
    scene = scene_of(stores, [says("hello", deltas=["hel", "lo"])])
    await scene.store()
    async with reading(scene) as reader:
        await take_turn(scene, "hi")
        await reader.until(lambda known: known.messages)
        assert ["observation", "model_request_started"] == reader.kinds[:2]
        assert ["assistant_prose_delta"] * 2 == [kind for kind in reader.kinds if kind.endswith("prose_delta")]
        assert "committed" == reader.kinds[-1]
        assert texts_of(await scene.history()) == reader.said
        assert (await scene.revision(), []) == (reader.known.revision, reader.known.provisional)


async def tools_are_told(stores: WatchedStores) -> None:
    """That they began, and what they answered."""
    scene = scene_of(stores, adding)
    await scene.store()
    async with reading(scene) as reader:
        await take_turn(scene, "one and?")
        await reader.until(lambda known: known.messages)
        kinds = reader.kinds
        assert kinds.index("tool_call_started") < kinds.index("tool_call_completed") < kinds.index("committed")
        assert texts_of(await scene.history()) == reader.said


async def text_of_a_failed_attempt_is_taken_back(stores: WatchedStores) -> None:
    """By its correlation id; what stays is the next attempt's."""
    scene = scene_of(stores, [fails("connection", after=["hal"]), says("hello")])
    runtime = await scene.runtime()
    runtime.host.core.model_retry = ModelRetryPolicy(backoff_ms=0, backoff_max_ms=0)
    async with reading(scene) as reader:
        await runtime.stream_turn(words("hi"), sender=followed(runtime))
        await reader.until(lambda known: known.prose == "hal")
        await reader.until(lambda known: known.prose == "")
        await reader.until(lambda known: known.prose == "hello")
        await reader.until(lambda known: known.messages)
    runtime.close()


async def each_commit_of_a_turn_is_told_and_its_frame_right_before(stores: WatchedStores) -> None:
    """A turn that switches frames has two."""
    scene = scene_of(stores, [calls_tools(("switch", {"frame_id": "frame-2", "task": "go on"})), says("done")])
    await scene.store()
    async with reading(scene) as reader:
        await take_turn(scene, "go")
        revision = await scene.revision()
        await reader.until(lambda known: known.revision == revision)
    events = [item for item in reader.items if isinstance(item, SessionObservationEvent)]
    commits = [event for event in events if isinstance(event.payload, CommittedPayload)]
    assert 2 == len(commits), reader.kinds
    switch = next(event for event in events if isinstance(event.payload, AgentFrameSwitchedPayload))
    assert "frame-2" == switch.payload.frame_id  # type: ignore[union-attr]
    assert commits[0].position - 1 == switch.position
    assert commits[0].revision == switch.revision
    assert "frame-2" == reader.known.frame_id


async def the_ring_knows_the_last_commit(stores: WatchedStores) -> None:
    """Its revision is the head's."""
    scene = scene_of(stores, [says("one"), says("two")])
    for text in ("first", "second"):
        await take_turn(scene, text)
        revision, position = await stores.live_replay.last_commit(scene.session_id)
        tail = (await observer_of(scene).current_session_observation()).cursor.parse()
        assert (await scene.revision(), tail.live_position) == (revision, position)


async def nobody_has_to_watch(stores: WatchedStores) -> None:
    """A host without rings takes the same turns."""
    scene = scene_of(stores, [says("one")])
    runtime = await scene.runtime()
    runtime.host.core.live_replay = None
    await runtime.stream_turn(words("hi"))
    runtime.close()
    assert (0, 0) == await stores.live_replay.last_commit(scene.session_id)
