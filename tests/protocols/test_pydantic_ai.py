"""The adapter over pydantic-ai, driven through the real client library against a server on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.usage import RequestUsage

from lash_core.errors import SettingsError
from lash_core.model.message import (
    AttachmentPart,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from lash_core.model.model_call import (
    ModelAttachment,
    ModelFailure,
    ModelReasoningDelta,
    ModelRequest,
    ModelResponse,
    ModelTextDelta,
    ModelUsageUpdate,
)
from lash_core.model.session import ModelLimits, ModelSpec
from lash_core.model.tool_state import ToolManifest
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers import pydantic_ai as adapter
from lash_core.protocols.providers.model_provider import ModelCallError, ModelProvider
from lash_core.protocols.providers.pydantic_ai import PydanticAiProvider
from lash_core.protocols.providers.pydantic_ai_messages import usage_of
from lash_core.protocols.providers.tool_names import wire_name
from lash_core.testing.model_replies import (
    CutStream,
    ErrorEvent,
    Fault,
    HttpFault,
    ModelAsk,
    ModelReply,
    NeverAnswers,
    SlowFirstToken,
    ToolAsk,
)
from lash_core.testing.model_server import ModelServer

KEY = "sk-very-secret"


class Model:
    """A server, what it answers, and a provider that talks to it."""

    def __init__(self) -> None:
        self.reply = ModelReply("hello")
        self.server = ModelServer(self._answer)
        self.provider: PydanticAiProvider

    def _answer(self, ask: ModelAsk) -> ModelReply:
        return self.reply

    async def events(self, **facts: Any) -> list[object]:
        return [event async for event in self.provider.stream(request(**facts))]

    async def answer(self, **facts: Any) -> ModelResponse:
        event = (await self.events(**facts))[-1]
        assert isinstance(event, ModelResponse)
        return event

    async def failure(self, fault: Fault, **facts: Any) -> ModelFailure:
        self.server.fault(fault)
        with pytest.raises(ModelCallError) as caught:
            await self.events(**facts)
        return caught.value.failure

    @property
    def asked(self) -> dict[str, Any]:
        """The newest request's body."""
        return self.server.requests[-1].body


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    found = Model()
    async with found.server:
        found.provider = PydanticAiProvider.openai_compatible("local", found.server.base_url, api_key=KEY)
        yield found
        await found.provider.close()


def request(**facts: Any) -> ModelRequest:
    return ModelRequest(model=ModelSpec("m"), messages=(Message.user("hi"),)).model_copy(update=facts)


async def test_text_and_reasoning_stream_and_come_back_whole(model: Model) -> None:
    model.reply = ModelReply("one two", reasoning="let me think", usage=(11, 3))
    events = await model.events()

    assert ["let ", "me ", "think"] == [event.text for event in events if isinstance(event, ModelReasoningDelta)]
    assert ["one ", "two"] == [event.text for event in events if isinstance(event, ModelTextDelta)]
    usage = TokenUsage(input=11, output=3)
    assert [usage] == [event.usage for event in events if isinstance(event, ModelUsageUpdate)]
    whole = events[-1]
    assert isinstance(whole, ModelResponse)
    reasoning, text = whole.parts
    assert isinstance(reasoning, ReasoningPart)
    assert "let me think" == reasoning.text
    assert TextPart("one two") == text
    assert (usage, "stop", "m") == (whole.usage, whole.finish_reason, whole.model)
    assert isinstance(model.provider, ModelProvider)


async def test_tools_are_offered_and_asked_for(model: Model) -> None:
    model.reply = ModelReply("so ", tools=(ToolAsk("search", '{"q": "x"}', "c1"), ToolAsk("search", '{"q', "c2")))
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    tools = (ToolManifest("t1", "search", description="looks", input_schema=schema), ToolManifest("t2", "any"))
    answer = await model.answer(tools=tools)

    calls = [part for part in answer.parts if isinstance(part, ToolCallPart)]
    assert [("c1", "search", {"q": "x"}), ("c2", "search", {})] == [(c.call_id, c.tool_name, c.args) for c in calls]
    assert "tool_calls" == answer.finish_reason
    offered = {entry["function"]["name"]: entry["function"] for entry in model.asked["tools"]}
    assert "looks" == offered["search"]["description"]
    assert {"q": {"type": "string"}} == offered["search"]["parameters"]["properties"]
    assert "object" == offered["any"]["parameters"]["type"]
    assert "auto" == model.asked["tool_choice"]


async def test_a_tool_may_have_a_name_that_no_provider_takes(model: Model) -> None:
    name = "shop/prices.v2"
    model.reply = ModelReply(tools=(ToolAsk(wire_name(name), "{}", "c1"), ToolAsk("made_up", "{}", "c2")))
    history = (
        Message("assistant", (ToolCallPart("c0", name),)),
        Message("user", (ToolResultPart("c0", name, {"type": "success", "value": 1}),)),
    )
    answer = await model.answer(tools=(ToolManifest("t1", name),), messages=history)

    assert [name, "made_up"] == [part.tool_name for part in answer.parts if isinstance(part, ToolCallPart)]
    assert name not in json.dumps(model.asked)


async def test_the_conversation_arrives_in_order(model: Model) -> None:
    call = ToolCallPart("c1", "search", {"q": "x"})
    results = (
        ToolResultPart("c1", "search", {"type": "success", "value": {"hits": 2}}),
        TextPart("and now?"),
    )
    await model.answer(
        instructions="be brief",
        messages=(
            Message.user("hi"),
            Message("assistant", (TextPart("let me see"), call)),
            Message("user", results),
            Message.system("be quick"),
        ),
    )

    seen = [(entry["role"], entry.get("content")) for entry in model.asked["messages"]]
    assert ("system", "be brief") == seen[0]
    assert [("user", "hi"), ("assistant", "let me see"), ("tool", '{"hits":2}')] == seen[1:4]
    assert {("user", "and now?"), ("system", "be quick")} == set(seen[4:])
    tool_call = model.asked["messages"][2]["tool_calls"][0]
    assert ("c1", {"q": "x"}) == (tool_call["id"], json.loads(tool_call["function"]["arguments"]))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"type": "failure", "class": "execution", "code": "boom", "message": "no"}, "boom: no"),
        ({"type": "cancelled", "message": "stop"}, "cancelled: stop"),
    ],
)
async def test_a_failed_tool_is_told_to_the_model(model: Model, output: dict[str, Any], expected: str) -> None:
    messages = (Message("assistant", (ToolCallPart("c1", "t"),)), Message("user", (ToolResultPart("c1", "t", output),)))
    await model.answer(messages=messages)

    told = next(entry["content"] for entry in model.asked["messages"] if entry["role"] == "tool")
    assert expected in told


async def test_attachments_are_shown(model: Model) -> None:
    image = {"attachment_id": "a1", "media_type": "image/png", "name": "p.png"}
    text = {"attachment_id": "a2", "media_type": "text/plain", "name": "n.txt"}
    gone = {"attachment_id": "a3", "media_type": "image/png", "name": "g.png"}
    parts = tuple(AttachmentPart(reference) for reference in (image, text, gone))
    attachments = (ModelAttachment("a1", b"\x89PNG"), ModelAttachment("a2", b"notes"))
    await model.answer(messages=(Message("user", (TextPart("look"), *parts)),), attachments=attachments)

    told = json.dumps(model.asked["messages"])
    assert "data:image/png;base64," in told
    assert "[attachment `n.txt` (text/plain)]\\nnotes" in told
    assert "[attachment `g.png` (image/png) is not shown]" in told


async def test_reasoning_goes_back_to_the_provider_that_gave_it(model: Model) -> None:
    model.reply = ModelReply("one", reasoning="secret thought")
    answer = await model.answer()
    assert isinstance(answer.parts[0], ReasoningPart)
    assert {"id": "reasoning_content", "provider": "local"} == answer.parts[0].provider_data

    await model.answer(messages=(Message.user("hi"), Message("assistant", answer.parts), Message.user("go on")))
    assert "secret thought" == model.asked["messages"][1]["reasoning_content"]


async def test_limits_and_efforts_are_passed_on(model: Model) -> None:
    spec = ModelSpec(
        "m",
        variant="high",
        limits=ModelLimits(context_window_tokens=1_000, output_token_capacity=77),
        capability={"efforts": ["low", "high"]},
    )
    await model.answer(model=spec)

    assert (77, "high") == (model.asked["max_completion_tokens"], model.asked["reasoning_effort"])


async def test_an_effort_of_a_model_that_has_none_is_refused_without_a_call(model: Model) -> None:
    with pytest.raises(ModelCallError, match="takes no effort") as caught:
        await model.events(model=ModelSpec("m", variant="high"))

    assert ("validation", False) == (caught.value.failure.kind, caught.value.failure.retryable)
    assert 0 == model.server.served


def test_an_unknown_effort_is_refused_before_the_call() -> None:
    provider = PydanticAiProvider.openai_compatible("local", "http://127.0.0.1:1/v1")

    assert provider.check_model(ModelSpec("m")) is None
    assert provider.check_model(ModelSpec("m", variant="high")) is None
    refused = provider.check_model(ModelSpec("m", variant="huge"))
    assert refused == "model `m` has no effort `huge`; known: none, minimal, low, medium, high, xhigh, max"
    listed = ModelSpec("m", variant="high", capability={"efforts": ["low"]})
    assert provider.check_model(listed) == "model `m` has no effort `high`; known: low"


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        (HttpFault(400), "validation", False),
        (HttpFault(401), "auth", False),
        (HttpFault(403), "auth", False),
        (HttpFault(404), "not_found", False),
        (HttpFault(408), "timeout", True),
        (HttpFault(409), "overloaded", True),
        (HttpFault(413), "validation", False),
        (HttpFault(429), "rate_limit", True),
        (HttpFault(429, code="insufficient_quota"), "auth", False),
        (HttpFault(400, code="context_length_exceeded"), "context_overflow", False),
        (HttpFault(500), "server", True),
        (HttpFault(503), "overloaded", True),
        (CutStream(after_events=2), "connection", True),
        (CutStream(after_events=2, cleanly=True), "server", True),
        (ErrorEvent(), "server", True),
        (ErrorEvent(code="rate_limit_exceeded"), "rate_limit", True),
        (ErrorEvent(code=None), "server", True),
    ],
    ids=str,
)
async def test_faults_are_typed(model: Model, fault: Fault, kind: str, retryable: bool) -> None:
    failure = await model.failure(fault)

    assert (kind, retryable) == (failure.kind, failure.retryable)
    assert 1 == model.server.served
    assert failure.message


async def test_a_provider_says_when_to_come_back(model: Model) -> None:
    failure = await model.failure(HttpFault(429, "slow down", retry_after_ms=1_500))

    assert 1_500 == failure.retry_after_ms
    assert "HTTP 429: slow down" == failure.message
    assert isinstance(failure.raw, dict)
    assert 429 == failure.raw["status"]


async def test_a_key_that_a_server_repeats_is_blotted_out(model: Model) -> None:
    failure = await model.failure(HttpFault(401, f"bad key {KEY}"))

    assert KEY not in failure.to_json_value().__repr__()
    assert "bad key ***" in failure.message
    assert f"Bearer {KEY}" == model.server.requests[-1].headers["authorization"]


async def test_text_before_a_cut_was_streamed(model: Model) -> None:
    model.reply = ModelReply("one two three four")
    model.server.fault(CutStream(after_events=3))
    stream = model.provider.stream(request())

    assert ModelTextDelta("one ") == await anext(stream)
    assert ModelTextDelta("two ") == await anext(stream)
    with pytest.raises(ModelCallError):
        await anext(stream)


async def test_a_server_that_is_not_there_is_a_connection_failure() -> None:
    server = ModelServer(lambda ask: ModelReply(""))
    async with server:
        url = server.base_url
    provider = PydanticAiProvider.openai_compatible("local", url)
    with pytest.raises(ModelCallError) as caught:
        await anext(provider.stream(request()))
    await provider.close()

    assert ("connection", True) == (caught.value.failure.kind, caught.value.failure.retryable)
    assert "Connection error. (ConnectionRefusedError: " in caught.value.failure.message


@pytest.mark.parametrize("fault", [NeverAnswers(), NeverAnswers(after_headers=True)], ids=str)
async def test_a_call_is_dropped_when_its_stream_is_closed(model: Model, fault: Fault) -> None:
    model.server.fault(fault)
    task = asyncio.ensure_future(model.events())
    while model.server.served == 0:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert "hello" == (await model.answer()).parts[0].text  # type: ignore[union-attr] # the connection pool is whole


async def test_a_slow_first_token_is_waited_for(model: Model) -> None:
    model.server.fault(SlowFirstToken(10))

    assert "stop" == (await model.answer()).finish_reason


@pytest.mark.parametrize(
    ("finish", "expected"), [("length", "output_limit"), ("content_filter", "content_filter"), ("stop", "stop")]
)
async def test_ends_of_answers_are_told_apart(model: Model, finish: str, expected: str) -> None:
    model.reply = ModelReply("half an ans", finish_reason=finish)

    assert expected == (await model.answer()).finish_reason


async def test_a_closed_provider_serves_again(model: Model) -> None:
    await model.answer()
    await model.provider.close()
    await model.provider.close()

    assert "stop" == (await model.answer()).finish_reason


async def test_many_calls_at_once_share_one_model(model: Model) -> None:
    answers = await asyncio.gather(*(model.answer() for _ in range(20)))

    assert 20 == len(answers)
    assert 20 == model.server.served


async def test_a_provider_that_is_known_by_name_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    provider = PydanticAiProvider.named("openai")
    with pytest.raises(ModelCallError, match="OPENAI_API_KEY") as caught:
        await anext(provider.stream(request()))

    assert ("openai", "validation") == (provider.provider_id, caught.value.failure.kind)


def test_a_server_without_a_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LASH_MODEL_BASE_URL", raising=False)
    with pytest.raises(SettingsError, match="LASH_MODEL_BASE_URL"):
        PydanticAiProvider.openai_compatible("local")


async def test_url_and_key_come_from_the_environment_together(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASH_MODEL_BASE_URL", model.server.base_url)
    monkeypatch.setenv("LASH_MODEL_API_KEY", "from-the-environment")
    for given, expected in ((None, "Bearer from-the-environment"), (f"{model.server.base_url}/", "Bearer none")):
        provider = PydanticAiProvider.openai_compatible("other", given)
        _ = [event async for event in provider.stream(request())]
        await provider.close()
        assert expected == model.server.requests[-1].headers["authorization"]


@pytest.mark.parametrize("module", ["pydantic_ai", "openai"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    def find(name: str) -> object | None:
        return None if name == module else object()

    monkeypatch.setattr(adapter.importlib.util, "find_spec", find)
    with pytest.raises(SettingsError, match=r"pip install 'lash\[agents\]'"):
        PydanticAiProvider.openai_compatible("local", "http://127.0.0.1:1/v1")


def test_usage_counters_do_not_overlap() -> None:
    told = RequestUsage(
        input_tokens=100, cache_read_tokens=60, cache_write_tokens=10, output_tokens=50, output_reasoning_tokens=20
    )

    assert TokenUsage(input=30, output=30, cache_read=60, cache_write=10, reasoning=20) == usage_of(told)
