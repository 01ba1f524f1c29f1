"""What processes run on, and the child sessions of ``session_turn`` processes with them."""

from __future__ import annotations

from typing import Protocol

from lash_core.model.session import SessionPolicy
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory


class ProcessParts(Protocol):
    """What processes run on; ``DurableProcessWorkerConfig`` is one."""

    @property
    def plugin_host(self) -> PluginHost:
        """Plugins and engines."""
        ...

    @property
    def runtime_host(self) -> RuntimeHostConfig:
        """Effects, stores, providers."""
        ...

    @property
    def session_policy(self) -> SessionPolicy:
        """Fills what a session does not say, and what neither child nor parent says."""
        ...

    @property
    def session_store_factory(self) -> SessionStoreFactory:
        """Opens the stores of sessions."""
        ...

    @property
    def process_registry(self) -> ProcessRegistry:
        """The rows."""
        ...

    @property
    def residency(self) -> Residency:
        """How much of a session stays in memory."""
        ...


def builder_of(
    parts: ProcessParts, session_id: str, policy: SessionPolicy, store: RuntimePersistence
) -> EmbeddedRuntimeBuilder:
    """Builds the runtime of a process, or of its child session; it may live beside others of that session."""
    return EmbeddedRuntimeBuilder(
        session_id=session_id,
        plugin_host=parts.plugin_host,
        runtime_host=parts.runtime_host,
        policy=policy,
        session_store_factory=parts.session_store_factory,
        process_registry=parts.process_registry,
        residency=parts.residency,
        store=store,
    ).beside_others()
