"""A watch is endless: it begins where the turn under way does and says so where something is lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from lash_core.errors import UnknownSessionError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    LiveReplayGapReason,
    QueueChangedPayload,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    SessionQueueEventKind,
    TurnActivityPayload,
)
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.store.live_replay_store import LiveAppend
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import factory_of
from lash_core.testing.conformance.turns.arrange import Scene, scene_of, texts_of
from lash_core.testing.conformance.watching.arrange import WITHIN_SECONDS, WatchedStores, reading, take_turn
from lash_core.testing.scripted_provider import says


def _text(text: str, correlation_id: str = "t:llm:0:1") -> TurnActivityPayload:
    return TurnActivityPayload(
        TurnActivity(id=text, correlation_id=correlation_id, event=TurnEvent("assistant_prose_delta", {"text": text}))
    )


async def _tell(scene: Scene, *texts: str, revision: int = 0, dropped: int = 0) -> None:
    payloads = tuple(_text(text) for text in texts)
    await scene.stores.live_replay.append_many([LiveAppend(scene.session_id, revision, payloads, dropped=dropped)])


async def a_watch_begins_with_the_turn_under_way(stores: WatchedStores) -> None:
    """Its observation stands at the last commit, so that text that was streamed before is told."""
    scene = scene_of(stores, [says("one")])
    await take_turn(scene, "first")
    await _tell(scene, "I ", "think", revision=await scene.revision())
    async with reading(scene) as reader:
        assert ["user: first", "assistant: one"] == reader.said
        assert "I think" == (await reader.until(lambda known: known.prose == "I think")).prose


async def a_watch_goes_on_behind_any_cursor_that_it_gave(stores: WatchedStores) -> None:
    """Each event comes once over all connections, in its order."""
    scene = scene_of(stores, [says("one", deltas=["o", "n", "e"])])
    await scene.store()
    async with reading(scene) as whole:
        await take_turn(scene, "first")
        await whole.until(lambda known: known.messages)
    events = [item for item in whole.items if isinstance(item, SessionObservationEvent)]
    cursors: list[str] = [str(item.cursor) for item in whole.items[:-1] if not isinstance(item, SessionGap)]
    for number, cursor in enumerate(cursors):
        async with reading(scene, cursor) as reader:
            while len(reader.items) < len(events) - number:
                await reader.take()
            assert events[number:] == reader.items


async def a_watch_of_events_that_are_gone_begins_with_a_gap(stores: WatchedStores) -> None:
    """And goes on from its observation."""
    scene = scene_of(stores, [says("one"), says("two")])
    await take_turn(scene, "first")
    await _tell(scene, "later", revision=await scene.revision(), dropped=5)
    old = SessionCursor.new(scene.session_id, 0, 1)
    async with reading(scene, old) as reader:
        gap = await reader.take()
        assert isinstance(gap, SessionGap), gap
        assert (LiveReplayGapReason.TRIMMED, old) == (gap.gap.reason, gap.gap.requested_cursor)
        assert ["user: first", "assistant: one"] == texts_of(gap.observation.read_view.messages)
        await take_turn(scene, "second")
        await reader.until(lambda known: len(known.messages) == 4)


async def events_dropped_under_a_watch_are_a_gap_and_not_a_silence(stores: WatchedStores) -> None:
    """What is provisional is over; what comes afterwards is told."""
    scene = scene_of(stores, [says("one")])
    await take_turn(scene, "first")
    revision = await scene.revision()
    async with reading(scene) as reader:
        await _tell(scene, "lost", revision=revision)
        await reader.until(lambda known: known.prose == "lost")
        await _tell(scene, "after", revision=revision, dropped=3)
        await reader.until(lambda known: known.gaps == 1)
        assert "lost" not in reader.known.prose
        await _tell(scene, "wards", revision=revision)
        await reader.until(lambda known: known.prose.endswith("wards"))


async def a_deleted_session_ends_its_watches(stores: WatchedStores) -> None:
    """With the error that says so; one that is made again under its name begins anew."""
    scene = scene_of(stores, [says("one")])
    await take_turn(scene, "first")
    async with reading(scene) as reader:
        await factory_of(stores).delete_session(scene.session_id)
        with refused(UnknownSessionError):
            while True:
                await reader.take()
    await scene.store()
    async with reading(scene) as reader:
        assert ((), "") == (reader.known.messages, reader.known.prose)


async def a_deleted_session_ends_a_watch_that_stands_at_a_gap(stores: WatchedStores) -> None:
    """As any other: that its ring ends right behind the gap does not say that the stores were closed."""
    scene = scene_of(stores, [says("one")])
    await take_turn(scene, "first")
    async with reading(scene) as reader:
        await _tell(scene, "I ", dropped=2)
        while not isinstance(reader.items[-1], SessionGap):
            await reader.take()
        await factory_of(stores).delete_session(scene.session_id)
        with refused(UnknownSessionError):
            while True:
                await reader.take()


async def a_cursor_of_a_former_life_finds_a_gap(stores: WatchedStores) -> None:
    """Never the events of another session of its name."""
    scene = scene_of(stores, [says("one"), says("two")])
    await take_turn(scene, "first")
    async with reading(scene) as reader:
        cursor = str(reader.known.cursor)
    await factory_of(stores).delete_session(scene.session_id)
    await take_turn(scene, "second")
    async with reading(scene, cursor) as reader:
        gap = await reader.take()
        assert isinstance(gap, SessionGap), gap
        assert ["user: second", "assistant: two"] == reader.said


async def other_events_pass_as_they_are(stores: WatchedStores) -> None:
    """A change of the queue, say."""
    scene = scene_of(stores, [])
    await scene.store()
    payload = QueueChangedPayload(SessionQueueEventKind.ENQUEUED, ("b1", "b2"))
    async with reading(scene) as reader:
        await scene.stores.live_replay.append(scene.session_id, 0, payload)
        event = await reader.take()
        assert isinstance(event, SessionObservationEvent)
        assert payload == event.payload


async def many_watch_one_session(stores: WatchedStores) -> None:
    """All of them know the same; the last one that leaves ends what was kept for them."""
    scene = scene_of(stores, [says("one")])
    await scene.store()
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(reading(scene)) for _ in range(20)]
        await take_turn(scene, "first")
        await asyncio.gather(*(reader.until(lambda known: known.messages) for reader in readers))
        assert 1 == len({tuple(reader.kinds) for reader in readers})
        assert all(["user: first", "assistant: one"] == reader.said for reader in readers)


async def a_reader_that_leaves_while_it_waits_leaves_nothing_behind(stores: WatchedStores) -> None:
    """Its wait is cancelled, and another watch works."""
    scene = scene_of(stores, [says("one")])
    await scene.store()
    async with reading(scene) as reader:
        waiting = asyncio.create_task(reader.take())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=WITHIN_SECONDS)
        assert waiting.cancelled()
    async with reading(scene) as reader:
        assert isinstance(reader.items[0], SessionObservation)
        await take_turn(scene, "first")
        await reader.until(lambda known: known.messages)
