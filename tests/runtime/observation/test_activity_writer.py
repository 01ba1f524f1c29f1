"""Events of sessions reach their rings in order, bounded, and in nobody's way."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import weakref

import pytest

from lash_core.errors.observation import LiveReplayFailedError
from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.model.session_observation import SessionObservationEvent, TurnActivityPayload
from lash_core.model.session_observation import SessionObservationEventPayload as Payload
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.observation import activity_writer, lane_flusher
from lash_core.runtime.observation.activity_lane import ActivityLane, QueuedEvent
from lash_core.runtime.observation.activity_writer import LiveActivityWriter, writer_of
from lash_core.store.live_replay_store import LiveAppend
from lash_core.testing.waiting import eventually
from tests.runtime.observation.rings import FarRing, PlainRing, away, committed, lost, said, texts_in, word_of


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


# -- faults ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_hurried")
async def test_what_is_known_not_to_be_there_is_sent_again() -> None:
    """A server that restarts leaves neither a hole nor a duplicate nor a gap."""
    ring = FarRing()
    ring.fault = away
    writer = LiveActivityWriter(ring)
    ring.gate.clear()
    first = writer.record("s", 1, said("a"))
    await eventually(lambda: len(ring.calls) == 1)
    second = writer.record("s", 1, said("b"))
    ring.gate.set()
    await eventually(lambda: len(ring.calls) >= 3)
    ring.fault = lambda _: None
    await asyncio.gather(first, second)

    assert ["a", "b"] == await texts_in(ring, "s")
    assert 0 == writer.counts.dropped
    assert writer.counts.failures >= 2


async def test_what_may_be_there_is_not_sent_again_and_leaves_a_gap() -> None:
    """No duplicate; older cursors find out, later ones go on."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    await writer.record("s", 1, said("a"))
    ring.fault = lost
    assert await writer.record("s", 1, said("b")) is None
    ring.fault = lambda _: None
    after = [await writer.record("s", 1, said(text)) for text in "cd"]

    assert [3, 4] == [event.position for event in after if event is not None]
    assert ["gap"] == await texts_in(ring, "s", 1)
    assert ["c", "d"] == await texts_in(ring, "s", 2)
    assert (3, 1) == (writer.counts.appended, writer.counts.dropped)


async def test_over_its_bound_a_queue_is_dropped_and_counted() -> None:
    """Nothing grows for a ring that cannot be reached; what came last is kept."""
    ring = FarRing()
    ring.gate.clear()
    writer = LiveActivityWriter(ring, queued_bytes_max=1_000)
    under_way = writer.record("s", 1, said("first"))
    await eventually(lambda: len(ring.calls) == 1)
    recordings = [writer.record("s", 1, said(f"{number:03} " + "x" * 300)) for number in range(5)]
    too_large = writer.record("s", 1, said("x" * 2_000))
    last = writer.record("s", 1, said("last"))
    ring.gate.set()
    assert await last is not None

    assert under_way.event is not None
    assert await too_large is None
    assert [] == [recording for recording in recordings if recording.event is not None]
    assert 6 == writer.counts.dropped
    assert ["gap"] == await texts_in(ring, "s", 1)
    assert ["last"] == await texts_in(ring, "s", 7)


async def test_an_older_generation_writes_nothing_and_misses_nothing() -> None:
    """Its session is somebody else's now."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    await writer.record("s", 1, said("new"), generation=2)

    assert await writer.record("s", 1, said("old"), generation=1) is None
    assert await writer.record("s", 1, said("host"), generation=0) is not None
    assert ["new", "host"] == await texts_in(ring, "s")
    assert (1, 0) == (writer.counts.stale, writer.counts.dropped)


async def test_whoever_listens_hears_of_a_takeover() -> None:
    """With the append that took over, and where it begins; what the listener raises is logged."""
    for ring in (FarRing(), InMemoryLiveReplayStore()):
        heard: list[tuple[LiveAppend, int]] = []

        async def hear(append: LiveAppend, first: int, heard: list[tuple[LiveAppend, int]] = heard) -> None:
            heard.append((append, first))
            raise LookupError("nobody is interested")

        writer = LiveActivityWriter(ring)
        writer.on_takeover = hear
        await writer.record("s", 1, said("old"), generation=1)
        await writer.record("s", 1, said("new"), generation=2)
        await eventually(lambda heard=heard: len(heard) > 0)

        assert [("s", 2, 2)] == [(append.session_id, append.generation, first) for append, first in heard]


async def test_what_is_no_json_is_left_out() -> None:
    """Recording never raises."""
    bad = TurnActivityPayload(TurnActivity(id="a", correlation_id="c", event=TurnEvent("usage", {"n": math.nan})))
    for ring in (FarRing(), InMemoryLiveReplayStore()):
        writer = LiveActivityWriter(ring)
        assert await writer.record("s", 1, bad) is None
        assert await writer.record("s", 1, said("a")) is not None
        assert ["a"] == await texts_in(ring, "s")


async def test_a_store_that_raises_anything_fails_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """One payload's failure says nothing of the next one's; it is logged."""
    ring = PlainRing()

    def fault(payload: Payload) -> None:
        if payload.type == "agent_frame_switched":
            raise LookupError("no frames here")

    ring.fault = fault
    with caplog.at_level(logging.WARNING):
        event = await LiveActivityWriter(ring).publish("s", 1, committed("s"), frame_id="f2")

    assert event is not None
    assert ["committed"] == await texts_in(ring, "s")
    assert "no frames here" in caplog.text


def test_without_an_event_loop_a_far_ring_is_not_written() -> None:
    """Recording does not raise there either."""

    async def made() -> LiveActivityWriter:
        return LiveActivityWriter(FarRing())

    writer = asyncio.run(made())
    assert writer.record("s", 1, said("a")).is_done
    assert 1 == writer.counts.dropped


def test_a_writer_outlives_an_event_loop() -> None:
    """What a closed loop left behind is nobody's."""
    ring = PlainRing()
    writer = LiveActivityWriter(ring)

    async def leave() -> None:
        writer.record("s", 1, said("left"))

    async def record() -> str:
        event = await writer.record("s", 1, said("kept"))
        assert event is not None
        return word_of(event)

    asyncio.run(leave())
    assert "kept" == asyncio.run(record())


async def test_a_closed_writer_takes_nothing_more() -> None:
    """What was queued is flushed first."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    writer.record("s", 1, said("a"))
    await writer.close()
    await writer.close()

    assert ["a"] == await texts_in(ring, "s")
    assert await writer.record("s", 1, said("b")) is None


async def test_of_several_who_wait_one_may_give_up() -> None:
    """The others still hear of it."""
    ring = FarRing()
    ring.gate.clear()
    recording = LiveActivityWriter(ring).record("s", 1, said("a"))

    async def wait() -> SessionObservationEvent | None:
        return await recording

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    ring.gate.set()

    assert first.cancelled()
    assert await second is recording.event is not None


async def test_a_refusal_is_not_tried_again() -> None:
    """What names a field would be refused for ever."""
    ring = FarRing()
    writer = LiveActivityWriter(ring)
    ring.fault = lambda _: LiveReplayFailedError("too large", field="payload")

    assert await writer.record("s", 1, said("a")) is None
    assert 1 == len(ring.calls)
