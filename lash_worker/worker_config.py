"""What a durable process worker is made of (contract 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lash_core.metrics import WorkerMetrics
from lash_core.model.monitor import MonitorSpecs
from lash_core.model.owner import LeaseOwnerIdentity, ProcessTable
from lash_core.model.session import SessionPolicy
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugin.stack import PluginStack
from lash_core.runtime.plugins import PluginFactory
from lash_core.runtime.residency import Residency
from lash_core.store.ready_sessions import ReadySessions
from lash_core.store.runtime_persistence import SessionStoreFactory
from lash_worker.identity import worker_identity
from lash_worker.liveness import LocalProcessTable
from lash_worker.services.lease_keeper import OpenRegistry
from lash_worker.services.worker_context import WorkerRegistry
from lash_worker.worker_settings import WorkerSettings


@dataclass(frozen=True)
class DurableProcessWorkerConfig:
    """Configuration that a worker and its copies share.

    Attributes:
        plugin_host: engines, tools and what else plugins bring.
        runtime_host: effect host, stores, host profile.
        session_store_factory: opens the session whose runtime a run asks for.
        process_registry: the rows.
        session_policy: fills what a rebuilt session does not say.
        residency: how much of a rebuilt session stays in memory.
        settings: concurrency, lease timings, queues.
        identity: the configured identity; each attempt adds a part of its own (decision 3).
        versions: kind → version of the app that declares it, for rows pinned to one.
        metrics: where the worker counts.
        process_table: proves deaths of this host's processes.
        open_registry: a registry on a connection of its own for the lease keeper's thread; None for stores that live
            in this process.
        isolated_kinds: kinds that run in work-horses.
        isolated_max: rows of such kinds that it holds at once; 0 = it has no work-horses and declines them.
        ready_sessions: where sessions with due work are found; None = this worker runs no session's queue.
        monitors: commands that may run beside sessions; their engine is among the plugins.
    """

    plugin_host: PluginHost
    runtime_host: RuntimeHostConfig
    session_store_factory: SessionStoreFactory
    process_registry: WorkerRegistry
    session_policy: SessionPolicy = field(default_factory=SessionPolicy)
    residency: Residency = Residency.KEEP_ALL
    settings: WorkerSettings = field(default_factory=WorkerSettings)
    identity: LeaseOwnerIdentity = field(default_factory=worker_identity)
    versions: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    process_table: ProcessTable = field(default_factory=LocalProcessTable)
    open_registry: OpenRegistry | None = None
    isolated_kinds: frozenset[str] = frozenset()
    isolated_max: int = 0
    ready_sessions: ReadySessions | None = None
    monitors: MonitorSpecs = ()

    @classmethod
    def new(
        cls,
        plugin_host: PluginHost,
        runtime_host: RuntimeHostConfig,
        session_store_factory: SessionStoreFactory,
        process_registry: WorkerRegistry,
        **options: Any,
    ) -> DurableProcessWorkerConfig:
        """A configuration; ``options`` are the other attributes by name."""
        return cls(plugin_host, runtime_host, session_store_factory, process_registry, **options)

    @classmethod
    def from_plugin_factories(
        cls,
        plugin_factories: Iterable[PluginFactory],
        runtime_host: RuntimeHostConfig,
        session_store_factory: SessionStoreFactory,
        process_registry: WorkerRegistry,
        **options: Any,
    ) -> DurableProcessWorkerConfig:
        """A configuration whose plugin host is made from these factories.

        Raises:
            DuplicateEngineError: two engines of one kind. PluginSessionError: a factory without id.
        """
        host = PluginHost(plugin_factories)
        return cls(host, runtime_host, session_store_factory, process_registry, **options)

    @classmethod
    def from_plugin_stack(
        cls,
        plugin_stack: PluginStack,
        runtime_host: RuntimeHostConfig,
        session_store_factory: SessionStoreFactory,
        process_registry: WorkerRegistry,
        **options: Any,
    ) -> DurableProcessWorkerConfig:
        """``from_plugin_factories`` with the stack's factories."""
        return cls.from_plugin_factories(
            plugin_stack.into_factories(), runtime_host, session_store_factory, process_registry, **options
        )

    def with_session_policy(self, policy: SessionPolicy) -> DurableProcessWorkerConfig:
        """A copy with this policy."""
        return replace(self, session_policy=policy)

    def with_residency(self, residency: Residency) -> DurableProcessWorkerConfig:
        """A copy that keeps this much of a session in memory."""
        return replace(self, residency=residency)
