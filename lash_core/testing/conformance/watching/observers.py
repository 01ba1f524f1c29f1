"""What an observer answers: where a session stands, what came since, and gaps as data."""

from __future__ import annotations

from lash_core.errors import UnknownSessionError
from lash_core.errors.observation import MalformedSessionCursorError, WrongSessionCursorError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    CommittedPayload,
    LiveReplayGapReason,
    SessionGap,
    SessionObservationEvent,
    SessionReplayed,
)
from lash_core.runtime.observation.session_observer import SessionObserver
from lash_core.store.live_replay_store import LiveSubscribed
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import enqueued
from lash_core.testing.conformance.turns.arrange import scene_of, texts_of
from lash_core.testing.conformance.watching.arrange import WatchedStores, observer_of, take_turn
from lash_core.testing.scripted_provider import says


async def a_session_before_its_first_commit_is_observed(stores: WatchedStores) -> None:
    """It is empty, at revision 0 and position 0."""
    scene = scene_of(stores, [])
    await scene.store()
    observation = await observer_of(scene).current_session_observation()

    assert (0, 0) == (observation.cursor.parse().revision, observation.cursor.parse().live_position)
    assert (scene.session_id, ()) == (observation.read_view.session_id, observation.read_view.messages)


async def an_observation_has_the_history_and_the_tail(stores: WatchedStores) -> None:
    """Nothing comes behind its cursor but what happens later."""
    scene = scene_of(stores, [says("one"), says("two")])
    await take_turn(scene, "first")
    observer = observer_of(scene)
    observation = await observer.current_session_observation()

    assert ["user: first", "assistant: one"] == texts_of(observation.read_view.messages)
    assert await scene.revision() == observation.cursor.parse().revision
    assert SessionReplayed(()) == await observer.resume_session_observation(observation.cursor)

    await take_turn(scene, "second")
    resumed = await observer.resume_session_observation(observation.cursor)
    assert isinstance(resumed, SessionReplayed)
    last = resumed.events[-1]
    assert isinstance(last.payload, CommittedPayload)
    expected = ["user: first", "assistant: one", "user: second", "assistant: two"]
    assert expected == texts_of(last.payload.read_view.messages)
    assert await scene.revision() == last.revision


async def an_unknown_session_is_an_error(stores: WatchedStores) -> None:
    """Nothing is made by looking for it."""
    observer = SessionObserver("nobody-made-this-session", stores)
    with refused(UnknownSessionError):
        await observer.current_session_observation()
    with refused(UnknownSessionError):
        await observer.queued()
    with refused(UnknownSessionError):
        await anext(observer.watch())
    with refused(UnknownSessionError):
        await anext(observer.watch(SessionCursor.new("nobody-made-this-session", 0, 0)))


async def a_bad_cursor_is_refused_before_anything_is_read(stores: WatchedStores) -> None:
    """Also by ``watch``, at once: a server can still answer with an error."""
    observer = SessionObserver("a:b", stores)
    foreign = SessionCursor.new("somebody", 1, 1)
    for verb in (observer.resume_session_observation, observer.subscribe_session_observation):
        with refused(WrongSessionCursorError):
            await verb(foreign)
        with refused(MalformedSessionCursorError):
            await verb("lashsc1:x:1:a:b")
    with refused(WrongSessionCursorError):
        observer.watch(foreign)
    with refused(MalformedSessionCursorError):
        observer.watch("")


async def a_cursor_of_the_future_is_a_gap_with_an_observation(stores: WatchedStores) -> None:
    """The position decides, whatever the revision says."""
    scene = scene_of(stores, [says("one")])
    await take_turn(scene, "first")
    observer, future = observer_of(scene), SessionCursor.new(scene.session_id, 1, 10_000)
    resumed = await observer.resume_session_observation(future)
    subscribed = await observer.subscribe_session_observation(future)

    for answer in (resumed, subscribed):
        assert isinstance(answer, SessionGap), answer
        assert LiveReplayGapReason.UNAVAILABLE == answer.gap.reason
        assert future == answer.gap.requested_cursor
        assert await scene.revision() == answer.gap.latest_revision
        assert answer.observation.cursor == answer.gap.latest_cursor
        assert ["user: first", "assistant: one"] == texts_of(answer.observation.read_view.messages)


async def a_subscription_begins_with_what_is_kept(stores: WatchedStores) -> None:
    """And goes on with what comes, without a hole or a duplicate."""
    scene = scene_of(stores, [says("one"), says("two")])
    await scene.store()
    observer = observer_of(scene)
    begin = (await observer.current_session_observation()).cursor
    await take_turn(scene, "first")
    subscribed = await observer.subscribe_session_observation(begin)
    assert isinstance(subscribed, LiveSubscribed)
    await take_turn(scene, "second")

    positions: list[int] = []
    commits = 0
    while commits < 2:
        item = await anext(subscribed.subscription)
        assert isinstance(item, SessionObservationEvent)
        positions.append(item.position)
        commits += isinstance(item.payload, CommittedPayload)
    assert list(range(1, len(positions) + 1)) == positions
    await subscribed.subscription.aclose()


async def what_waits_in_the_queue_is_shown(stores: WatchedStores) -> None:
    """In its order."""
    scene = scene_of(stores, [])
    store = await scene.store()
    first = await enqueued(store, "one")
    second = await enqueued(store, "two")

    assert [first.batch_id, second.batch_id] == [batch.batch_id for batch in await observer_of(scene).queued()]
