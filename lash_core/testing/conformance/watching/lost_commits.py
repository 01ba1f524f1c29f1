"""A commit that its worker did not live to publish: those who watch make up for it, the end of a turn always comes."""

from __future__ import annotations

from lash_core.errors.observation import LiveReplayFailedError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    CommittedPayload,
    LiveReplayGapReason,
    SessionGap,
    SessionObservationEvent,
)
from lash_core.runtime.observation.commit_repair import CommitKeeper, WatchPlace
from lash_core.testing.conformance.turns.arrange import scene_of, texts_of
from lash_core.testing.conformance.watching.arrange import (
    WatchedStores,
    observer_of,
    reading,
    take_turn,
    unpublished_turn,
)
from lash_core.testing.scripted_provider import calls_tools, says


async def a_lost_commit_reaches_its_watcher(stores: WatchedStores) -> None:
    """Within some seconds, with the stored history."""
    scene = scene_of(stores, [says("one")])
    await scene.store()
    async with reading(scene) as reader:
        await unpublished_turn(scene, "first")
        await reader.until(lambda known: known.prose == "one")
        await reader.until(lambda known: known.messages)
        assert texts_of(await scene.history()) == reader.said
        assert ("", 0) == (reader.known.prose, reader.known.gaps)


async def it_reaches_who_came_with_a_wrong_revision(stores: WatchedStores) -> None:
    """What a cursor says of commits decides nothing."""
    scene = scene_of(stores, [says("one")])
    await scene.store()
    async with reading(scene, SessionCursor.new(scene.session_id, 2**64 - 1, 0)) as reader:
        await unpublished_turn(scene, "first")
        await reader.until(lambda known: known.messages)
        assert texts_of(await scene.history()) == reader.said


async def it_is_made_up_for_once(stores: WatchedStores) -> None:
    """By whoever of all watchers is first; one who knows the revision by now asks for nothing."""
    scene = scene_of(stores, [says("one")])
    await unpublished_turn(scene, "first")
    keepers = [CommitKeeper(scene.session_id, stores) for _ in range(3)]
    for keeper in keepers:
        keeper.places.add(WatchPlace())
    assert [True, False, False] == [await keeper.check() for keeper in keepers]
    assert not await keepers[0].check()

    events = await stores.live_replay.replay_after_cursor((await observer_of(scene).observation_at(0)).cursor)
    commits = [event for event in events.events if isinstance(event.payload, CommittedPayload)]  # type: ignore[union-attr]
    assert [await scene.revision()] == [event.revision for event in commits]


async def it_is_made_up_for_in_another_life_too(stores: WatchedStores) -> None:
    """A session that was deleted and made again counts from one again, whatever was seen of it before."""
    scene = scene_of(stores, [says("one"), says("two"), says("three")])
    for text in ("first", "second"):
        await unpublished_turn(scene, text)
    keeper, place = CommitKeeper(scene.session_id, stores), WatchPlace()
    keeper.places.add(place)
    assert await keeper.check()
    await stores.session_store_factory.delete_session(scene.session_id)
    await unpublished_turn(scene, "third")
    assert await keeper.check()
    assert 1 == await scene.revision() == (await stores.live_replay.last_commit(scene.session_id))[0]


async def what_was_published_is_left_alone(stores: WatchedStores) -> None:
    """Also where a watcher has yet to read it."""
    scene = scene_of(stores, [says("one")])
    await take_turn(scene, "first")
    tail = await stores.live_replay.current_cursor(scene.session_id, 0)
    keeper = CommitKeeper(scene.session_id, stores)
    keeper.places.add(WatchPlace())
    assert not await keeper.check()
    assert tail == await stores.live_replay.current_cursor(scene.session_id, 0)


async def a_switch_of_frames_is_made_up_for_too(stores: WatchedStores) -> None:
    """Where a watcher knew the frame before."""
    switch = calls_tools(("switch", {"frame_id": "frame-2", "task": "go"}))
    scene = scene_of(stores, [says("one"), switch, says("done")])
    await take_turn(scene, "first")
    async with reading(scene) as reader:
        await unpublished_turn(scene, "go")
        revision = await scene.revision()
        await reader.until(lambda known: known.revision == revision)
        switched = reader.kinds.index("agent_frame_switched")
        assert "committed" == reader.kinds[switched + 1]
        assert "frame-2" == reader.known.frame_id


async def activity_of_a_turn_in_the_history_is_not_told_again(stores: WatchedStores) -> None:
    """A watch that begins after the lost commit has the history, and no text of the turn that is in it."""
    scene = scene_of(stores, [says("one"), says("two")])
    await unpublished_turn(scene, "first")
    async with reading(scene) as reader:
        assert ["user: first", "assistant: one"] == reader.said
        await take_turn(scene, "second")
        await reader.until(lambda known: len(known.messages) == 4)
        assert 1 == reader.kinds.count("assistant_prose_delta"), reader.kinds


async def who_may_not_append_tells_its_own_watchers_with_a_gap(stores: WatchedStores) -> None:
    """An observer's role only reads: its watchers learn of the commit all the same."""
    scene = scene_of(stores, [says("one")])
    await scene.store()
    scene.stores = _ReadOnly(stores)
    async with reading(scene) as reader:
        writing, scene.stores = scene.stores, stores
        await unpublished_turn(scene, "first")
        scene.stores = writing
        await reader.until(lambda known: known.messages)
        gap = next(item for item in reader.items if isinstance(item, SessionGap))
        assert LiveReplayGapReason.UNAVAILABLE == gap.gap.reason
        assert texts_of(await scene.history()) == reader.said
        assert not any(
            isinstance(item, SessionObservationEvent) and isinstance(item.payload, CommittedPayload)
            for item in reader.items
        )


class _ReadOnlyReplay:
    """Rings that refuse a commit."""

    def __init__(self, live_replay: object) -> None:
        self._live_replay = live_replay

    def __getattr__(self, name: str) -> object:
        return getattr(self._live_replay, name)

    async def append_commit_once(self, *_args: object, **_kwargs: object) -> None:
        raise LiveReplayFailedError("this user may not append")


class _ReadOnly:
    """Stores of one who only reads."""

    def __init__(self, stores: WatchedStores) -> None:
        self._stores = stores
        self.live_replay = _ReadOnlyReplay(stores.live_replay)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stores, name)
