"""What all runtimes of a program share (``docs/contracts/sessions.md`` 2.7)."""

from __future__ import annotations

from dataclasses import dataclass

from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_host import EmbeddedRuntimeHost, ProcessWorkDriver, QueuedWorkDriver
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import SessionStoreFactory
from lash_core.store.trigger_store import TriggerStore


@dataclass(slots=True)
class RuntimeEnvironment:
    """Shared parts: building a runtime from them costs its plugins and its state, not the infrastructure.

    Attributes:
        runtime_host: effects, stores, clock, providers.
        plugin_host: needed to build a runtime.
        session_store_factory: opens stores of further sessions.
        process_registry: None = no processes.
        residency: how much of a session stays in memory.
        trigger_store: the host's by default, where it has one.
        process_work_driver: set on the host of every runtime built from here.
        queued_work_driver: set on the host of every runtime built from here.
    """

    runtime_host: RuntimeHostConfig
    plugin_host: PluginHost | None = None
    session_store_factory: SessionStoreFactory | None = None
    process_registry: ProcessRegistry | None = None
    residency: Residency = Residency.KEEP_ALL
    trigger_store: TriggerStore | None = None
    process_work_driver: ProcessWorkDriver | None = None
    queued_work_driver: QueuedWorkDriver | None = None

    def embedded_host(self) -> EmbeddedRuntimeHost:
        """The host of a runtime without processes."""
        triggers = self.trigger_store
        if triggers is None and isinstance(self.runtime_host.durability.trigger_store, TriggerStore):
            triggers = self.runtime_host.durability.trigger_store
        return EmbeddedRuntimeHost(self.runtime_host, self.session_store_factory, triggers)
