"""What only Redis can get wrong about a commit: round trips, half writes, lost replies. The rest is shared."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

import pytest

from lash_core.errors import (
    InvalidArgumentError,
    LimitExceededError,
    OutcomeUnknownError,
    UnknownSessionError,
)
from lash_core.errors.session import (
    HeadRevisionConflictError,
    QueuedWorkClaimSupersededError,
    RuntimeTurnCommitConflictError,
    SessionExecutionLeaseExpiredError,
    TurnInputClaimSupersededError,
)
from lash_core.model.attachment import AttachmentOwner
from lash_core.model.queued_work import QueuedWorkCompletion
from lash_core.model.session_commit import (
    GraphReplaceFull,
    RuntimeCommit,
    TurnCommitStamp,
)
from lash_core.model.turn_input import TurnInputCompletion
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.redis_store import session_commits
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.store import session_commit_records
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
from lash_core.testing.servers import FaultProxy, ValkeyServer
from tests.redis_contract.sessions import SNAPSHOTS, Trips, graph_of


async def _dump(stores: RedisStores) -> dict[str, bytes]:
    """Everything of the namespace, as bytes."""
    run = stores.context.connection.execute
    names = sorted(name for name in await run("", "KEYS", f"{{{stores.context.keyspace.namespace}:*"))
    return {name: await run(name, "DUMP", name, raw=True) for name in names}


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


@pytest.mark.parametrize("stamped", [True, False])
async def test_a_lost_reply_never_commits_twice(server: ValkeyServer, stamped: bool) -> None:
    """With a stamp the repeat is answered; without one the caller hears that the outcome is unknown."""
    settings = StoreSettings(namespace=f"t-{secrets.token_hex(4)}", partitions=4)
    with FaultProxy(server.socket) as proxy:
        async with RedisStores.connect(proxy.url, settings=settings) as stores:
            session = await opened(stores)
            lease = await leased(session)
            await committed(session, lease)
            commit = commit_of(session, lease, expected_head_revision=1, graph=appending("lost-node"))
            proxy.drop_reply_to(b"lost-node")

            if stamped:
                assert 2 == (await session.commit_runtime_state(commit.stamped("t"))).head_revision
            else:
                with pytest.raises(OutcomeUnknownError):
                    await session.commit_runtime_state(commit)
                with pytest.raises(HeadRevisionConflictError):
                    await session.commit_runtime_state(commit)

            assert 1 == proxy.dropped
            read = await loaded(session)
            assert (2, ["lost-node"]) == (read.head_revision, [node.node_id for node in read.nodes])


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
    """And with it the commit; rows that the same commit settles make room, and what is known needs none."""
    monkeypatch.setattr(session_commits, "QUEUED_BATCHES_MAX", 1)
    known = await enqueued(session, source_key="known")
    lease = await leased(session)
    outbox = {"enqueued_queue_batches": (draft(session.session_id, source_key="next"),)}

    with pytest.raises(LimitExceededError, match="queue of session"):
        await committed(session, lease, **outbox)
    repeated = await committed(session, lease, enqueued_queue_batches=(draft(session.session_id, source_key="known"),))
    work = await claimed(session, lease)
    result = await committed(session, lease, completed_queue_claims=(work.completion,), **outbox)

    assert ((known,), 2) == (repeated.enqueued_queue_batches, result.head_revision)


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


async def test_a_replace_sends_what_is_not_stored(
    stores: RedisStores, session: RedisRuntimePersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large graph: a session may grow over what one commit may have. Hidden and changed nodes are sent again."""
    monkeypatch.setattr(session_commits, "COMPARED_BYTES_MIN", 1)
    lease = await leased(session)
    graph = graph_of(1_200)
    await committed(session, lease, graph=GraphReplaceFull(tuple(graph.nodes), graph.leaf_node_id))
    await session.tombstone_nodes(["m3", "m700"])
    changed = graph.nodes[9].model_copy(update={"timestamp_ms": 5})
    nodes = [*graph.nodes[:9], changed, *graph.nodes[10:], *chain("new", after="m1199")]
    monkeypatch.setattr(session_commit_records, "SESSION_COMMIT_BYTES_MAX", 4_000)

    await committed(session, lease, graph=GraphReplaceFull(tuple(nodes), "new"))

    assert tuple(nodes) == (await loaded(session)).nodes
