"""One private server for this folder, a namespace with a movable clock for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

Stores = InMemoryStores | RedisStores
OpenRedis = Callable[..., AbstractAsyncContextManager[RedisStores]]


@pytest.fixture(scope="session")
def server() -> Generator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def open_redis(server: ValkeyServer) -> OpenRedis:
    """Opens stores of this test's namespace."""
    namespace = f"a-{secrets.token_hex(4)}"

    def opened(**changes: Any) -> AbstractAsyncContextManager[RedisStores]:
        values: dict[str, Any] = {"namespace": namespace, "partitions": 4}
        settings = StoreSettings(**(values | changes))
        return RedisStores.connect(server.url, settings=settings, test_clock=True)

    return opened


@pytest.fixture
async def redis_stores(open_redis: OpenRedis) -> AsyncGenerator[RedisStores]:
    async with open_redis() as stores:
        yield stores


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest, open_redis: OpenRedis) -> AsyncGenerator[Stores]:
    async with InMemoryStores(VirtualClock()) if request.param == "memory" else open_redis() as stores:
        yield stores
