"""What is recorded on a handle (``docs/contracts/observation.md`` 5)."""

from __future__ import annotations

import math

from lash_core.model.session_observation import LiveReplayGapReason, SessionProcessEventKind, SessionQueueEventKind
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.testing.conformance.lifecycle.arrange import Scene, said
from lash_core.testing.conformance.observation.arrange import (
    WatchedStores,
    events_after,
    gap_after,
    piece,
    say,
    watched,
    words_after,
)


async def events_are_of_the_revision_that_was_published_last(stores: WatchedStores) -> None:
    """Whatever the runtime committed since."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        await say(handle, runtime, "a")
        published = handle.observe()
        await runtime.append_session_nodes(said("b"))
        handle.record_turn_activity(piece("x"))
        (event,) = await events_after(handle, published.cursor)

        assert published.revision == event.revision == event.cursor.parse().revision
        assert await scene.revision() > event.revision


async def every_kind_is_told_in_order(stores: WatchedStores) -> None:
    """Activities, changes of the queue and of the processes; a recording answers its event, and need not be awaited."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        begin = handle.observe().cursor
        handle.record_turn_activity(piece("a"))
        handle.record_queue_changed(SessionQueueEventKind.ENQUEUED, ["b1", "b2"])
        handle.record_queue_changed(SessionQueueEventKind.CANCELLED, ["b1"])
        handle.record_process_changed(SessionProcessEventKind.STARTED, ["p1"])
        last = await handle.record_process_changed(SessionProcessEventKind.CANCELLED, ["p1"])
        told = await events_after(handle, begin)

        assert ["a", "enqueued b1,b2", "cancelled b1", "started p1", "cancelled p1"] == await words_after(handle, begin)
        assert last == told[-1]
        assert [event.cursor for event in told] == sorted((event.cursor for event in told), key=_position)


async def what_was_recorded_is_there_for_who_asks_here(stores: WatchedStores) -> None:
    """A handle's own readers never miss what was recorded on it before."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        begin = handle.observe().cursor
        for number in range(20):
            handle.record_turn_activity(piece(str(number)))
        current = await handle.current_session_observation()
        handle.record_turn_activity(piece("20"))

        assert begin.parse().live_position + 20 == current.cursor.parse().live_position
        assert [str(number) for number in range(21)] == await words_after(handle, begin)
        assert ["20"] == await words_after(handle, current.cursor)


async def what_cannot_be_recorded_leaves_a_gap(stores: WatchedStores) -> None:
    """It raises nothing; the event after it does not look as if it were the next one."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        await handle.record_turn_activity(piece("a"))
        begin = (await handle.current_session_observation()).cursor
        bad = TurnActivity(id="bad", correlation_id="c", event=TurnEvent("usage", {"input": math.inf}))
        assert await handle.record_turn_activity(bad) is None
        await handle.record_turn_activity(piece("b"))
        found = await gap_after(handle, begin)

        assert LiveReplayGapReason.TRIMMED == found.gap.reason
        assert [] == await words_after(handle, found.observation.cursor)


async def handles_of_one_runtime_tell_one_story(stores: WatchedStores) -> None:
    """A clone sees what the other published and recorded."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        other = handle.clone()
        begin = other.observe().cursor
        handle.record_turn_activity(piece("a"))
        await say(other, runtime, "b")

        assert handle.observe() is other.observe()
        assert ["a", "committed b"] == await words_after(other, begin)


def _position(cursor: object) -> int:
    return int(str(cursor).split(":")[2])
