"""How a process hears rings on Redis: one connection a node, holes filled, nobody listened to in vain."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from lash_core.redis_store import live_hub
from lash_core.redis_store.stores import RedisStores
from lash_core.testing.conformance.live_replay.arrange import (
    heard_texts,
    said,
    subscribed,
    tail,
    tell,
    tell_at_once,
)
from lash_core.testing.waiting import eventually
from tests.redis_store.conftest import OpenStores

LARGE = 6_000
"""Characters of a message, three of which are over what a ``committed`` carries itself."""
DAY_MS = 24 * 3_600_000


# -- one process, many sessions ------------------------------------------------------------------------


async def test_one_connection_hears_all_sessions(stores: RedisStores) -> None:
    """However many are watched and however often; an event goes to those of its session alone."""
    before = await _clients(stores)
    streams = {f"s{n}": [await subscribed(stores, f"s{n}") for _ in range(3)] for n in range(20)}
    assert before + 1 == await _clients(stores)

    for name in streams:
        await tell(stores, name, f"to {name}")

    for name, listening in streams.items():
        assert [[f"to {name}"]] * 3 == [await heard_texts(stream, 1) for stream in listening]


async def _clients(stores: RedisStores) -> int:
    return len(str(await stores.context.connection.execute("", "CLIENT", "LIST")).splitlines())


async def test_a_session_that_nobody_watches_any_more_is_left(
    open_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed or forgotten streams alike: the channel has no listener and the process keeps no events of it."""
    monkeypatch.setattr(live_hub, "LINGER_SECONDS", 0.0)
    async with open_stores() as stores:
        channel = stores.context.keyspace.of_session("s").live_channel("s")
        first, second = await subscribed(stores, "s"), await subscribed(stores, "s")
        assert 1 == await _listeners(stores, channel)
        await first.aclose()
        await first.aclose()
        await tell(stores, "s", "a")
        assert ["a"] == await heard_texts(second, 1)

        del second
        gc.collect()

        async def is_left() -> bool:
            return await _listeners(stores, channel) == 0

        await eventually(is_left)
        assert ["a"] == await heard_texts(await subscribed(stores, "s"), 1)


async def _listeners(stores: RedisStores, channel: str) -> int:
    reply: Any = await stores.context.connection.execute(channel, "PUBSUB", "SHARDNUMSUB", channel)
    return int(reply[1])


async def _tell_unheard(stores: RedisStores, session_id: str, *texts: str) -> None:
    """Append events whose messages come to this process and are lost in it."""
    hub: Any = stores.live_replay._hub
    callbacks: list[Any] = hub._subscriptions._callbacks[
        stores.context.keyspace.of_session(session_id).live_channel(session_id)
    ]
    lost: list[str] = []

    def lose(_channel: str, message: str) -> None:
        lost.append(message)

    kept, callbacks[:] = list(callbacks), [lose]
    await tell(stores, session_id, *texts)
    await eventually(lambda: len(lost) == len(texts))
    callbacks[:] = kept


async def test_a_lost_message_costs_a_look_and_nothing_else(stores: RedisStores) -> None:
    """What the channel did not say is in the ring; the sweep finds it without a further event."""
    stream = await subscribed(stores, "s")
    await _tell_unheard(stores, "s", "a", "b")
    hub: Any = stores.live_replay._hub

    await hub.sweep()

    assert ["a", "b"] == await heard_texts(stream, 2)


async def test_a_hole_in_the_channel_is_filled_before_what_follows(stores: RedisStores) -> None:
    """The message behind a lost one shows the hole."""
    stream = await subscribed(stores, "s")
    await _tell_unheard(stores, "s", "a", "b")
    await tell(stores, "s", "c")

    assert ["a", "b", "c"] == await heard_texts(stream, 3)


async def test_who_comes_first_asks_the_server_what_is_there(stores: RedisStores) -> None:
    """A cursor that is ahead of what this process heard is not of the future for that."""
    stream = await subscribed(stores, "s")
    await _tell_unheard(stores, "s", "a", "b")

    late = await subscribed(stores, "s", 2)
    await tell(stores, "s", "c")

    assert ["c"] == await heard_texts(late, 1)
    assert ["a", "b", "c"] == await heard_texts(stream, 3)


async def test_older_events_join_what_is_watched_already(open_stores: OpenStores) -> None:
    """Who comes with an old cursor gets the ring's events from Redis once; the next one finds them in the process."""
    async with open_stores() as writer, open_stores() as stores:
        await tell(writer, "s", "a", "b", "c")
        at_the_tail = await subscribed(stores, "s", 3)
        from_the_middle = await subscribed(stores, "s", 1)
        from_the_start = await subscribed(stores, "s", 0)
        await tell(writer, "s", "d")

        assert ["d"] == await heard_texts(at_the_tail, 1)
        assert ["b", "c", "d"] == await heard_texts(from_the_middle, 3)
        assert ["a", "b", "c", "d"] == await heard_texts(from_the_start, 4)


async def test_streams_begin_where_appends_are(open_stores: OpenStores) -> None:
    """Any number of subscriptions while others append: each has every event behind its cursor exactly once."""
    async with open_stores() as writer, open_stores() as stores:

        async def append() -> None:
            for number in range(200):
                await tell_at_once(writer, "s", [said(str(number))])

        async def watch(position: int) -> list[str]:
            return await heard_texts(await subscribed(stores, "s", position), 200 - position)

        appending_now = asyncio.create_task(append())
        found: list[list[str]] = []
        for position in range(0, 100, 10):
            await eventually(lambda position=position: _reached(stores, position))
            found.append(await watch(position))
        await appending_now

        assert [[str(number) for number in range(position, 200)] for position in range(0, 100, 10)] == found


async def _reached(stores: RedisStores, position: int) -> bool:
    return await tail(stores, "s") >= position
