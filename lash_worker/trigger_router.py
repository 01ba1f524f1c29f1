"""The trigger router of a worker's configuration."""

from __future__ import annotations

from lash_core.client_enqueue import KindResolver
from lash_core.client_trigger_starts import TriggerStarts
from lash_core.runtime.trigger_router import TriggerRouter
from lash_core.store.trigger_store import TriggerStore
from lash_worker.worker_config import DurableProcessWorkerConfig


def make_trigger_router(config: DurableProcessWorkerConfig) -> TriggerRouter | None:
    """Starts deliveries with the manifests of the worker's own apps, else the directory's; None without triggers."""
    store = config.runtime_host.durability.trigger_store
    if not isinstance(store, TriggerStore):
        return None
    kinds = KindResolver(config.runtime_host.directory, config.plugin_host)
    return TriggerRouter(store, config.process_registry, TriggerStarts(kinds))
