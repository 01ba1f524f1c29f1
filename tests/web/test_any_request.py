"""Whatever is asked, the answer is one that is described, and never a bug; who may only read changes nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lash_core.web import WebConfig
from lash_core.web.openapi import openapi_document
from lash_core.web.route_table import ROUTES, RouteEntry
from tests.web.kit import ORIGIN, Web, web_app
from tests.web.test_openapi import check

# Clients take an id that is one or two dots for a step in the address (``docs/contracts/web.md`` 1).
IDS = st.one_of(
    st.sampled_from(["chat", "none", "a/b", "a/../b", "chat/events", "#", "%2F", ""]), st.text(max_size=30)
).filter(lambda name: name not in (".", ".."))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
WORDS = ("text", "source_key", "after_turn", "input_id", "turn_id", "reason", "request_id", "process_ids", "session_id")
BODIES = st.dictionaries(st.sampled_from(WORDS), JSON, max_size=4) | JSON
NAMES = ("limit", "cursor", "messages", "events", "live", "status", "ticket", "x")
QUERIES = st.dictionaries(st.sampled_from(NAMES), st.text(max_size=12) | st.integers().map(str), max_size=3)
HEADERS = st.dictionaries(
    st.sampled_from(["Last-Event-ID", "Authorization", "Cookie", "Origin", "Sec-Fetch-Site", "Content-Type"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    max_size=2,
)
# A stream that is served never ends: it is asked for with a cursor that is none.
STREAM = {"cursor": "none"}


async def ask(
    web: Web, entry: RouteEntry, session_id: str, query: dict[str, str], headers: dict[str, str], body: Any
) -> httpx2.Response:
    """One request to a route."""
    path = entry.path.replace("{session_id}", quote(session_id, safe=""))
    async with web.http(headers=ORIGIN) as http:
        if entry.method == "GET":
            if entry.action == "watch":
                query = {"ticket" if "ticket" in query else "x": "x"} | query | STREAM
            return await http.get(path, params=query, headers=headers)
        content = json.dumps(body).encode()
        return await http.post(
            path, params=query, headers={"Content-Type": "application/json"} | headers, content=content
        )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ROUTES), IDS, QUERIES, HEADERS, BODIES, st.booleans())
def test_any_request(
    entry: RouteEntry, session_id: str, query: dict[str, str], headers: dict[str, str], body: Any, writes: bool
) -> None:
    """Status and form are among those of the route, or the address is none."""

    async def work() -> None:
        async with web_app(WebConfig(allow_write=writes, page=False)) as web:
            await web.lash.session("chat").create()
            reply = await ask(web, entry, session_id, query, headers, body)
            described = openapi_document()["paths"][entry.path][entry.method.lower()]["responses"]
            if str(reply.status_code) != "405":
                assert str(reply.status_code) in described, (reply.status_code, reply.text)
            if reply.status_code >= 400:
                assert {"code", "message", "field", "value", "limit", "outcome"} == set(reply.json()["error"])
                assert "bug" != reply.json()["error"]["code"]
            else:
                check(entry.method, entry.path, reply.json())
            if not writes:
                listed, _ = await web.lash.list_sessions()
                assert ["chat"] == [row.session_id for row in listed]
                assert () == await web.lash.session("chat").queue()

    asyncio.run(work())
