"""What only Redis can get wrong about a load: pages, odd ids, one moment, blobs, versions. The rest is shared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from lash_core.errors import (
    CorruptRecordError,
)
from lash_core.errors.session import (
    InvalidRecordSchemaVersionError,
    MissingRecordSchemaVersionError,
    UnsupportedRecordSchemaVersionError,
)
from lash_core.model.agent_frame import AgentFrameRecord
from lash_core.model.session_commit import (
    ActivePath,
    CheckpointDraft,
    GraphAppend,
    GraphReplaceFull,
)
from lash_core.model.tool_state import ToolState
from lash_core.redis_store import session_commits, session_reads
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.content_sweep import content_sweep_of
from lash_core.store.content_sweep import GRACE_MS
from lash_core.testing.conformance.session_scene import (
    appending,
    chain,
    committed,
    leased,
    loaded,
    opened,
)
from tests.redis_contract.sessions import Trips, graph_of

LARGE = "x" * 20_000


async def _head(stores: RedisStores, session: RedisRuntimePersistence, field: str, value: str) -> None:
    key = stores.context.keyspace.of_session(session.session_id).session_head(session.session_id)
    await stores.context.connection.execute(key, "HSET", key, field, value)


@pytest.mark.parametrize("scope", [None, ActivePath()])
async def test_large_graphs_come_in_pages(
    session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch, scope: ActivePath | None
) -> None:
    """Of 500 nodes: 1,100 take three round trips, head, ledger and blobs included."""
    graph = graph_of(1_100)
    await committed(session, graph=GraphReplaceFull(tuple(graph.nodes), graph.leaf_node_id))
    trips = Trips(monkeypatch)

    read = await (session.load_session() if scope is None else session.load_session(scope))

    assert read is not None
    assert tuple(graph.nodes) == read.nodes
    assert trips.count <= 5  # two more where a script was not loaded yet


@pytest.mark.parametrize("scope", [None, ActivePath()])
async def test_pages_are_bounded_by_bytes_too(
    session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch, scope: ActivePath | None
) -> None:
    """A node that is larger than a page is a page; none is lost or repeated."""
    monkeypatch.setattr(session_reads, "PAGE_BYTES_MAX", 400)
    nodes = chain(*(f"{number}" * (1 + 200 * (number % 3)) for number in range(9)))
    await committed(session, graph=GraphAppend(nodes, nodes[-1].node_id))
    await session.tombstone_nodes([nodes[1].node_id])

    read = await (session.load_session() if scope is None else session.load_session(scope))

    assert read is not None
    assert (nodes[2:] if scope else (nodes[0], *nodes[2:])) == read.nodes


@pytest.mark.parametrize("odd", ["a\nb", "1;2", "=x", "5", "ü😀", "'\"\\", "a\x00b"])
async def test_node_ids_may_look_like_anything(session: RedisRuntimePersistence, odd: str) -> None:
    """Ids of messages are their users'."""
    nodes = chain("root", odd, "leaf")
    await committed(session, graph=GraphAppend(nodes, "leaf"))

    read = await session.load_session(ActivePath())

    assert read is not None
    assert nodes == read.nodes
    assert nodes[1] == await session.load_node(odd)


async def test_a_read_is_of_one_moment(session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that are committed between two pages are not in it."""
    monkeypatch.setattr(session_reads, "NODES_PAGE_MAX", 2)
    lease = await leased(session)
    await committed(session, lease, graph=appending("a", "b", "c"))
    plain = session_reads.SessionReads._read_further

    async def late(self: Any, *args: Any) -> None:
        await committed(session, lease, graph=appending("d", after="c"))
        await plain(self, *args)

    monkeypatch.setattr(session_reads.SessionReads, "_read_further", late)

    read = await loaded(session)

    assert (1, ["a", "b", "c"]) == (read.head_revision, [node.node_id for node in read.nodes])


async def test_a_large_blob_is_stored_once_for_all(stores: RedisStores, session: RedisRuntimePersistence) -> None:
    """In the shared content store, where live heads keep it and the sweep takes it after them."""
    other = await opened(stores)
    for store in (session, other):
        await committed(store, checkpoint=CheckpointDraft(execution_state={"text": LARGE}))
    stored = (await stores.session_blobs.list_stored()).items
    assert 1 == len(stored)

    await stores.advance_clock(GRACE_MS + 1)
    await content_sweep_of(stores).run_pass()
    read = await session.load_session()
    assert read is not None
    assert {"text": LARGE} == read.checkpoint.execution_state

    for store in (session, other):
        await stores.sessions.delete_session(store.session_id)
    await content_sweep_of(stores).run_pass()
    assert () == (await stores.session_blobs.list_stored()).items


@pytest.mark.parametrize("padding", ["", LARGE])
async def test_blobs_keep_what_they_name(stores: RedisStores, session: RedisRuntimePersistence, padding: str) -> None:
    """An artifact in a session's state is kept as long as the state, wherever the state is."""
    artifact = await stores.artifacts.put_artifact(b"kept")
    state = {"artifact": artifact, "padding": padding}
    lease = await leased(session, ttl_ms=3 * GRACE_MS)
    await committed(session, lease, checkpoint=CheckpointDraft(execution_state=state))

    await stores.advance_clock(GRACE_MS + 1)
    await content_sweep_of(stores).run_pass()
    assert b"kept" == await stores.artifacts.get_artifact(artifact)

    await committed(session, lease, checkpoint=CheckpointDraft(execution_state={}))
    await session.gc_unreachable()
    for _ in range(2):
        await stores.advance_clock(GRACE_MS + 1)
        await content_sweep_of(stores).run_pass()
    assert None is await stores.artifacts.get_artifact(artifact)


async def test_a_blob_that_is_gone_is_an_error(stores: RedisStores, session: RedisRuntimePersistence) -> None:
    """Never a session that silently begins anew."""
    await committed(session, checkpoint=CheckpointDraft(execution_state={"text": LARGE}, tool_state=ToolState()))
    (stored,) = (await stores.session_blobs.list_stored()).items
    assert await stores.session_blobs.delete_unchanged(stored)
    with pytest.raises(CorruptRecordError, match="gone from the content store"):
        await session.load_session()

    await committed(session, checkpoint=CheckpointDraft(tool_state=ToolState()))
    key = stores.context.keyspace.of_session(session.session_id).session_blobs(session.session_id)
    await stores.context.connection.execute(key, "DEL", key)
    with pytest.raises(CorruptRecordError, match="tool_state"):
        await session.load_session()


async def test_unused_blobs_do_not_pile_up(
    stores: RedisStores, session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that finds too many removes them, but for those of checkpoint and frames."""
    monkeypatch.setattr(session_commits, "SESSION_BLOBS_MAX", 4)
    lease = await leased(session)
    key = stores.context.keyspace.of_session(session.session_id).session_blobs(session.session_id)
    counts: list[int] = []
    for number in range(8):
        await committed(session, lease, checkpoint=CheckpointDraft(execution_state={"n": number}))
        counts.append(int(await stores.context.connection.execute(key, "HLEN", key)))

    assert [1, 2, 3, 4, 1, 2, 3, 4] == counts
    assert {"n": 7} == (await loaded(session)).checkpoint.execution_state


async def test_many_used_blobs_are_not_looked_for_each_time(
    stores: RedisStores, session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames may name more than the bound: the next search waits until there are twice as many as are in use."""
    monkeypatch.setattr(session_commits, "SESSION_BLOBS_MAX", 2)
    lease = await leased(session)
    key = stores.context.keyspace.of_session(session.session_id).session_blobs(session.session_id)
    frames: list[AgentFrameRecord] = []
    counts: list[int] = []
    for number in range(8):
        state = CheckpointDraft(execution_state={"n": number})
        result = await committed(session, lease, checkpoint=state, agent_frames=tuple(frames))
        ref = result.manifest.execution_state_ref
        if number < 3:
            frame = AgentFrameRecord(frame_id=f"f{number}", session_id=session.session_id, execution_state_ref=ref)
            frames.append(frame)
        counts.append(int(await stores.context.connection.execute(key, "HLEN", key)))

    assert [1, 2, 3, 4, 5, 6, 4, 5] == counts


@pytest.mark.parametrize(
    ("field", "version"), [("head", "schema_version"), ("cp", "schema_version"), ("cfg", "v"), ("fr", "v")]
)
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", MissingRecordSchemaVersionError),
        ('{"%s":"1"}', InvalidRecordSchemaVersionError),
        ('{"%s":1.5}', InvalidRecordSchemaVersionError),
        ('{"%s":true}', InvalidRecordSchemaVersionError),
        ('{"%s":99}', UnsupportedRecordSchemaVersionError),
        ('{"%s":0}', UnsupportedRecordSchemaVersionError),
        ("[]", CorruptRecordError),
        ("{", CorruptRecordError),
        ('{"%s":1,"odd":2}', CorruptRecordError),
    ],
)
async def test_versions_of_the_head_are_checked(
    stores: RedisStores, session: RedisRuntimePersistence, field: str, version: str, text: str, error: type[Exception]
) -> None:
    """Three errors tell no version, no number and an unknown one apart; each names the key."""
    await committed(session, graph=appending("a"))
    await _head(stores, session, field, text.replace("%s", version))

    with pytest.raises(error) as raised:
        await session.load_session()

    assert error is type(raised.value)
    assert session.session_id in str(raised.value.__dict__["key"])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", MissingRecordSchemaVersionError),
        ('{"v":null}', InvalidRecordSchemaVersionError),
        ('{"v":2}', UnsupportedRecordSchemaVersionError),
        ('{"v":1}', CorruptRecordError),
    ],
)
async def test_versions_of_nodes_and_meta_are_checked(
    stores: RedisStores, session: RedisRuntimePersistence, text: str, error: type[Exception]
) -> None:
    """As those of the head."""
    await committed(session, graph=appending("a"))
    nodes = stores.context.keyspace.of_session(session.session_id).session_nodes(session.session_id)
    await stores.context.connection.execute(nodes, "HSET", nodes, "a", f";{text}")
    await _head(stores, session, "meta", text)

    reads: Sequence[Callable[[], Awaitable[Any]]] = (
        session.load_session,
        lambda: session.load_node("a"),
        session.load_session_meta,
    )
    for read in reads:
        with pytest.raises(error) as raised:
            await read()
        assert error is type(raised.value)
