"""One private server for this folder, a namespace for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager

import pytest

from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.conformance.session_scene import opened
from lash_core.testing.servers import ValkeyServer

OpenStores = Callable[[], AbstractAsyncContextManager[RedisStores]]


@pytest.fixture(scope="session")
def server() -> Generator[ValkeyServer]:
    """A private server."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def open_stores(server: ValkeyServer) -> OpenStores:
    """Opens further stores of this test's namespace: four partitions, a clock that the test moves."""
    settings = StoreSettings(namespace=f"t-{secrets.token_hex(4)}", partitions=4)
    return lambda: RedisStores.connect(server.url, settings=settings, test_clock=True)


@pytest.fixture
async def stores(open_stores: OpenStores) -> AsyncGenerator[RedisStores]:
    """Stores of a namespace of this test's own."""
    async with open_stores() as stores:
        yield stores


@pytest.fixture
async def session(stores: RedisStores) -> RedisRuntimePersistence:
    """A session with nothing committed."""
    store = await opened(stores)
    assert isinstance(store, RedisRuntimePersistence)
    return store
