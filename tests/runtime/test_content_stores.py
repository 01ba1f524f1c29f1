"""Environments, artifacts and attachments by content address, in memory and over Redis."""

from __future__ import annotations

import hashlib

import pytest

from lash_core.errors import CorruptRecordError, InvalidArgumentError, MissingEnvironmentError, NewerRecordError
from lash_core.memory_store.content_stores import MemoryArtifactStore
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.disposition import DurabilityTier
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT, ProcessExecutionEnvSpec
from lash_core.redis_store.stores import RedisStores
from lash_core.store.artifact_store import ARTIFACT_BYTES_MAX
from lash_core.store.attachment_store import AttachmentNotFoundError
from lash_core.store.process_env_store import load_process_execution_env, persist_process_execution_env
from lash_core.testing.servers import ValkeyServer
from tests.runtime.conftest import connect

Stores = InMemoryStores | RedisStores
ANY_BYTES = bytes(range(256)) + b";1;2;"


async def test_the_empty_environment_is_there_from_the_start(stores: Stores) -> None:
    """Plain processes name it, and nobody has to put it."""
    assert EMPTY_ENVIRONMENT.encode() == await stores.env_store.get(EMPTY_ENV_REF)


async def test_the_same_environment_has_the_same_ref_and_comes_back(stores: Stores) -> None:
    """Order of keys does not matter; putting it twice is putting it once."""
    one = ProcessExecutionEnvSpec(plugin_options={"a": 1, "b": "ü"})
    other = ProcessExecutionEnvSpec(plugin_options={"b": "ü", "a": 1})
    ref = await persist_process_execution_env(stores.env_store, one)

    assert ref == await persist_process_execution_env(stores.env_store, other)
    assert one == await load_process_execution_env(stores.env_store, ref)


async def test_a_missing_environment_is_named(stores: Stores) -> None:
    """The error carries the ref and the contract's words."""
    ref = ProcessExecutionEnvSpec(policy={"nobody": "stored this"}).env_ref

    assert await stores.env_store.get(ref) is None
    with pytest.raises(MissingEnvironmentError, match=f"missing process execution env `{ref}`"):
        await load_process_execution_env(stores.env_store, ref)


async def test_bytes_that_are_not_those_of_the_address_are_refused(stores: Stores) -> None:
    """Nobody can put an environment under another one's ref."""
    with pytest.raises(InvalidArgumentError, match="is not the address of its bytes"):
        await stores.env_store.put(EMPTY_ENV_REF, b"{}")

    assert EMPTY_ENVIRONMENT.encode() == await stores.env_store.get(EMPTY_ENV_REF)


@pytest.mark.parametrize(
    "ref", ["", "process-env:sha256:", "artifact:sha256:" + "0" * 64, "process-env:sha256:" + "G" * 64]
)
async def test_what_is_no_address_is_refused(stores: Stores, ref: str) -> None:
    """Reading it is bad input and not an absence."""
    with pytest.raises(InvalidArgumentError):
        await stores.env_store.get(ref)


async def test_artifacts_of_any_bytes_come_back(stores: Stores) -> None:
    """Also those that look like the record around them."""
    ref = await stores.artifacts.put_artifact(ANY_BYTES)

    assert f"artifact:sha256:{hashlib.sha256(ANY_BYTES).hexdigest()}" == ref
    assert ANY_BYTES == await stores.artifacts.get_artifact(ref)


async def test_an_artifact_over_the_limit_is_refused(stores: Stores) -> None:
    """The error names size and limit."""
    with pytest.raises(InvalidArgumentError) as caught:
        await stores.artifacts.put_artifact(b"x" * (ARTIFACT_BYTES_MAX + 1))

    assert ARTIFACT_BYTES_MAX == caught.value.limit


async def test_attachments_tell_size_and_type_and_are_stored_once(stores: Stores) -> None:
    """Equal bytes have one id, however they are called."""
    first = await stores.attachments.put(ANY_BYTES, media_type="image/png", name="a.png")
    second = await stores.attachments.put(ANY_BYTES, name="b.bin")

    assert ("image/png", len(ANY_BYTES), "a.png") == (first.media_type, first.size_bytes, first.name)
    assert first.attachment_id == second.attachment_id
    assert ANY_BYTES == await stores.attachments.get(first.attachment_id)


async def test_an_unknown_attachment_is_an_error_of_its_own(stores: Stores) -> None:
    """It is not an empty one."""
    with pytest.raises(AttachmentNotFoundError):
        await stores.attachments.get("attachment:sha256:" + "0" * 64)


async def test_bytes_changed_behind_the_store_are_not_handed_out(redis_stores: RedisStores) -> None:
    """The address is checked when they are read, too."""
    ref = await redis_stores.artifacts.put_artifact(b"right")
    key = redis_stores.context.keyspace.environment(ref.rpartition(":")[2])
    await redis_stores.context.connection.execute(key, "SET", key, b"1;0;wrong")

    with pytest.raises(CorruptRecordError):
        await redis_stores.artifacts.get_artifact(ref)


async def test_a_blob_of_a_newer_release_is_left_alone(redis_stores: RedisStores) -> None:
    """A reader that does not know its form says so."""
    ref = await redis_stores.artifacts.put_artifact(b"right")
    key = redis_stores.context.keyspace.environment(ref.rpartition(":")[2])
    await redis_stores.context.connection.execute(key, "SET", key, b"2;something else")

    with pytest.raises(NewerRecordError):
        await redis_stores.artifacts.get_artifact(ref)


async def test_a_put_refreshes_the_age(server: ValkeyServer) -> None:
    """The sweep spares what was put within a day, so a second put counts."""
    async with connect(server, test_clock=True) as stores:
        ref = await stores.artifacts.put_artifact(b"blob")
        key = stores.context.keyspace.environment(ref.rpartition(":")[2])
        offset = key[: key.index("}") + 1] + ":off"
        first = str(await stores.context.connection.execute(key, "GET", key)).split(";")
        await stores.context.connection.execute(offset, "SET", offset, 5_000_000)
        await stores.artifacts.put_artifact(b"blob")
        second = str(await stores.context.connection.execute(key, "GET", key)).split(";")

    assert first[2] == second[2]
    assert int(first[1]) + 5_000 <= int(second[1])


def test_tiers() -> None:
    """Memory is inline unless a test claims otherwise; the claim is on a view of the same blobs."""
    store = MemoryArtifactStore()

    assert DurabilityTier.INLINE == store.durability_tier()
    assert DurabilityTier.DURABLE == store.with_durability_tier(DurabilityTier.DURABLE).durability_tier()
    assert DurabilityTier.INLINE == store.durability_tier()


async def test_redis_stores_are_durable(redis_stores: RedisStores) -> None:
    """All of them say so."""
    tiers = {
        store.durability_tier()
        for store in (
            redis_stores.env_store,
            redis_stores.artifacts,
            redis_stores.attachments,
            redis_stores.session_store_factory,
        )
    }

    assert {DurabilityTier.DURABLE} == tiers
