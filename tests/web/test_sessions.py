"""Sessions over HTTP: listed, observed, given input, cancelled."""

from __future__ import annotations

import asyncio
from typing import Any, Never

import pytest
from starlette.requests import Request

from lash_core.errors import LashError, OutcomeUnknownError, StoreRefusedError, StoreUnreachableError
from lash_core.errors.observation import LiveReplayFailedError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.model.session_lease import SessionLeaseAcquired
from lash_core.store.turn_journal import OpenTurn
from lash_core.web import WebConfig, WebLimits, forms
from lash_core.web.calls import body_of
from lash_core.web.refusals import BodyTimeoutError, BodyTooLargeError
from tests.client.session_turns import OWNER, answer_queue
from tests.web.kit import ORIGIN, Web, address, streaming, take_turn, web_app

IDS = ("chat-1", "a/b", "a/events", "käse/brot", "x:y?z&w=1 %2F", "sessions/a/input", "日本", "a//b", "-", "processes")
OPEN = WebConfig(allow_write=True)


async def test_an_id_may_hold_what_addresses_are_made_of() -> None:
    """It is all before the fixed word; what looks like a route is part of it."""
    async with web_app(OPEN) as web, web.http(headers=ORIGIN) as http:
        for name in IDS:
            sent = await http.post(address(name, "input"), json={"text": "hello"})
            assert 200 == sent.status_code, sent.text
            assert name == sent.json()["session_id"]
            seen = (await http.get(address(name, "observation"))).json()
            assert [sent.json()["batch_id"]] == [row["batch_id"] for row in seen["observation"]["queued"]]
            assert "hello" == seen["observation"]["queued"][0]["text"]
        assert set(IDS) == {row["id"] for row in (await http.get("/sessions")).json()["items"]}
        # A slash may stand as it is.
        assert 200 == (await http.get("/sessions/a/b/observation")).status_code
        for bad in ("a#b", " a", "a\x00", "x" * 201, " "):
            refused = await http.get(address(bad, "observation"))
            assert (400, "session_id") == (refused.status_code, refused.json()["error"]["field"]), bad
        # What is no text names no session: neither one of its own nor that of the sign that servers put in its place.
        for bad in ("%ff", "a%C3", "%ED%A0%80", "%ff/b"):
            refused = await http.post(f"/sessions/{bad}/input", json={"text": "hello"})
            assert (400, "session_id") == (refused.status_code, refused.json()["error"]["field"]), bad
        assert len(IDS) == len((await http.get("/sessions")).json()["items"])


async def test_the_listing_comes_in_pages() -> None:
    """All of them once, whatever the size of a page."""
    async with web_app() as web, web.http() as http:
        await take_turn(web, "s0", "one", "two")
        for n in range(1, 7):
            await web.lash.session(f"s{n}").create()
        found, cursor = list[str](), ""
        while cursor is not None:
            params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
            page = (await http.get("/sessions", params=params)).json()
            assert len(page["items"]) <= 3
            found += [row["id"] for row in page["items"]]
            cursor = page["next_cursor"]
        assert [f"s{n}" for n in range(7)] == sorted(found)
        row = next(row for row in (await http.get("/sessions")).json()["items"] if row["id"] == "s0")
        assert {"name": "s0", "model": "tiny", "parent": None, "head_revision": 1, "queued": 0, "held_by": None} == {
            name: row[name] for name in ("name", "model", "parent", "head_revision", "queued", "held_by")
        }
        for wrong in ({"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"page": "1"}):
            refused = await http.get("/sessions", params=wrong)
            assert (400, next(iter(wrong))) == (refused.status_code, refused.json()["error"]["field"])
        assert 400 == (await http.get("/sessions?limit=1&limit=2")).status_code


async def test_an_input_is_sent_once_under_its_key() -> None:
    """A page may repeat what it does not know the outcome of."""
    async with web_app(OPEN) as web, web.http(headers=ORIGIN) as http:
        body = {"text": "hello", "source_key": "k1", "after_turn": True}
        first = await http.post(address("chat", "input"), json=body)
        again = await http.post(address("chat", "input"), json=body)
        assert first.json() == again.json()
        (batch,) = await web.lash.session("chat").queue()
        assert {"session_id": "chat", "batch_id": batch.batch_id, "enqueue_seq": batch.enqueue_seq} == first.json()
        assert "after_current_turn_commit" == batch.delivery_policy.value


async def test_an_input_may_be_taken_back() -> None:
    """The outcome is data, whatever it is."""
    async with web_app(OPEN) as web, web.http(headers=ORIGIN) as http:
        sent = (await http.post(address("chat", "input"), json={"text": "hello"})).json()
        body = {"input_id": sent["batch_id"]}
        for outcome in ("cancelled", "not_found"):
            reply = await http.post(address("chat", "cancel-input"), json=body)
            assert {"session_id": "chat", "outcome": outcome} | body == reply.json()
        store = await web.lash.session("chat")._store()
        sent = (await http.post(address("chat", "input"), json={"text": "hello"})).json()
        await answer_queue(store)
        late = await http.post(address("chat", "cancel-input"), json={"input_id": sent["batch_id"]})
        assert "already_completed" == late.json()["outcome"]
        none = await http.post(address("none", "cancel-input"), json=body)
        assert (404, "unknown_session") == (none.status_code, none.json()["error"]["code"])


async def test_a_turn_may_be_cancelled() -> None:
    """The one that is open, or one by its id; the first request stands."""
    async with web_app(OPEN) as web, web.http(headers=ORIGIN) as http:
        await web.lash.session("chat").create()
        where = address("chat", "cancel-turn")
        none = {"session_id": "chat", "turn_id": None, "outcome": "no_turn"}
        assert none == (await http.post(where, json={})).json()
        store = await web.lash.session("chat")._store()
        taken = await store.try_claim_session_execution_lease("chat", OWNER, 30_000)
        assert isinstance(taken, SessionLeaseAcquired)
        await store.open_turn(taken.lease.fence, OpenTurn("t_1"))
        for request, outcome in (("r1", "requested"), ("r1", "already_requested"), ("r2", "already_requested")):
            reply = await http.post(where, json={"request_id": request, "reason": "enough"})
            assert {"session_id": "chat", "turn_id": "t_1", "outcome": outcome} == reply.json()
        assert "requested" == (await http.post(where, json={"turn_id": "t_2"})).json()["outcome"]
        assert 404 == (await http.post(address("none", "cancel-turn"), json={})).status_code


async def process(web: Web, name: str, session_id: str) -> None:
    scope = SessionScope(session_id=session_id)
    registration = ProcessRegistration(
        id=name,
        input=ProcessInput.external({"n": 1}),
        disposition=RecoveryDisposition.EXTERNALLY_OWNED,
    )
    await web.lash.stores.process_registry.register_process(registration)
    await web.lash.stores.process_registry.grant_handle(scope, name, ProcessHandleDescriptor())


async def test_processes_may_be_cancelled_by_who_has_a_handle() -> None:
    """Of others the caller does not even learn that they are there."""
    async with web_app(OPEN) as web, web.http(headers=ORIGIN) as http:
        await process(web, "mine", "chat")
        await process(web, "theirs", "other")
        await web.lash.session("chat").create()
        where = address("chat", "processes/cancel")
        async with streaming(web.app, "/sessions/chat/events") as stream:
            await stream.until(1)
            reply = await http.post(where, json={"process_ids": ["mine", "theirs", "none", "mine"], "reason": "enough"})
            told = (await stream.until(2))[1]
            assert ("process_changed", "cancelled", ["mine"]) == (
                told.type,
                told.data["kind"],
                told.data["process_ids"],
            )
        assert 200 == reply.status_code, reply.text
        outcomes = {item["id"]: item["outcome"] for item in reply.json()["items"]}
        assert {"mine": "requested", "theirs": "not_found", "none": "not_found"} == outcomes
        theirs = await web.lash.get("theirs")
        assert theirs is not None
        assert theirs.cancel_request is None
        for bad in ({"process_ids": []}, {"process_ids": ["x"] * 101}, {"process_ids": ["mine", "a#b"]}, {}):
            assert 400 == (await http.post(where, json=bad)).status_code


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": "  "}, "content"),
        ({"text": 1}, "text"),
        ({"text": None}, "text"),
        ({"text": "x", "after_turn": "yes"}, "after_turn"),
        ({"text": "x", "source_key": ""}, "source_key"),
        ({"text": "x", "source_key": "k" * 201}, "source_key"),
        ({"text": "x", "attachments": []}, "attachments"),
        ([], "body"),
        ("x", "body"),
    ],
)
async def test_bad_input_names_its_field(body: object, field: str) -> None:
    """And nothing is written."""
    async with web_app(OPEN) as web, web.http(headers=ORIGIN) as http:
        refused = await http.post(address("chat", "input"), json=body)
        assert 400 == refused.status_code
        error = refused.json()["error"]
        assert (field, "not_done") == (error["field"], error["outcome"])
        assert {"code", "message", "field", "value", "limit", "outcome"} == set(error)
        assert not await web.lash.session("chat").exists()


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"text": "x"}', "text/plain", 415),
        (b'{"text": "x"}', "application/x-www-form-urlencoded", 415),
        (b'{"text": "x"}', "", 415),
        (b"", "application/json", 400),
        (b"null", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"text": "\xff"}', "application/json", 400),
        (b'{"text": NaN}', "application/json", 400),
        (b'{"text": "x", "text": "y"}', "application/json", 400),
        ('{"text": "x"}'.encode("utf-8-sig"), "application/json", 400),
        ('{"text": "x"}'.encode("utf-16"), "application/json", 400),
        (b'{"text": "\\ud800"}', "application/json", 400),
        (b'{"text": "x", "text2": ' + b"[" * 50 + b"]" * 50 + b"}", "application/json", 400),
        (b'{"text": ' + b"[" * 100_000, "application/json", 400),
        (b'{"text": "' + b"x" * 2_000 + b'"}', "application/json; charset=utf-8", 200),
        (b'{"text": "' + b"x" * (1 << 20) + b'"}', "application/json", 413),
    ],
)
async def test_what_is_no_json_or_too_much_is_refused(content: bytes, kind: str, status: int) -> None:
    """With the status that says why; a charset changes nothing."""
    async with web_app(OPEN) as web, web.http(headers=ORIGIN) as http:
        headers = {"Content-Type": kind} if kind else {}
        reply = await http.post(address("chat", "input"), content=content, headers=headers)
        assert status == reply.status_code, reply.text
        assert (status == 200) == await web.lash.session("chat").exists()


async def test_a_body_without_a_length_is_bounded_too() -> None:
    """No more is read than may come."""
    read = 0

    async def receive() -> dict[str, object]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}
    with pytest.raises(BodyTooLargeError):
        await body_of(Request(scope, receive), forms.InputBody, WebLimits())
    assert 17 == read


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """Longer than its bound."""

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}
    with pytest.raises(BodyTimeoutError):
        await body_of(Request(scope, receive), forms.InputBody, WebLimits(body_ms_max=10))


async def test_addresses_and_methods_that_are_none() -> None:
    """JSON errors like all others."""
    async with web_app() as web, web.http(headers=ORIGIN) as http:
        for path in ("/nothing", "/sessions/", "/sessions/a", "/sessions/a/nothing", "/sessions/observation"):
            reply = await http.get(path)
            assert (404, "no_route") == (reply.status_code, reply.json()["error"]["code"]), path
        for method, path in (("POST", "/sessions"), ("GET", "/login"), ("DELETE", "/sessions/a/observation")):
            reply = await http.request(method, path)
            assert (405, "method_refused") == (reply.status_code, reply.json()["error"]["code"])
            assert reply.headers["allow"]


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (StoreUnreachableError, 503, "not_done"),
        (StoreRefusedError, 503, "not_done"),
        (LiveReplayFailedError, 503, "not_done"),
        (OutcomeUnknownError, 504, "unknown"),
    ],
)
async def test_a_store_that_is_away_is_told_to_the_log(
    error: type[LashError], status: int, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it is and what it said is nothing for who asks."""
    async with web_app() as web, web.http() as http:

        async def away(*given: Any, **named: Any) -> Never:
            await asyncio.sleep(0)
            raise error("redis://secret-host:6379 said no", field="redis_url", value="redis://secret-host:6379")

        assert {"status": "ok"} == (await http.get("/healthz")).json()
        web.lash.stores.process_registry.server_time_ms = away
        web.lash.stores.session_store_factory.open_existing_store = away
        assert 503 == (await http.get("/healthz")).status_code
        reply = await http.get("/sessions/chat/observation?messages=7")
        assert (status, outcome) == (reply.status_code, reply.json()["error"]["outcome"])
        assert "secret-host" not in reply.text
        told = [record.getMessage() for record in caplog.records]
        assert any("secret-host" in line and "/sessions/chat/observation" in line for line in told)
        assert not any("messages=7" in line for line in told)
