"""The fleet directory: one set of promises, kept by the in-memory and the Redis one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.memory_store.directory import MemoryFleetDirectory
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.manifest import KindManifest, WorkerEntry
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.reports import ChangeCursor
from lash_core.redis_store.commands import Command
from lash_core.redis_store.directory import RedisFleetDirectory
from lash_core.redis_store.keys import kinds_key, workers_key
from lash_core.redis_store.layout import open_context
from lash_core.settings import StoreSettings
from lash_core.store.directory_records import ENTRY_BYTES_MAX, SILENT_MS
from lash_core.store.fleet_directory import FleetDirectory
from lash_core.testing.servers import ValkeyServer


@dataclass
class Fixture:
    """A directory and a way to let time pass."""

    directory: FleetDirectory
    elapse: Callable[[int], Awaitable[None]]


@pytest.fixture(params=["memory", "redis"])
async def fleet(request: pytest.FixtureRequest) -> AsyncIterator[Fixture]:
    if request.param == "memory":
        clock = VirtualClock()

        async def advance(ms: int) -> None:
            clock.advance_ms(ms)

        yield Fixture(MemoryFleetDirectory(clock), advance)
        return
    with ValkeyServer() as server:
        context = await open_context(server.url, StoreSettings(partitions=4), test_clock=True)
        tag = workers_key("lash").partition("}")[0] + "}"

        async def elapse(ms: int) -> None:
            await context.connection.execute(f"{tag}:off", "INCRBY", f"{tag}:off", ms * 1_000)

        try:
            yield Fixture(RedisFleetDirectory(context), elapse)
        finally:
            await context.connection.close()


def worker(worker_id: str, incarnation: str = "one") -> WorkerEntry:
    return WorkerEntry(
        worker_id=worker_id, identity=LeaseOwnerIdentity.opaque(worker_id, incarnation), kinds=("a", "b")
    )


async def test_a_published_worker_is_listed_with_the_time_it_was_seen(fleet: Fixture) -> None:
    """What a worker says of itself comes back as it was, by id."""
    await fleet.directory.publish_worker(worker("w2"))
    await fleet.directory.publish_worker(worker("w1"))

    listed = await fleet.directory.list_workers()

    assert ["w1", "w2"] == [entry.worker_id for entry in listed]
    assert ("a", "b") == listed[0].kinds
    assert listed[0].seen_at_ms > 1_700_000_000_000


async def test_a_silent_worker_leaves_the_listing_and_then_the_directory(fleet: Fixture) -> None:
    """Listings show who was seen; a day later nothing is left of the silent."""
    await fleet.directory.publish_worker(worker("w1"))
    await fleet.elapse(31_000)

    assert () == await fleet.directory.list_workers()
    assert 1 == len(await fleet.directory.list_workers(seen_within_ms=None))

    await fleet.elapse(SILENT_MS)
    await fleet.directory.publish_worker(worker("w2"))

    assert ["w2"] == [entry.worker_id for entry in await fleet.directory.list_workers(seen_within_ms=None)]


async def test_a_drain_is_heard_with_the_next_beat(fleet: Fixture) -> None:
    """A drain stays asked until the worker is gone; another incarnation of it has not been asked."""
    directory = fleet.directory
    assert not await directory.publish_worker(worker("w1"))

    assert await directory.request_drain("w1")
    assert (await directory.list_workers())[0].drain_requested
    assert await directory.publish_worker(worker("w1"))
    assert await directory.publish_worker(worker("w1"))
    assert not await directory.publish_worker(worker("w1", "two"))
    assert not await directory.request_drain("nobody")


async def test_removing_a_worker_is_safe_to_repeat(fleet: Fixture) -> None:
    """A worker that stops takes itself out."""
    await fleet.directory.publish_worker(worker("w1"))

    await fleet.directory.remove_worker("w1")
    await fleet.directory.remove_worker("w1")

    assert () == await fleet.directory.list_workers(seen_within_ms=None)


async def test_manifests_outlive_the_worker_and_the_newest_wins(fleet: Fixture) -> None:
    """Kinds are there until somebody removes them."""
    old = KindManifest(kind="b", disposition=RecoveryDisposition.RERUNNABLE, signals={"go": {"type": "object"}})
    new = old.model_copy(update={"queue": "fast"})
    other = KindManifest(kind="a", disposition=RecoveryDisposition.OWNER_BOUND, params_schema={"type": "object"})

    await fleet.directory.publish_kinds([old, other])
    await fleet.directory.publish_kinds([new])

    assert (other, new) == await fleet.directory.list_kinds()
    assert new == await fleet.directory.get_kind("b")
    assert await fleet.directory.get_kind("c") is None
    assert await fleet.directory.remove_kind("b")
    assert not await fleet.directory.remove_kind("b")
    assert (other,) == await fleet.directory.list_kinds()


async def test_more_manifests_than_one_call_takes_arrive_all(fleet: Fixture) -> None:
    """Many kinds are written in parts."""
    manifests = [KindManifest(kind=f"k{n:03}", disposition=RecoveryDisposition.RERUNNABLE) for n in range(250)]

    await fleet.directory.publish_kinds(manifests)

    assert tuple(manifests) == await fleet.directory.list_kinds()


async def test_projectors_keep_their_position_until_forgotten(fleet: Fixture) -> None:
    """A reader of the feed finds its place again, and its last sign of life."""
    await fleet.directory.put_projector("warehouse", ChangeCursor(token="a;b"))
    first = (await fleet.directory.projectors())["warehouse"]
    await fleet.elapse(5_000)
    await fleet.directory.put_projector("warehouse", ChangeCursor(token="c"))
    second = (await fleet.directory.projectors())["warehouse"]

    assert ("a;b", "c") == (first[0].token, second[0].token)
    assert second[1] - first[1] >= 5_000
    assert await fleet.directory.forget_projector("warehouse")
    assert not await fleet.directory.forget_projector("warehouse")


async def test_bad_names_and_oversized_entries_are_refused(fleet: Fixture) -> None:
    """Nothing of a refused call is written."""
    large = KindManifest(
        kind="big", disposition=RecoveryDisposition.RERUNNABLE, params_schema={"title": "x" * ENTRY_BYTES_MAX}
    )
    with pytest.raises(LimitExceededError):
        await fleet.directory.publish_kinds([large])
    with pytest.raises(InvalidArgumentError):
        await fleet.directory.publish_worker(worker(" "))
    with pytest.raises(InvalidArgumentError):
        await fleet.directory.put_projector("a#b", ChangeCursor.initial())

    assert () == await fleet.directory.list_kinds()


async def test_an_entry_of_a_newer_release_hides_no_other() -> None:
    """Fields that are not known are left out, what cannot be read is skipped."""
    with ValkeyServer() as server:
        context = await open_context(server.url, StoreSettings(partitions=4))
        try:
            directory, key = RedisFleetDirectory(context), kinds_key("lash")
            await directory.publish_kinds([KindManifest(kind="a", disposition=RecoveryDisposition.RERUNNABLE)])
            newer = '{"v":2,"kind":"b","disposition":"rerunnable","colour":"blue"}'
            await context.connection.pipeline(
                [Command(key, ("HSET", key, "b", newer)), Command(key, ("HSET", key, "c", "not json"))]
            )

            assert ["a", "b"] == [manifest.kind for manifest in await directory.list_kinds()]
            assert await directory.get_kind("c") is None
        finally:
            await context.connection.close()
