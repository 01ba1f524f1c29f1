"""Model calls beside a turn's own (docs/contracts/providers.md 4)."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.errors import InvalidArgumentError, RuntimeFailure
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.message import Message, TextPart
from lash_core.model.session import ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.turn_input import TurnInput
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.model_providers import ModelProviders
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.runtime.turns.model_caller import direct_completion
from lash_core.testing.scripted_provider import (
    ScriptedProvider,
    fails,
    hangs,
    says,
)
from lash_core.testing.waiting import eventually
from tests.runtime.model_turn import QUICK, REQUEST, Turn


async def test_a_direct_completion_is_recorded_and_has_usage() -> None:
    usage = TokenUsage(input=2, output=1)
    provider = ScriptedProvider([fails("server"), says("title", usage=usage)])
    turn = Turn(provider)
    first = await direct_completion(turn.scope, provider, REQUEST, "title", QUICK)

    assert "title" == "".join(part.text for part in first[0].parts if isinstance(part, TextPart))
    assert usage == first[1]
    assert first == await direct_completion(turn.scope, provider, REQUEST, "title", QUICK)
    assert 2 == len(provider.requests)
    assert [] == turn.seen


async def test_a_direct_completion_that_asks_something_else_under_its_key_is_refused() -> None:
    provider = ScriptedProvider([says("title")])
    turn = Turn(provider)
    await direct_completion(turn.scope, provider, REQUEST, "title")

    with pytest.raises(RuntimeFailure, match="request_digest"):
        await direct_completion(turn.scope, provider, REQUEST.model_copy(update={"instructions": "x"}), "title")


async def test_a_direct_completion_that_fails_raises_its_issue() -> None:
    provider = ScriptedProvider([fails("auth", "no key")])

    with pytest.raises(RuntimeFailure, match="no key") as caught:
        await direct_completion(Turn(provider).scope, provider, REQUEST, "k")
    assert "direct_completion_failed" == caught.value.code
    assert isinstance(caught.value.raw, dict)
    assert "auth" == caught.value.raw["provider_failure_kind"]


async def test_a_direct_completion_ends_with_its_turn() -> None:
    provider = ScriptedProvider([hangs()])
    turn = Turn(provider)
    task = asyncio.create_task(direct_completion(turn.scope, provider, REQUEST, "k"))
    await eventually(lambda: len(provider.requests) == 1)
    turn.token.cancel("stop")

    with pytest.raises(RuntimeFailure, match="stop") as caught:
        await asyncio.wait_for(task, 1)
    assert "direct_completion_cancelled" == caught.value.code


@pytest.mark.parametrize("durable", [True, False])
async def test_a_session_asks_its_model_beside_its_turns(*, durable: bool) -> None:
    """Asked once under its key; its usage is in the ledger with the next commit, the history stays as it is."""
    usage = TokenUsage(input=5, output=2)
    provider = ScriptedProvider([says("A title", usage=usage), says("hello")])
    async with InMemoryStores() as stores:
        host = RuntimeHostConfig.from_stores(stores) if durable else RuntimeHostConfig.in_memory()
        host.providers = ModelProviders([provider])
        store = await stores.session_store_factory.create_store(SessionStoreCreateRequest("s"))
        policy = SessionPolicy(model=ModelSpec("m"), provider_id=provider.provider_id)
        builder = EmbeddedRuntimeBuilder().with_session_id("s").with_runtime_host(host).with_policy(policy)
        runtime = await builder.with_store(store).build()
        asked = [await runtime.direct_completion([Message.user("Title?")], key="title") for _ in range(1 + durable)]
        await runtime.stream_turn(TurnInput.text("hi"))
        read = await store.load_session()

    assert ["A title"] * len(asked) == [
        "".join(part.text for part in one.parts if isinstance(part, TextPart)) for one in asked
    ]
    assert 2 == len(provider.requests)
    assert read is not None
    assert usage == next(entry.usage for entry in read.token_ledger if entry.source == "direct")
    assert 2 == len(read.nodes)


async def test_a_blank_key_is_refused() -> None:
    """It would stand for every question that forgot its key."""
    provider = ScriptedProvider([says("never")])
    async with InMemoryStores() as stores:
        host = RuntimeHostConfig.from_stores(stores)
        host.providers = ModelProviders([provider])
        policy = SessionPolicy(model=ModelSpec("m"), provider_id=provider.provider_id)
        runtime = await EmbeddedRuntimeBuilder().with_runtime_host(host).with_policy(policy).build()
        with pytest.raises(InvalidArgumentError, match="needs a key"):
            await runtime.direct_completion([Message.user("Title?")], key=" ")

    assert [] == provider.requests
