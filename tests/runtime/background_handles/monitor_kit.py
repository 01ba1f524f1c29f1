"""A session with monitors on a host in memory, whose batches come at once."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.background_task import BackgroundTaskEvent, BackgroundTaskFilter, BackgroundTaskRecord
from lash_core.model.monitor import MonitorRunState, MonitorSpec, MonitorStatus
from lash_core.model.queued_work import HostEventPayload
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.runtime.background.local_host import LocalBackgroundTaskHost
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.session_scene import factory_of, opened
from lash_core.testing.waiting import eventually

SLEEPS = "echo ready; sleep 600"


@dataclass
class Watched:
    """A session whose host configures monitors."""

    specs: tuple[MonitorSpec, ...] = ()
    host: LocalBackgroundTaskHost | None = field(default_factory=LocalBackgroundTaskHost)
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    plugins: PluginHost = field(default_factory=PluginHost)
    poked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def poke_session(self, session_id: str, reason: str) -> None:
        self.poked.append((session_id, reason))

    async def runtime(self, *, stored: bool = True, beside: bool = False) -> LashRuntime:
        """A runtime of the session ``s``; the same store each time."""
        config = RuntimeHostConfig.from_stores(self.stores)
        config.background_task_host = self.host
        config.monitors = self.specs
        builder = (
            EmbeddedRuntimeBuilder()
            .with_session_id("s")
            .with_plugin_host(self.plugins)
            .with_runtime_host(config)
            .with_policy(SessionPolicy(model=ModelSpec("model-1"), provider_id="p"))
            .with_work_drivers(None, self)
        )
        if stored:
            builder = builder.with_store(await self.store())
        return await (builder.beside_others() if beside else builder).build()

    async def store(self) -> RuntimePersistence:
        factory = factory_of(self.stores)
        return await factory.open_existing_store("s") or await opened(self.stores, "s")

    async def queued(self) -> list[dict[str, Any]]:
        """Bodies of what monitors queued."""
        batches = await (await self.store()).list_queued_work("s")
        payloads = [payload for batch in batches for payload in batch.payloads]
        assert all(isinstance(payload, HostEventPayload) and "monitor" == payload.name for payload in payloads)
        return [payload.body for payload in payloads if isinstance(payload, HostEventPayload)]


async def record_of(runtime: LashRuntime, task_id: str) -> BackgroundTaskRecord:
    """The record of a task."""
    found = {task.id: task for task in await runtime.background_tasks.list_background_tasks(runtime.session_id)}
    return found[task_id]


async def ended(runtime: LashRuntime, monitor_id: str = "m") -> MonitorStatus:
    """The status of a monitor once its record has ended."""

    async def is_over() -> bool:
        return (await record_of(runtime, f"monitor:{monitor_id}")).state.is_terminal

    await eventually(is_over)
    return next(status for status in runtime.monitors.list() if status.id == monitor_id)


class Events:
    """Events of a session's tasks, as a subscriber hears them."""

    def __init__(self, runtime: LashRuntime) -> None:
        self._stream = runtime.background_tasks.subscribe_background_tasks(
            runtime.session_id, BackgroundTaskFilter(include_terminal=True)
        )

    async def until(self, type_: str) -> list[BackgroundTaskEvent]:
        """All events up to the first of a type."""
        heard: list[BackgroundTaskEvent] = []
        async for event in self._stream:
            heard.append(event)
            if event.type == type_:
                break
        return heard


async def closed(runtime: LashRuntime) -> None:
    """Close a runtime and wait until its commands are gone, so that nothing of them is left in the test's loop."""
    runtime.close()
    await eventually(lambda: all(status.state is not MonitorRunState.RUNNING for status in runtime.monitors.list()))
    for _ in range(10):
        # Pipes of processes that ended are closed with the next turns of the loop.
        await asyncio.sleep(0)


def alive(pid: int) -> bool:
    """True while a process runs; a zombie that nobody waited for yet does nothing any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
