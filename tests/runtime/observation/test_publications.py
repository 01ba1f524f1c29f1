"""Publications of a handle in every order that a slow ring can bring about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from lash_core.errors.session import SessionError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import SessionGap, SessionProcessEventKind
from lash_core.model.turn_input import TurnInput
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.observation import activity_writer, handle_verbs
from lash_core.runtime.runtime_handle import RuntimeHandle
from lash_core.runtime.turn_activities import TurnFollower
from lash_core.store.live_replay_store import LiveAppend, LiveAppendOutcome, LiveReplayStore
from lash_core.testing.conformance.lifecycle.arrange import POLICY, Scene, said
from lash_core.testing.conformance.observation.arrange import events_after, piece, words_after
from lash_core.testing.waiting import eventually
from tests.runtime.observation.rings import FarRing, PlainRing, lost


@asynccontextmanager
async def watched(ring: LiveReplayStore) -> AsyncGenerator[tuple[LashRuntime, RuntimeHandle]]:
    """A runtime in memory and its handle over a ring."""
    runtime = await LashRuntime.builder().with_session_id("s").with_policy(POLICY).build()
    try:
        yield runtime, await RuntimeHandle.create(runtime, ring)
    finally:
        runtime.close()


async def test_an_observation_is_never_older_than_its_cursor() -> None:
    """A commit that is in the ring, but not shown yet, is waited for."""

    class Ring(FarRing):
        publishing: asyncio.Task[None] | None = None

        async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
            if self.armed and self.publishing is None:
                self.publishing = asyncio.create_task(handle.publish_from(runtime))
                await eventually(self.has_commit)
                asyncio.get_running_loop().call_later(0.02, self.reply.set)
            return await super().current_cursor(session_id, revision)

        async def append_many(self, appends: Sequence[LiveAppend]) -> tuple[LiveAppendOutcome, ...]:
            answer = await super().append_many(appends)
            await self.reply.wait()
            return answer

        async def has_commit(self) -> bool:
            return await self.last_commit("s") != (0, 0)

        armed = False
        reply = asyncio.Event()

    ring = Ring()
    async with watched(ring) as (runtime, handle):
        await runtime.append_session_nodes(said("a"))
        ring.armed = True
        seen = await handle.current_session_observation()
        assert ring.publishing is not None
        await ring.publishing

        assert 1 == seen.cursor.parse().live_position
        assert ["a"] == [message.text for message in seen.read_view.messages]


async def test_readers_see_the_old_publication_until_the_new_one_is_in_the_ring() -> None:
    """And everything of the new one at once."""
    ring = FarRing()
    async with watched(ring) as (runtime, handle):
        before = handle.observe()
        ring.gate.clear()
        await runtime.append_session_nodes(said("a"))
        publishing = asyncio.create_task(handle.publish_from(runtime))
        await eventually(lambda: len(ring.calls) == 1)
        assert before is handle.observe()
        ring.gate.set()
        await publishing

        assert 1 == handle.observe().cursor.parse().live_position
        assert ["a"] == [message.text for message in handle.observe().read_view.messages]


async def test_a_publication_that_is_cut_short_is_seen() -> None:
    """The commit is done; its cursor is one that misses nothing."""
    ring = FarRing()
    async with watched(ring) as (runtime, handle):
        begin = handle.observe().cursor
        ring.gate.clear()
        await runtime.append_session_nodes(said("a"))
        publishing = asyncio.create_task(handle.publish_from(runtime))
        await eventually(lambda: len(ring.calls) == 1)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        ring.gate.set()

        assert publishing.cancelled()
        assert ["a"] == [message.text for message in handle.observe().read_view.messages]
        assert begin.parse().live_position == handle.observe().cursor.parse().live_position
        assert ["committed a"] == await words_after(handle, handle.observe().cursor)


async def test_a_late_publication_does_not_replace_a_newer_one() -> None:
    """They are numbered by their calls."""

    class Ring(FarRing):
        asked = asyncio.Event()
        answers = asyncio.Event()

        async def current_cursor(self, session_id: str, revision: int) -> SessionCursor:
            if self.calls:
                self.asked.set()
                await self.answers.wait()
            return await super().current_cursor(session_id, revision)

    ring = Ring()
    async with watched(ring) as (runtime, handle):
        ring.fault = lost
        late = asyncio.create_task(handle.publish_from(runtime))
        await ring.asked.wait()
        ring.fault = lambda _: None
        await runtime.append_session_nodes(said("a"))
        await handle.publish_from(runtime)
        newer = handle.observe()
        ring.answers.set()
        await late

        assert newer is handle.observe()
        assert ["a"] == [message.text for message in newer.read_view.messages]


async def test_a_commit_that_was_lost_is_a_gap_for_who_comes_back() -> None:
    """With an observation that has it."""
    ring = FarRing()
    async with watched(ring) as (runtime, handle):
        begin = handle.observe().cursor
        ring.fault = lost
        await runtime.append_session_nodes(said("a"))
        await handle.publish_from(runtime)
        ring.fault = lambda _: None
        handle.record_turn_activity(piece("next"))
        answer = await handle.resume_session_observation(begin)

        assert isinstance(answer, SessionGap)
        assert ["a"] == [message.text for message in answer.observation.read_view.messages]


async def test_a_publication_waits_for_its_ring_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then readers see it, and its commit comes when it can."""
    monkeypatch.setattr(activity_writer, "PUBLISH_WITHIN_MS", 10)
    ring = FarRing()
    async with watched(ring) as (runtime, handle):
        begin = handle.observe().cursor
        ring.gate.clear()
        await runtime.append_session_nodes(said("a"))
        await handle.publish_from(runtime)
        assert ["a"] == [message.text for message in handle.observe().read_view.messages]
        assert 0 == handle.observe().cursor.parse().live_position
        ring.gate.set()

        async def has_commit() -> bool:
            return await ring.last_commit("s") != (0, 0)

        await eventually(has_commit)
        assert ["committed a"] == await words_after(handle, begin)


async def test_a_hosts_own_store_serves_a_handle() -> None:
    """Five verbs are enough; what was recorded is flushed for who asks on the handle."""
    async with watched(PlainRing()) as (runtime, handle):
        begin = handle.observe().cursor
        handle.record_turn_activity(piece("x"))
        assert 1 == (await handle.current_session_observation()).cursor.parse().live_position
        await runtime.append_session_nodes(said("a"))
        await handle.publish_from(runtime)

        assert ["x", "committed a"] == await words_after(handle, begin)
        assert handle.observe().cursor == (await events_after(handle, begin))[-1].cursor


async def test_a_sender_tells_under_the_generation_of_its_turn() -> None:
    """Activities and processes; an owner that lost the session tells nothing more, and publishes nothing by itself."""
    ring = FarRing()
    async with watched(ring) as (_, handle):
        begin = handle.observe().cursor
        senders = [handle.sender() for _ in range(2)]
        for generation, sender in enumerate(senders, start=1):
            assert isinstance(sender, TurnFollower)
            await sender.turn_begins("turn-1", generation=generation, is_redo=False)
            await sender(piece(f"by {generation}"))
            await sender.process_changed(SessionProcessEventKind.STARTED, f"p{generation}")
            await sender.turn_committed("turn-1")
        await handle.resume_session_observation(begin)
        await senders[0](piece("late"))

        assert ["by 1", "started p1", "by 2", "started p2"] == await words_after(handle, begin)


async def test_who_may_write_holds_the_runtime() -> None:
    """Also while the runtime is not in use; one holder works at a time."""
    async with watched(FarRing()) as (runtime, handle):
        right = handle.writer()
        assert handle is handle.try_into_runtime()
        async with right as held:
            assert runtime is held
            waiting = asyncio.create_task(_session_id(handle))
            await asyncio.sleep(0)
            assert not waiting.done()
        assert "s" == await waiting
        del right

        assert runtime is handle.try_into_runtime()
        with pytest.raises(SessionError, match="holds no runtime"):
            handle.writer()
        assert "s" == handle.observe().session_id


async def _session_id(handle: RuntimeHandle) -> str:
    async with handle.writer() as runtime:
        return runtime.session_id


async def test_an_input_is_queued_however_slow_its_ring_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever queued it waits a while for the ring, and no longer."""
    monkeypatch.setattr(handle_verbs, "TOLD_WITHIN_MS", 1)
    ring = FarRing()
    ring.gate.clear()
    async with InMemoryStores() as stores:
        scene = Scene(stores)
        runtime = await scene.runtime()
        handle = await RuntimeHandle.create(runtime, ring)
        begin = handle.observe().cursor
        batch = await handle.enqueue_turn_input(TurnInput.text("hi"))
        ring.gate.set()

        assert [f"enqueued {batch.batch_id}"] == await words_after(handle, begin)
        runtime.close()
