"""A client over in-memory stores and over a real server, with the same tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lash_core.client import LashClient
from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

AnyStores = InMemoryStores | RedisStores


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[AnyStores]:
    """Fresh stores whose clock the test moves."""
    if request.param == "memory":
        async with InMemoryStores(VirtualClock()) as stores:
            yield stores
        return
    settings = StoreSettings(partitions=4, failover_grace_ms=0)
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url, "lash", settings, test_clock=True) as stores:
            yield stores


@pytest.fixture
def lash(stores: AnyStores) -> LashClient:
    """A client without an app."""
    return LashClient(stores)
