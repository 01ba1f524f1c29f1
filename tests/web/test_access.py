"""Who may ask: token, cookie, ticket, ``authorize``, and what a browser says of the page that asks."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount

from lash_core.client import LashClient
from lash_core.errors import StoreUnreachableError
from lash_core.web import WebAction, WebConfig, session_app
from lash_core.web.credentials import TICKET_MS
from tests.web.kit import ORIGIN, TOKEN, Web, address, streaming, web_app

BEARER = {"Authorization": f"Bearer {TOKEN}"}
GUARDED = ("/sessions", "/sessions/chat/observation", "/sessions/chat/events", "/processes", "/sessions/chat/processes")


def code(reply: httpx2.Response) -> tuple[int, str]:
    """Status and code of an error."""
    return reply.status_code, reply.json()["error"]["code"]


async def logged_in(http: httpx2.AsyncClient) -> httpx2.Response:
    reply = await http.post("/login", json={"token": TOKEN}, headers=ORIGIN)
    assert 200 == reply.status_code, reply.text
    return reply


async def test_without_a_token_this_machine_may_read() -> None:
    """And nothing more, until it is told otherwise."""
    async with web_app() as web, web.http() as http:
        assert {"items": [], "next_cursor": None} == (await http.get("/sessions")).json()
        refused = await http.post("/sessions/chat/input", json={"text": "hi"}, headers=ORIGIN)
        assert (403, "read_only") == code(refused)
        assert {"authenticated": True, "login": False, "writes": False} == (await http.get("/access")).json()
        assert (400, "invalid_argument") == code(await http.post("/login", json={"token": TOKEN}, headers=ORIGIN))
    async with web_app(WebConfig(allow_write=True)) as web, web.http() as http:
        assert 200 == (await http.post("/sessions/chat/input", json={"text": "hi"}, headers=ORIGIN)).status_code


@pytest.mark.parametrize("path", GUARDED)
async def test_without_a_token_no_other_machine_is_answered(path: str) -> None:
    """Also where somebody bound another address by mistake."""
    config = WebConfig(allow_write=True, allowed_hosts=("lash.test",))
    async with web_app(config, client_host="192.0.2.7") as web, web.http(base_url="http://lash.test") as http:
        assert (403, "not_permitted") == code(await http.get(path))
        assert not (await http.get("/access")).json()["authenticated"]
        assert 200 == (await http.get("/healthz")).status_code


@pytest.mark.parametrize(
    "header",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via", "CF-Connecting-IP"],
)
async def test_without_a_token_what_a_proxy_passes_on_is_not_answered(header: str) -> None:
    """It has the proxy's address, and comes from wherever."""
    async with web_app() as web, web.http(headers={header: "127.0.0.1"}) as http:
        assert (403, "not_permitted") == code(await http.get("/sessions"))
    async with web_app(WebConfig(token=TOKEN)) as web, web.http(headers={header: "127.0.0.1"} | BEARER) as http:
        assert 200 == (await http.get("/sessions")).status_code


@pytest.mark.parametrize("path", GUARDED)
async def test_with_a_token_one_has_to_say_who_one_is(path: str) -> None:
    """401 with the way to do so; nothing tells whether the session is there."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            refused = await http.get(path, headers=headers)
            assert (401, "login_required") == code(refused)
            assert "Bearer" == refused.headers["www-authenticate"]
        assert 401 != (await http.get(path, headers=BEARER)).status_code or path.endswith("events")


async def test_a_login_is_a_cookie_that_scripts_cannot_read() -> None:
    """HttpOnly, SameSite=Strict, of this app's path; good until it expires or is dropped."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        wrong = await http.post("/login", json={"token": TOKEN + "x"}, headers=ORIGIN)
        assert (401, "login_required") == code(wrong)
        assert TOKEN not in wrong.text
        assert "set-cookie" not in wrong.headers

        cookie = (await logged_in(http)).headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert TOKEN not in cookie
        assert 200 == (await http.get("/sessions")).status_code
        assert {"authenticated": True, "login": True, "writes": True} == (await http.get("/access")).json()

        web.clock.advance_ms(web.state.config.limits.cookie_ms - 1_000)
        assert 200 == (await http.get("/sessions")).status_code
        web.clock.advance_ms(2_000)
        assert 401 == (await http.get("/sessions")).status_code

        await logged_in(http)
        await http.post("/logout", json={}, headers=ORIGIN)
        assert 401 == (await http.get("/sessions")).status_code


async def test_a_cookie_is_for_https_where_the_page_is() -> None:
    """By this server's own connection, or by the origins that a proxy gives it."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http(base_url="https://localhost") as http:
        reply = await http.post("/login", json={"token": TOKEN}, headers={"Origin": "https://localhost"})
        assert "Secure" in reply.headers["set-cookie"].split("; ")
    config = WebConfig(token=TOKEN, origins=("https://chat.test",), allowed_hosts=("chat.test",))
    async with web_app(config) as web, web.http(base_url="http://chat.test") as http:
        reply = await http.post("/login", json={"token": TOKEN}, headers={"Origin": "https://chat.test"})
        assert "Secure" in reply.headers["set-cookie"].split("; ")


async def test_a_wrong_bearer_is_not_made_good_by_a_cookie() -> None:
    """Who says who they are is taken at their word."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        await logged_in(http)
        assert 401 == (await http.get("/sessions", headers={"Authorization": "Bearer wrong"})).status_code


# -- tickets -----------------------------------------------------------------------------------------------


async def ticket_of(http: httpx2.AsyncClient, **body: Any) -> str:
    reply = await http.post("/ticket", json=body, headers=BEARER)
    assert 200 == reply.status_code, reply.text
    return reply.json()["ticket"]


async def test_a_ticket_opens_one_stream() -> None:
    """Once, also at another serving process; afterwards it is spent."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        await web.lash.session("a/b").create()
        ticket = await ticket_of(http, session_id="a/b")
        other = session_app(web.lash, WebConfig(token=TOKEN), clock=web.clock)
        async with streaming(other, "/sessions/a/b/events", f"ticket={ticket}") as stream:
            assert ["observation"] == [event.type for event in await stream.until(1)]
        assert (401, "login_required") == code(await http.get(address("a/b", "events"), params={"ticket": ticket}))


async def test_a_ticket_is_for_its_session_its_minute_and_streams_alone() -> None:
    """Nothing else takes it; it is not spent by being shown in vain."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        await web.lash.session("chat").create()
        await web.lash.session("other").create()
        ticket = await ticket_of(http, session_id="chat")
        query = {"ticket": ticket}
        assert 401 == (await http.get(address("other", "events"), params=query)).status_code
        assert 401 == (await http.get(address("chat", "observation"), params=query)).status_code
        assert 401 == (await http.get("/sessions", params=query)).status_code
        assert 400 == (await http.post("/ticket", params=query, json={}, headers=BEARER)).status_code
        assert 401 == (await http.post("/login", json=query, headers=ORIGIN)).status_code
        late = await ticket_of(http, session_id="chat")
        async with streaming(web.app, "/sessions/chat/events", f"ticket={ticket}") as stream:
            await stream.until(1)
        web.clock.advance_ms(TICKET_MS)
        assert 401 == (await http.get(address("chat", "events"), params={"ticket": late})).status_code


async def test_a_ticket_of_no_session_opens_any_and_logs_in() -> None:
    """One of each is enough: it is good once."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        await web.lash.session("chat").create()
        async with streaming(web.app, "/sessions/chat/events", f"ticket={await ticket_of(http)}") as stream:
            assert ["observation"] == [event.type for event in await stream.until(1)]
        ticket = await ticket_of(http)
        assert 200 == (await http.post("/login", json={"ticket": ticket}, headers=ORIGIN)).status_code
        assert 200 == (await http.get("/sessions")).status_code
        assert 401 == (await http.post("/login", json={"ticket": ticket}, headers=ORIGIN)).status_code


async def test_a_ticket_is_given_to_who_is_known() -> None:
    """Nobody else."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        assert 401 == (await http.post("/ticket", json={}, headers=ORIGIN)).status_code
        await logged_in(http)
        assert 200 == (await http.post("/ticket", json={}, headers=ORIGIN)).status_code
        assert 400 == (await http.post("/ticket", json={"session_id": "a#b"}, headers=ORIGIN)).status_code


# -- authorize -----------------------------------------------------------------------------------------------


async def test_authorize_decides_about_each_session_and_action() -> None:
    """It is asked before anything is read, with the session and the action; a listing leaves out what it refuses."""
    asked: list[tuple[str | None, WebAction]] = []

    async def authorize(request: Request, session_id: str | None, action: WebAction) -> bool:
        asked.append((session_id, action))
        owner = request.headers.get("x-user")
        return session_id is None or session_id.startswith(f"{owner}/")

    async with web_app(WebConfig(authorize=authorize)) as web, web.http(headers={"x-user": "ann"}) as http:
        for name in ("ann/1", "ann/2", "bob/1"):
            await web.lash.session(name).create()
        assert {"ann/1", "ann/2"} == {row["id"] for row in (await http.get("/sessions")).json()["items"]}
        assert (None, "list_sessions") == asked[0]
        assert {("ann/1", "observe"), ("ann/2", "observe"), ("bob/1", "observe")} == set(asked[1:])
        asked.clear()

        mine, gone = address("ann/1", "input"), address("ann/none", "observation")
        assert 200 == (await http.post(mine, json={"text": "hi"}, headers=ORIGIN)).status_code
        assert 404 == (await http.get(gone)).status_code
        posts: dict[str, dict[str, Any]] = {
            "input": {"text": "hi"},
            "cancel-input": {"input_id": "x"},
            "cancel-turn": {},
            "processes/cancel": {"process_ids": ["x"]},
        }
        for name in ("bob/1", "bob/none"):
            for word in ("observation", "events", "processes"):
                assert (403, "not_permitted") == code(await http.get(address(name, word)))
            for word, body in posts.items():
                assert (403, "not_permitted") == code(await http.post(address(name, word), json=body, headers=ORIGIN))
        assert {
            "observe",
            "watch",
            "list_processes",
            "send_input",
            "cancel_input",
            "cancel_turn",
            "cancel_processes",
        } == {action for _, action in asked}
        assert () == await web.lash.session("bob/1").queue()


async def test_authorize_gives_tickets_and_is_not_asked_again() -> None:
    """The request that redeems one has nothing of who made it; such a ticket names its session."""

    def authorize(request: Request, session_id: str | None, action: WebAction) -> bool:
        return request.headers.get("x-user") == "ann" and session_id == "ann/1" and action == "watch"

    async with web_app(WebConfig(authorize=authorize)) as web, web.http(headers=ORIGIN) as http:
        await web.lash.session("ann/1").create()
        ann = {"x-user": "ann"}
        assert 403 == (await http.post("/ticket", json={"session_id": "ann/1"})).status_code
        assert 403 == (await http.post("/ticket", json={"session_id": "bob/1"}, headers=ann)).status_code
        assert (400, "invalid_argument") == code(await http.post("/ticket", json={}, headers=ann))
        ticket = (await http.post("/ticket", json={"session_id": "ann/1"}, headers=ann)).json()["ticket"]
        async with streaming(web.app, "/sessions/ann/1/events", f"ticket={ticket}") as stream:
            assert ["observation"] == [event.type for event in await stream.until(1)]
        everything, _ = web.state.credentials.make_ticket(web.clock.now_ms())
        assert 401 == (await http.get("/sessions/ann/1/events", params={"ticket": everything})).status_code


@pytest.mark.parametrize("answer", [False, None, 1, "yes", RuntimeError("boom")])
async def test_authorize_has_to_say_true(answer: object) -> None:
    """One that fails is an error of the host's, and permits nothing; what it says is not told."""

    def authorize(request: Request, session_id: str | None, action: WebAction) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with web_app(WebConfig(authorize=authorize)) as web, web.http() as http:
        reply = await http.get("/sessions/chat/observation")
        expected = (500, "authorize_failed") if isinstance(answer, Exception) else (403, "not_permitted")
        assert expected == code(reply)
        assert "boom" not in reply.text
        assert "not_done" == reply.json()["error"]["outcome"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (HTTPException(401, "who are you"), (401, "login_required")),
        (HTTPException(403), (403, "not_permitted")),
        (HTTPException(418, "short and stout"), (418, "bad_request")),
        (StoreUnreachableError("away"), (503, "store_unreachable")),
    ],
)
async def test_authorize_may_say_why_not(raised: Exception, expected: tuple[int, str]) -> None:
    """With the exceptions of its framework, or those of lash."""

    async def authorize(request: Request, session_id: str | None, action: WebAction) -> bool:
        raise raised

    async with web_app(WebConfig(authorize=authorize)) as web, web.http() as http:
        assert expected == code(await http.get("/sessions/chat/observation"))


async def test_token_and_authorize_are_both_asked() -> None:
    """The token says that it is one of us, the callback whose session it is."""
    config = WebConfig(token=TOKEN, authorize=lambda request, session_id, action: session_id == "mine")
    async with web_app(config) as web, web.http() as http:
        assert 401 == (await http.get(address("mine", "observation"))).status_code
        assert 403 == (await http.get(address("other", "observation"), headers=BEARER)).status_code
        assert 404 == (await http.get(address("mine", "observation"), headers=BEARER)).status_code


# -- where a request comes from --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (ORIGIN, 200),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "https://localhost"}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        (BEARER, 200),
        (BEARER | ORIGIN, 200),
        (BEARER | {"Origin": "http://evil.test"}, 403),
        (BEARER | {"Origin": "null"}, 403),
    ],
)
async def test_a_post_comes_from_a_page_of_ours(headers: dict[str, str], status: int) -> None:
    """Or from a program that says who it is; a wrong origin is refused whatever else it brings."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        await logged_in(http)
        reply = await http.post("/sessions/chat/input", json={"text": "hi"}, headers=headers)
        assert status == reply.status_code
        assert (status == 200) == await web.lash.session("chat").exists()
        assert status != 403 or "origin_refused" == reply.json()["error"]["code"]


async def test_a_login_comes_from_a_page_of_ours() -> None:
    """A foreign page may not log its visitor in, or out."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http() as http:
        for path, body in (("/login", {"token": TOKEN}), ("/logout", {}), ("/ticket", {})):
            assert (403, "origin_refused") == code(await http.post(path, json=body))
            assert (403, "origin_refused") == code(
                await http.post(path, json=body, headers={"Origin": "http://x.test"})
            )


async def test_a_page_of_another_site_reads_nothing() -> None:
    """A browser that marks a request so is believed; an origin of ours, a bearer or a ticket is another matter."""
    cross = {"Sec-Fetch-Site": "cross-site"}
    async with web_app() as web, web.http() as http:
        assert (403, "origin_refused") == code(await http.get("/sessions", headers=cross))
        assert 403 == (await http.get("/sessions", params={"ticket": "x"}, headers=cross)).status_code
        for site in ("same-origin", "same-site", "none"):
            assert 200 == (await http.get("/sessions", headers={"Sec-Fetch-Site": site})).status_code
        assert 403 == (await http.get("/sessions", headers={"Origin": "http://evil.test"})).status_code
        reply = await http.get("/sessions", headers=ORIGIN)
        assert 200 == reply.status_code
        assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_a_request_was_sent_to_a_name_of_ours() -> None:
    """A foreign name that resolves to this machine gets nothing, no page either; health is for whoever asks."""
    async with web_app(WebConfig(allowed_hosts=("chat.test",))) as web:
        async with web.http(base_url="http://evil.test") as http:
            for path in ("/sessions", "/", "/access", "/openapi.json", "/nothing"):
                assert (421, "host_refused") == code(await http.get(path))
            assert 200 == (await http.get("/healthz")).status_code
        async with web.http(base_url="http://chat.test") as http:
            assert 200 == (await http.get("/sessions")).status_code


async def test_answers_keep_to_themselves() -> None:
    """Each has the headers that keep it out of caches, frames and foreign pages; errors too."""
    async with web_app() as web, web.http() as http:
        for path in ("/sessions", "/nothing", "/sessions/none/observation", "/healthz"):
            check_kept_to_itself(await http.get(path))

    def broken() -> LashClient:
        raise RuntimeError("boom")

    transport = httpx2.ASGITransport(app=session_app(broken), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        failed = await http.get("/sessions")
        assert (500, "bug") == code(failed)
        assert "boom" not in failed.text
        check_kept_to_itself(failed)


def check_kept_to_itself(reply: httpx2.Response) -> None:
    """It has the headers that say so."""
    assert "nosniff" == reply.headers["x-content-type-options"]
    assert "same-origin" == reply.headers["cross-origin-resource-policy"]
    assert "DENY" == reply.headers["x-frame-options"]
    assert "no-store" == reply.headers["cache-control"]


# -- mounted ---------------------------------------------------------------------------------------------------


async def test_the_app_may_be_mounted() -> None:
    """Below any address, over a client that is there when a request comes; its cookie is of that address."""
    async with web_app() as web:
        holder: dict[str, Any] = {}
        inner = session_app(lambda: holder["lash"], WebConfig(token=TOKEN), clock=web.clock)
        outer = Web(Starlette(routes=[Mount("/our lash", inner)]), web.lash, inner.state.lash_web, web.clock)
        holder["lash"] = web.lash.stores
        async with outer.http(base_url="http://localhost/our%20lash") as http:
            await web.lash.session("a/b").create()
            cookie = (await logged_in(http)).headers["set-cookie"]
            assert "Path=/our%20lash" in cookie.split("; ")
            assert ["a/b"] == [row["id"] for row in (await http.get("/sessions")).json()["items"]]
            assert 200 == (await http.get(address("a/b", "observation"))).status_code
            assert 200 == (await http.get("/healthz", headers={"Host": "any.test"})).status_code
