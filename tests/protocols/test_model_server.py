"""The model server of tests, and model calls that go through caller, adapter and client library to it."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.message import Message, TextPart, ToolCallPart
from lash_core.model.model_call import ModelRequest
from lash_core.model.session import ModelSpec
from lash_core.model.turn_activity import TurnActivity
from lash_core.model.turn_outcome import LlmCallRecord
from lash_core.protocols.providers.pydantic_ai import PydanticAiProvider
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.protocols.turn_machine import LlmCall, LlmResult
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.turns.model_caller import ModelCaller
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.testing.model_replies import (
    CutStream,
    ErrorEvent,
    HttpFault,
    ModelAsk,
    ModelReply,
    NeverAnswers,
    SlowFirstToken,
    ToolAsk,
)
from lash_core.testing.model_server import ModelServer, model_server_thread
from lash_core.testing.waiting import eventually

QUICK = ModelRetryPolicy(backoff_ms=0, backoff_max_ms=0, retry_after_max_ms=0)


def echo(ask: ModelAsk) -> ModelReply:
    return ModelReply(f"you said: {ask.last_user_text}", tools=tuple(ToolAsk(name) for name in ask.tool_names))


def post(url: str, body: bytes) -> tuple[int, Any]:
    asked = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_program_without_a_loop_can_have_one() -> None:
    with model_server_thread(ModelServer(echo)) as server:
        body = {"model": "x", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
        status, answer = post(f"{server.base_url}/chat/completions", json.dumps(body).encode())
        assert (200, "you said: hi") == (status, answer["choices"][0]["message"]["content"])
        assert {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4} == answer["usage"]
        assert "x" == answer["model"]
        with urllib.request.urlopen(f"{server.base_url}/models", timeout=5) as listed:
            assert ["local"] == [entry["id"] for entry in json.loads(listed.read())["data"]]
        assert 1 == server.served


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/chat/completions", b"{", 400, "the body is no JSON"),
        ("/chat/completions", b"[]", 400, "no JSON object"),
        ("/nowhere", b"{}", 404, "no POST /v1/nowhere here"),
    ],
)
def test_bad_requests_are_refused(path: str, body: bytes, status: int, message: str) -> None:
    with model_server_thread(ModelServer(echo)) as server:
        refused, answer = post(f"{server.base_url}{path}", body)

    assert status == refused
    assert message in answer["error"]["message"]


async def test_what_is_no_http_is_refused() -> None:
    async with ModelServer(echo) as server:
        port = int(server.base_url.rsplit(":", 1)[1].partition("/")[0])
        for said in (b"hello\r\n\r\n", b"POST /v1/x HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            assert b"HTTP/1.1 400 Bad Request\r\n" == await reader.readline()
            writer.close()


async def test_a_server_may_be_stopped_twice() -> None:
    server = await ModelServer(echo).start()
    await server.close()
    await server.close()


# -- through the adapter ---------------------------------------------------------------------------------


class Scene:
    """A turn whose model is behind a server."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.provider = PydanticAiProvider.openai_compatible("local", server.base_url)
        self.token = CancellationToken()
        self.seen: list[TurnActivity] = []

    async def call(self, policy: ModelRetryPolicy = QUICK) -> tuple[LlmResult, LlmCallRecord]:
        async def watch(activity: TurnActivity) -> None:
            self.seen.append(activity)

        effects = InlineEffectHost().scoped(ExecutionScope.turn("s", "t"))
        scope = TurnScope("s", "t", 1, effects, cancellation=self.token, sender=watch)
        request = ModelRequest(model=ModelSpec("m"), messages=(Message.user("hi there"),))
        return await ModelCaller(scope, self.provider, policy).call(LlmCall("e", 0, ()), request, {})

    def shown(self) -> str:
        """What somebody who watches has on the screen: deltas, without those that were taken back."""
        texts: dict[str, str] = {}
        for activity in self.seen:
            match activity.event.type:
                case "assistant_prose_delta":
                    said = texts.get(activity.correlation_id, "")
                    texts[activity.correlation_id] = said + str(activity.event.facts["text"])
                case "model_attempt_reset":
                    texts.pop(activity.correlation_id, None)
                case _:
                    pass
        return "".join(texts.values())


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with ModelServer(echo) as server:
        found = Scene(server)
        yield found
        await found.provider.close()


async def test_one_call_survives_a_bad_day_of_its_provider(scene: Scene) -> None:
    scene.server.fault(HttpFault(429, retry_after_ms=5_000), HttpFault(500), CutStream(after_events=3))
    result, record = await scene.call()

    assert result.response is not None
    assert (TextPart("you said: hi there"),) == result.response.parts
    assert "you said: hi there" == scene.shown()
    kinds = [attempt.error and attempt.error.provider_failure_kind for attempt in record.attempts]
    assert ["rate_limit", "server", "connection", None] == kinds
    assert 4 == scene.server.served


async def test_a_provider_that_stays_down_is_an_issue(scene: Scene) -> None:
    scene.server.fault(*[ErrorEvent(after_events=2)] * 5)
    result, record = await scene.call()

    assert result.issue is not None
    assert ("llm_provider", "server", True) == (
        result.issue.kind,
        result.issue.provider_failure_kind,
        result.issue.retryable,
    )
    assert 4 == len(record.attempts) == scene.server.served
    assert "" == scene.shown()


async def test_a_bad_request_gets_one_attempt(scene: Scene) -> None:
    scene.server.fault(HttpFault(400, "no such field"))
    result, _ = await scene.call()

    assert result.issue is not None
    assert ("validation", False, "HTTP 400: no such field") == (
        result.issue.provider_failure_kind,
        result.issue.retryable,
        result.issue.message,
    )
    assert 1 == scene.server.served


@pytest.mark.parametrize("fault", [NeverAnswers(), NeverAnswers(after_headers=True), SlowFirstToken(60_000)], ids=str)
async def test_a_server_that_never_answers_is_given_up(scene: Scene, fault: NeverAnswers | SlowFirstToken) -> None:
    await scene.call()
    scene.server.fault(fault, fault)
    policy = QUICK.model_copy(update={"attempts_max": 2, "first_token_timeout_ms": 100})
    result, record = await scene.call(policy)

    assert result.issue is not None
    assert ("first_token_timeout", "timeout") == (result.issue.code, result.issue.provider_failure_kind)
    assert 2 == len(record.attempts)


async def test_half_a_tool_call_is_never_returned(scene: Scene) -> None:
    def answer(ask: ModelAsk) -> ModelReply:
        return ModelReply(tools=(ToolAsk("pay", '{"cents": 100}', "c1"),))

    async with ModelServer(answer) as server:
        scene.provider = PydanticAiProvider.openai_compatible("local", server.base_url)
        server.fault(CutStream(after_events=2), CutStream(after_events=2, cleanly=True))
        result, record = await scene.call()
        await scene.provider.close()

    assert result.response is not None
    assert [ToolCallPart("c1", "pay", {"cents": 100})] == list(result.response.parts)
    assert 3 == len(record.attempts)


async def test_a_cancel_closes_the_connection(scene: Scene) -> None:
    await scene.call()
    scene.server.fault(NeverAnswers(after_headers=True))
    task = asyncio.create_task(scene.call())
    await eventually(lambda: scene.server.served == 2)
    scene.token.cancel("stop")
    result, _ = await asyncio.wait_for(task, 1)

    assert result.cancelled
    # The server's side of it is over, too.
    await eventually(lambda: not scene.server.waiting)
