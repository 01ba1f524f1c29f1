"""One private server for this folder, a namespace for each test."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager

import pytest

from lash_core.redis_store.acl import ROLES
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.conformance.session_scene import opened
from lash_core.testing.servers import DebianRedis, ValkeyServer
from tests.redis_contract.acl_roles import FILES, connect

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


@pytest.fixture(scope="module", params=["valkey", "redis-7.0"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[ValkeyServer]:
    """A server started with the three shipped files as its ACL file."""
    if request.param == "redis-7.0" and shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED on Redis 7.0: no redis-server on PATH (apt-get install redis-server)")
    folder = tmp_path_factory.mktemp("acl")
    (folder / "users.acl").write_text("".join((FILES / f"{role}.acl").read_text() for role in ROLES))
    factory = ValkeyServer if request.param == "valkey" else DebianRedis
    with factory(arguments=("--aclfile", str(folder / "users.acl"))) as server:
        yield server


@pytest.fixture
async def admin(guarded: ValkeyServer) -> AsyncGenerator[RedisStores]:
    """The administrator of an empty server: gives the roles their password and reads the server's ACL log."""
    with guarded.client() as client:
        client.flushall()
    async with connect(guarded, None) as stores:
        for role in ROLES:
            await stores.context.connection.execute("", "ACL", "SETUSER", f"lash-{role}", ">secret")
        await stores.context.connection.execute("", "ACL", "LOG", "RESET")
        yield stores
