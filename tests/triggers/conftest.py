"""Stores for the tests of triggers: in memory and over a server, both with a clock that a test can move."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from itertools import count

import pytest

from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

AnyStores = InMemoryStores | RedisStores

_numbers = count()


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """One server for the session."""
    with ValkeyServer() as server:
        yield server.url


@pytest.fixture(params=["memory", "valkey"])
async def stores(request: pytest.FixtureRequest) -> AsyncGenerator[AnyStores]:
    """Fresh stores: each test has a namespace of its own."""
    if request.param == "memory":
        async with InMemoryStores(VirtualClock()) as made:
            yield made
        return
    url: str = request.getfixturevalue("valkey_url")
    settings = StoreSettings(namespace=f"trg-{next(_numbers)}", partitions=4)
    async with RedisStores.connect(url, settings=settings, test_clock=True) as opened:
        yield opened
