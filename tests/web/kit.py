"""A web app over stores in memory, asked without a socket, and event streams taken apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2
from starlette.applications import Starlette
from starlette.types import ASGIApp

from lash_core.client import LashClient
from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session_observation import CommittedPayload, TurnActivityPayload
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.observation.observed_stores import view_of_store
from lash_core.web import WebConfig, session_app
from lash_core.web.web_state import WebState
from tests.client.session_turns import answer_queue

TOKEN = "a-token-of-a-test-0123456789"
ORIGIN = {"Origin": "http://localhost"}


def address(session_id: str, word: str) -> str:
    """The address of a route of a session."""
    return f"/sessions/{quote(session_id, safe='')}/{word}"


@dataclass
class Web:
    """An app and what is behind it."""

    app: Starlette
    lash: LashClient
    state: WebState
    clock: VirtualClock
    client_host: str = "127.0.0.1"

    def http(self, *, base_url: str = "http://localhost", headers: dict[str, str] | None = None) -> httpx2.AsyncClient:
        """A client of the app; it keeps cookies."""
        transport = httpx2.ASGITransport(app=self.app, client=(self.client_host, 4711), raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url=base_url, headers=headers)


@asynccontextmanager
async def web_app(
    config: WebConfig | None = None, *, stores: Any = None, client_host: str = "127.0.0.1"
) -> AsyncGenerator[Web]:
    """An app over stores in memory, fresh ones by default."""
    clock = VirtualClock()
    async with InMemoryStores(clock) if stores is None else nullcontext(stores) as used:
        lash = LashClient(used)
        app = session_app(lash, config, clock=clock)
        yield Web(app, lash, app.state.lash_web, clock, client_host)


@dataclass
class Event:
    """One server-sent event."""

    id: str | None = None
    type: str = "message"
    data: Any = None
    retry: int | None = None


def events_of(text: str) -> list[Event]:
    """Take a stream apart as a browser does; comments are left out, and so is a part that is not ended."""
    found: list[Event] = []
    for part in text.split("\n\n")[:-1]:
        event, lines = Event(), [line for line in part.split("\n") if line and not line.startswith(":")]
        for line in lines:
            name, _, value = line.partition(": ")
            match name:
                case "id":
                    event.id = value
                case "event":
                    event.type = value
                case "data":
                    event.data = json.loads(value)
                case "retry":
                    event.retry = int(value)
                case _:
                    raise AssertionError(f"unknown field {line!r}")
        if lines:
            found.append(event)
    return found


@dataclass
class Stream:
    """An event stream taken straight from the app, so that a test decides how fast it is read.

    ``reading`` cleared: the reader takes nothing more, as a connection whose buffers are full.
    """

    app: ASGIApp
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0
    text: str = ""
    ended: bool = False
    chunks: int = 0

    def __post_init__(self) -> None:
        self.reading = asyncio.Event()
        self.reading.set()
        self.heard = asyncio.Condition()
        self.gone = asyncio.Event()
        self.answered: dict[str, str] = {}

    async def run(self) -> None:
        """Ask, and take the answer until it ends or the reader goes."""
        headers = {"host": "localhost"} | {name.lower(): value for name, value in self.headers.items()}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": self.path,
            "raw_path": quote(self.path).encode(),
            "root_path": "",
            "query_string": self.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 4711),
            "server": ("127.0.0.1", 80),
        }
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await self.reading.wait()
            async with self.heard:
                if message["type"] == "http.response.start":
                    self.status = message["status"]
                    self.answered = {name.decode(): value.decode() for name, value in message["headers"]}
                else:
                    self.chunks += 1
                    self.text += message["body"].decode()
                    self.ended = not message.get("more_body", False)
                self.heard.notify_all()

        await self.app(scope, receive, send)

    @property
    def events(self) -> list[Event]:
        """What has come, without the wait between reconnects."""
        return [event for event in events_of(self.text) if event.retry is None]

    async def until(self, count: int) -> list[Event]:
        """Wait until so many events have come."""
        async with self.heard, asyncio.timeout(10):
            await self.heard.wait_for(lambda: len(self.events) >= count)
        return self.events


@asynccontextmanager
async def streaming(
    app: ASGIApp, path: str, query: str = "", headers: dict[str, str] | None = None
) -> AsyncGenerator[Stream]:
    """A stream under way; its reader goes on exit."""
    stream = Stream(app, path, query, headers or {})
    task = asyncio.create_task(stream.run())
    try:
        yield stream
    finally:
        stream.gone.set()
        stream.reading.set()
        await asyncio.wait_for(task, 10)


async def say(web: Web, session_id: str, *texts: str) -> list[str]:
    """A worker streams prose to whoever watches; the cursors behind it."""
    stores = web.lash.stores
    revision, _ = await stores.live_replay.last_commit(session_id)
    appended = [
        await stores.live_replay.append(
            session_id,
            revision,
            TurnActivityPayload(
                TurnActivity(id=f"a{n}", correlation_id="c", event=TurnEvent("assistant_prose_delta", {"text": text}))
            ),
        )
        for n, text in enumerate(texts)
    ]
    return [str(event.cursor) for event in appended]


async def take_turn(web: Web, session_id: str, asked: str, text: str) -> None:
    """An input, a worker's turn that answers it, and its commit published."""
    await web.lash.session(session_id).send(asked)
    store = await web.lash.stores.session_store_factory.open_existing_store(session_id)
    assert store is not None
    await answer_queue(store, text)
    view, revision = await view_of_store(store)
    await web.lash.stores.live_replay.append_commit_once(session_id, revision, CommittedPayload(view))
