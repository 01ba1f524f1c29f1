"""What only Redis can get wrong about a session: round trips, pages, blobs, leftovers, versions. The rest is shared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from lash_core.errors import CorruptRecordError, InvalidArgumentError, LimitExceededError, UnknownSessionError
from lash_core.errors.session import (
    HeadRevisionConflictError,
    InvalidRecordSchemaVersionError,
    MissingRecordSchemaVersionError,
    QueuedWorkClaimSupersededError,
    RuntimeTurnCommitConflictError,
    SessionExecutionLeaseExpiredError,
    TurnInputClaimSupersededError,
    UnsupportedRecordSchemaVersionError,
)
from lash_core.model.attachment import AttachmentOwner
from lash_core.model.message import Message
from lash_core.model.queued_work import QueuedWorkCompletion
from lash_core.model.session_commit import (
    ActivePath,
    CheckpointDraft,
    GraphAppend,
    GraphReplaceFull,
    RuntimeCommit,
    TurnCommitStamp,
)
from lash_core.model.session_graph import SessionGraph
from lash_core.model.tool_state import ToolState
from lash_core.model.turn_input import TurnInputCompletion
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.redis_store import session_commits, session_reads
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.session_deletion import session_state_keys
from lash_core.redis_store.session_factory import RedisSessionStoreFactory
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.content_sweep import content_sweep_of
from lash_core.store import session_commit_records
from lash_core.store.content_sweep import GRACE_MS
from lash_core.testing.conformance.session_scene import (
    appending,
    chain,
    claimed,
    commit_of,
    committed,
    draft,
    enqueued,
    leased,
    loaded,
    opened,
    put_in,
)

LARGE = "x" * 20_000
SNAPSHOTS = CheckpointDraft(tool_state=ToolState(generation=3), execution_state={"step": 1})


@pytest.fixture
async def session(stores: RedisStores) -> RedisRuntimePersistence:
    """A session with nothing committed."""
    store = await opened(stores)
    assert isinstance(store, RedisRuntimePersistence)
    return store


class Trips:
    """Counts the times that commands go to the server."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        plain = RedisConnection.dispatch

        async def counted(connection: RedisConnection, *args: Any, **named: Any) -> Any:
            self.count += 1
            return await plain(connection, *args, **named)

        patch.setattr(RedisConnection, "dispatch", counted)


async def _dump(stores: RedisStores) -> dict[str, bytes]:
    """Everything of the namespace, as bytes."""
    run = stores.context.connection.execute
    names = sorted(name for name in await run("", "KEYS", f"{{{stores.context.keyspace.namespace}:*"))
    return {name: await run(name, "DUMP", name, raw=True) for name in names}


async def _head(stores: RedisStores, session: RedisRuntimePersistence, field: str, value: str) -> None:
    key = stores.context.keyspace.of_session(session.session_id).session_head(session.session_id)
    await stores.context.connection.execute(key, "HSET", key, field, value)


# -- commits -------------------------------------------------------------------------------------------


async def test_a_settled_commit_is_one_round_trip(
    session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims, nodes, small blobs, ledger, outbox, stamp and release together; the script is loaded already."""
    await enqueued(session)
    await put_in(session)
    lease = await leased(session)
    await committed(session, lease)
    work, inputs = await claimed(session, lease), await session.claim_next_turn_inputs(lease)
    assert inputs is not None
    commit = commit_of(
        session,
        lease,
        graph=appending("a", "b"),
        checkpoint=SNAPSHOTS,
        usage_deltas=(TokenLedgerEntry("turn", "m", TokenUsage(input=1)),),
        completed_queue_claims=(work.completion,),
        completed_turn_input_claims=(inputs.completion,),
        enqueued_queue_batches=(draft(session.session_id, source_key="next"),),
        release_session_execution_lease=lease.completion,
    ).stamped("t")
    trips = Trips(monkeypatch)

    result = await session.commit_runtime_state(commit)

    assert 1 == trips.count
    assert (2, ["next"]) == (result.head_revision, [batch.source_key for batch in result.enqueued_queue_batches])
    assert list(result.enqueued_queue_batches) == list(await session.list_queued_work(session.session_id))


Change = Callable[[RedisStores, RedisRuntimePersistence, RuntimeCommit], Awaitable[RuntimeCommit]]


async def _lose_lease(stores: RedisStores, session: RedisRuntimePersistence, commit: RuntimeCommit) -> RuntimeCommit:
    lease = commit.session_execution_lease
    assert lease is not None
    await session.release_session_execution_lease(lease)
    return commit


async def _expect_other_head(_: RedisStores, __: RedisRuntimePersistence, commit: RuntimeCommit) -> RuntimeCommit:
    return commit.model_copy(update={"expected_head_revision": 7})


async def _settle_unclaimed(_: RedisStores, session: RedisRuntimePersistence, commit: RuntimeCommit) -> RuntimeCommit:
    batch = await enqueued(session)
    stale = QueuedWorkCompletion(
        session_id=session.session_id, claim_id="qwc:1:1", lease_token="0" * 32, batch_ids=(batch.batch_id,)
    )
    return commit.model_copy(update={"completed_queue_claims": (*commit.completed_queue_claims, stale)})


async def _settle_unclaimed_input(
    _: RedisStores, session: RedisRuntimePersistence, commit: RuntimeCommit
) -> RuntimeCommit:
    row = await put_in(session)
    stale = TurnInputCompletion(
        session_id=session.session_id, claim_id="tic:1:1", lease_token="0" * 32, input_ids=(row.input_id,)
    )
    return commit.model_copy(update={"completed_turn_input_claims": (stale,)})


async def _refer_to_nothing(_: RedisStores, __: RedisRuntimePersistence, commit: RuntimeCommit) -> RuntimeCommit:
    checkpoint = commit.checkpoint.model_copy(
        update={"plugin_snapshot_ref": f"session-blob:sha256:{'0' * 64}", "plugin_snapshot": None}
    )
    return commit.model_copy(update={"checkpoint": checkpoint})


async def _commit_the_turn_otherwise(
    _: RedisStores, session: RedisRuntimePersistence, commit: RuntimeCommit
) -> RuntimeCommit:
    stamp = TurnCommitStamp(session_id=session.session_id, turn_id="before", turn_commit_hash="f" * 64)
    return commit.model_copy(update={"turn_commit": stamp})


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (_commit_the_turn_otherwise, RuntimeTurnCommitConflictError),
        (_lose_lease, SessionExecutionLeaseExpiredError),
        (_expect_other_head, HeadRevisionConflictError),
        (_settle_unclaimed, QueuedWorkClaimSupersededError),
        (_settle_unclaimed_input, TurnInputClaimSupersededError),
        (_refer_to_nothing, InvalidArgumentError),
    ],
)
async def test_a_refused_commit_changes_no_byte(
    stores: RedisStores, session: RedisRuntimePersistence, change: Change, refusal: type[Exception]
) -> None:
    """Whatever it would have written, and whichever check refuses it."""
    await enqueued(session)
    await stores.attachment_manifest.record_intent(
        session.session_id, f"attachment:sha256:{'1' * 64}", owner=AttachmentOwner.turn("t")
    )
    lease = await leased(session)
    await session.commit_runtime_state(commit_of(session, lease, graph=appending("root")).stamped("before"))
    work = await claimed(session, lease)
    commit = commit_of(
        session,
        lease,
        expected_head_revision=1,
        graph=appending("a", after="root"),
        checkpoint=SNAPSHOTS,
        completed_queue_claims=(work.completion,),
        enqueued_queue_batches=(draft(session.session_id, source_key="next"),),
        release_session_execution_lease=lease.completion,
    ).stamped("t")
    refused = await change(stores, session, commit)
    before = await _dump(stores)

    with pytest.raises(refusal):
        await session.commit_runtime_state(refused)

    assert before == await _dump(stores)


async def test_a_session_without_its_meta_is_not_there(stores: RedisStores, session: RedisRuntimePersistence) -> None:
    """A lease that outlived it writes nothing: no half of a session comes into being."""
    lease = await leased(session)
    key = stores.context.keyspace.of_session(session.session_id).session_head(session.session_id)
    await stores.context.connection.execute(key, "DEL", key)

    with pytest.raises(UnknownSessionError):
        await committed(session, lease, graph=appending("a"))

    assert not await stores.context.connection.execute(key, "EXISTS", key)


async def test_a_commit_notes_its_turn_for_the_sweep(stores: RedisStores, session: RedisRuntimePersistence) -> None:
    """What later turns intend and never commit is judged by the last turn that did."""
    lease = await leased(session)
    await stores.attachment_manifest.record_intent(session.session_id, f"attachment:sha256:{'1' * 64}")

    await session.commit_runtime_state(commit_of(session, lease).stamped("t"))

    page = await stores.attachment_manifest.sessions_page(None, 10)
    turns = [found.last_turn.turn_id for found in page.sessions if found.last_turn is not None]
    assert ["t"] == turns


async def test_a_full_queue_refuses_the_outbox(
    session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with it the commit; rows that the same commit settles make room."""
    monkeypatch.setattr(session_commits, "QUEUED_BATCHES_MAX", 1)
    await enqueued(session)
    lease = await leased(session)
    outbox = {"enqueued_queue_batches": (draft(session.session_id, source_key="next"),)}

    with pytest.raises(LimitExceededError, match="queue of session"):
        await committed(session, lease, **outbox)
    work = await claimed(session, lease)
    result = await committed(session, lease, completed_queue_claims=(work.completion,), **outbox)

    assert 1 == result.head_revision


async def test_stamps_and_results_are_bounded(
    stores: RedisStores, session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest stay: three stamps, of which two have the turn's own result."""
    monkeypatch.setattr(session_commits, "TURN_STAMPS_MAX", 3)
    monkeypatch.setattr(session_commits, "TURN_RESULTS_MAX", 2)
    lease = await leased(session)
    for number in range(5):
        await session.commit_runtime_state(commit_of(session, lease, turn_result={"n": number}).stamped(f"t{number}"))

    key = stores.context.keyspace.of_session(session.session_id).session_stamps(session.session_id)
    fields = await stores.context.connection.execute(key, "HKEYS", key)

    assert {"#t2", "#t3", "#t4", "=t3", "=t4"} == set(fields)


# -- nodes ---------------------------------------------------------------------------------------------


def _graph(count: int) -> SessionGraph:
    graph = SessionGraph()
    for number in range(count):
        graph.append_message(Message.user(f"n{number}", message_id=f"m{number}"))
    return graph


@pytest.mark.parametrize("scope", [None, ActivePath()])
async def test_large_graphs_come_in_pages(
    session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch, scope: ActivePath | None
) -> None:
    """Of 500 nodes: 1,100 take three round trips, head, ledger and blobs included."""
    graph = _graph(1_100)
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


async def test_a_replace_sends_what_is_not_stored(
    stores: RedisStores, session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large graph: a session may grow over what one commit may have. Hidden and changed nodes are sent again."""
    monkeypatch.setattr(session_commits, "COMPARED_BYTES_MIN", 1)
    lease = await leased(session)
    graph = _graph(1_200)
    await committed(session, lease, graph=GraphReplaceFull(tuple(graph.nodes), graph.leaf_node_id))
    await session.tombstone_nodes(["m3", "m700"])
    changed = graph.nodes[9].model_copy(update={"timestamp_ms": 5})
    nodes = [*graph.nodes[:9], changed, *graph.nodes[10:], *chain("new", after="m1199")]
    monkeypatch.setattr(session_commit_records, "SESSION_COMMIT_BYTES_MAX", 4_000)

    await committed(session, lease, graph=GraphReplaceFull(tuple(nodes), "new"))

    assert tuple(nodes) == (await loaded(session)).nodes


# -- blobs ---------------------------------------------------------------------------------------------


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


# -- versions, deletion ----------------------------------------------------------------------------------


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


async def test_a_deleted_session_leaves_nothing(stores: RedisStores, session: RedisRuntimePersistence) -> None:
    """But for the tombstone of its promises, until a session of that id is made again."""
    await enqueued(session, source_key="k")
    await put_in(session)
    await stores.attachment_manifest.record_intent(session.session_id, f"attachment:sha256:{'1' * 64}")
    lease = await leased(session)
    work = await claimed(session, lease)
    await session.commit_runtime_state(
        commit_of(
            session,
            lease,
            graph=appending("a"),
            checkpoint=SNAPSHOTS,
            usage_deltas=(TokenLedgerEntry("turn", "m", TokenUsage(input=1)),),
            completed_queue_claims=(work.completion,),
            turn_result={},
        ).stamped("t")
    )
    await session.tombstone_nodes(["a"])
    await enqueued(session)
    keys = stores.context.keyspace.of_session(session.session_id)
    run = stores.context.connection.execute
    mine = session_state_keys(keys, session.session_id)
    assert [] == [key for key in mine if not await run(key, "EXISTS", key)]

    await stores.sessions.delete_session(session.session_id)
    await stores.sessions.delete_session(session.session_id)

    left = [key for key in await run("", "KEYS", "*") if key.endswith(f":{session.session_id}")]
    assert [keys.session_promises(session.session_id)] == left
    for key in (keys.session_leases, keys.session_deaths):
        assert not await run(key, "HEXISTS", key, session.session_id)
    for key in (keys.session_expiries, keys.sessions_ready, keys.sessions):
        assert await run(key, "ZSCORE", key, session.session_id) is None
    await opened(stores, session.session_id)
    assert not await run(left[0], "EXISTS", left[0])


async def test_a_listing_tells_revision_queue_and_owner(stores: RedisStores, session: RedisRuntimePersistence) -> None:
    """Of sessions that exist: one that only has references of attachments is none."""
    factory = RedisSessionStoreFactory(stores.context)
    await enqueued(session)
    lease = await leased(session)
    await committed(session, lease)
    await stores.attachment_manifest.record_intent("only-refs", f"attachment:sha256:{'1' * 64}")
    found = {}
    cursor: str | None = None
    while True:
        page, cursor = await factory.list_sessions(cursor, 1)
        found |= {row.session_id: row for row in page}
        if cursor is None:
            break

    assert {session.session_id} == set(found)
    row = found[session.session_id]
    assert (1, 1, lease.owner.owner_id) == (row.head_revision, row.queued, row.lease_owner_id)
    await session.release_session_execution_lease(lease.completion)
    (row,) = (await factory.list_sessions())[0]
    assert row.lease_owner_id is None
