"""What the services of sessions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lash_core.errors import RuntimeFailure
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import SessionLeaseTimings
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.observation.activity_writer import LiveActivityWriter, writer_of
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.session_metrics import LIVE_RESULTS, SessionMetrics
from lash_core.store.ready_sessions import ReadySessions
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory
from lash_worker.monitor_engine import start_session_monitors

if TYPE_CHECKING:
    from lash_worker.worker_config import DurableProcessWorkerConfig

MODEL_MISSING = "no_model"
PROVIDER_MISSING = "no_provider"


@dataclass(frozen=True, slots=True)
class SessionContext:
    """One worker's way to its sessions.

    Attributes:
        config: plugins, host, policy and residency of the runtimes.
        ready: finds sessions with work.
        timings: of session leases.
        metrics: where sessions are counted.
        writer: tells watchers what turns do; kept here, since it lives as long as somebody holds it. None = nobody is
            told.
    """

    config: DurableProcessWorkerConfig
    ready: ReadySessions
    timings: SessionLeaseTimings
    metrics: SessionMetrics
    writer: LiveActivityWriter | None = None

    @classmethod
    def new(
        cls,
        config: DurableProcessWorkerConfig,
        ready: ReadySessions,
        timings: SessionLeaseTimings,
        metrics: SessionMetrics,
    ) -> SessionContext:
        """With the writer of the host's rings, whose counts are shown."""
        live_replay = config.runtime_host.live_replay
        writer = None if live_replay is None else writer_of(live_replay)
        if writer is not None:
            counts = writer.counts
            metrics.live_events.read = lambda: {name: getattr(counts, name) for name in LIVE_RESULTS}
        return cls(config, ready, timings, metrics, writer)

    @property
    def factory(self) -> SessionStoreFactory:
        """Opens the stores of sessions."""
        return self.config.session_store_factory

    async def build(self, store: RuntimePersistence, owner: LeaseOwnerIdentity) -> LashRuntime:
        """The runtime of a session, whose leases are ``owner``'s.

        Raises:
            PluginSessionError, CorruptRecordError: it cannot be rebuilt here. Store errors.
        """
        config = self.config
        builder = (
            EmbeddedRuntimeBuilder()
            .with_session_id(store.session_id)
            .with_plugin_host(config.plugin_host)
            .with_runtime_host(config.runtime_host)
            .with_policy(config.session_policy)
            .with_session_store_factory(config.session_store_factory)
            .with_process_registry(config.process_registry)
            .with_residency(config.residency)
            .with_store(store)
            .beside_others()
        )
        runtime = await builder.build()
        runtime.set_runtime_lease_owner(owner)
        runtime.turn_phase_probe = self.metrics.phases.probe()
        if config.monitors and runtime.state.head_revision is None:
            await start_session_monitors(config.process_registry, config.monitors, store.session_id)
        return runtime

    def lacks(self, runtime: LashRuntime) -> str | None:
        """Why this worker cannot take a turn of the session, or None: another one may have what it needs."""
        policy = runtime.policy
        try:
            policy.require_model()
        except RuntimeFailure:
            return MODEL_MISSING
        return None if policy.provider_id in config_providers(self.config) else PROVIDER_MISSING


def config_providers(config: DurableProcessWorkerConfig) -> tuple[str, ...]:
    """Ids of the model providers that are there."""
    return config.runtime_host.providers.ids
