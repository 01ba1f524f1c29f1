"""Stores of both kinds for the tests here."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store.stores import PendingStores, RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

_NAMESPACES = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


def connect(server: ValkeyServer, *, test_clock: bool = False) -> PendingStores:
    """Stores in a namespace of their own."""
    settings = StoreSettings(namespace=f"runtime-{next(_NAMESPACES)}", partitions=4)
    return RedisStores.connect(server.url, settings.namespace, settings, test_clock=test_clock)


@pytest.fixture
async def redis_stores(server: ValkeyServer) -> AsyncIterator[RedisStores]:
    async with connect(server) as stores:
        yield stores


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest, server: ValkeyServer) -> AsyncIterator[InMemoryStores | RedisStores]:
    async with InMemoryStores() if request.param == "memory" else connect(server) as stores:
        yield stores
