"""Watching over a server that goes away, comes back, is replaced or has forgotten: a gap that says so, or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import LiveReplayFailedError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import LiveReplayGapReason, SessionObservationEvent
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.live_ring import LIVE_EPOCH
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.store.live_replay_store import LiveSubscribed
from lash_core.testing.conformance.live_replay.arrange import (
    after,
    gap,
    heard,
    heard_texts,
    replayed,
    subscribed,
    tail,
    tell,
    texts_of,
)
from lash_core.testing.fault_proxy import FaultProxy
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from tests.redis_store.rows import partition, redis

PATIENT = StoreSettings(partitions=1, call_timeout_ms=5_000, retry_deadline_ms=20_000)


async def tell_again(stores: RedisStores, session_id: str, text: str) -> None:
    """Append once the server takes it. It was dead when a try failed, so no try that failed was done."""

    async def is_told() -> bool:
        try:
            await tell(stores, session_id, text)
        except LiveReplayFailedError:
            return False
        return True

    await eventually(is_told, within_ms=30_000)


async def promote(stores: RedisStores) -> None:
    """Another replication id than the one the partition's rings know, as after a promotion or a restart."""
    tails = partition(stores).live_tails
    mark = str(await redis(stores, "HGET", tails, "\n"))
    await redis(stores, "HSET", tails, "\n", f"{'0' * 16};{mark.partition(';')[2]}")


async def test_a_failover_between_two_events_is_a_gap(stores: RedisStores) -> None:
    """Positions of a lost history are never given again: old cursors find a gap, streams are told."""
    await tell(stores, "s", "a", "b")
    stream = await subscribed(stores, "s")
    assert ["a", "b"] == await heard_texts(stream, 2)
    await promote(stores)

    (event,) = await tell(stores, "s", "c")

    assert 2 + LIVE_EPOCH + 1 == event.position
    assert [f"missed {LIVE_EPOCH}", "c"] == await heard_texts(stream, 2)
    for position in (0, 1, 2):
        assert LiveReplayGapReason.TRIMMED == await gap(stores, "s", position)
    assert ["c"] == texts_of(await replayed(stores, "s", event.position - 1))


async def test_a_ring_that_a_failover_lost_gives_no_position_again(stores: RedisStores) -> None:
    """Also a session whose record never came to the new server begins where nobody's cursor is."""
    await tell(stores, "s", "a", "b", "c")
    await redis(stores, "HDEL", partition(stores).live_tails, "s")
    await redis(stores, "DEL", partition(stores).live_ring("s"))
    await promote(stores)
    fresh = await stores.live_replay.current_cursor("s", 0)

    (event,) = await tell(stores, "s", "d")

    assert LIVE_EPOCH < event.position
    assert LiveReplayGapReason.TRIMMED == await gap(stores, "s", 2)
    assert 0 == fresh.parse().live_position


async def test_a_session_without_events_is_watched_after_a_failover(stores: RedisStores) -> None:
    """Its ring does not begin at 0 there; whoever waits at its beginning hears the first event and no gap."""
    await tell(stores, "other", "a")
    await promote(stores)
    await tell(stores, "other", "b")
    at_zero = await subscribed(stores, "s", 0)
    cursor = await stores.live_replay.current_cursor("s", 1)
    assert LIVE_EPOCH == cursor.parse().live_position
    at_the_tail = await subscribed(stores, "s", LIVE_EPOCH)

    await tell(stores, "s", "c")

    assert ["c"] == await heard_texts(at_zero, 1)
    assert ["c"] == await heard_texts(at_the_tail, 1)


async def test_a_server_that_is_behind_what_was_seen_tells_so_at_once(stores: RedisStores) -> None:
    """Who watched events that a failover lost is told before anything new comes, and finds a place to go on from."""
    keys = partition(stores)
    await tell(stores, "s", "a", "b")
    behind = await redis(stores, "HGET", keys.live_tails, "s")
    await tell(stores, "s", "lost", "lost")
    stream = await subscribed(stores, "s")
    assert ["a", "b", "lost", "lost"] == await heard_texts(stream, 4)
    await redis(stores, "HSET", keys.live_tails, "s", behind)
    await redis(stores, "XDEL", keys.live_ring("s"), "3-0", "4-0")
    await promote(stores)
    hub: Any = stores.live_replay._hub

    await hub.sweep()

    assert ["missed 1"] == await heard_texts(stream, 1)
    assert LiveReplayGapReason.UNAVAILABLE == await gap(stores, "s", 4)
    fresh = await subscribed(stores, "s", await tail(stores, "s"))
    await tell(stores, "s", "c")
    assert [f"missed {LIVE_EPOCH}", "c"] == await heard_texts(stream, 2)
    assert [f"missed {LIVE_EPOCH}", "c"] == await heard_texts(fresh, 2)


async def test_a_restart_of_the_server_under_a_stream_loses_nothing_unsaid() -> None:
    """The stream lives on: what was missed is told, and what comes then is heard."""
    with ValkeyServer(arguments=("--appendonly", "yes", "--appendfsync", "always")) as server:
        async with RedisStores.connect(server.url, settings=PATIENT) as stores:
            await tell(stores, "s", "a")
            stream = await subscribed(stores, "s")
            assert ["a"] == await heard_texts(stream, 1)

            await asyncio.to_thread(server.restart)
            await tell_again(stores, "s", "b")

            assert [f"missed {LIVE_EPOCH}", "b"] == await heard_texts(stream, 2)
            assert LiveReplayGapReason.TRIMMED == await gap(stores, "s", 1)


async def test_a_server_that_forgot_everything_is_a_gap_too() -> None:
    """Positions begin again there; the stream is told and goes on with them, and an old cursor is none of it."""
    with ValkeyServer(arguments=("--appendonly", "no", "--save", "")) as server:
        async with RedisStores.connect(server.url, settings=PATIENT) as stores:
            await tell(stores, "s", "a", "b", "c")
            stream = await subscribed(stores, "s")
            assert ["a", "b", "c"] == await heard_texts(stream, 3)
            await asyncio.to_thread(server.restart)

            (missed,) = await heard(stream, 1)

            assert not isinstance(missed, SessionObservationEvent)
            assert LiveReplayGapReason.UNAVAILABLE == await gap(stores, "s", 3)
            await tell_again(stores, "s", "d")
            assert ["d"] == await heard_texts(stream, 1)


async def test_a_cut_connection_is_nothing_that_a_watcher_notices() -> None:
    """What was appended meanwhile is read from the ring, in order and once."""
    with ValkeyServer() as server:
        proxy = FaultProxy(server.socket).start()
        try:
            async with (
                RedisStores.connect(server.url, settings=PATIENT) as writer,
                RedisStores.connect(proxy.url, settings=PATIENT) as stores,
            ):
                streams = [await subscribed(stores, f"s{n}") for n in range(3)]
                for n in range(3):
                    await tell(writer, f"s{n}", "a")
                assert [["a"]] * 3 == [await heard_texts(stream, 1) for stream in streams]
                proxy.refusing = True
                proxy.cut()
                for n in range(3):
                    await tell(writer, f"s{n}", "b", "c")
                proxy.refusing = False
                for n in range(3):
                    await tell(writer, f"s{n}", "d")

                assert [["b", "c", "d"]] * 3 == [await heard_texts(stream, 3) for stream in streams]
        finally:
            proxy.stop()


async def test_who_subscribes_while_the_server_is_away_is_told() -> None:
    """An error of the store within its deadline; the next try finds everything."""
    with ValkeyServer() as server:
        proxy = FaultProxy(server.socket).start()
        try:
            settings = StoreSettings(partitions=1, retry_deadline_ms=50)
            async with RedisStores.connect(proxy.url, settings=settings) as stores:
                await tell(stores, "s", "a")
                proxy.refusing = True
                proxy.cut()

                with pytest.raises(LiveReplayFailedError):
                    await stores.live_replay.subscribe_after_cursor(after("s", 0))
                with pytest.raises(LiveReplayFailedError):
                    await stores.live_replay.replay_after_cursor(after("s", 0))
                with pytest.raises(LiveReplayFailedError):
                    await tell(stores, "s", "b")

                proxy.refusing = False
                assert ["a"] == await heard_texts(await _subscribed_at_last(stores), 1)
        finally:
            proxy.stop()


async def _subscribed_at_last(stores: RedisStores) -> Any:
    found: list[Any] = []

    async def is_subscribed() -> bool:
        try:
            result = await stores.live_replay.subscribe_after_cursor(after("s", 0))
        except LiveReplayFailedError:
            return False
        assert isinstance(result, LiveSubscribed)
        found.append(result.subscription)
        return True

    await eventually(is_subscribed)
    return found[0]


async def test_a_promoted_replica_that_is_behind_is_a_gap() -> None:
    """A real promotion: cursors of the lost events are unavailable, then trimmed, and never another event's."""
    with ValkeyServer(tcp=True) as primary, ValkeyServer(tcp=True) as replica:
        connection = await RedisConnection.open(replica.url, StoreSettings())
        async with RedisStores.connect(primary.url, settings=PATIENT) as stores:
            await tell(stores, "s", "a", "b")
            tails = partition(stores).live_tails
            await connection.execute("", "REPLICAOF", "127.0.0.1", primary.port)

            async def is_copied() -> bool:
                record = await connection.execute("", "HGET", tails, "s")
                return record == await redis(stores, "HGET", tails, "s")

            await eventually(is_copied, within_ms=20_000)
            await connection.execute("", "REPLICAOF", "NO", "ONE")
            await tell(stores, "s", "lost", "lost")
        await connection.close()
        async with RedisStores.connect(replica.url, settings=PATIENT) as stores:
            assert 2 == await tail(stores, "s")
            assert LiveReplayGapReason.UNAVAILABLE == await gap(stores, "s", 4)
            stream = await subscribed(stores, "s", 2)

            for text in "cdef":
                await tell(stores, "s", text)

            assert LiveReplayGapReason.TRIMMED == await gap(stores, "s", 4)
            assert LiveReplayGapReason.TRIMMED == await gap(stores, "s", 2)
            assert [f"missed {LIVE_EPOCH}", *"cdef"] == await heard_texts(stream, 5)
            assert SessionCursor.new("s", 1, 2 + LIVE_EPOCH + 4) == await stores.live_replay.current_cursor("s", 1)
