"""Opening the stores of a resolved server: what an entry point does once."""

from __future__ import annotations

import logging
from typing import Any

from lash_core.redis_store.embedded import ResolvedServer
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import Settings, StoreSettings

_log = logging.getLogger("lash.store")


async def open_stores(
    server: ResolvedServer, settings: Settings, *, namespace: str | None = None, credential_provider: Any = None
) -> RedisStores:
    """Connect to the server; the caller closes the stores and then the server.

    What is doubtful about the server is logged: as warnings when a restart of it would lose everything.

    Raises:
        StoreUnreachableError, StoreRefusedError, SettingsError.
    """
    store = store_settings(server, settings, namespace)
    stores = await RedisStores.connect(server.url, store.namespace, store, credential_provider=credential_provider)
    report = stores.context.connection.report
    # A program that set up no logging still has warnings on stderr; the milder ones are for the logs of a worker.
    level = logging.WARNING if report.keeps_nothing else logging.INFO
    for warning in report.warnings:
        _log.log(level, "%s", warning)
    return stores


def store_settings(server: ResolvedServer, settings: Settings, namespace: str | None = None) -> StoreSettings:
    """The settings that fit this server.

    An embedded server has no replica that could be promoted: after its restart nobody waits out a failover grace,
    unless ``LASH_FAILOVER_GRACE_MS`` asks for one (DESIGN 3.3 rule 5).
    """
    changes: dict[str, Any] = {} if namespace is None else {"namespace": namespace}
    if server.kind == "embedded" and settings.store.failover_grace_ms is None:
        changes["failover_grace_ms"] = 0
    return settings.store.model_copy(update=changes)
