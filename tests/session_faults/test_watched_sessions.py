"""Sessions that are watched while workers and servers die: what the watcher knows at the end equals the history."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from lash_core.client import LashClient
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.observation.watched_session import WatchedSession
from lash_core.testing.fault_proxy import FaultProxy
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from tests.session_faults.scenes import Agents, agents, lines_of

pytestmark = pytest.mark.faults

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
async def fleet() -> AsyncGenerator[Agents]:
    """Default settings."""
    with ValkeyServer() as server:
        async with agents(server.url) as made:
            yield made


@asynccontextmanager
async def watching(lash: LashClient, name: str = "chat") -> AsyncGenerator[WatchedSession]:
    """What one who watches the session knows by now."""
    known, session = WatchedSession(), lash.session(name)
    await session.create()

    async def follow() -> None:
        async with contextlib.aclosing(session.watch()) as items:
            async for item in items:
                known.take(item)

    task = asyncio.create_task(follow())
    try:
        yield known
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        await asyncio.wait([task])


async def until_equal(fleet: Agents, known: WatchedSession, messages: int) -> None:
    """Wait until the watcher knows the whole history, and nothing provisional is left."""
    await eventually(lambda: len(known.messages) == messages and not known.provisional, within_ms=20_000)
    assert await fleet.told() == lines_of(known.messages)


async def test_text_of_a_worker_that_was_killed_while_it_streamed_is_taken_back(fleet: Agents) -> None:
    """The peer's text stands in its place; the watcher saw no gap."""
    victim = await fleet.add("victim")
    async with watching(fleet.lash) as known:
        sent = await fleet.session().send("tool:quick say:half")
        await fleet.until_called("said-half")
        said = f"process {victim.process.pid} says: "
        await eventually(lambda: known.prose == said, within_ms=10_000)
        peer = await fleet.add("peer")
        victim.kill()
        await fleet.until_called("said-half", 2)
        await eventually(lambda: known.prose == f"process {peer.process.pid} says: ", within_ms=10_000)
        # What the model had asked for before is answered from the journal, and told again.
        assert ["work"] == [part.name for part in known.provisional if part.kind == "tool"]
        fleet.go("half")

        assert f"process {peer.process.pid} says: done: tool:quick say:half" == await fleet.answer(sent)
        await until_equal(fleet, known, 4)
        assert 0 == known.gaps


async def test_a_commit_whose_worker_died_before_it_told_anybody_arrives(fleet: Agents) -> None:
    """The watcher makes up for it: no worker is left."""
    worker = await fleet.fleet.add("mortal", environ={"AGENT_DIES_UNPUBLISHED": "1"})
    async with watching(fleet.lash) as known:
        await fleet.session().send("hello")
        await asyncio.to_thread(worker.process.wait, 20)
        await until_equal(fleet, known, 2)
        assert 0 == known.gaps


async def test_a_watch_outlives_its_server() -> None:
    """Killed and started again on its data while a text streams: a gap, or nothing that the watcher notices."""
    with ValkeyServer(arguments=DURABLE) as server:
        async with agents(server.url) as fleet:
            await fleet.add("one")
            async with watching(fleet.lash) as known:
                sent = await fleet.session().send("say:half")
                await fleet.until_called("said-half")
                await eventually(lambda: "says" in known.prose, within_ms=10_000)
                await asyncio.to_thread(server.restart)
                fleet.go("half")
                await fleet.answer(sent)
                await until_equal(fleet, known, 2)

                again = await fleet.session().send("and now?")
                await fleet.answer(again)
                await until_equal(fleet, known, 4)


async def test_a_watch_outlives_its_connections() -> None:
    """Cut while a text streams, and again: each piece comes once."""
    with ValkeyServer() as server, FaultProxy(server.socket) as proxy:
        async with agents(server.url) as fleet, RedisStores.connect(proxy.url) as stores:
            await fleet.add("one")
            async with watching(LashClient(stores)) as known:
                sent = await fleet.session().send("say:half")
                await fleet.until_called("said-half")
                await eventually(lambda: "says" in known.prose, within_ms=10_000)
                await asyncio.to_thread(proxy.cut)
                fleet.go("half")
                await fleet.answer(sent)
                await asyncio.to_thread(proxy.cut)
                await until_equal(fleet, known, 2)
                assert 0 == known.gaps
