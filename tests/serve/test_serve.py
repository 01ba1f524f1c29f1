"""Several serving processes of a fleet: logins, tickets and cursors of one are good at all, whatever happens to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from lash_core.client import LashClient
from lash_core.redis_store.acl import acl_rules
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_core.web import WebConfig, WebLimits, session_app
from lash_core.web.server import WebServer
from tests.serve.serving import TOKEN, serving
from tests.web.kit import Event, events_of

BEARER = {"Authorization": f"Bearer {TOKEN}"}
SETTINGS = StoreSettings(partitions=4)


@pytest.fixture(scope="module")
def server() -> Generator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def lash(server: ValkeyServer) -> AsyncGenerator[LashClient]:
    async with RedisStores.connect(server.url, settings=SETTINGS) as stores:
        yield LashClient(stores)


@asynccontextmanager
async def here(url: str, **config: Any) -> AsyncGenerator[str]:
    """A server in this process, on connections of its own; where it listens."""
    async with RedisStores.connect(url, settings=SETTINGS) as stores:
        app = session_app(LashClient(stores), WebConfig(token=TOKEN, **config))
        async with WebServer(app) as serving:
            yield serving.url


class Following:
    """A stream of a session, followed as a browser does, in a task of its own."""

    def __init__(self, where: str, session_id: str, *, headers: dict[str, str] | None = None, **query: str) -> None:
        self._url = f"{where}/sessions/{session_id}/events"
        self._query = query
        self._headers = headers if headers is not None else {} if "ticket" in query else BEARER
        self.text = ""
        self.status = 0

    async def __aenter__(self) -> Following:
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *ended: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _run(self) -> None:
        """Until it ends, however that is."""
        try:
            async with (
                httpx2.AsyncClient(timeout=30) as http,
                http.stream("GET", self._url, params=self._query, headers=self._headers) as reply,
            ):
                self.status = reply.status_code
                async for part in reply.aiter_text():
                    self.text += part
        except httpx2.HTTPError:
            pass

    @property
    def events(self) -> list[Event]:
        """What was told."""
        return [event for event in events_of(self.text) if event.retry is None and event.type != "alive"]

    @property
    def said(self) -> list[str]:
        """The batches that were told of."""
        return [event.data["batch_ids"][0] for event in self.events if event.type == "queue_changed"]

    async def until(self, ready: Callable[[], object]) -> None:
        """Wait for what comes."""
        async with asyncio.timeout(20):
            while not ready():
                await asyncio.sleep(0.01)


async def post(where: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a program does."""
    async with httpx2.AsyncClient(base_url=where, headers=BEARER, timeout=30) as http:
        reply = await http.post(path, json=body)
        assert 200 == reply.status_code, reply.text
        return reply.json()


async def send(where: str, session_id: str, text: str) -> str:
    """The batch of an input."""
    return (await post(where, f"/sessions/{session_id}/input", {"text": text}))["batch_id"]


async def test_what_one_gives_the_other_takes(server: ValkeyServer, lash: LashClient) -> None:
    """A cookie as often as it is shown, a ticket once in all."""
    await lash.session("shared").create()
    async with here(server.url) as one, here(server.url) as other, httpx2.AsyncClient(timeout=30) as http:
        login = await http.post(f"{one}/login", json={"token": TOKEN}, headers={"Origin": one})
        cookie = {"Cookie": login.headers["set-cookie"].partition(";")[0]}
        http.cookies.clear()
        for where in (one, other):
            assert 200 == (await http.get(f"{where}/sessions", headers=cookie)).status_code
            assert 401 == (await http.get(f"{where}/sessions", headers={"Cookie": "x=y"})).status_code

        ticket = (await post(one, "/ticket", {"session_id": "shared"}))["ticket"]
        shown = [Following(where, "shared", ticket=ticket) for where in (other, one, other)]
        async with shown[0], shown[1], shown[2]:
            for stream in shown:
                await stream.until(lambda stream=stream: stream.status)
            assert [200, 401, 401] == sorted(stream.status for stream in shown)


async def test_a_logout_at_one_is_one_at_all(server: ValkeyServer, lash: LashClient) -> None:
    """A copy of the cookie is worth nothing any more, and its streams end, also at another process; others go on."""
    await lash.session("shared").create()
    soon = WebLimits(ask_again_ms=2_000)
    async with here(server.url) as one, here(server.url, limits=soon) as other, httpx2.AsyncClient(timeout=30) as http:
        cookies: list[dict[str, str]] = []
        for _ in range(2):
            login = await http.post(f"{one}/login", json={"token": TOKEN}, headers={"Origin": one})
            cookies.append({"Cookie": login.headers["set-cookie"].partition(";")[0]})
            http.cookies.clear()
        ended, going = cookies
        async with Following(other, "shared", headers=ended) as stream, Following(other, "shared", headers=going) as on:
            await stream.until(lambda: stream.events)
            await on.until(lambda: on.events)
            reply = await http.post(f"{one}/logout", json={}, headers={"Origin": one} | ended)
            assert 200 == reply.status_code
            await stream.until(lambda: "ended" in [event.type for event in stream.events])
            assert "refused" == stream.events[-1].data["reason"]
            sent = await send(one, "shared", "for who is still here")
            await on.until(lambda: sent in on.text)
            assert sent not in stream.text
        for where in (one, other):
            assert 401 == (await http.get(f"{where}/sessions", headers=ended)).status_code
            assert 200 == (await http.get(f"{where}/sessions", headers=going)).status_code


@pytest.mark.faults
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
async def test_a_cursor_of_one_goes_on_at_the_other(server: ValkeyServer, how: signal.Signals) -> None:
    """Killed or told to stop: who watched hears each input once, and what came while nobody was connected."""
    session_id = f"moving-{how.name}"
    async with here(server.url) as other:
        with serving(server) as one:
            sent = [await send(one.url, session_id, "0")]
            async with Following(one.url, session_id) as first:
                await first.until(lambda: first.events)
                sent += [await send(other, session_id, str(n)) for n in range(1, 5)]
                await first.until(lambda: first.said[-1:] == sent[-1:])
                code = await asyncio.to_thread(one.end, how)
                await asyncio.wait_for(first.task, 20)
            log = "".join(one.log)
        if how == signal.SIGTERM:
            assert 0 == code
            assert ("ended", "shutdown") == (first.events[-1].type, first.events[-1].data["reason"])
            assert "serving stopped" in log
        assert "with a token, read and write" in log
        assert TOKEN not in log

        cursor = [event.id for event in first.events if event.id][-1]
        assert cursor
        sent.append(await send(other, session_id, "while away"))
        async with Following(other, session_id, cursor=cursor) as second:
            sent.append(await send(other, session_id, "again"))
            await second.until(lambda: len(second.said) >= 2)
            assert sent[1:] == [*first.said, *second.said][-6:]
            assert "gap" not in [event.type for event in second.events]


async def test_an_observer_serves_what_it_may_read(server: ValkeyServer, lash: LashClient) -> None:
    """A role that can neither write nor read the secret: logins and tickets are good in that process."""
    await lash.session("seen").create()
    stores = lash.stores
    assert isinstance(stores, RedisStores)
    rules = acl_rules("observer").split(" ")
    await stores.context.connection.execute("", "ACL", "SETUSER", "watcher", *rules, ">pw-of-the-watcher")
    url = server.url.replace("unix://", "unix://watcher:pw-of-the-watcher@")
    async with here(url, allow_write=False) as one:
        ticket = (await post(one, "/ticket", {}))["ticket"]
        async with Following(one, "seen", ticket=ticket) as stream, Following(one, "seen", ticket=ticket) as again:
            await stream.until(lambda: stream.events or again.events)
            await stream.until(lambda: stream.status and again.status)
            assert [200, 401] == sorted((stream.status, again.status))
            assert "observation" == (stream.events or again.events)[0].type
        async with httpx2.AsyncClient(base_url=one, headers=BEARER) as http:
            refused = await http.post("/sessions/seen/input", json={"text": "hi"})
            assert (403, "read_only") == (refused.status_code, refused.json()["error"]["code"])
            assert 200 == (await http.get("/sessions")).status_code
            assert 200 == (await http.get("/processes")).status_code
            assert 200 == (await http.get("/sessions/seen/processes")).status_code


async def test_a_server_that_restarts_is_waited_for() -> None:
    """A stream goes on by itself; requests meanwhile are 503, and health says so."""
    with ValkeyServer() as own:
        async with here(own.url) as one, httpx2.AsyncClient(base_url=one, headers=BEARER, timeout=60) as http:
            await send(one, "chat", "0")
            async with Following(one, "chat") as stream:
                await stream.until(lambda: stream.events)
                assert 200 == (await http.get("/healthz")).status_code
                own.kill()
                assert 503 == (await http.get("/healthz")).status_code
                own.restart()
                sent = await send(one, "chat", "1")
                await stream.until(lambda: sent in stream.text)
                assert not stream.task.done()
