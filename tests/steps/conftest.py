"""Stores in memory and on a server of the session's own, with small limits."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Generator

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.limits import Limits
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

Stores = InMemoryStores | RedisStores
LIMITS = Limits(journal_entries_max=30, payload_bytes_max=64 * 1024)


@pytest.fixture(scope="session")
def server() -> Generator[ValkeyServer]:
    """A private server."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(params=["memory", "valkey"])
async def stores(request: pytest.FixtureRequest) -> AsyncGenerator[Stores]:
    """Either kind; the server is started for those that need it."""
    if request.param == "memory":
        yield InMemoryStores(limits=LIMITS)
        return
    settings = StoreSettings(namespace=f"s-{secrets.token_hex(4)}", partitions=4, limits=LIMITS)
    async with RedisStores.connect(request.getfixturevalue("server").url, settings=settings) as stores:
        yield stores
