"""Cursors, streams and gaps on a handle (``docs/contracts/observation.md`` 1, 5)."""

from __future__ import annotations

import asyncio

from lash_core.errors.observation import MalformedSessionCursorError, SessionObservationError, WrongSessionCursorError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import LiveReplayGapReason, TurnActivityPayload
from lash_core.runtime.runtime_handle import RuntimeHandle
from lash_core.store.live_replay_store import LiveAppend, LiveAppended
from lash_core.testing.conformance.lifecycle.arrange import Scene, refused
from lash_core.testing.conformance.observation.arrange import (
    WatchedStores,
    gap_after,
    next_words,
    piece,
    rings_of,
    say,
    stream_after,
    watched,
    words_after,
)


async def a_bad_cursor_is_refused(stores: WatchedStores) -> None:
    """Another session's, and what is none; a session whose id has colons is told apart."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        for verb in (handle.resume_session_observation, handle.subscribe_session_observation):
            for other in ("session-b", f"{scene.session_id}:x", f"x:{scene.session_id}"):
                async with refused(WrongSessionCursorError, scene.session_id, other) as caught:
                    await verb(SessionCursor.new(other, 0, 0))
                assert isinstance(caught[0], SessionObservationError)
            for raw in ("bad", "", "lashsc1:1:2:", "lashsc1:x:2:s", "lashsc1:1:-2:s", "lashsc1:1:2"):
                async with refused(MalformedSessionCursorError):
                    await verb(SessionCursor.from_raw_for_testing(raw))


async def a_session_id_may_have_colons(stores: WatchedStores) -> None:
    """A cursor is split at its first two only."""
    scene = Scene(stores)
    scene.session_id = f"a:b:{scene.session_id}:7"
    async with watched(scene) as (runtime, handle):
        begin = handle.observe().cursor
        await say(handle, runtime, "a")

        assert ["committed a"] == await words_after(handle, begin)
        assert ["committed a"] == await words_after(handle, SessionCursor(str(begin)))


async def every_event_can_be_resumed_from(stores: WatchedStores) -> None:
    """The revision in a cursor decides nothing."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        cursors = [handle.observe().cursor]
        for text in "abc":
            event = await handle.record_turn_activity(piece(text))
            assert event is not None
            cursors.append(event.cursor)

        assert [["a", "b", "c"], ["b", "c"], ["c"], []] == [await words_after(handle, cursor) for cursor in cursors]
        lying = SessionCursor.new(scene.session_id, 2**64 - 1, cursors[1].parse().live_position)
        assert ["b", "c"] == await words_after(handle, lying)


async def a_cursor_ahead_of_everything_is_a_gap(stores: WatchedStores) -> None:
    """Unavailable: this store does not have it. The observation beside it is whole, and its cursor goes on."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        await say(handle, runtime, "a")
        ahead = SessionCursor.new(scene.session_id, 1, handle.observe().cursor.parse().live_position + 1)
        found = await gap_after(handle, ahead)

        assert (scene.session_id, LiveReplayGapReason.UNAVAILABLE) == (found.gap.session_id, found.gap.reason)
        assert ahead == found.gap.requested_cursor
        assert found.observation.cursor == found.gap.latest_cursor == handle.observe().cursor
        assert handle.observe().revision == found.gap.latest_revision
        assert ["a"] == [message.text for message in found.observation.read_view.messages]
        await say(handle, runtime, "b")
        assert ["committed a,b"] == await words_after(handle, found.observation.cursor)


async def a_cursor_of_dropped_events_is_a_gap(stores: WatchedStores) -> None:
    """Trimmed: they were there. What is still there can be resumed from."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        begin = handle.observe().cursor
        await handle.record_turn_activity(piece("a"))
        append = LiveAppend(scene.session_id, 0, (TurnActivityPayload(piece("c")),), dropped=1)
        (outcome,) = await rings_of(stores).append_many([append])
        assert isinstance(outcome, LiveAppended), f"expected LiveAppended, got {outcome!r}"
        found = await gap_after(handle, begin)

        assert LiveReplayGapReason.TRIMMED == found.gap.reason
        assert 3 == found.gap.latest_cursor.parse().live_position
        assert ["c"] == await words_after(handle, SessionCursor.new(scene.session_id, 0, 2))


async def a_stream_goes_from_what_was_to_what_comes(stores: WatchedStores) -> None:
    """No duplicate and no hole between the two, also while others record."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        begin = handle.observe().cursor
        handle.record_turn_activity(piece("0"))

        async def record() -> None:
            for number in range(1, 12):
                await handle.record_turn_activity(piece(str(number)))

        recording = asyncio.create_task(record())
        stream = await stream_after(handle, begin)
        heard = await next_words(stream, 12)
        await recording
        await say(handle, runtime, "end")

        assert [str(number) for number in range(12)] == heard
        assert ["committed end"] == await next_words(stream, 1)
        await stream.aclose()


async def an_observation_and_what_comes_behind_it_are_everything(stores: WatchedStores) -> None:
    """Whoever asks while others publish misses no commit: it is in the observation, or comes."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        begun = asyncio.Event()

        async def talk() -> None:
            for number in range(6):
                await say(handle, runtime, str(number))
                begun.set()

        talking = asyncio.create_task(talk())
        await begun.wait()
        seen = [await handle.current_session_observation() for _ in range(4)]
        await talking

        for observation in seen:
            known = [message.text for message in observation.read_view.messages]
            behind = await words_after(handle, observation.cursor)
            newest = behind[-1].removeprefix("committed ").split(",") if behind else known
            assert ["0", "1", "2", "3", "4", "5"] == newest
            assert len(known) + len(behind) >= 6, f"{known} and {behind} leave a commit out"


async def a_commit_of_another_program_is_not_missed(stores: WatchedStores) -> None:
    """Whoever asks a handle that was overtaken gets the session as it is: its cursor stands behind that commit."""
    scene = Scene(stores)
    async with watched(scene) as (runtime, handle):
        await say(handle, runtime, "a")
        async with watched(scene) as (_, elsewhere):
            published = elsewhere.observe()
            await say(handle, runtime, "b")
            await handle.record_turn_activity(piece("and"))

            now = await elsewhere.current_session_observation()
            found = await gap_after(elsewhere, SessionCursor.new(scene.session_id, 1, 2**40))
            for seen in (now, found.observation):
                assert ["a", "b"] == [message.text for message in seen.read_view.messages]
                assert (await handle.current_session_observation()).cursor == seen.cursor
                assert [] == await words_after(elsewhere, seen.cursor)
            assert (2, found.observation.cursor) == (found.gap.latest_revision, found.gap.latest_cursor)
            assert elsewhere.observe() is published


async def who_reads_never_waits_for_who_works(stores: WatchedStores) -> None:
    """A turn may have the runtime for hours."""
    scene = Scene(stores)
    registry = stores.process_registry
    async with watched(scene, process_registry=registry) as (_, handle), handle.writer() as runtime:
        other = handle.clone()
        begin = other.observe().cursor
        await runtime.list_process_handles()
        assert begin == (await other.current_session_observation()).cursor
        assert [] == await words_after(other, begin)
        assert () == await other.list_process_handles()
        assert isinstance(other.try_into_runtime(), RuntimeHandle)
        stream = await stream_after(other, begin)
        handle.record_turn_activity(piece("a"))
        assert ["a"] == await next_words(stream, 1)
        await stream.aclose()
