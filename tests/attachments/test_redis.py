"""Stored content over Redis: what only a server shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from lash_core.errors import CorruptRecordError, LimitExceededError, NewerRecordError, SettingsError, StoreFullError
from lash_core.file_store.tiered_attachments import TieredAttachmentStore
from lash_core.model.attachment import AttachmentOwner
from lash_core.model.environment import EMPTY_ENV_REF, ProcessExecutionEnvSpec
from lash_core.redis_store.attachment_manifest import RedisAttachmentManifest
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.content_sweep import WALK_MS_MAX, content_sweep_of
from lash_core.settings import StoreSettings, load_settings
from lash_core.store.attachment_store import ATTACHMENT_BYTES_MAX, AttachmentNotFoundError
from lash_core.store.content_sweep import GRACE_MS
from lash_core.store.process_env_store import persist_process_execution_env
from lash_core.testing.servers import ValkeyServer
from tests.attachments.conftest import OpenRedis
from tests.redis_contract.rows import registration

DAY_AND_MORE_MS = GRACE_MS + 1_000


async def stored_keys(stores: RedisStores) -> set[str]:
    """Keys of blobs and their indexes."""
    found = await stores.context.connection.execute("", "KEYS", f"{{{stores.context.keyspace.namespace}:env:*")
    return {key for key in found if not key.endswith(":off")}


async def test_a_deleted_blob_leaves_no_key(redis_stores: RedisStores) -> None:
    """Neither itself nor a place in the index."""
    before = await stored_keys(redis_stores)
    ref = await redis_stores.attachments.put(b"data")
    assert 2 >= len(await stored_keys(redis_stores) - before) > 0
    await redis_stores.attachments.delete(ref.attachment_id)

    assert before == await stored_keys(redis_stores)


async def test_equal_bytes_of_two_families_are_stored_once_and_go_with_the_last(redis_stores: RedisStores) -> None:
    """An attachment that is deleted is gone, and the artifact of the same bytes stays."""
    attachment = await redis_stores.attachments.put(b"same")
    artifact = await redis_stores.artifacts.put_artifact(b"same")

    await redis_stores.attachments.delete(attachment.attachment_id)
    with pytest.raises(AttachmentNotFoundError):
        await redis_stores.attachments.get(attachment.attachment_id)
    assert b"same" == await redis_stores.artifacts.get_artifact(artifact)
    await redis_stores.advance_clock(DAY_AND_MORE_MS)
    await content_sweep_of(redis_stores).run_pass()

    assert await redis_stores.artifacts.get_artifact(artifact) is None


async def test_one_family_goes_while_another_is_still_named(redis_stores: RedisStores) -> None:
    """An old attachment does not take the environment's bytes along, however young that one's last put is."""
    spec = ProcessExecutionEnvSpec(plugin_options={"n": 1})
    env_ref = await persist_process_execution_env(redis_stores.env_store, spec)
    attachment = await redis_stores.attachments.put(spec.encode())
    await redis_stores.advance_clock(DAY_AND_MORE_MS)
    await redis_stores.process_registry.register_process(registration(env_ref=env_ref))

    await content_sweep_of(redis_stores).run_pass()

    assert spec.encode() == await redis_stores.env_store.get(env_ref)
    with pytest.raises(AttachmentNotFoundError):
        await redis_stores.attachments.get(attachment.attachment_id)


async def test_a_put_by_a_release_without_an_index_counts(redis_stores: RedisStores) -> None:
    """It refreshed the age in the blob alone: the sweep sees that where it would delete."""
    ref = await redis_stores.artifacts.put_artifact(b"data")
    await redis_stores.advance_clock(DAY_AND_MORE_MS)
    key = redis_stores.context.keyspace.environment(ref.rpartition(":")[2])
    now_ms = await redis_stores.process_registry.server_time_ms()
    await redis_stores.context.connection.execute(key, "SET", key, f"1;{now_ms};data")

    await content_sweep_of(redis_stores).run_pass()
    assert b"data" == await redis_stores.artifacts.get_artifact(ref)
    await redis_stores.advance_clock(DAY_AND_MORE_MS)
    await content_sweep_of(redis_stores).run_pass()

    assert await redis_stores.artifacts.get_artifact(ref) is None


async def test_a_blob_of_a_newer_release_is_left_alone(redis_stores: RedisStores) -> None:
    """The sweep does not know when it was put, so it stays."""
    ref = await redis_stores.artifacts.put_artifact(b"data")
    key = redis_stores.context.keyspace.environment(ref.rpartition(":")[2])
    await redis_stores.context.connection.execute(key, "SET", key, b"2;something else")
    await redis_stores.advance_clock(DAY_AND_MORE_MS)

    assert 1 == (await content_sweep_of(redis_stores).run_pass()).put_meanwhile
    assert await redis_stores.context.connection.execute(key, "EXISTS", key)
    with pytest.raises(NewerRecordError):
        await redis_stores.artifacts.get_artifact(ref)


async def test_a_reference_that_cannot_be_read_keeps_its_attachment(redis_stores: RedisStores) -> None:
    """Of a newer release or broken: whoever reads it is told, and the sweep takes nothing."""
    ref = await redis_stores.attachments.put(b"data")
    await redis_stores.attachment_manifest.record_intent("s", ref.attachment_id)
    key = redis_stores.context.keyspace.of_session("s").session_attachments("s")
    digest = ref.attachment_id.rpartition(":")[2]
    await redis_stores.advance_clock(DAY_AND_MORE_MS)
    for text, error in (("2;new form", NewerRecordError), ("nonsense", CorruptRecordError)):
        await redis_stores.context.connection.execute(key, "HSET", key, digest, text)

        assert 1 == (await content_sweep_of(redis_stores).run_pass()).kept
        with pytest.raises(error):
            await redis_stores.attachment_manifest.list_refs("s")


async def test_a_walk_that_took_too_long_deletes_nothing(redis_stores: RedisStores) -> None:
    """What it has not seen may be older than the grace by then; the next one starts anew."""
    ref = await redis_stores.artifacts.put_artifact(b"data")
    await redis_stores.advance_clock(DAY_AND_MORE_MS)
    sweep = content_sweep_of(redis_stores)
    await sweep.step()
    await redis_stores.advance_clock(WALK_MS_MAX + 1)

    report = await sweep.run_pass()

    assert (1, 0) == (report.candidates, report.deleted)
    assert b"data" == await redis_stores.artifacts.get_artifact(ref)
    assert 1 == (await sweep.run_pass()).deleted


async def test_a_pass_of_many_rows_goes_in_steps(redis_stores: RedisStores) -> None:
    """Each step looks at a bounded number of rows; what the last of them names is found."""
    env_ref = await persist_process_execution_env(
        redis_stores.env_store, ProcessExecutionEnvSpec(plugin_options={"n": 2})
    )
    rows = [registration() for _ in range(1_500)]
    for start in range(0, len(rows), 200):
        await redis_stores.process_registry.register_processes(rows[start : start + 200])
    await redis_stores.process_registry.register_process(registration(env_ref=env_ref))
    unnamed = await redis_stores.artifacts.put_artifact(b"unnamed")
    await redis_stores.advance_clock(DAY_AND_MORE_MS)
    sweep = content_sweep_of(redis_stores)

    steps = 0
    while await sweep.step() is None:
        steps += 1

    assert steps >= 3
    assert await redis_stores.artifacts.get_artifact(unnamed) is None
    assert await redis_stores.env_store.get(env_ref) is not None


async def test_an_environment_is_refreshed_once_an_hour_by_a_client(
    open_redis: OpenRedis, server: ValkeyServer
) -> None:
    """A start that names it costs a round trip the first time, and the empty one never does."""
    settings = StoreSettings(namespace="refreshed", partitions=4)
    async with RedisStores.connect(server.url, settings=settings) as stores:
        env_ref = await persist_process_execution_env(stores.env_store, ProcessExecutionEnvSpec(policy={"n": 3}))
        calls: list[str] = []
        plain = stores.context.scripts.run

        async def run(given: list[object], **options: object) -> list[object]:
            calls.extend(getattr(call, "script") for call in given)  # noqa: B009 - the calls are the scripts' own type
            return await plain(given, **options)  # pyright: ignore[reportArgumentType]

        stores.context.scripts.run = run  # pyright: ignore[reportAttributeAccessIssue]
        await stores.process_registry.register_process(registration(env_ref=EMPTY_ENV_REF))
        assert ["register_processes"] == calls
        await stores.process_registry.register_process(registration(env_ref=env_ref))
        await stores.process_registry.register_process(registration(env_ref=env_ref))

    assert ["touch_content"] == [name for name in calls if name != "register_processes"]


async def test_one_session_has_a_bounded_number_of_references(redis_stores: RedisStores) -> None:
    """The refusal names the limit; what it refers to already may come in again."""
    manifest = RedisAttachmentManifest(redis_stores.context, refs_max=2)
    ids = [f"attachment:sha256:{number:064x}" for number in range(3)]
    await manifest.record_intent("s", ids[0])
    await manifest.commit_refs("s", AttachmentOwner.turn("t"), [ids[0]])
    await manifest.record_intent("s", ids[1])

    with pytest.raises(LimitExceededError, match="the limit is 2"):
        await manifest.record_intent("s", ids[2])
    await manifest.record_intent("s", ids[0])


async def test_without_a_folder_large_attachments_are_refused(redis_stores: RedisStores) -> None:
    """The error names the limit and what raises it."""
    with pytest.raises(LimitExceededError, match=f"the limit is {ATTACHMENT_BYTES_MAX}.*LASH_ATTACHMENTS_DIR"):
        await redis_stores.attachments.put(b"x" * (ATTACHMENT_BYTES_MAX + 1))


async def test_a_full_server_can_still_sweep() -> None:
    """Deleting is what makes room."""
    settings = StoreSettings(namespace="full", partitions=4)
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url, settings=settings, test_clock=True) as stores:
            ref = await stores.artifacts.put_artifact(b"x" * 100_000)
            await stores.advance_clock(DAY_AND_MORE_MS)
            await stores.context.connection.execute("", "CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(StoreFullError):
                await stores.artifacts.put_artifact(b"more")

            assert 1 == (await content_sweep_of(stores).run_pass()).deleted
            assert await stores.artifacts.get_artifact(ref) is None


# -- LASH_ATTACHMENTS_DIR ----------------------------------------------------------------------------------------


async def test_a_folder_takes_the_large_ones(open_redis: OpenRedis, tmp_path: Path) -> None:
    """Small ones stay in Redis; the folder is one for the namespace."""
    async with open_redis(attachments_dir=str(tmp_path)) as stores:
        assert isinstance(stores.attachments, TieredAttachmentStore)
        small = await stores.attachments.put(b"small")
        large = await stores.attachments.put(b"x" * (ATTACHMENT_BYTES_MAX + 1))
        digest = large.attachment_id.rpartition(":")[2]
        folder = tmp_path / stores.context.keyspace.namespace

        assert ATTACHMENT_BYTES_MAX + 1 == (folder / digest[:2] / digest).stat().st_size
        assert b"small" == await stores.attachments.get(small.attachment_id)
        await stores.advance_clock(DAY_AND_MORE_MS)
        assert 2 == (await content_sweep_of(stores).run_pass()).deleted
        assert not (folder / digest[:2] / digest).exists()


async def test_a_machine_with_another_folder_does_not_start(open_redis: OpenRedis, tmp_path: Path) -> None:
    """What it stored, nobody else would find; the same folder by another name is fine."""
    async with open_redis(attachments_dir=str(tmp_path / "one")):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "one")
    async with open_redis(attachments_dir=str(tmp_path / "link")):
        pass

    with pytest.raises(SettingsError, match="all machines must see the same one") as caught:
        async with open_redis(attachments_dir=str(tmp_path / "two")):
            pass

    assert "LASH_ATTACHMENTS_DIR" == caught.value.field


async def test_a_folder_that_cannot_be_made_is_a_setting_that_is_wrong(open_redis: OpenRedis, tmp_path: Path) -> None:
    """It is named at the start, not at the first attachment."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(SettingsError, match="which cannot be used"):
        async with open_redis(attachments_dir=str(tmp_path / "file")):
            pass


def test_the_folder_is_a_setting() -> None:
    """From the environment, in one place."""
    assert "/srv/files" == load_settings({"LASH_ATTACHMENTS_DIR": "/srv/files"}).store.attachments_dir
    assert load_settings({}).store.attachments_dir is None
