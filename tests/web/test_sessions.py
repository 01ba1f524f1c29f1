"""Sessions over HTTP: listed, observed, given input, cancelled."""

from __future__ import annotations

import pytest

from tests.client.session_turns import answer_queue
from tests.web.kit import ORIGIN, Web, address, streaming, web_app
from lash_core.web import WebConfig

IDS = ("chat-1", "a/b", "a/events", "käse/brot", "x:y?z&w=1 %2F", "sessions/a/input", "日本", "a//b", "-")


async def test_an_input_makes_the_session_and_its_answer_is_observed() -> None:
    async with web_app(WebConfig(allow_write=True)) as web, web.http() as http:
        for name in IDS:
            sent = await http.post(address(name, "input"), json={"text": "hello"}, headers=ORIGIN)
            assert 200 == sent.status_code, sent.text
            assert name == sent.json()["session_id"]
            shown = (await http.get(address(name, "observation"))).json()
            assert [sent.json()["batch_id"]] == [row["batch_id"] for row in shown["observation"]["queued"]]
        listed = (await http.get("/sessions")).json()
        assert set(IDS) == {row["id"] for row in listed["items"]}
        async with streaming(web.app, "/sessions/a/b/events") as stream:
            print(await stream.until(1))
            store = await web.lash.session("a/b")._store()
            await answer_queue(store, "hello back")
        print((await http.get("/openapi.json")).json().keys())
