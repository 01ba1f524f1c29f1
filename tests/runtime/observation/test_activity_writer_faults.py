"""What becomes of events whose ring fails, is slow or is gone: nobody is held up, and no hole is untold."""

from __future__ import annotations

import asyncio
import logging
import math

import pytest

from lash_core.errors.observation import LiveReplayFailedError
from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.model.session_observation import (
    ProcessChangedPayload,
    SessionObservationEvent,
    SessionProcessEventKind,
    TurnActivityPayload,
)
from lash_core.model.session_observation import SessionObservationEventPayload as Payload
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.observation import activity_writer, lane_flusher
from lash_core.runtime.observation.activity_lane import ActivityLane, QueuedEvent
from lash_core.runtime.observation.activity_writer import LiveActivityWriter
from lash_core.runtime.observation.ring_appends import RingAnswer
from lash_core.store.live_replay_store import LiveAppend
from lash_core.testing.waiting import eventually
from tests.runtime.observation.rings import FarRing, PlainRing, away, committed, lost, said, texts_in, word_of


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_writer, "PUBLISH_WITHIN_MS", 20)
    monkeypatch.setattr(lane_flusher, "FAILURE_PAUSE_MS", 1)


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


async def test_what_is_held_up_until_its_commit_is_told_is_not_told_behind_it() -> None:
    """Text is in the history by then; of what is not there, whoever watches is told to look again."""
    for ring in (FarRing(), InMemoryLiveReplayStore()):
        writer = LiveActivityWriter(ring)
        await writer.record("s", 1, said("half"), generation=3)
        assert await ring.append_commit_once("s", 2, committed("s")) is not None

        assert await writer.record("s", 1, said("late"), generation=3) is None
        assert ["half", "committed"] == await texts_in(ring, "s")
        assert (1, 0) == (writer.counts.stale, writer.counts.dropped)
        assert await writer.record("s", 2, said("next"), generation=3) is not None
        assert ["half", "committed", "next"] == await texts_in(ring, "s")

        started = ProcessChangedPayload(SessionProcessEventKind.STARTED, ("p",))
        assert await writer.record("s", 1, started, generation=3) is None
        assert await writer.record("s", 2, said("last"), generation=3) is not None
        assert ["gap"] == await texts_in(ring, "s")
        assert ["last"] == await texts_in(ring, "s", 4)


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


async def test_what_no_ring_takes_is_left_out_and_leaves_a_gap() -> None:
    """No JSON, or too large. Recording never raises; the next event that is taken tells how many are missing."""
    bad = TurnActivityPayload(TurnActivity(id="a", correlation_id="c", event=TurnEvent("usage", {"n": math.nan})))
    for ring in (FarRing(), InMemoryLiveReplayStore()):
        writer = LiveActivityWriter(ring)
        await writer.record("s", 1, said("a"))
        assert await writer.record("s", 1, bad) is None
        assert await writer.record("s", 1, said("x" * 2_000_000)) is None
        await writer.record("another", 1, said("its own"))
        last = await writer.record("s", 1, said("b"))

        assert last is not None
        assert 4 == last.position
        assert ["gap"] == await texts_in(ring, "s", 1)
        assert ["b"] == await texts_in(ring, "s", 3)
        assert ["its own"] == await texts_in(ring, "another")
        assert 2 == writer.counts.dropped


async def test_a_loop_that_ends_starts_nothing_new() -> None:
    """What is queued behind an append that was cut short has nobody to finish it."""
    ring = FarRing()
    ring.gate.clear()
    writer = LiveActivityWriter(ring)
    writer.record("s", 1, said("under way"))
    await eventually(lambda: len(ring.calls) == 1)
    queued = writer.record("s", 1, said("queued"))
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()

    assert await queued is None
    assert 2 == writer.counts.dropped
    ring.gate.set()
    await writer.flush("s")
    assert 1 == len(ring.calls)


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


def test_tries_become_rarer() -> None:
    """From 50 ms to a second between two, for ten seconds; a success begins anew."""
    lane = ActivityLane("s")
    pauses: list[float] = []
    for _ in range(7):
        assert lane.is_worth_another_try(100.0, 10_000)
        lane.pause(100.0, 50, 1_000)
        pauses.append(round(lane.paused_until - 100.0, 3))

    assert [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0] == pauses
    assert not lane.is_worth_another_try(110.0, 10_000)
    assert 0 == lane.put(QueuedEvent(1, 0, said("a"), 10), 100)
    lane.settle(lane.take(), RingAnswer((None,)))
    assert (0, 0.0) == (lane.failures, lane.paused_until)
    assert lane.is_worth_another_try(110.0, 10_000)
