"""The providers of a host by id, and the scripted one that tests use."""

from __future__ import annotations

import pytest

from lash_core.errors import InvalidArgumentError, RuntimeFailure
from lash_core.model.message import Message, ToolCallPart
from lash_core.model.model_call import ModelRequest, ModelResponse, ModelTextDelta
from lash_core.model.session import ModelSpec
from lash_core.protocols.providers.model_provider import ModelCallError, ModelProvider
from lash_core.protocols.providers.model_providers import ModelProviders
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.testing.scripted_provider import ScriptedProvider, calls_tools, fails, hangs, says

REQUEST = ModelRequest(model=ModelSpec("m"), messages=(Message.user("hi"),))


async def play(provider: ScriptedProvider) -> list[object]:
    return [event async for event in provider.stream(REQUEST)]


def test_providers_are_found_by_id() -> None:
    one, two = ScriptedProvider(provider_id="one"), ScriptedProvider(provider_id="two")
    providers = ModelProviders([two, one])

    assert providers.get("one") is one
    assert ("one", "two") == providers.ids
    assert "two" in providers
    assert providers.find("three") is None
    assert isinstance(one, ModelProvider)


def test_an_unknown_id_names_those_that_are_known() -> None:
    providers = ModelProviders([ScriptedProvider(provider_id="one")])

    with pytest.raises(RuntimeFailure, match="no model provider `gpt` here; configured: `one`") as caught:
        providers.get("gpt")
    assert caught.value.code == "model_provider_unknown"


@pytest.mark.parametrize("provider_id", ["", " x"])
def test_a_blank_id_is_refused(provider_id: str) -> None:
    with pytest.raises(InvalidArgumentError, match="must not be blank"):
        ModelProviders([ScriptedProvider(provider_id=provider_id)])


def test_an_id_stands_for_one_provider() -> None:
    provider = ScriptedProvider()
    providers = ModelProviders([provider])
    providers.add(provider)

    with pytest.raises(InvalidArgumentError, match="two model providers with the id `scripted`"):
        providers.add(ScriptedProvider())


async def test_closing_goes_on_after_a_provider_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ScriptedProvider):
        async def close(self) -> None:
            raise OSError("no")

    fine = ScriptedProvider(provider_id="fine")
    providers = ModelProviders([Broken(provider_id="broken"), fine])
    await providers.close()
    await providers.close()

    assert fine.closed
    assert "broken could not be closed" in caplog.text


def test_a_host_has_no_providers_unless_told() -> None:
    assert len(RuntimeHostConfig.in_memory().providers) == 0


async def test_a_script_streams_its_replies_in_order_and_keeps_the_requests() -> None:
    provider = ScriptedProvider([says("hello", deltas=["hel", "lo"]), calls_tools(("search", {"q": 1}))])
    first, second = await play(provider), await play(provider)

    assert [ModelTextDelta("hel"), ModelTextDelta("lo")] == first[:2]
    assert isinstance(first[-1], ModelResponse)
    assert isinstance(second[-1], ModelResponse)
    assert (ToolCallPart("call_2_0", "search", {"q": 1}),) == second[-1].parts
    assert [REQUEST, REQUEST] == provider.requests
    assert provider.replies_left == 0
    assert provider.dropped == 0


async def test_a_scripted_failure_comes_after_its_text() -> None:
    provider = ScriptedProvider([fails("rate_limit", retry_after_ms=5, after=["hal"])])
    stream = provider.stream(REQUEST)

    assert ModelTextDelta("hal") == await anext(stream)
    with pytest.raises(ModelCallError) as caught:
        await anext(stream)
    assert caught.value.failure.retryable
    assert caught.value.failure.retry_after_ms == 5


async def test_one_request_too_many_is_no_failure_to_retry() -> None:
    with pytest.raises(ModelCallError, match="no reply for request 1") as caught:
        await play(ScriptedProvider())
    assert not caught.value.failure.retryable


async def test_a_dropped_attempt_is_counted() -> None:
    provider = ScriptedProvider([hangs(after=["a"])])
    stream = provider.stream(REQUEST)
    assert await anext(stream) == ModelTextDelta("a")
    await stream.aclose()  # type: ignore[attr-defined] # an async generator is one

    assert provider.dropped == 1


def test_efforts_that_it_does_not_know_are_refused() -> None:
    provider = ScriptedProvider(efforts=["low"])

    assert provider.check_model(ModelSpec("m", variant="low")) is None
    assert provider.check_model(ModelSpec("m", variant="huge")) == "model `m` has no effort `huge`; known: low"


async def test_providers_are_prepared_and_a_failure_is_left_to_the_call() -> None:
    """Those that need nothing are left alone."""
    prepared: list[str] = []

    class Slow(ScriptedProvider):
        async def prepare(self) -> None:
            prepared.append(self.provider_id)
            if self.provider_id == "broken":
                raise RuntimeError("no library")

    await ModelProviders(
        [Slow(provider_id="broken"), ScriptedProvider(provider_id="plain"), Slow(provider_id="slow")]
    ).prepare()

    assert ["broken", "slow"] == prepared
