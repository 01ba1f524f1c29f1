"""Whether who opened a stream may still watch: asked again while it lasts; what a logout ends."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lash_core.errors import StoreUnreachableError
from lash_core.memory_store import login_tickets as in_memory
from lash_core.testing.waiting import eventually
from lash_core.web import WebAction, WebConfig, WebLimits, watchers
from tests.web.kit import ORIGIN, TOKEN, Stream, Web, say, streaming, web_app

CHAT = "/sessions/chat/events"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SOON = WebLimits(ask_again_ms=20)


async def cookie_of(http: httpx2.AsyncClient) -> dict[str, str]:
    """Log in; the header that a stream then brings."""
    await http.post("/login", json={"token": TOKEN}, headers=ORIGIN)
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in http.cookies.items())}


async def ended(stream: Stream) -> dict[str, Any]:
    await eventually(lambda: stream.ended)
    last = stream.events[-1]
    assert ("ended", None) == (last.type, last.id)
    return last.data


class Host:
    """A host's callback that can change its mind."""

    def __init__(self) -> None:
        self.answer: object = True
        self.asked: list[tuple[str | None, WebAction, str | None]] = []

    async def __call__(self, request: Request, session_id: str | None, action: WebAction) -> bool:
        self.asked.append((session_id, action, request.headers.get("x-user")))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer == "never":
            await asyncio.Event().wait()
        return self.answer is True


@pytest.mark.parametrize(
    ("no", "code"),
    [(False, "not_permitted"), (HTTPException(403), "not_permitted"), (HTTPException(401), "login_required")],
)
async def test_a_stream_ends_when_its_reader_may_no_longer_watch(no: object, code: str) -> None:
    """The callback is asked again, with the request that opened it; others go on."""
    host = Host()
    async with web_app(WebConfig(authorize=host, limits=SOON)) as web:
        await web.lash.session("chat").create()
        async with streaming(web.app, CHAT, headers={"x-user": "ann"}) as stream:
            await stream.until(1)
            await eventually(lambda: len(host.asked) >= 3)
            assert {("chat", "watch", "ann")} == set(host.asked)
            assert not stream.ended
            host.answer = no
            facts = await ended(stream)
        assert ("refused", "chat", code) == (facts["reason"], facts["session_id"], facts["error"]["code"])
        assert 0 == len(web.state.watchers)
        async with streaming(web.app, CHAT) as again:
            await eventually(lambda: again.status in (401, 403))


@pytest.mark.parametrize("failure", [RuntimeError("boom"), HTTPException(503), HTTPException(429), "never"])
async def test_where_nobody_can_say_it_goes_on_for_two_turns(failure: object) -> None:
    """A callback that fails for a moment cuts nobody off; one that fails for long, or never answers, does."""
    host = Host()
    async with web_app(WebConfig(authorize=host, limits=WebLimits(ask_again_ms=400))) as web:
        await web.lash.session("chat").create()
        async with streaming(web.app, CHAT) as stream:
            await stream.until(1)
            if failure != "never":
                host.answer, asked = failure, len(host.asked)
                await eventually(lambda: len(host.asked) > asked)
                host.answer, asked = True, len(host.asked)
                await eventually(lambda: len(host.asked) > asked + 1)
                assert not stream.ended
            host.answer = failure
            facts = await ended(stream)
            assert ("failed", "timeout") == (facts["reason"], facts["error"]["code"])
            assert "boom" not in stream.text


async def test_a_process_that_stood_still_asks_before_it_ends_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine slept, or the process was stopped: nobody was asked, so nobody failed to answer."""
    now_ms = [0.0]
    monkeypatch.setattr(watchers, "own_time_ms", lambda: now_ms[0])
    opener: Any = object()
    watcher = watchers.Watcher(opener, opener, 60_000)
    now_ms[0] += 44_000
    assert not watcher.is_to_be_asked
    now_ms[0] += 3_600_000
    assert (True, False) == (watcher.is_to_be_asked, watcher.is_unknown)
    asking = asyncio.create_task(asyncio.sleep(0))
    watcher.ask(asking)
    now_ms[0] += 59_000
    assert (False, False) == (watcher.is_to_be_asked, watcher.is_unknown)
    now_ms[0] += 2_000
    assert watcher.is_unknown
    watcher.permitted()
    assert not watcher.is_unknown
    await asking


async def test_a_login_that_expires_ends_its_streams() -> None:
    """Who sends the token itself goes on."""
    async with web_app(WebConfig(token=TOKEN, limits=SOON)) as web, web.http() as http:
        await web.lash.session("chat").create()
        cookie = await cookie_of(http)
        async with streaming(web.app, CHAT, headers=cookie) as one, streaming(web.app, CHAT, headers=BEARER) as two:
            await asyncio.gather(one.until(1), two.until(1))
            web.clock.advance_ms(web.state.config.limits.cookie_ms + 1)
            facts = await ended(one)
            assert ("refused", "login_required") == (facts["reason"], facts["error"]["code"])
            said = await say(web, "chat", "more")
            await eventually(lambda: said[0] in two.text)
            assert not two.ended
            assert said[0] not in one.text


async def test_a_logout_ends_the_login_at_all_serving_processes() -> None:
    """A copy of the cookie is worth nothing any more; another login of the same token goes on."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http, web.http() as other:
        await web.lash.session("chat").create()
        cookie, others = await cookie_of(http), await cookie_of(other)
        async with second(web) as elsewhere, elsewhere.http() as http_elsewhere:
            assert 200 == (await http_elsewhere.get("/sessions", headers=cookie)).status_code
            assert 200 == (await http.post("/logout", json={}, headers=ORIGIN)).status_code
            assert not http.cookies
            for asked in (http, http_elsewhere):
                assert 401 == (await asked.get("/sessions", headers=cookie)).status_code
                assert not (await asked.get("/access", headers=cookie)).json()["authenticated"]
                assert 200 == (await asked.get("/sessions", headers=others)).status_code
            assert 200 == (await http.post("/logout", json={}, headers=ORIGIN | cookie)).status_code


async def test_a_logout_ends_the_streams_of_its_login() -> None:
    """In this process at the next look; those of another login go on."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http, web.http() as other:
        await web.lash.session("chat").create()
        cookie, others = await cookie_of(http), await cookie_of(other)
        async with streaming(web.app, CHAT, headers=cookie) as one, streaming(web.app, CHAT, headers=others) as two:
            await asyncio.gather(one.until(1), two.until(1))
            await http.post("/logout", json={}, headers=ORIGIN)
            facts = await ended(one)
            assert ("refused", "login_required") == (facts["reason"], facts["error"]["code"])
            assert not two.ended


async def test_a_logout_elsewhere_ends_streams_here() -> None:
    """When it is asked again."""
    async with web_app(WebConfig(token=TOKEN, limits=SOON)) as web, web.http() as http:
        await web.lash.session("chat").create()
        cookie = await cookie_of(http)
        async with second(web) as elsewhere, streaming(web.app, CHAT, headers=cookie) as stream:
            await stream.until(1)
            async with elsewhere.http() as http_elsewhere:
                await http_elsewhere.post("/logout", json={}, headers=ORIGIN | cookie)
            assert "refused" == (await ended(stream))["reason"]


async def test_a_logout_that_could_not_be_noted_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cookie stays: no answer says that a login is over which is not."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        await cookie_of(http)

        async def away(*_: object) -> None:
            raise StoreUnreachableError("away")

        with monkeypatch.context() as patched:
            patched.setattr(web.lash.stores.login_tickets, "end_login", away)
            assert 503 == (await http.post("/logout", json={}, headers=ORIGIN)).status_code
        with monkeypatch.context() as patched:
            patched.setattr(in_memory, "ENDED_LOGINS_MAX", 0)
            reply = await http.post("/logout", json={}, headers=ORIGIN)
            assert (503, "too_many_logouts") == (reply.status_code, reply.json()["error"]["code"])
        with monkeypatch.context() as patched:
            patched.setattr(web.lash.stores.login_tickets, "is_login_ended", away)
            assert 503 == (await http.get("/sessions")).status_code
            assert (await http.get("/access")).json()["authenticated"]
        assert 200 == (await http.get("/sessions")).status_code
        assert 200 == (await http.post("/logout", json={}, headers=ORIGIN)).status_code


async def test_a_ticket_opens_a_stream_for_a_while() -> None:
    """It says nothing of who made it, so nobody can be asked again; a fresh one goes on behind the last cursor."""
    limits = WebLimits(ask_again_ms=20, ticket_stream_ms=1)
    async with web_app(WebConfig(token=TOKEN, limits=limits)) as web, web.http(headers=BEARER) as http:
        await web.lash.session("chat").create()
        ticket = (await http.post("/ticket", json={"session_id": "chat"})).json()["ticket"]
        async with streaming(web.app, CHAT, f"ticket={ticket}") as stream:
            cursor = (await stream.until(1))[0].id
            facts = await ended(stream)
        assert ("refused", "ticket", 1) == (facts["reason"], facts["error"]["field"], facts["error"]["limit"])
        said = await say(web, "chat", "more")
        fresh = (await http.post("/ticket", json={"session_id": "chat"})).json()["ticket"]
        async with streaming(web.app, CHAT, f"ticket={fresh}&cursor={cursor}") as stream:
            assert said == [event.id for event in (await stream.until(1))[:1]]


def second(web: Web) -> Any:
    """Another serving process over the same stores."""
    return web_app(web.state.config, stores=web.lash.stores)
