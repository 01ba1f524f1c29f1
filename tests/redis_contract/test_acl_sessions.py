"""What each ACL role may do with sessions, on a real server."""

from __future__ import annotations

import pytest

from lash_core.errors import InvalidArgumentError, StoreAuthError
from lash_core.model.session_commit import ActivePath, CheckpointDraft, FullGraph
from lash_core.model.tool_state import ToolState
from lash_core.model.turn_input import TurnInputCancelTarget
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.redis_store.stores import RedisStores
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.session_scene import appending, committed, enqueued, leased, loaded, opened, put_in
from lash_core.testing.servers import ValkeyServer
from tests.redis_contract.acl_roles import connect, denials


async def test_an_enqueuer_gives_sessions_work(guarded: ValkeyServer, admin: RedisStores) -> None:
    """It makes them, enqueues, takes back and reads what came of it; it neither claims nor commits nor deletes."""
    large = CheckpointDraft(execution_state={"text": "x" * 20_000})
    async with connect(guarded, "enqueuer") as stores:
        session = await opened(stores)
        name = session.session_id
        batch = await enqueued(session, source_key="k")
        assert batch == await enqueued(session, source_key="k")
        assert batch == await session.cancel_queued_work_batch(name, batch.batch_id)
        row = await put_in(session)
        await session.cancel_pending_turn_inputs(name, [TurnInputCancelTarget(input_id=row.input_id)])
        assert () == await session.list_pending_queued_work(name)
        worked = await stores_of(admin, name)
        await committed(worked, graph=appending("a"), checkpoint=large)
        assert "a" == (await loaded(session)).leaf_node_id
        assert None is await session.find_turn_stamp(name, "t")
        assert [] == await denials(admin)

        with pytest.raises(StoreAuthError):
            await leased(session)
        lease = await leased(worked)
        for verb in (
            lambda: committed(session, lease, graph=appending("b")),
            lambda: session.renew_session_execution_lease(lease.fence, 30_000),
            lambda: session.tombstone_nodes(["a"]),
            session.vacuum,
            lambda: stores.session_store_factory.delete_session(name),
        ):
            with pytest.raises(StoreAuthError):
                await verb()
    assert "a" == (await loaded(worked)).leaf_node_id
    assert lease == await worked.get_session_execution_lease(name)


@pytest.mark.parametrize("scope", [FullGraph(), ActivePath(), ActivePath(leaf_node_id="b")])
async def test_an_observer_reads_sessions(
    guarded: ValkeyServer, admin: RedisStores, scope: FullGraph | ActivePath
) -> None:
    """Without scripts, and the same as everybody else: whole, by path, with hidden nodes, blobs and ledger."""
    worked = await opened(admin)
    name = worked.session_id
    async with connect(guarded, "observer") as stores:
        session = await stores_of(stores, name)
        assert None is await session.load_session(scope)
        large = CheckpointDraft(execution_state={"text": "x" * 20_000}, tool_state=ToolState(generation=2))
        usage = (TokenLedgerEntry("turn", "m", TokenUsage(input=1)),)
        await committed(worked, graph=appending("a", "b", "c"), checkpoint=large, usage_deltas=usage)
        await committed(worked, graph=appending("d", after="b"), checkpoint=large)
        await worked.tombstone_nodes(["a"])
        await enqueued(worked)

        assert await worked.load_session(scope) == await session.load_session(scope)
        assert await worked.load_session_meta() == await session.load_session_meta()
        assert 1 == len(await session.list_queued_work(name))
        assert name in [row.session_id for row in (await stores.session_store_factory.list_sessions(None, 1_000))[0]]
        with pytest.raises(InvalidArgumentError, match="unknown-leaf"):
            await session.load_session(ActivePath(leaf_node_id="unknown-leaf"))
        await worked.tombstone_nodes(["b", "d"])
        assert await worked.load_session(scope) == await session.load_session(scope)


async def stores_of(stores: RedisStores, session_id: str) -> RuntimePersistence:
    """The store of a session that exists."""
    store = await stores.session_store_factory.open_existing_store(session_id)
    assert store is not None
    return store
