"""The stores that the suite runs over. A server per test process; a namespace per operation of the contract."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import pytest

from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.redis_store.stores import RedisStores
from lash_core.testing.conformance.stores import EffectHostStores
from lash_core.testing.servers import DebianRedis, ValkeyCluster, ValkeyServer

BACKENDS = ("memory", "valkey", "cluster", "debian-redis")


@contextmanager
def open_server(backend: str) -> Generator[str]:
    """The URL of a private server of that kind, ended on exit; skips where the machine has none."""
    if backend == "debian-redis" and shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED on Redis 7.0: no redis-server on PATH (apt-get install redis-server)")
    factory = {"valkey": ValkeyServer, "cluster": ValkeyCluster, "debian-redis": DebianRedis}[backend]
    with factory() as server:
        yield server.url


@asynccontextmanager
async def open_stores(backend: str, url: str, namespace: str) -> AsyncGenerator[EffectHostStores]:
    """Stores whose clock a test can move, closed on exit."""
    if backend == "memory":
        async with InMemoryStores(VirtualClock()) as stores:
            yield stores
        return
    async with RedisStores.connect(url, namespace=namespace, test_clock=True) as stores:
        yield stores
