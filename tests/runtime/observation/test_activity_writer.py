"""Events of sessions reach their rings in order, bounded, and in nobody's way."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.model.session_observation import SessionObservationEvent
from lash_core.model.session_observation import SessionObservationEventPayload as Payload
from lash_core.runtime.observation import activity_writer, lane_flusher
from lash_core.runtime.observation.activity_lane import ActivityLane, QueuedEvent
from lash_core.runtime.observation.activity_writer import LiveActivityWriter, writer_of
from lash_core.runtime.observation.recording import Recording
from lash_core.testing.waiting import eventually
from tests.runtime.observation.rings import FarRing, PlainRing, away, committed, said, texts_in


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_writer, "PUBLISH_WITHIN_MS", 20)
    monkeypatch.setattr(lane_flusher, "FAILURE_PAUSE_MS", 1)


# -- where it goes ---------------------------------------------------------------------------------------


async def test_a_ring_in_this_process_is_appended_to_at_once() -> None:
    """Nothing is ever pending there."""
    ring = InMemoryLiveReplayStore()
    recording = LiveActivityWriter(ring).record("s", 3, said("a"))

    assert recording.is_done
    assert recording.event is not None
    assert (1, 3) == (recording.event.position, recording.event.revision)
    assert recording.event is await recording
    assert ["a"] == await texts_in(ring, "s")


def test_a_ring_in_this_process_needs_no_event_loop() -> None:
    """Code of a program without a loop may record."""
    assert LiveActivityWriter(InMemoryLiveReplayStore()).record("s", 0, said("a")).is_done


async def test_events_of_one_moment_go_in_one_pipeline() -> None:
    """Whatever the number of sessions; each session's in its order."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    recordings = [writer.record(f"s{number % 3}", 1, said(str(number))) for number in range(9)]
    assert not any(recording.is_done for recording in recordings)
    events = [await recording for recording in recordings]

    assert 1 == len(ring.calls)
    assert ["0", "3", "6"] == await texts_in(ring, "s0")
    assert [1, 1, 1, 2, 2, 2, 3, 3, 3] == [event.position for event in events if event is not None]


async def test_what_is_recorded_meanwhile_waits_for_what_is_under_way() -> None:
    """Order holds, and another session does not wait for it."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    ring.gate.clear()
    writer.record("s", 1, said("a"))
    await eventually(lambda: len(ring.calls) == 1)
    gate, ring.gate = ring.gate, asyncio.Event()
    ring.gate.set()
    behind = [writer.record("s", 1, said(text)) for text in "bc"]
    await writer.record("other", 1, said("x"))
    assert [] == await texts_in(ring, "s")
    gate.set()
    await behind[-1]

    assert ["a", "b", "c"] == await texts_in(ring, "s")


def test_what_was_sent_leaves_room_in_its_queue() -> None:
    """The bound is of what waits, not of what ever came."""
    lane = ActivityLane("s")
    for _ in range(10):
        assert [0, 0] == [lane.put(QueuedEvent(1, 0, said(text), 300), 1_000) for text in "ab"]
        lane.take()


async def test_a_session_that_streams_keeps_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue a token would be dear; one of which nothing waits is forgotten at the next look."""
    ring = FarRing()
    flusher = LiveActivityWriter(ring)._lanes
    await flusher.put("streams", [QueuedEvent(1, 1, said("a"), 1)])
    assert ("streams",) == flusher.session_ids
    await flusher.put("streams", [QueuedEvent(1, 1, said("b"), 1)])

    monkeypatch.setattr(lane_flusher, "SWEEP_EVERY_S", 0.0)
    flusher.miss("missed", 1)
    await flusher.put("other", [QueuedEvent(1, 1, said("x"), 1)])

    assert ("missed", "other") == flusher.session_ids
    assert ["a", "b"] == await texts_in(ring, "streams")


@pytest.mark.parametrize(("sessions", "unused"), [(31, "FLUSH_EVERY_BUSY_MS"), (32, "FLUSH_EVERY_MS")])
async def test_many_sessions_at_once_share_rarer_pipelines(
    sessions: int, unused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pipeline has a price of its own, which few sessions do not feel."""
    monkeypatch.setattr(lane_flusher, unused, 60_000)
    writer = LiveActivityWriter(FarRing())
    async with asyncio.timeout(30):
        for text in "ab":
            recordings = [writer.record(f"s{number}", 1, said(text)) for number in range(sessions)]
            await recordings[-1]

    assert 2 == writer.counts.flushes


async def test_an_append_is_of_one_revision_and_one_generation() -> None:
    """They are the append's, not the event's."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    for revision, generation in ((1, 1), (1, 1), (2, 1), (2, 2)):
        recording = writer.record("s", revision, said("x"), generation=generation)
    await recording

    sent = [append for call in ring.calls for append in call]
    assert [(1, 1, 2), (2, 1, 1), (2, 2, 1)] == [(one.revision, one.generation, len(one.payloads)) for one in sent]


async def test_a_store_with_five_verbs_is_given_one_event_at_a_time() -> None:
    """It needs to know nothing of fleets."""
    ring = PlainRing()
    writer = LiveActivityWriter(ring)
    await asyncio.gather(*(writer.record("s", 1, said(text)) for text in "abc"))

    assert ["a", "b", "c"] == await texts_in(ring, "s")


async def test_who_overrides_append_alone_is_asked_through_it() -> None:
    """A store derived from a ring in this process is not passed by."""

    class Counting(InMemoryLiveReplayStore):
        appends = 0

        async def append(self, session_id: str, revision: int, payload: Payload) -> SessionObservationEvent:
            self.appends += 1
            return await super().append(session_id, revision, payload)

    ring = Counting()
    await LiveActivityWriter(ring).record("s", 1, said("a"))

    assert 1 == ring.appends


async def test_a_store_has_one_writer_as_long_as_somebody_holds_it() -> None:
    """Events of a session have one order in a program."""
    ring = FarRing()
    writer = writer_of(ring)
    assert writer is writer_of(ring)
    assert writer is not writer_of(FarRing())
    gone = weakref.ref(writer)
    del writer
    gc.collect()

    assert gone() is None
    closed = writer_of(ring)
    await closed.close()
    assert closed is not writer_of(ring)


# -- commits ---------------------------------------------------------------------------------------------


async def test_a_commit_comes_behind_what_was_recorded() -> None:
    """With the switch of the frame right before it."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    writer.record("s", 1, said("a"))
    event = await writer.publish("s", 2, committed("s"), frame_id="f2")

    assert ["a", "agent_frame_switched", "committed"] == await texts_in(ring, "s")
    assert event is not None
    assert (3, 2) == (event.position, event.revision)


async def test_a_commit_waits_for_its_own_append_only() -> None:
    """A session whose append is held up is not another one's concern."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    ring.gate.clear()
    held = writer.record("held", 1, said("a"))
    await eventually(lambda: len(ring.calls) == 1)
    gate, ring.gate = ring.gate, asyncio.Event()
    ring.gate.set()

    assert await writer.publish("other", 1, committed("other")) is not None
    assert not held.is_done
    gate.set()
    assert await held is not None


async def test_a_commit_is_published_once() -> None:
    """Whoever repairs and whoever committed may both try; behind what was recorded."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    writer.record("s", 1, said("a"))
    first = await writer.publish_once("s", 2, committed("s"))
    again = await writer.publish_once("s", 2, committed("s"))

    assert first is not None
    assert again is None
    assert ["a", "committed"] == await texts_in(ring, "s")


@pytest.mark.usefixtures("_hurried")
async def test_nothing_queued_comes_behind_the_commit_that_ends_it() -> None:
    """What cannot be flushed in time is dropped: it would be text of a turn that is over."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    ring.gate.clear()
    writer.record("s", 1, said("under way"))
    await eventually(lambda: len(ring.calls) == 1)
    late = writer.record("s", 1, said("queued"))
    assert await writer.publish_once("s", 2, committed("s")) is not None
    ring.gate.set()

    assert await late is None
    await writer.flush("s")
    assert "queued" not in await texts_in(ring, "s")
    assert 1 == writer.counts.dropped


@pytest.mark.usefixtures("_hurried")
async def test_a_commit_never_fails_for_its_ring() -> None:
    """It does not raise, and waits for a bounded time; what is late comes in its order."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    ring.gate.clear()
    assert await writer.publish("s", 1, committed("s")) is None
    ring.gate.set()

    async def is_there() -> bool:
        return await texts_in(ring, "s") == ["committed"]

    await eventually(is_there)
    ring.fault = away
    assert await writer.publish_once("s", 2, committed("s")) is None
    await writer.close()


async def test_other_threads_may_record() -> None:
    """A function in a thread tells its session's watchers, in its order, and may wait with a loop of its own."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    asyncio.get_running_loop().set_debug(True)  # it then refuses what a thread may not do to it

    async def wait(recording: Recording) -> SessionObservationEvent | None:
        return await recording

    def work() -> SessionObservationEvent | None:
        recordings = [writer.record("s", 1, said(text)) for text in "abc"]
        return asyncio.run(wait(recordings[-1]))

    event = await asyncio.to_thread(work)

    assert ["a", "b", "c"] == await texts_in(ring, "s")
    assert event is not None
    assert 3 == event.position
