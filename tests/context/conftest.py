"""Stores of both kinds whose clock a test moves, and scenes over them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Generator

import pytest

from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store.stores import PendingStores, RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from tests.context.scenes import Scene, Stores


@pytest.fixture(scope="session")
def server() -> Generator[ValkeyServer]:
    """A private server."""
    with ValkeyServer() as server:
        yield server


def connect(server: ValkeyServer) -> PendingStores:
    """Stores of a namespace of their own."""
    settings = StoreSettings(namespace=f"c-{secrets.token_hex(4)}", partitions=4)
    return RedisStores.connect(server.url, settings=settings, test_clock=True)


@pytest.fixture
async def redis_stores(server: ValkeyServer) -> AsyncGenerator[RedisStores]:
    """For what only a server can show."""
    async with connect(server) as stores:
        yield stores


@pytest.fixture(params=["memory", "valkey"])
async def stores(request: pytest.FixtureRequest) -> AsyncGenerator[Stores]:
    """Either kind; the server is started for those that need it."""
    memory = request.param == "memory"
    async with InMemoryStores(VirtualClock()) if memory else connect(request.getfixturevalue("server")) as stores:
        yield stores


@pytest.fixture
def scene(stores: Stores) -> Scene:
    """Contexts over these stores."""
    return Scene(stores)
