"""A runtime is built from stored state, parked and resumed."""

from __future__ import annotations

import logging

import pytest

from lash_core.errors import PluginSessionError, RuntimeFailure
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session import ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.tool_state import ToolEntry, ToolManifest, ToolState
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime, RuntimeEnvironment, RuntimeSessionState
from lash_core.runtime.plugin_host import PluginHost
from lash_core.runtime.plugins import PluginLifecycleEvent
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.store.runtime_persistence import RuntimePersistence
from tests.runtime.test_plugins import Counter, Factory
from tests.runtime.test_tool_registry import tool

Stores = InMemoryStores | RedisStores
POLICY = SessionPolicy(model=ModelSpec("m"), provider_id=" p ")


async def open_store(stores: Stores, session_id: str = "s") -> RuntimePersistence:
    return await stores.session_store_factory.create_store(SessionStoreCreateRequest(session_id, policy=POLICY))


def counter(runtime: LashRuntime) -> Counter:
    plugin = runtime.plugins.plugins["a"]
    assert isinstance(plugin, Counter)
    return plugin


async def test_a_parked_session_resumes_with_its_tools_and_plugins(stores: Stores) -> None:
    """Also on another host, which is another program."""
    store = await open_store(stores)
    runtime = await (
        EmbeddedRuntimeBuilder(policy=POLICY)
        .with_session_id("s")
        .with_plugin_host(PluginHost([Factory("a")]))
        .with_store(store)
    ).build()
    runtime.tools.register(tool("t"))
    runtime.tools.register(tool("u"))
    counter(runtime).count = 3
    generation = runtime.tools.generation
    parked = await runtime.park()
    again = await LashRuntime.resume(
        parked, RuntimeEnvironment(RuntimeHostConfig.in_memory(), PluginHost([Factory("a")]))
    )

    assert (3, POLICY.model, "p") == (counter(again).count, again.policy.model, again.policy.provider_id)
    assert generation <= again.tools.generation
    assert {"t", "u"} == set(again.tools.export_state().tools)
    assert [PluginLifecycleEvent.SESSION_RESTORED] == counter(again).events


async def test_parking_twice_without_a_change_commits_once(stores: Stores) -> None:
    """There is nothing to store the second time."""
    store = await open_store(stores)
    environment = RuntimeEnvironment(RuntimeHostConfig.in_memory(), PluginHost([Factory("a")]))
    builder = EmbeddedRuntimeBuilder(policy=POLICY).with_plugin_host(PluginHost([Factory("a")])).with_session_id("s")
    parked = await (await builder.with_store(store).build()).park()
    first = await store.load_session()
    await (await LashRuntime.resume(parked, environment)).park()
    second = await store.load_session()

    assert first is not None
    assert first == second


async def test_parking_over_somebody_elses_commit_is_a_conflict(stores: Stores) -> None:
    """Neither is lost silently."""
    store = await open_store(stores)
    builder = EmbeddedRuntimeBuilder(policy=POLICY).with_session_id("s").with_store(store)
    runtime = await builder.build()
    await (await builder.with_plugin_host(PluginHost()).build()).park()
    runtime.tools.register(tool("t"))

    with pytest.raises(PluginSessionError, match="failed to persist runtime state"):
        await runtime.park()


async def test_orphaned_tools_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """They are no reason not to open the session."""
    stored = ToolState(generation=4, tools={"gone": ToolEntry(manifest=ToolManifest("gone", "search"))})
    environment = RuntimeEnvironment(RuntimeHostConfig.in_memory(), PluginHost())
    with caplog.at_level(logging.WARNING):
        runtime = await LashRuntime.from_environment(
            environment, POLICY, RuntimeSessionState(session_id="s", tool_state_snapshot=stored)
        )

    assert "session s has orphaned tools: gone" in caplog.text
    assert 5 == runtime.tools.generation


async def test_a_blank_session_id_gets_a_fresh_one() -> None:
    """And every runtime another."""
    builder = EmbeddedRuntimeBuilder(policy=POLICY)
    first, second = await builder.build(), await builder.build()

    assert first.session_id.strip()
    assert first.session_id != second.session_id


async def test_a_blank_model_is_refused_but_for_runs_of_processes() -> None:
    """Those that call no model need none; they are told when they call one."""
    with pytest.raises(PluginSessionError, match="session policy missing model spec"):
        await EmbeddedRuntimeBuilder().build()
    runtime = await EmbeddedRuntimeBuilder().beside_others().build()

    with pytest.raises(RuntimeFailure, match="session policy missing model spec"):
        runtime.policy.require_model()


async def test_the_builder_fills_what_the_store_does_not_say() -> None:
    """A stored policy wins; an unconfigured one is filled."""
    stores = InMemoryStores()
    other = SessionPolicy(model=ModelSpec("n"), provider_id="other")
    store = await open_store(stores)
    await (await EmbeddedRuntimeBuilder(policy=POLICY).with_store(store).build()).park()
    configured = await EmbeddedRuntimeBuilder(policy=other).with_store(store).build()
    factory = stores.session_store_factory
    blank = await factory.create_store(SessionStoreCreateRequest("blank"))
    filled = await EmbeddedRuntimeBuilder(policy=other).with_store(blank).build()

    assert ("p", "other") == (configured.policy.provider_id, filled.policy.provider_id)


async def test_a_store_of_another_session_is_refused() -> None:
    """Before anything is built."""
    store = await open_store(InMemoryStores())
    with pytest.raises(PluginSessionError, match="bound to session `s`"):
        await EmbeddedRuntimeBuilder().with_session_id("other").with_store(store).build()


async def test_active_path_residency_needs_a_store() -> None:
    """What is trimmed could not be read again."""
    with pytest.raises(PluginSessionError, match="requires a persistent store"):
        await EmbeddedRuntimeBuilder().with_residency(Residency.ACTIVE_PATH_ONLY).build()


async def test_park_needs_a_store_and_from_environment_a_plugin_host() -> None:
    """Both say what is missing."""
    with pytest.raises(PluginSessionError, match=r"park\(\) requires a persistent runtime"):
        await (await EmbeddedRuntimeBuilder(policy=POLICY).build()).park()
    with pytest.raises(PluginSessionError, match="plugin_host is required"):
        await LashRuntime.from_environment(
            RuntimeEnvironment(RuntimeHostConfig.in_memory()), POLICY, RuntimeSessionState()
        )
