"""A ring that fails costs nobody but those who watch (``docs/contracts/observation.md`` 5)."""

from __future__ import annotations

from lash_core.errors import NotDoneError
from lash_core.errors.observation import (
    LiveReplayFailedError,
    LiveReplayStoreError,
    MalformedSessionCursorError,
    WrongSessionCursorError,
)
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import SessionObservationEvent, SessionObservationEventPayload
from lash_core.model.turn_input import TurnInput
from lash_core.runtime.runtime_handle import RuntimeHandle
from lash_core.store.live_replay_store import LiveReplayResult, LiveReplaySubscribeResult
from lash_core.testing.conformance.lifecycle.arrange import Scene, refused, said
from lash_core.testing.conformance.observation.arrange import WatchedStores, piece
from lash_core.testing.conformance.turns.arrange import finished, scene_of, words
from lash_core.testing.scripted_provider import says


class PanicRing:
    """A host's own store that must not be asked; its cursor is at ``position``."""

    def __init__(self, position: int = 0) -> None:
        self.position = position

    async def append(
        self, session_id: str, revision: int, payload: SessionObservationEventPayload
    ) -> SessionObservationEvent:
        """Fails."""
        raise AssertionError(f"append {payload.type} to {session_id} at {revision}")

    async def replay_after_cursor(self, cursor: SessionCursor) -> LiveReplayResult:
        """Fails."""
        raise AssertionError(f"replay_after_cursor {cursor!s}")

    async def subscribe_after_cursor(self, cursor: SessionCursor) -> LiveReplaySubscribeResult:
        """Fails."""
        raise AssertionError(f"subscribe_after_cursor {cursor!s}")

    async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
        """Where it stands."""
        return SessionCursor.new(session_id, revision, self.position)

    async def trim_session(self, session_id: str) -> None:
        """Nothing to do."""


class FailingRing(PanicRing):
    """A store that fails with its own words."""

    async def append(
        self, session_id: str, revision: int, payload: SessionObservationEventPayload
    ) -> SessionObservationEvent:
        """Fails."""
        raise LiveReplayFailedError("no append today")

    async def replay_after_cursor(self, cursor: SessionCursor) -> LiveReplayResult:
        """Fails."""
        raise LiveReplayFailedError("no replay today")

    async def subscribe_after_cursor(self, cursor: SessionCursor) -> LiveReplaySubscribeResult:
        """Fails with an error that is not ours."""
        raise LookupError("no stream today")


class RefusingRing(FailingRing):
    """A store that fails with an error of ours that is none of watching."""

    async def replay_after_cursor(self, cursor: SessionCursor) -> LiveReplayResult:
        """Fails."""
        raise NotDoneError("the server is full")


class DeadRing(FailingRing):
    """A store that cannot even say where it stands."""

    async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
        """Fails."""
        raise OSError("nobody home")


async def a_bad_cursor_does_not_touch_the_store(stores: WatchedStores) -> None:
    """It is looked at before anything else."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    handle = await RuntimeHandle.create(runtime, PanicRing())
    for verb in (handle.resume_session_observation, handle.subscribe_session_observation):
        async with refused(WrongSessionCursorError):
            await verb(SessionCursor.new("session-b", 0, 99))
        async with refused(MalformedSessionCursorError):
            await verb(SessionCursor.from_raw_for_testing("bad"))
    runtime.close()


async def a_commit_does_not_fail_for_its_ring(stores: WatchedStores) -> None:
    """Readers see it; its cursor is where the store says it stands."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    handle = await RuntimeHandle.create(runtime, FailingRing(7))
    await runtime.append_session_nodes(said("a"))
    await handle.publish_from(runtime)
    seen = handle.observe()

    assert ["a"] == [message.text for message in seen.read_view.messages]
    assert (await scene.revision(), 7) == (seen.revision, seen.cursor.parse().live_position)
    assert seen.revision == seen.cursor.parse().revision
    assert ["a"] == await scene.messages()
    runtime.close()


async def nothing_that_is_recorded_raises(stores: WatchedStores) -> None:
    """Neither a turn nor an input fails for those who watch."""
    scene = scene_of(stores, [says("hello")])
    runtime = await scene.runtime()
    handle = await RuntimeHandle.create(runtime, FailingRing())
    assert await handle.record_turn_activity(piece("a")) is None
    async with handle.writer() as held:
        turn = await held.stream_turn(words("hi"), sender=handle.sender())
        await handle.publish_from(held)
    batch = await handle.enqueue_turn_input(TurnInput.text("later"))

    assert "hello" == finished(turn)
    assert [batch] == list(await (await scene.store()).list_queued_work(scene.session_id))
    runtime.close()


async def who_watches_hears_that_the_store_failed(stores: WatchedStores) -> None:
    """An error of watching, with the store's words, whatever the store raised."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    handle = await RuntimeHandle.create(runtime, FailingRing())
    async with refused(LiveReplayFailedError, "no replay today"):
        await handle.resume_session_observation(handle.observe().cursor)
    async with refused(LiveReplayStoreError, "no stream today"):
        await handle.subscribe_session_observation(handle.observe().cursor)
    handle = await RuntimeHandle.create(runtime, RefusingRing())
    async with refused(LiveReplayStoreError, "the server is full"):
        await handle.resume_session_observation(handle.observe().cursor)
    runtime.close()


async def a_store_that_is_dead_leaves_readers_what_they_need(stores: WatchedStores) -> None:
    """A handle is made and publishes; its cursor stays where it was, so that nobody misses anything later."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    handle = await RuntimeHandle.create(runtime, DeadRing())
    await runtime.append_session_nodes(said("a"))
    await handle.publish_from(runtime)
    seen = handle.observe()

    assert SessionCursor.new(scene.session_id, await scene.revision(), 0) == seen.cursor
    assert ["a"] == [message.text for message in seen.read_view.messages]
    async with refused(LiveReplayStoreError, "nobody home"):
        await handle.current_session_observation()
    runtime.close()
