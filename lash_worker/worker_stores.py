"""From apps and stores to a worker's configuration."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, runtime_checkable

from lash_core.errors import SettingsError
from lash_core.metrics import WorkerMetrics
from lash_core.model.manifest import KindManifest
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.host_config import HostStores, RuntimeHostConfig
from lash_core.store.background_task_store import BackgroundTaskStore
from lash_core.store.content_sweep import ContentRoots, SweptContent
from lash_core.store.effect_journal import EffectJournal
from lash_core.store.fleet_directory import FleetDirectory
from lash_core.store.live_replay_store import FleetLiveReplayStore
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import SessionStoreFactory
from lash_worker.app import App
from lash_worker.app_sessions import SessionsDeclaration, sessions_of
from lash_worker.isolation.horses import Horses
from lash_worker.liveness import LocalProcessTable
from lash_worker.monitor_engine import MONITOR_KIND, MONITOR_MANIFEST, MonitorsFactory
from lash_worker.services.lease_keeper import OpenRegistry
from lash_worker.services.parker import resting_max
from lash_worker.services.worker_context import WorkerRegistry
from lash_worker.worker_config import DurableProcessWorkerConfig
from lash_worker.worker_settings import WorkerSettings


class MaintainedRegistry(WorkerRegistry, ProcessMaintenance, Protocol):
    """A registry with the housekeeping that a worker's loops need."""


class WorkerStores(HostStores, Protocol):
    """The stores a worker runs on; ``RedisStores`` and ``InMemoryStores`` both are."""

    @property
    def process_registry(self) -> MaintainedRegistry:
        """The rows."""
        ...

    @property
    def directory(self) -> FleetDirectory:
        """Who works here."""
        ...

    @property
    def session_store_factory(self) -> SessionStoreFactory:
        """Sessions."""
        ...

    @property
    def effect_journal(self) -> EffectJournal:
        """Recorded effects."""
        ...

    @property
    def live_replay(self) -> FleetLiveReplayStore:
        """Rings of sessions' newest events."""
        ...

    @property
    def background_tasks(self) -> BackgroundTaskStore:
        """Rows of background tasks."""
        ...

    @property
    def swept_contents(self) -> Sequence[SweptContent]:
        """Environments, artifacts and attachments, for their sweep."""
        ...

    @property
    def content_roots(self) -> Sequence[ContentRoots]:
        """What names them."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


@runtime_checkable
class SiblingStores(Protocol):
    """Stores that can be opened again on connections of their own, in another loop."""

    async def open_sibling(self) -> WorkerStores:
        """The same server and namespace again; the caller closes it."""
        ...


def manifests_of(apps: Sequence[App]) -> tuple[KindManifest, ...]:
    """The manifests of several apps, by kind, and that of monitors where one has some.

    Raises:
        SettingsError: two apps declare one kind.
    """
    found: dict[str, KindManifest] = {}
    for app in apps:
        for kind, manifest in app.manifests().items():
            if kind in found:
                raise SettingsError(
                    f"kind `{kind}` is declared by the apps `{found[kind].app}` and `{manifest.app}`",
                    field="app",
                    value=kind,
                )
            found[kind] = manifest
    if any(app.declared_sessions is not None and app.declared_sessions.monitors for app in apps):
        found[MONITOR_KIND] = MONITOR_MANIFEST
    return tuple(manifest for _, manifest in sorted(found.items()))


def config_from_apps(
    apps: Sequence[App],
    stores: WorkerStores,
    *,
    settings: WorkerSettings,
    identity: LeaseOwnerIdentity,
    metrics: WorkerMetrics,
    horses: Horses | None = None,
) -> DurableProcessWorkerConfig:
    """The configuration of a worker that runs these apps on these stores.

    Raises:
        SettingsError: the lease timings do not fit, or two apps declare one kind.
        DuplicateEngineError: two plugins bring one engine.
    """
    _ = settings.timings
    sessions = sessions_of(apps)
    host = RuntimeHostConfig.from_stores(stores)
    host.session_lease_timings = settings.session_timings
    host.poison_deaths_max = settings.poison_deaths_max
    if sessions is not None:
        host.providers = sessions.providers()
        host.background_task_host = DurableBackgroundTaskHost(stores.background_tasks)
    table = LocalProcessTable()
    stores.process_registry.use_process_table(table)
    # A synchronous function that rests keeps its thread: were there as many as slots, its child might get none.
    threads_max = settings.concurrency + resting_max(settings.concurrency)
    return DurableProcessWorkerConfig.from_plugin_factories(
        [
            *(app.plugin_factory(threads_max=threads_max, horses=horses) for app in apps),
            *(() if sessions is None else sessions.plugins),
            *_monitors(sessions, stores, host),
        ],
        host,
        stores.session_store_factory,
        stores.process_registry,
        settings=settings,
        identity=identity,
        versions={manifest.kind: manifest.runs_version for manifest in manifests_of(apps)},
        metrics=metrics,
        process_table=table,
        open_registry=registry_opener(stores),
        isolated_kinds=frozenset(kind for app in apps for kind in app.isolated_kinds),
        isolated_max=0 if horses is None else horses.held_max,
        **_session_options(sessions, stores),
    )


def _monitors(
    sessions: SessionsDeclaration | None, stores: WorkerStores, host: RuntimeHostConfig
) -> tuple[MonitorsFactory, ...]:
    """What runs the monitors of the apps' sessions, where they have some."""
    if sessions is None or not sessions.monitors:
        return ()
    return (MonitorsFactory(sessions.monitors, stores.session_store_factory, host.clock),)


def _session_options(sessions: SessionsDeclaration | None, stores: WorkerStores) -> dict[str, Any]:
    """What a worker that runs sessions has beside the others."""
    if sessions is None:
        return {}
    return {
        "session_policy": sessions.policy,
        "residency": sessions.residency,
        "ready_sessions": stores.session_store_factory,
        "monitors": sessions.monitors,
    }


def registry_opener(stores: WorkerStores) -> OpenRegistry | None:
    """How the lease keeper opens a registry of its own; None for stores that live in this process."""
    if not isinstance(stores, SiblingStores):
        return None
    origin: SiblingStores = stores

    @asynccontextmanager
    async def opened() -> AsyncGenerator[ProcessRegistry]:
        sibling = await origin.open_sibling()
        try:
            yield sibling.process_registry
        finally:
            await sibling.close()

    return opened
