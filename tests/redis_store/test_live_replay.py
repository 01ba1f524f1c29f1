"""Rings of sessions on Redis beyond the contract: references, roles, lives of records, one connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import LiveReplayFailedError, LiveReplayStoreError
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    CommittedPayload,
    LiveReplayGapReason,
    SessionObservationEvent,
)
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.redis_store.acl import acl_rules
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.live_replay import RedisLiveReplayStore
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.store.live_replay_store import LiveAppend, LiveAppended, LiveGap, LiveSubscribed
from lash_core.testing.conformance.live_replay.arrange import (
    after,
    ends,
    gap,
    heard,
    heard_texts,
    replayed,
    said,
    stored,
    subscribed,
    tail,
    tell,
    tell_at_once,
    texts_of,
)
from lash_core.testing.conformance.session_scene import appending, chain, committed, leased, opened
from lash_core.testing.servers import ValkeyServer
from tests.redis_store.conftest import OpenStores
from tests.redis_store.rows import redis

LARGE = 6_000
"""Characters of a message, three of which are over what a ``committed`` carries itself."""
DAY_MS = 24 * 3_600_000


def keys_of(stores: RedisStores, session_id: str) -> PartitionKeys:
    """The session's partition."""
    return stores.context.keyspace.of_session(session_id)


async def record_of(stores: RedisStores, session_id: str) -> list[int] | None:
    """The record of a session's ring."""
    tails = keys_of(stores, session_id).live_tails
    text = await redis(stores, "HGET", tails, session_id)
    return None if text is None else [int(number) for number in text.split(";")]


def large_view(session_id: str, *texts: str) -> SessionReadView:
    """The view of a session whose history is a chain of large messages."""
    state = RuntimeSessionState(session_id=session_id, turn_index=len(texts))
    for node in chain(*texts):
        state.session_graph.append_node(node)
    return SessionReadView.from_persisted_state(state)


# -- commits by reference ------------------------------------------------------------------------------


async def test_a_long_commit_is_read_from_the_history(open_stores: OpenStores) -> None:
    """The ring has its facts and its leaf; whoever reads it sees the view that was told, an older one as it was."""
    texts = [letter * LARGE for letter in "abcd"]
    async with open_stores() as stores, open_stores() as other:
        session_id = (store := await opened(stores)).session_id
        stream = await subscribed(other, session_id)
        lease = await leased(store)
        views = []
        for number in (3, 4):
            graph = appending(*texts[:3]) if number == 3 else appending(texts[3], after=texts[2])
            await committed(store, lease, graph=graph)
            views.append(large_view(session_id, *texts[:number]))
            await stores.live_replay.append(session_id, number - 2, CommittedPayload(views[-1]))

        entries: Any = await redis(stores, "XRANGE", keys_of(stores, session_id).live_ring(session_id), "-", "+")
        assert all(len(fields[-1]) < 2 * LARGE for _, fields in entries)
        live = await heard(stream, 2)
        again = await replayed(other, session_id, 0)
        late = await heard(await subscribed(other, session_id), 2)

        for found in (live, again, late):
            payloads = [event.payload for event in found if isinstance(event, SessionObservationEvent)]
            assert [view.messages for view in views] == [
                payload.read_view.messages for payload in payloads if isinstance(payload, CommittedPayload)
            ]
        assert [view.leaf_node_id for view in views] == [texts[2], texts[3]]


async def test_a_commit_whose_history_is_gone_is_a_gap(stores: RedisStores) -> None:
    """Nobody is shown a shorter history; what comes behind it is heard."""
    session_id = (await opened(stores)).session_id
    stream = await subscribed(stores, session_id)
    view = large_view(session_id, *(letter * LARGE for letter in "abc"))

    await stores.live_replay.append(session_id, 1, CommittedPayload(view))
    await tell(stores, session_id, "b")

    assert ["missed 1", "b"] == await heard_texts(stream, 2)
    assert LiveGap(LiveReplayGapReason.TRIMMED) == await stores.live_replay.replay_after_cursor(after(session_id, 0))
    assert ["b"] == texts_of(await replayed(stores, session_id, 1))


async def test_an_event_of_a_later_release_is_a_gap(stores: RedisStores) -> None:
    """It is never shown half; the stream goes on behind it."""
    session_id = (await opened(stores)).session_id
    await tell(stores, session_id, "a")
    stream = await subscribed(stores, session_id, 1)
    keys = keys_of(stores, session_id)
    names = (keys.live_ring(session_id), keys.live_tails, keys.live_idle, keys.live_channel(session_id))
    args = (session_id, 0, 0, 1, 100, 1_000, 10_000, "o", '{"v":99,"type":"new"}')
    await stores.context.scripts.run([Call("append_live_events", names, args)])
    await tell(stores, session_id, "c")

    assert ["missed 1", "c"] == await heard_texts(stream, 2)
    assert LiveGap(LiveReplayGapReason.UNAVAILABLE) == await stores.live_replay.replay_after_cursor(
        after(session_id, 1)
    )


# -- lives of records ----------------------------------------------------------------------------------


async def test_a_record_goes_with_its_session_and_a_day(stores: RedisStores) -> None:
    """Nothing of a deleted session stays for ever; a cursor of it finds a gap for a day."""
    session_id = (await opened(stores)).session_id
    await tell(stores, session_id, "a", "b")
    stream = await subscribed(stores, session_id, 2)
    keys = keys_of(stores, session_id)

    await stores.session_store_factory.delete_session(session_id)

    assert ["closed"] == await heard_texts(stream, 1)
    assert await ends(stream)
    assert 0 == await redis(stores, "EXISTS", keys.live_ring(session_id))
    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 2)
    await stores.advance_clock(DAY_MS - 1_000)
    await stores.live_replay.trim_idle(10)
    assert await record_of(stores, session_id) is not None
    await stores.advance_clock(2_000)
    await stores.live_replay.trim_idle(10)
    assert await record_of(stores, session_id) is None
    assert 0 == await redis(stores, "ZCARD", keys.live_idle)


async def test_the_record_of_a_session_that_lives_stays(stores: RedisStores) -> None:
    """So that `all dropped` and `never one` differ, however long nobody appends; its stream goes."""
    session_id = (await opened(stores)).session_id
    await tell(stores, session_id, "a")
    keys = keys_of(stores, session_id)

    await stores.advance_clock(2 * DAY_MS)
    assert 1 == await stores.live_replay.trim_idle(10)

    assert 0 == await redis(stores, "EXISTS", keys.live_ring(session_id))
    assert 0 == await redis(stores, "ZCARD", keys.live_idle)
    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 0)
    assert ["b"] == texts_of(await tell(stores, session_id, "b"))
    assert 1 == await redis(stores, "ZCARD", keys.live_idle)


async def test_what_is_told_of_a_session_that_never_was_is_forgotten(stores: RedisStores) -> None:
    """A late word about a deleted session, or one that is in memory alone, leaves nothing for ever."""
    await tell(stores, "nobody", "a")

    for _ in range(3):
        await stores.advance_clock(DAY_MS)
        await stores.live_replay.trim_idle(10)

    assert await record_of(stores, "nobody") is None


async def test_a_ring_that_goes_on_is_looked_at_again(stores: RedisStores) -> None:
    """The idle trim takes what is too old and leaves the rest for its next round."""
    session_id = (await opened(stores)).session_id
    await tell(stores, session_id, "a")
    await stores.advance_clock(90_000)
    await tell(stores, session_id, "b")
    await stores.advance_clock(31_000)

    assert [1, 0] == [await stores.live_replay.trim_idle(10), await stores.live_replay.trim_idle(10)]
    assert ["b"] == texts_of(await replayed(stores, session_id, 1))
    await stores.advance_clock(90_000)
    assert 1 == await stores.live_replay.trim_idle(10)
    assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 1)


# -- roles, bounds, failures ---------------------------------------------------------------------------


async def test_an_observer_watches(open_stores: OpenStores, server: ValkeyServer) -> None:
    """Rings, channels and long commits are read without a script; nothing is written."""
    texts = [letter * LARGE for letter in "abc"]
    async with open_stores() as stores:
        store = await opened(stores)
        session_id = store.session_id
        await committed(store, await leased(store), graph=appending(*texts))
        namespace = stores.context.keyspace.namespace
        rules = acl_rules("observer", namespace).split()
        await redis(stores, "ACL", "SETUSER", f"o-{namespace}", ">secret", *rules)
        url = server.url.replace("unix://", f"unix://o-{namespace}:secret@")
        async with RedisStores.connect(url, settings=StoreSettings(namespace=namespace)) as observer:
            stream = await subscribed(observer, session_id)
            await tell(stores, session_id, "a")
            await stores.live_replay.append(session_id, 1, CommittedPayload(large_view(session_id, *texts)))

            assert ["a", "committed"] == await heard_texts(stream, 2)
            assert ["committed"] == texts_of(await replayed(observer, session_id, 1))
            assert (1, 2) == await observer.live_replay.last_commit(session_id)
            with pytest.raises(LiveReplayStoreError, match="permission missing"):
                await tell(observer, session_id, "b")


async def test_an_enqueuer_tells_of_the_queue(open_stores: OpenStores, server: ValkeyServer) -> None:
    """It appends and listens; it forgets no session."""
    async with open_stores() as stores:
        session_id = (await opened(stores)).session_id
        namespace = stores.context.keyspace.namespace
        rules = acl_rules("enqueuer", namespace)
        await redis(stores, "ACL", "SETUSER", f"e-{namespace}", ">secret", *_words(rules))
        url = server.url.replace("unix://", f"unix://e-{namespace}:secret@")
        settings = StoreSettings(namespace=namespace)
        async with RedisStores.connect(url, settings=settings) as enqueuer:
            stream = await subscribed(enqueuer, session_id)
            await tell(enqueuer, session_id, "a", "b")
            assert ["a", "b"] == await heard_texts(stream, 2)
            assert LiveAppended is type(
                (await enqueuer.live_replay.append_many([LiveAppend(session_id, 1, (said("c"),), dropped=3)]))[0]
            )
            with pytest.raises(LiveReplayStoreError):
                await enqueuer.live_replay.forget_session(session_id)


def _words(rules: str) -> list[str]:
    """Rules of ``ACL SETUSER``; a selector is one of them."""
    head, _, selector = rules.partition(" (")
    return [*head.split(), *((f"({selector}",) if selector else ())]


async def test_settings_bound_a_ring(open_stores: OpenStores) -> None:
    """Whoever appends keeps its bounds."""
    async with open_stores(live_replay={"max_events_per_session": 3}) as stores:
        await tell(stores, "s", *"abcde")

        assert 3 == await redis(stores, "XLEN", keys_of(stores, "s").live_ring("s"))
        assert ["c", "d", "e"] == texts_of(await replayed(stores, "s", 2))
        assert LiveReplayGapReason.TRIMMED == await gap(stores, "s", 1)


async def test_one_trim_finds_its_place_among_thousands(stores: RedisStores) -> None:
    """A ring that was idle for long is halved down to what stays, whatever is kept of it."""
    for kept in (0, 1, 7, 500, 999):
        session_id = f"s{kept}"
        await tell_at_once(stores, session_id, [said(str(n)) for n in range(1_000 - kept)])
        await stores.advance_clock(100_000)
        if kept:
            await tell_at_once(stores, session_id, [said(str(n)) for n in range(1_000 - kept, 1_000)])
        await stores.advance_clock(20_001)
        await stores.live_replay.trim_session(session_id)

        assert [str(n) for n in range(1_000 - kept, 1_000)] == texts_of(
            await replayed(stores, session_id, 1_000 - kept)
        )
        assert LiveReplayGapReason.TRIMMED == await gap(stores, session_id, 999 - kept)


async def test_what_rings_take_is_a_gauge(stores: RedisStores) -> None:
    """Estimated from some of them, so that an operator sees whether the bounds are too wide."""
    assert 0 == (await stores.process_registry.fleet_facts()).memory_bytes.get("live_rings", 0)
    for session_id in ("s", "t", "u"):
        await tell(stores, session_id, "x" * 10_000)

    memory = (await stores.process_registry.fleet_facts()).memory_bytes

    assert 30_000 <= memory["live_rings"] <= 60_000
    assert 0 < memory["live_records"] < 5_000


async def test_a_full_server_refuses_appends_alone(stores: RedisStores) -> None:
    """The ring is as it was, and says why; what makes room still works."""
    await tell(stores, "s", "a")
    await redis(stores, "CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(LiveReplayFailedError, match="out of memory"):
            await tell(stores, "s", "b")
        (outcome,) = await stores.live_replay.append_many([LiveAppend("s", 1, (said("b"),), dropped=3)])
        assert isinstance(outcome, LiveReplayFailedError)
        await stores.live_replay.trim_session("s")
    finally:
        await redis(stores, "CONFIG", "SET", "maxmemory", "0")

    assert 1 == await tail(stores, "s")


async def test_a_repeated_commit_finds_its_event(stores: RedisStores) -> None:
    """Two writers and a repair tell one commit; generations do not matter to it."""
    payload = stored("s", "a")
    answers = await asyncio.gather(*(stores.live_replay.append_commit_once("s", 4, payload) for _ in range(5)))

    assert 1 == sum(answer is not None for answer in answers)
    assert (4, 1) == await stores.live_replay.last_commit("s")
    assert await stores.live_replay.append_commit_once("s", 3, payload) is None


async def test_a_closed_store_ends_streams_alone(stores: RedisStores) -> None:
    """Rings of one store are another one's too; closing it twice does nothing."""
    mine = RedisLiveReplayStore(stores.context)
    result = await mine.subscribe_after_cursor(SessionCursor.new("s", 0, 0))
    assert isinstance(result, LiveSubscribed)
    await mine.close()
    await mine.close()

    assert ["closed"] == await heard_texts(result.subscription, 1)
    assert ["a"] == texts_of(await tell(stores, "s", "a"))
