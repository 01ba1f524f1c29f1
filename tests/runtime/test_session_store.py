"""The small session store: one head a session, compare-and-set by its revision."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lash_core.errors import CorruptRecordError, InvalidArgumentError, NewerRecordError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.plugin_snapshot import PluginSessionSnapshot, PluginSnapshotEntry, PluginSnapshotMeta
from lash_core.model.session import ChildRelation, ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.tool_state import ToolEntry, ToolManifest, ToolState
from lash_core.redis_store.stores import RedisStores
from lash_core.store.session_store import (
    RECORD_BYTES_MAX,
    HeadRevisionConflictError,
    PersistedSession,
    RuntimeCommit,
    RuntimePersistence,
    SessionBindingError,
)

Stores = InMemoryStores | RedisStores


def asked(session_id: str = "s/1", model: str = "m") -> SessionStoreCreateRequest:
    return SessionStoreCreateRequest(session_id, policy=SessionPolicy(model=ModelSpec(model)))


def _snapshot(**meta: Any) -> PluginSessionSnapshot:
    return PluginSessionSnapshot(plugins={"p": PluginSnapshotEntry(meta=PluginSnapshotMeta(plugin_id="p", **meta))})


async def head_of(store: RuntimePersistence) -> PersistedSession:
    head = await store.load_session()
    assert head is not None
    return head


async def test_a_new_session_has_meta_and_policy(stores: Stores) -> None:
    """Its name is its id; the store's clock says when it was made."""
    relation = ChildRelation("parent")
    request = asked().model_copy(update={"relation": relation})
    head = await head_of(await stores.session_store_factory.create_store(request))

    assert ("s/1", "s/1", "m", relation) == (
        head.meta.session_id,
        head.meta.session_name,
        head.meta.model,
        head.meta.relation,
    )
    assert 1_600_000_000_000 < head.meta.created_at_ms
    assert request.policy == head.policy
    assert head.tool_state is None


async def test_creating_again_changes_nothing(stores: Stores) -> None:
    """What is stored wins over what is asked for."""
    factory = stores.session_store_factory
    first = await head_of(await factory.create_store(asked()))

    assert first == await head_of(await factory.create_store(asked(model="another")))


async def test_only_existing_sessions_are_opened(stores: Stores) -> None:
    """A deleted or never created session is None, and so is what an open store loads of it."""
    factory = stores.session_store_factory
    assert await factory.open_existing("s/1") is None
    store = await factory.create_store(asked())
    assert await factory.open_existing("s/1") is not None
    await factory.delete_session("s/1")
    await factory.delete_session("s/1")

    assert await factory.open_existing("s/1") is None
    assert await store.load_session() is None


async def test_a_commit_writes_what_it_names_and_leaves_the_rest(stores: Stores) -> None:
    """The revision rises with each commit."""
    store = await stores.session_store_factory.create_store(asked())
    before = await head_of(store)
    tools = ToolState(generation=3, tools={"t": ToolEntry(manifest=ToolManifest("t", "tool ü"), orphaned=True)})
    snapshot = PluginSessionSnapshot(
        plugins={"p": PluginSnapshotEntry(meta=PluginSnapshotMeta(plugin_id="p", revision=2, state={"n": [1, None]}))}
    )
    first = await store.commit_runtime_state(
        RuntimeCommit(session_id="s/1", expected_head_revision=before.head_revision, tool_state=tools)
    )
    second = await store.commit_runtime_state(
        RuntimeCommit(session_id="s/1", expected_head_revision=first.head_revision, plugin_snapshot=snapshot)
    )
    head = await head_of(store)

    assert before.head_revision < first.head_revision < second.head_revision == head.head_revision
    assert (tools, snapshot, before.policy, before.meta) == (
        head.tool_state,
        head.plugin_snapshot,
        head.policy,
        head.meta,
    )


async def test_of_two_commits_on_one_revision_one_stands(stores: Stores) -> None:
    """The other learns expected and actual revision and has written nothing."""
    store = await stores.session_store_factory.create_store(asked())
    revision = (await head_of(store)).head_revision
    commits = [
        store.commit_runtime_state(
            RuntimeCommit(
                session_id="s/1",
                expected_head_revision=revision,
                policy=SessionPolicy(model=ModelSpec(name)),
            )
        )
        for name in ("one", "two")
    ]
    results = await asyncio.gather(*commits, return_exceptions=True)
    conflicts = [result for result in results if isinstance(result, HeadRevisionConflictError)]
    head = await head_of(store)

    assert [(revision, head.head_revision)] == [(error.expected, error.actual) for error in conflicts]
    assert ("one" if isinstance(results[1], Exception) else "two") == head.policy.model.id


async def test_a_session_made_again_refuses_writers_of_its_predecessor(stores: Stores) -> None:
    """The revision rises over deletion, so an old revision never fits by chance."""
    factory = stores.session_store_factory
    store = await factory.create_store(asked())
    old = (await head_of(store)).head_revision
    await factory.delete_session("s/1")
    with pytest.raises(HeadRevisionConflictError, match="the session is gone"):
        await store.commit_runtime_state(RuntimeCommit(session_id="s/1", expected_head_revision=old))
    again = await factory.create_store(asked())

    assert old < (await head_of(again)).head_revision
    with pytest.raises(HeadRevisionConflictError):
        await store.commit_runtime_state(RuntimeCommit(session_id="s/1", expected_head_revision=old))


async def test_a_store_serves_its_own_session_only(stores: Stores) -> None:
    """Another session's commit is refused whatever its revision."""
    store = await stores.session_store_factory.create_store(asked())
    with pytest.raises(SessionBindingError, match="is bound to session `s/1`"):
        await store.commit_runtime_state(RuntimeCommit(session_id="s/2", expected_head_revision=1))


async def test_state_over_the_limit_is_refused_whole(stores: Stores) -> None:
    """Nothing of the commit is written."""
    store = await stores.session_store_factory.create_store(asked())
    before = await head_of(store)
    big = PluginSessionSnapshot(
        plugins={"p": PluginSnapshotEntry(meta=PluginSnapshotMeta(plugin_id="p", state="x" * RECORD_BYTES_MAX))}
    )
    with pytest.raises(InvalidArgumentError) as caught:
        await store.commit_runtime_state(
            RuntimeCommit(session_id="s/1", expected_head_revision=before.head_revision, plugin_snapshot=big)
        )

    assert RECORD_BYTES_MAX == caught.value.limit
    assert before == await head_of(store)


@pytest.mark.parametrize("session_id", ["", " ", "a#b", "x" * 201])
async def test_ids_that_are_not_legal_make_no_session(stores: Stores, session_id: str) -> None:
    """They are refused before anything is written."""
    with pytest.raises(InvalidArgumentError):
        await stores.session_store_factory.create_store(asked(session_id))


@pytest.mark.parametrize(
    ("stored", "error", "says"),
    [
        ('{"autonomous": false}', CorruptRecordError, "no record version"),
        ('{"v": "1"}', CorruptRecordError, "no whole number"),
        ('{"v": 0}', CorruptRecordError, "unknown record version 0"),
        ('{"v": 99}', NewerRecordError, "record version 99"),
        ('{"v": 1, "nobody": "knows"}', CorruptRecordError, "cannot be decoded"),
        ("not json", CorruptRecordError, "is not JSON"),
    ],
)
async def test_parts_that_this_release_cannot_read(
    redis_stores: RedisStores, stored: str, error: type[Exception], says: str
) -> None:
    """Missing, malformed, unknown and newer versions are told apart, and nothing is guessed."""
    store = await redis_stores.session_store_factory.create_store(asked())
    key = redis_stores.context.keyspace.of_session("s/1").session_head("s/1")
    await redis_stores.context.connection.execute(key, "HSET", key, "policy", stored)

    with pytest.raises(error, match=says):
        await store.load_session()


async def test_sessions_of_a_process_live_in_its_partition(redis_stores: RedisStores) -> None:
    """So that pruning the process can take them along in one script."""
    keyspace = redis_stores.context.keyspace
    await redis_stores.session_store_factory.create_store(asked("process-env:p-1"))
    key = keyspace.of_process("p-1").session_head("process-env:p-1")
    meta = json.loads(await redis_stores.context.connection.execute(key, "HGET", key, "meta"))

    assert "process-env:p-1" == meta["session_id"]
