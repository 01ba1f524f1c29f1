"""``openapi.json`` says what is served: every route, every parameter, and answers as they are."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from lash_core.errors import InvalidArgumentError
from lash_core.model.ids import check_id
from lash_core.testing.waiting import eventually
from lash_core.web import WebConfig
from lash_core.web.openapi import openapi_document
from lash_core.web.route_table import ROUTES
from tests.web.kit import ORIGIN, TOKEN, address, events_of, say, streaming, take_turn, web_app
from tests.web.test_sessions import process

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "contracts" / "web.md").read_text()


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of a schema of the document."""
    return Draft202012Validator({**schema, "components": openapi_document()["components"]})


def answer_schema(method: str, path: str, status: str = "200") -> dict[str, Any]:
    """The schema of an answer."""
    content = openapi_document()["paths"][path][method.lower()]["responses"][status]["content"]
    return content["application/json"]["schema"]


def check(method: str, path: str, value: Any, status: str = "200") -> None:
    """Hold an answer against the document."""
    errors = [error.message for error in validator(answer_schema(method, path, status)).iter_errors(value)]
    assert [] == errors, (method, path, value)


def references(value: Any) -> set[str]:
    """All references in a document."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set[str]().union(*map(references, value)) if isinstance(value, list) else set()


async def test_every_route_is_described_and_every_description_served() -> None:
    """Beside the document itself and the files of the page."""
    async with web_app(WebConfig(page=False)) as web:
        served = {
            (method, route.path.replace(":path}", "}"))
            for route in web.app.routes
            if isinstance(route, Route)
            for method in route.methods or ()
            if method != "HEAD"
        }
    described = {(method.upper(), path) for path, methods in openapi_document()["paths"].items() for method in methods}
    assert served == described | {("GET", "/openapi.json")}
    assert len({entry["operationId"] for one in openapi_document()["paths"].values() for entry in one.values()}) == len(
        ROUTES
    )


def test_the_document_is_whole() -> None:
    """Every reference resolves, every schema is one, every parameter of an address is described."""
    document = openapi_document()
    assert document == json.loads(json.dumps(document))
    assert "3.1.0" == document["openapi"]
    schemas = document["components"]["schemas"]
    assert references(document) <= {f"#/components/schemas/{name}" for name in schemas}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            names = {(one["in"], one["name"]) for one in operation["parameters"]}
            assert ("{session_id}" in path) == (("path", "session_id") in names)
            assert operation["summary"]


@pytest.mark.parametrize("entry", ROUTES, ids=lambda entry: f"{entry.method} {entry.path}")
def test_the_page_of_the_contract_names_every_route(entry: Any) -> None:
    """With the action that ``authorize`` is asked about."""
    path = entry.path.removeprefix("/").replace("{session_id}", "{id}")
    line = next((line for line in PAGE.splitlines() if line.startswith(f"| `{entry.method} {path}")), "")
    assert line, path
    assert entry.action is None or f"`{entry.action}`" in line


async def test_answers_are_what_is_described() -> None:
    """Of every route that answers JSON, and of the errors."""
    async with web_app(WebConfig(token=TOKEN)) as web, web.http(headers=ORIGIN) as http:
        check("GET", "/sessions", (await http.get("/sessions")).json(), "401")
        check("POST", "/login", (await http.post("/login", json={"token": TOKEN})).json())
        await take_turn(web, "chat", "one", "first")
        await process(web, "p", "chat")
        session = "/sessions/{session_id}"
        posts: list[tuple[str, dict[str, Any]]] = [
            ("input", {"text": "hello"}),
            ("cancel-input", {"input_id": "x"}),
            ("cancel-turn", {}),
            ("processes/cancel", {"process_ids": ["p", "q"]}),
        ]
        for word, body in posts:
            reply = await http.post(address("chat", word), json=body)
            assert 200 == reply.status_code, reply.text
            check("POST", f"{session}/{word}", reply.json())
            check("POST", f"{session}/{word}", (await http.post(address("chat", word), json={"x": 1})).json(), "400")
        for word in ("observation", "processes"):
            reply = await http.get(address("chat", word))
            assert 200 == reply.status_code, reply.text
            check("GET", f"{session}/{word}", reply.json())
        for path in ("/sessions", "/processes", "/access", "/healthz"):
            reply = await http.get(path)
            assert 200 == reply.status_code, reply.text
            check("GET", path, reply.json())
        check("POST", "/ticket", (await http.post("/ticket", json={"session_id": "chat"})).json())
        check("POST", "/logout", (await http.post("/logout", json={})).json())
        assert openapi_document() == (await http.get("/openapi.json")).json()


async def test_events_are_what_is_described() -> None:
    """Each kind that a watch may have."""
    schema = {"$ref": "#/components/schemas/WatchEvent"}
    async with web_app() as web:
        await take_turn(web, "chat", "one", "first")
        async with streaming(web.app, "/sessions/chat/events", "cursor=lashsc1:1:99:chat") as stream:
            await stream.until(1)
            await say(web, "chat", "more")
            await take_turn(web, "chat", "two", "second")
            await eventually(lambda: "event: committed" in stream.text)
            await web.lash.session("chat").delete()
            await eventually(lambda: stream.ended)
        found = {event.type: event.data for event in events_of(stream.text) if event.retry is None}
        assert {"gap", "turn_activity", "committed", "queue_changed", "ended"} <= set(found)
        for value in found.values():
            assert [] == [error.message for error in validator(schema).iter_errors(value)]
        assert not validator(schema).is_valid({"type": "committed"})


@pytest.mark.parametrize(
    ("session_id", "legal"),
    [
        *[(text, True) for text in ("a", "orders/2026/17", "a:b", "{x} y", "ü%2F", "x" * 200)],
        *[(text, False) for text in ("", " a", "a ", "a#b", "a\tb", "a\nb", "a\x7fb", "x" * 201)],
    ],
)
def test_ids_are_described_as_they_are_checked(session_id: str, legal: bool) -> None:
    """A client that is made from the description does not send what is refused."""
    parameters = openapi_document()["paths"]["/sessions/{session_id}/observation"]["get"]["parameters"]
    ticket = openapi_document()["components"]["schemas"]["TicketBody"]
    described = Draft202012Validator(next(p["schema"] for p in parameters if p["name"] == "session_id"))
    assert legal == described.is_valid(session_id)
    assert legal == Draft202012Validator(ticket).is_valid({"session_id": session_id})
    with contextlib.nullcontext() if legal else pytest.raises(InvalidArgumentError):
        check_id(session_id)
