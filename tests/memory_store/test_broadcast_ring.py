"""The ring of a session in one process: from any thread, any number of subscriptions, none kept by accident."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import SubscriberLaggedError
from lash_core.memory_store.broadcast_ring import BroadcastRing
from lash_core.memory_store.live_replay import InMemoryLiveReplayStore, InMemoryLiveReplayStoreConfig
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    LiveReplayConfig,
    LiveReplayGapReason,
    QueueChangedPayload,
    SessionObservationEvent,
    SessionQueueEventKind,
)
from lash_core.store.live_replay_store import LiveGap, LiveReplayed, LiveSubscribed
from lash_core.testing.waiting import eventually


def event_at(position: int) -> SessionObservationEvent:
    payload = QueueChangedPayload(SessionQueueEventKind.ENQUEUED, (str(position),))
    return SessionObservationEvent("s", SessionRevision(1), SessionCursor.new("s", 1, position), payload)


def push(ring: BroadcastRing, position: int, *, size: int = 1, at_ms: int = 0) -> bool:
    return ring.push(position, event_at(position), size=size, at_ms=at_ms)


async def test_a_position_is_taken_once() -> None:
    """What came already, by another way, is no second event."""
    ring = BroadcastRing(LiveReplayConfig())

    assert [True, True, False, False] == [push(ring, position) for position in (1, 2, 2, 1)]
    assert (event_at(1), event_at(2)) == ring.events_after(0)


async def test_a_hole_empties_the_ring_and_is_told() -> None:
    """Positions in a ring have no holes: what is behind one is all there is, and subscribers hear what they missed."""
    ring = BroadcastRing(LiveReplayConfig())
    push(ring, 1)
    stream = ring.subscribe(0)
    push(ring, 5)

    lagged, event = await anext(stream), await anext(stream)

    assert isinstance(lagged, SubscriberLaggedError)
    assert (4, event_at(5)) == (lagged.missed, event)
    assert LiveReplayGapReason.TRIMMED is ring.events_after(3)
    assert (event_at(5),) == ring.events_after(4)


async def test_an_emptied_ring_is_told_without_an_event() -> None:
    """A failover, or a writer that dropped: who waits hears of it at once."""
    ring = BroadcastRing(LiveReplayConfig(), tail=3)
    stream = ring.subscribe(3)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)

    ring.skip_to(10)

    item = await waiting
    assert isinstance(item, SubscriberLaggedError)
    assert 7 == item.missed


async def test_bytes_are_bounded_and_the_newest_stays() -> None:
    """However large it is."""
    ring = BroadcastRing(LiveReplayConfig(max_bytes_per_session=10))
    for position, size in enumerate((4, 4, 4, 99), start=1):
        push(ring, position, size=size)

    assert (4, 1, 99) == (ring.first, len(ring), ring.kept_bytes)
    push(ring, 5, size=3)
    assert (5, 3) == (ring.first, ring.kept_bytes)


async def test_age_counts_strictly() -> None:
    """Just as old as the bound stays."""
    ring = BroadcastRing(LiveReplayConfig(max_age_ms=100))
    push(ring, 1, at_ms=0)

    assert 0 == ring.trim(100)
    assert 1 == len(ring)
    assert 1 == ring.trim(101)
    assert 0 == len(ring)


async def test_two_tasks_may_not_read_one_stream() -> None:
    """They would share its events; each takes a stream of its own."""
    ring = BroadcastRing(LiveReplayConfig())
    stream = ring.subscribe(0)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="another task"):
        await anext(stream)

    push(ring, 1)
    assert event_at(1) == await waiting


async def test_waits_that_are_given_up_leave_nothing() -> None:
    """A reader with a timeout may come back for ever on a session where nothing happens."""
    ring = BroadcastRing(LiveReplayConfig())
    stream = ring.subscribe(0)
    for _ in range(5):
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    assert not ring._bells


async def test_a_stream_that_nobody_holds_is_released() -> None:
    """Who breaks out of a loop closes nothing."""
    ring = BroadcastRing(LiveReplayConfig())
    push(ring, 1)
    kept = ring.subscribe(0)

    async for _ in ring.subscribe(0):
        break
    gc.collect()

    assert 1 == ring.subscribed
    await kept.aclose()
    await kept.aclose()
    assert 0 == ring.subscribed


async def test_threads_append_and_a_loop_hears() -> None:
    """A waiting loop is woken from outside; every event comes once, in order."""
    ring = BroadcastRing(LiveReplayConfig(max_events_per_session=10_000))
    streams = [ring.subscribe(0) for _ in range(3)]

    def write() -> None:
        for _ in range(500):
            with ring.lock:
                push(ring, ring.tail + 1)

    async def read(index: int) -> list[int]:
        return [getattr(await anext(streams[index]), "position", -1) for _ in range(2_000)]

    readers = [asyncio.create_task(read(index)) for index in range(3)]
    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()

    assert [list(range(1, 2_001))] * 3 == await asyncio.gather(*readers)
    for thread in threads:
        thread.join()


async def test_each_loop_hears() -> None:
    """Streams of a thread with a loop of its own, beside those of this one."""
    ring = BroadcastRing(LiveReplayConfig())
    heard: list[int] = []

    async def read() -> None:
        stream = ring.subscribe(0)
        async for item in stream:
            heard.append(getattr(item, "position", -1))
            if len(heard) == 2:
                break

    thread = threading.Thread(target=lambda: asyncio.run(read()))
    thread.start()
    await eventually(lambda: ring.subscribed == 1)
    push(ring, 1)
    await eventually(lambda: heard == [1])
    push(ring, 2)
    await asyncio.to_thread(thread.join)

    assert [1, 2] == heard


async def test_ten_thousand_streams_of_a_session() -> None:
    """Each hears everything; a stream is a position, so the events are there once."""
    rings = InMemoryLiveReplayStore()
    streams: list[LiveSubscribed] = []
    for _ in range(10_000):
        result = await rings.subscribe_after_cursor(SessionCursor.new("s", 1, 0))
        assert isinstance(result, LiveSubscribed)
        streams.append(result)

    async def read(stream: LiveSubscribed) -> list[int]:
        return [id(await anext(stream.subscription)) for _ in range(2)]

    readers = [asyncio.create_task(read(stream)) for stream in streams]
    await asyncio.sleep(0)
    events = [rings.append_now("s", 1, event_at(1).payload) for _ in range(2)]

    assert {tuple(id(event) for event in events)} == {tuple(ids) for ids in await asyncio.gather(*readers)}


async def test_the_bounds_may_be_given_alone() -> None:
    """The names and the order of the contract; the defaults are 2,048 events and 120 s."""
    assert (2_048, 120_000) == (
        InMemoryLiveReplayStoreConfig().max_events_per_session,
        InMemoryLiveReplayStoreConfig().max_age_ms,
    )
    clock = VirtualClock(start_us=1_000_000)
    rings = InMemoryLiveReplayStore(InMemoryLiveReplayStoreConfig(max_events_per_session=2, max_age_ms=10), clock=clock)
    for _ in range(3):
        rings.append_now("s", 1, event_at(1).payload)

    assert LiveGap(LiveReplayGapReason.TRIMMED) == await rings.replay_after_cursor(SessionCursor.new("s", 1, 0))
    replayed = await rings.replay_after_cursor(SessionCursor.new("s", 1, 1))
    assert isinstance(replayed, LiveReplayed)
    assert [2, 3] == [event.position for event in replayed.events]
    clock.advance_ms(10)
    await rings.trim_session("s")
    assert replayed == await rings.replay_after_cursor(SessionCursor.new("s", 1, 1))
    clock.advance_ms(1)
    await rings.trim_session("s")
    assert LiveGap(LiveReplayGapReason.TRIMMED) == await rings.replay_after_cursor(SessionCursor.new("s", 1, 2))
    assert LiveReplayed(()) == await rings.replay_after_cursor(SessionCursor.new("s", 1, 3))


async def test_a_session_that_was_only_listened_to_is_forgotten() -> None:
    """Ids come from outside: listening to a thousand wrong ones keeps nothing."""
    rings = InMemoryLiveReplayStore()
    for number in range(3):
        result = await rings.subscribe_after_cursor(SessionCursor.new(f"s{number}", 1, 0))
        assert isinstance(result, LiveSubscribed)
        await result.subscription.aclose()

    assert 3 == await rings.trim_idle(100)
    assert not rings._sessions


async def test_a_ring_of_no_events_serves_those_who_listen() -> None:
    """Nothing is replayed; one event is there for who is listening already."""
    rings = InMemoryLiveReplayStore(InMemoryLiveReplayStoreConfig(max_events_per_session=0))
    answer = await rings.subscribe_after_cursor(SessionCursor.new("s", 0, 0))
    assert isinstance(answer, LiveSubscribed)
    heard: list[int] = []
    for _ in range(3):
        await rings.append("s", 1, event_at(1).payload)
        item = await anext(answer.subscription)
        assert isinstance(item, SessionObservationEvent)
        heard.append(item.position)

    assert [1, 2, 3] == heard
    assert LiveGap(LiveReplayGapReason.TRIMMED) == await rings.replay_after_cursor(SessionCursor.new("s", 0, 2))
    assert LiveReplayed(()) == await rings.replay_after_cursor(SessionCursor.new("s", 0, 3))
    assert LiveGap(LiveReplayGapReason.UNAVAILABLE) == await rings.replay_after_cursor(SessionCursor.new("s", 0, 4))
