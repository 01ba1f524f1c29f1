"""A program that has background tasks of one session and waits to be killed: ``python -m … URL NAMESPACE SESSION``."""

from __future__ import annotations

import asyncio
import sys

from lash_core.model.background_task import BackgroundTaskRegistration
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.turn_input import TurnInput
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.testing.scripted_provider import ScriptedProvider, says

POLICY = SessionPolicy(model=ModelSpec("model-1"), provider_id="scripted")


async def built(stores: RedisStores, session_id: str) -> LashRuntime:
    """A runtime of the session with background tasks."""
    host = RuntimeHostConfig.from_stores(stores)
    host.background_task_host = DurableBackgroundTaskHost(stores.background_tasks)
    host.providers.add(ScriptedProvider(lambda _request: says("done")))
    store = await stores.session_store_factory.open_existing_store(session_id)
    assert store is not None
    return await (
        EmbeddedRuntimeBuilder()
        .with_session_id(session_id)
        .with_runtime_host(host)
        .with_plugin_host(PluginHost())
        .with_policy(POLICY)
        .with_session_store_factory(stores.session_store_factory)
        .with_store(store)
        .build()
    )


async def main(url: str, namespace: str, session_id: str) -> None:
    """Have tasks, say so, and wait."""
    async with RedisStores.connect(url, namespace=namespace) as stores:
        runtime = await built(stores, session_id)
        await runtime.stream_turn(TurnInput.text("hi"))
        tasks, never = runtime.background_tasks, asyncio.Event()
        await tasks.spawn_managed_task(session_id, BackgroundTaskRegistration("managed"), never.wait)
        await tasks.register_background_task(session_id, BackgroundTaskRegistration("external"))
        await tasks.spawn_hidden_task(session_id, "hidden", never.wait)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await never.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
