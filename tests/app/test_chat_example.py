"""The chat example answers as its README says: through a real model server, client library and worker."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from examples.chat import desk, model
from examples.chat.app import app
from lash_core.testing.model_replies import ModelAsk, ModelReply, ToolAsk
from lash_core.testing.model_server import ModelServer
from lash_core.testing.waiting import eventually
from tests.app.readme_kit import EXAMPLES, lash_commands_of, parse, readme_of

if TYPE_CHECKING:
    from lash_worker.testing import RunApps

TOOLS = [{"function": {"name": name}} for name in ("price", "stock", "order")]


@pytest.mark.parametrize("line", lash_commands_of("chat"))
def test_a_command_of_the_readme_is_one(line: str) -> None:
    """With these options and as many arguments."""
    parse(line)


def test_what_the_readme_says_of_the_code_is_in_it() -> None:
    source = (EXAMPLES / "chat" / "app.py").read_text()
    for name in re.findall(r"`@?((?:ctx|app)\.[a-z_]+)\(", readme_of("chat").partition("## Try it")[0]):
        assert f"{name}(" in source


def ask(*messages: dict[str, Any]) -> ModelAsk:
    return ModelAsk({"messages": list(messages), "tools": TOOLS})


def test_the_model_asks_for_what_the_question_needs() -> None:
    said = {"role": "user", "content": "What is the price of a mug? How many lamps are left? Order 3 chairs."}
    reply = model.answer(ask(said))

    assert (
        ToolAsk("price", '{"item": "mug"}', "call_1_0"),
        ToolAsk("stock", '{"item": "lamps"}', "call_1_1"),
        ToolAsk("order", '{"item": "chairs", "count": 3}', "call_1_2"),
    ) == reply.tools


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("hello", "[1] You said: hello"),
        ("", "[1] Noted."),
        ("Background process wake\nWake input:\nDelivered.", "[1] Good news! Delivered."),
    ],
)
def test_the_model_says_something_to_everything(said: str, expected: str) -> None:
    assert ModelReply(expected) == model.answer(ask({"role": "user", "content": said}))


def test_the_model_answers_what_came_while_tools_were_at_work() -> None:
    call = {"id": "c1", "function": {"name": "price", "arguments": '{"item": "mug"}'}}
    told = (
        {"role": "user", "content": "What is the price of a mug?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "900"},
        {"role": "user", "content": "Wake input: Delivered."},
    )
    assert "[2] A mug is 900 cents. Good news! Delivered." == model.answer(ask(*told)).text
    later = ({"role": "user", "content": "And the price of a lamp?"},)
    assert (ToolAsk("price", '{"item": "lamp"}', "call_3_0"),) == model.answer(ask(*told, *later)).tools
    ordering = {"id": "c1", "function": {"name": "order", "arguments": '{"item": "mug"}'}}
    ordered = ({"role": "assistant", "tool_calls": [ordering]}, {**told[2], "content": "ordered, delivery 7"})
    assert "[1] mug: ordered, delivery 7." == model.answer(ask({"role": "user", "content": "x"}, *ordered)).text
    assert "[2] Good news! Delivered." == model.answer(ask({"role": "user", "content": "x"}, *ordered, told[3])).text
    end = ({"role": "assistant", "content": "done"}, {"role": "user", "content": "thanks"})
    assert "[3] You said: thanks" == model.answer(ask(*told, *end)).text


def test_the_model_begins_a_conversation() -> None:
    assert "Good morning. What may it be?" == model.answer(ask()).text


@pytest.fixture
async def model_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[ModelServer]:
    monkeypatch.setenv("CHAT_DESK", str(tmp_path / "desk.sqlite"))
    async with ModelServer(model.answer) as server:
        monkeypatch.setenv("CHAT_MODEL_URL", server.base_url)
        yield server


async def test_a_customer_is_served(lash_app: RunApps, model_server: ModelServer) -> None:
    async with lash_app(app, park_after_ms=0) as lash:
        session = lash.session("anna")
        sent = await session.send("What is the price of a mug? And of the teapot? How much is the teapot?")
        assert "[1] A mug is 900 cents. I do not know about teapot." == (await sent.answer(10)).final_text
        ordered = await (await session.send("Order 2 mugs")).answer(10)
        assert ordered.final_text is not None
        assert "[2] mugs: ordered, delivery tool-" in ordered.final_text

        async def told() -> bool:
            return any("[3] Good news! Delivered: 2 x mugs" in message.text for message in await session.history())

        await eventually(told, within_ms=10_000)
        unknown = await (await session.send("Order 3 teapots")).answer(10)
        assert "[4] I do not know about teapots." == unknown.final_text
    assert ["price", "price", "order", "pack", "order"] == [name for name, *_ in desk.calls()]
    assert 7 == model_server.served
