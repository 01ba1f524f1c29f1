"""What the roles may do with triggers, on a real server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from lash_core.errors import StoreAuthError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.manifest import KindManifest
from lash_core.redis_store.acl import ROLES, Role
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.store.trigger_store import TriggerFilter
from lash_core.testing.servers import ValkeyServer
from tests.triggers.kit import Declared, client_of

FILES = Path(__file__).resolve().parents[2] / "deploy" / "acl"
KIND = KindManifest(kind="plain", disposition=RecoveryDisposition.RERUNNABLE)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Generator[ValkeyServer]:
    """A server with the shipped files."""
    folder = tmp_path_factory.mktemp("acl")
    (folder / "users.acl").write_text("".join((FILES / f"{role}.acl").read_text() for role in ROLES))
    with ValkeyServer(arguments=("--aclfile", str(folder / "users.acl"))) as server:
        yield server


@pytest.fixture
async def admin(guarded: ValkeyServer) -> AsyncGenerator[RedisStores]:
    """The administrator of an empty namespace whose roles have a password."""
    with guarded.client() as client:
        client.flushall()
    async with RedisStores.connect(guarded.url, settings=StoreSettings(partitions=4)) as stores:
        for role in ROLES:
            await stores.context.connection.execute("", "ACL", "SETUSER", f"lash-{role}", ">secret")
        yield stores


def url_of(server: ValkeyServer, role: Role) -> str:
    """The URL of a role."""
    return server.url.replace("unix://", f"unix://lash-{role}:secret@")


async def test_a_worker_does_everything(guarded: ValkeyServer, admin: RedisStores) -> None:
    """Make, change, list, emit, tick, recover, forget."""
    del admin
    async with RedisStores.connect(url_of(guarded, "worker")) as stores:
        lash = client_of(stores, Declared({"plain": KIND}))
        await lash.triggers.create("t", "plain", source="w:k")
        await lash.triggers.create("s", "plain", interval_ms=60_000)
        assert 2 == len((await lash.triggers.list()).items)
        assert ["started"] == [one.status for one in (await lash.triggers.emit("w:k")).deliveries]
        _, now_ms = await stores.triggers.next_schedule_ms()
        assert ["started"] == [one.status for one in await lash.triggers.backfill("s", now_ms - 60_000, now_ms)]
        assert 0 == await lash.triggers.router.recover(min_age_ms=0)
        assert () == await stores.triggers.failed_deliveries()
        await stores.triggers.due_schedules()
        await stores.process_registry.prune_terminal_processes(now_ms)
        await stores.triggers.prune_occurrences(now_ms)
        await lash.triggers.delete("t")
        assert ("t",) == (await lash.triggers.prune("t")).pruned_keys
        assert 0 == await stores.triggers.delete_session_subscriptions("none")


async def test_an_enqueuer_emits_and_changes_no_trigger(guarded: ValkeyServer, admin: RedisStores) -> None:
    """It can say that something happened, and look at a trigger by name; no more."""
    await client_of(admin, Declared({"plain": KIND})).triggers.create("t", "plain", source="w:k")
    async with RedisStores.connect(url_of(guarded, "enqueuer")) as stores:
        lash = client_of(stores, Declared({"plain": KIND}))

        report = await lash.triggers.emit("w:k", {"n": 1})

        assert ["started"] == [one.status for one in report.deliveries]
        assert "t" == (await lash.triggers.get("t")).subscription.subscription_key
        with pytest.raises(StoreAuthError):
            await lash.triggers.pause("t")
        with pytest.raises(StoreAuthError):
            await lash.triggers.list()
        with pytest.raises(StoreAuthError):
            await stores.triggers.delete_session_subscriptions("s")
    assert (await client_of(admin).triggers.get("t")).subscription.is_live


async def test_an_observer_looks(guarded: ValkeyServer, admin: RedisStores) -> None:
    """Lists and reads; runs no script."""
    await client_of(admin, Declared({"plain": KIND})).triggers.create("t", "plain", interval_ms=60_000)
    async with RedisStores.connect(url_of(guarded, "observer")) as stores:
        page = await stores.triggers.list_trigger_subscriptions(TriggerFilter())
        assert ["t"] == [item.subscription_key for item in page.items]
        due, now_ms = await stores.triggers.next_schedule_ms()
        assert due is not None
        assert due > now_ms
        with pytest.raises(StoreAuthError):
            await client_of(stores, Declared({"plain": KIND})).triggers.emit("w:k")
