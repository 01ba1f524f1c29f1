"""A writer of live events over a server that goes away: what it told is there, or a gap says that it is not."""

from __future__ import annotations

import asyncio

from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.observation.activity_writer import writer_of
from lash_core.settings import StoreSettings
from lash_core.store.live_replay_store import LiveGap
from lash_core.testing.conformance.live_replay.arrange import after, rings_of, said, stored, texts_of
from lash_core.testing.fault_proxy import FaultProxy
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually

ONE = StoreSettings(partitions=1)


async def told(stores: RedisStores, session_id: str, position: int = 0) -> list[str]:
    """What the ring says behind a position; the reason of a gap."""
    answer = await rings_of(stores).replay_after_cursor(after(session_id, position))
    return [answer.reason.value] if isinstance(answer, LiveGap) else texts_of(answer.events)


async def test_a_lost_reply_is_a_gap_and_no_duplicate() -> None:
    """The event is in the ring, but its writer cannot know: the next append empties it and goes on."""
    with ValkeyServer() as server, FaultProxy(server.socket) as proxy:
        async with RedisStores.connect(proxy.url, namespace="writer", settings=ONE) as stores:
            writer = writer_of(stores.live_replay)
            assert await writer.record("s", 1, said("a")) is not None
            proxy.drop_reply_to(b"event-of-which-the-reply-is-lost")
            assert await writer.record("s", 1, said("event-of-which-the-reply-is-lost")) is None
            events = [await writer.record("s", 1, said(text)) for text in "cd"]

            assert [4, 5] == [event.position for event in events if event is not None]
            assert ["trimmed"] == await told(stores, "s", 1)
            assert ["c", "d"] == await told(stores, "s", 3)
            assert (3, 1) == (writer.counts.appended, writer.counts.dropped)


async def test_a_server_that_is_away_holds_nobody_up_and_loses_nothing_unsaid() -> None:
    """Recording goes on, a commit waits for its bound at most; what is told at last has no hole that nothing tells."""
    with ValkeyServer(arguments=("--appendonly", "yes", "--appendfsync", "always")) as server:
        async with RedisStores.connect(server.url, namespace="writer", settings=ONE) as stores:
            writer = writer_of(stores.live_replay)
            last = await writer.record("s", 1, said("before"))
            assert last is not None
            server.kill()
            meanwhile = [writer.record("s", 1, said(str(number))) for number in range(10)]
            assert not any(recording.is_done for recording in meanwhile)
            publishing = asyncio.create_task(writer.publish("s", 2, stored("s")))
            await asyncio.to_thread(server.start)
            await publishing

            async def is_published() -> bool:
                await writer.publish_once("s", 3, stored("s", "end"))
                return (await rings_of(stores).last_commit("s"))[0] == 3

            await eventually(is_published, within_ms=30_000)
            behind = await told(stores, "s", last.position)
            whole = [str(number) for number in range(10)]
            assert behind == ["trimmed"] or whole == behind[:10], f"a hole that nothing tells: {behind}"
            assert "committed" == (await told(stores, "s", (await rings_of(stores).last_commit("s"))[1] - 1))[0]
