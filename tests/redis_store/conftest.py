"""One private server for this folder, a namespace for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

OpenStores = Callable[..., AbstractAsyncContextManager[RedisStores]]


@pytest.fixture(scope="session")
def server() -> Generator[ValkeyServer]:
    """A private server."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def open_stores(server: ValkeyServer) -> OpenStores:
    """Opens stores of this test's namespace: one partition, a clock that the test moves; settings may be added."""
    namespace = f"t-{secrets.token_hex(4)}"

    def connect(**settings: Any) -> AbstractAsyncContextManager[RedisStores]:
        facts: dict[str, Any] = {"namespace": namespace, "partitions": 1} | settings
        return RedisStores.connect(server.url, settings=StoreSettings(**facts), test_clock=True)

    return connect


@pytest.fixture
async def stores(open_stores: OpenStores) -> AsyncGenerator[RedisStores]:
    """Stores of a namespace of this test's own."""
    async with open_stores() as stores:
        yield stores
