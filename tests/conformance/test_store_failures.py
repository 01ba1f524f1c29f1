"""A store that cannot be reached says so: no read turns a failure into an answer (hazard 7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from lash_core.errors import StoreUnreachableError
from lash_core.model.reports import ChangeCursor
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.store.process_registry import ProcessRegistry
from lash_core.testing.conformance.process_registry.arrange import registered, scope
from lash_core.testing.servers import ValkeyServer

READS: dict[str, Callable[[ProcessRegistry, str], Awaitable[object]]] = {
    "get_process": lambda registry, pid: registry.get_process(pid),
    "get_processes": lambda registry, pid: registry.get_processes([pid]),
    "get_process_lease": lambda registry, pid: registry.get_process_lease(pid),
    "events_after": lambda registry, pid: registry.events_after(pid, 0),
    "has_handle": lambda registry, pid: registry.has_handle(scope(), pid),
    "list_handles": lambda registry, _: registry.list_handles(scope()),
    "latest_handover": lambda registry, pid: registry.latest_handover(pid),
    "list_non_terminal": lambda registry, _: registry.list_non_terminal(),
    "filter_unregistered": lambda registry, pid: registry.filter_unregistered([pid]),
    "processes_changed_since": lambda registry, _: registry.processes_changed_since(ChangeCursor.initial(), 5),
    "audit_entries": lambda registry, pid: registry.audit_entries(pid),
    "count_processes": lambda registry, _: registry.count_processes(),
}


async def test_no_read_of_a_dead_server_looks_like_absence() -> None:
    """Every read raises ``StoreUnreachableError`` while the server is down, and answers again when it is back."""
    settings = StoreSettings(retry_deadline_ms=200, connect_timeout_ms=200, partitions=4)
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url, settings=settings) as stores:
            record = await registered(stores)
            server.kill()

            for name, read in READS.items():
                with pytest.raises(StoreUnreachableError):
                    raise AssertionError(f"{name} answered {await read(stores.process_registry, record.id)!r}")

            server.restart()
            assert record == await stores.process_registry.get_process(record.id)
