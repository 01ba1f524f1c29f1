"""A server, workers that tell stories, the web app, and a proxy before it that breaks connections."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from lash_core.client import LashClient
from lash_core.client_session import SessionHandle
from lash_core.model.message import Message, TextPart, ToolCallPart, ToolResultPart
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import LiveReplayConfig
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.fault_proxy import FaultProxy
from lash_core.testing.waiting import eventually
from lash_core.web import WebConfig, session_app
from tests.browser.seen import SeenPage
from tests.browser.serving import serving
from tests.faults.fleet import Fleet, fleet

APP = ("--app", "tests.browser.story_app:app")
REACHED_MS_MAX = 20_000
IDLE_SECONDS_MAX = 30.0


@dataclass
class Story:
    """What there is; ``url`` is the page's address, through the proxy."""

    fleet: Fleet
    web_stores: RedisStores
    folder: Path
    proxy: FaultProxy
    port: int
    _web: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def url(self) -> str:
        """The page, with a proxy between."""
        return f"http://127.0.0.1:{self.proxy.port}/"

    @property
    def lash(self) -> LashClient:
        """A client."""
        return LashClient(self.fleet.stores)

    def session(self, name: str) -> SessionHandle:
        """A session."""
        return self.lash.session(name)

    def go(self, name: str) -> None:
        """Let what is held go on."""
        (self.folder / f"{name}.go").touch()

    async def until_held(self, name: str) -> None:
        """Until a model or a tool waits there; whoever waits there next leaves the mark anew."""
        held = self.folder / f"{name}.held"
        await eventually(held.exists, within_ms=REACHED_MS_MAX)
        held.unlink()

    async def stop_web(self) -> None:
        """The serving process goes, and its connections with it."""
        await self._web.aclose()
        self.proxy.cut()

    async def start_web(self) -> None:
        """A serving process at the same port as before."""
        app = session_app(self.web_stores, WebConfig(allow_write=True))
        await self._web.enter_async_context(serving(app, self.port))

    async def told(self, name: str) -> list[str]:
        """The history as the page shows it: role, texts, tools with their results."""
        messages = await self.session(name).history()
        results = {
            part.call_id: part.output
            for message in messages
            for part in message.parts
            if isinstance(part, ToolResultPart)
        }
        return [line for message in messages if (line := _line(message, results)) is not None]

    async def check(self, seen: SeenPage, name: str) -> None:
        """Once nothing runs: the page shows the history and nothing else, and was told no event twice or never."""
        await self.session(name).park(IDLE_SECONDS_MAX)
        history = await self.session(name).history()
        await seen.until_messages(len(history))
        assert await self.told(name) == await seen.history()
        assert [] == await seen.provisional()
        check_positions(await seen.heard())


def _line(message: Message, results: dict[str, object]) -> str | None:
    shown: list[str] = [part.text for part in message.parts if isinstance(part, TextPart)]
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            output = results.get(part.call_id)
            shown.append(f"{part.tool_name}={output['value'] if isinstance(output, dict) else ''}")
    return f"{message.role}: {' | '.join(shown)}" if shown else None


def check_positions(heard: list[tuple[str, str]]) -> None:
    """Each event is the next one, but where the page was given the whole session."""
    last: int | None = None
    for kind, cursor in heard:
        if kind == "ended":
            continue
        position = SessionCursor(cursor).parse().live_position
        if kind not in ("observation", "gap"):
            assert last is None or position == last + 1, heard
        last = position


@asynccontextmanager
async def story(server_url: str, *, events_max: int = 2_048) -> AsyncGenerator[Story]:
    """All of it, without a worker yet. ``events_max`` is what a ring keeps, here and in the workers."""
    settings = StoreSettings(failover_grace_ms=0, live_replay=LiveReplayConfig(max_events_per_session=events_max))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="lash-story-")))
        environ = {"STORY_FOLDER": str(folder), "LASH_LIVE_EVENTS_MAX": str(events_max)}
        made = await stack.enter_async_context(fleet(server_url, *APP, environ=environ))
        stores = await stack.enter_async_context(RedisStores.connect(server_url, settings=settings))
        web = await stack.enter_async_context(AsyncExitStack())
        url = await web.enter_async_context(serving(session_app(stores, WebConfig(allow_write=True))))
        port = int(url.rstrip("/").rpartition(":")[2])
        proxy = stack.enter_context(FaultProxy(port))
        yield Story(made, stores, folder, proxy, port, web)
