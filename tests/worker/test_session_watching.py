"""What a worker in this program tells those who watch its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from lash_core.client import LashClient
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.process_input import ProcessInput
from lash_core.model.queued_work import DeliveryPolicy
from lash_core.model.registration import ProcessRegistration
from lash_core.model.session_observation import (
    CommittedPayload,
    ProcessChangedPayload,
    SessionObservationEvent,
    SessionProcessEventKind,
    WatchItem,
)
from lash_core.runtime.observation.watched_session import WatchedSession
from lash_core.runtime.process.context import ProcessContext
from lash_core.runtime.tools import ToolContext
from lash_core.testing.conformance.session_scene import command_draft
from lash_core.testing.scripted_provider import calls_tools, says
from lash_worker.testing import running_apps
from tests.worker.session_app import session_app
from tests.worker.test_session_drainer import samples, supervised

WITHIN_SECONDS = 10.0


class Watcher:
    """One who watches, until something holds."""

    def __init__(self, items: AsyncGenerator[WatchItem]) -> None:
        self.known = WatchedSession()
        self.events: list[SessionObservationEvent] = []
        self._items = items

    async def until(self, holds: Callable[[WatchedSession], Any]) -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            while not holds(self.known):
                item = await anext(self._items)
                self.known.take(item)
                if isinstance(item, SessionObservationEvent):
                    self.events.append(item)

    @property
    def kinds(self) -> list[str]:
        return [event.payload.type for event in self.events]


@asynccontextmanager
async def watching(lash: LashClient, name: str = "chat") -> AsyncGenerator[Watcher]:
    await lash.session(name).create()
    items = lash.session(name).watch()
    try:
        yield Watcher(items)
    finally:
        await items.aclose()


async def test_turns_are_told_and_counted() -> None:
    """Text as it comes, then the commit with the stored history; nothing is provisional any more."""
    stores = InMemoryStores()
    lash = LashClient(stores)
    async with supervised(session_app(), stores) as supervisor, watching(lash) as watcher:
        sent = await lash.session("chat").send("hello")
        await watcher.until(lambda known: known.prose == "you said: hello")
        await watcher.until(lambda known: known.messages)
        assert "you said: hello" == (await sent.answer(5)).final_text
        assert await lash.session("chat").history() == watcher.known.messages
        assert ([], "queue_changed", "committed") == (
            watcher.known.provisional,
            watcher.kinds[0],
            watcher.kinds[-1],
        )
        told = samples(supervisor)["lash_session_live_events_total:appended"]
        # The client told of its input itself, and a commit is appended by another verb.
        assert len(watcher.events) - 2 == told


async def test_two_turns_of_one_claim_are_two_commits() -> None:
    """Each is told before the next one begins."""
    stores = InMemoryStores()
    lash = LashClient(stores)
    async with watching(lash) as watcher:
        await lash.session("chat").send("one")
        await lash.session("chat").send("two", delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT)
        async with running_apps((session_app(),), stores):
            await watcher.until(lambda known: len(known.messages) == 4)
        commits = [event.revision for event in watcher.events if isinstance(event.payload, CommittedPayload)]
        assert [1, 2] == commits


async def test_processes_that_a_turn_starts_are_told() -> None:
    """To those who watch the session that started them."""
    app = session_app([calls_tools(("order", {})), says("done")])

    @app.tool("order")
    async def order(ctx: ToolContext) -> str:
        """Start something."""
        return str(await ctx.start_process("work", {}, label="work"))

    @app.process("work", disposition="rerunnable")
    async def work(ctx: ProcessContext, params: dict[str, str]) -> str:
        return "worked"

    stores = InMemoryStores()
    async with running_apps((app,), stores) as lash, watching(lash) as watcher:
        await lash.session("chat").send("go")
        await watcher.until(lambda known: known.messages)
        changes = [event.payload for event in watcher.events if isinstance(event.payload, ProcessChangedPayload)]
        [started] = changes
        assert SessionProcessEventKind.STARTED == started.kind
        assert [started.process_ids[0]] == [record.id for record in await lash.list(kind="work")]


async def test_the_turn_of_a_process_is_told_to_those_who_watch_its_session() -> None:
    """A child session is a session like others."""
    stores = InMemoryStores()
    name = "process-session-turn:helper"
    async with running_apps((session_app(),), stores) as lash:
        await stores.process_registry.register_process(
            ProcessRegistration(
                id="helper",
                input=ProcessInput.session_turn({}, "hello"),
                disposition=RecoveryDisposition.RERUNNABLE,
            )
        )
        await lash.handle("helper").result(timeout=WITHIN_SECONDS)
        # The session is made by the process: what it did is in its ring, behind position 0.
        items = lash.session(name).watch(f"lashsc1:0:0:{name}")
        watcher = Watcher(items)
        await watcher.until(lambda known: known.messages)
        await items.aclose()
        assert "turn_activity" in watcher.kinds
        assert await lash.session(name).history() == watcher.known.messages


async def test_what_is_committed_beside_turns_is_told_too() -> None:
    """A command of the session has no turn."""
    stores = InMemoryStores()
    async with running_apps((session_app(),), stores) as lash, watching(lash) as watcher:
        await (await lash.session("chat").send("one")).answer(5)
        store = await stores.session_store_factory.open_existing_store("chat")
        assert store is not None
        await store.enqueue_queued_work(command_draft("chat"))
        await watcher.until(lambda known: known.revision == 2)
        assert 2 == len(watcher.known.messages)
