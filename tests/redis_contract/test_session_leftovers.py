"""What a session leaves in Redis, and what a listing finds."""

from __future__ import annotations

from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import EffectWrite
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.session_deletion import session_state_keys
from lash_core.redis_store.session_factory import RedisSessionStoreFactory
from lash_core.redis_store.stores import RedisStores
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.live_replay.arrange import tell
from lash_core.testing.conformance.session_scene import (
    appending,
    claimed,
    commit_of,
    committed,
    enqueued,
    leased,
    opened,
    put_in,
)
from tests.redis_contract.sessions import SNAPSHOTS


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
    await tell(stores, session.session_id, "a")
    keys = stores.context.keyspace.of_session(session.session_id)
    run = stores.context.connection.execute
    tasks = keys.session_tasks(session.session_id)
    await run(tasks, "HSET", tasks, "t", "a record of a background task, whatever it says")
    mine = (*session_state_keys(keys, session.session_id), keys.live_ring(session.session_id))
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


async def test_a_turn_begins_without_a_journal(stores: RedisStores, session: RedisRuntimePersistence) -> None:
    """What a turn of the same id left, whose session was pruned with its process, is not replayed."""
    name, lease = session.session_id, await leased(session)
    write = EffectWrite("step", EffectKind.DURABLE_STEP, "completed", "a" * 32, outcome_json="1")
    await session.open_turn(lease.fence, OpenTurn("t"))
    await session.record_turn_effects(lease.fence, "t", [write])
    assert 1 == len(await session.load_turn_effects(name, "t"))
    key = stores.context.keyspace.of_session(name).session_head(name)
    await stores.context.connection.execute(key, "HDEL", key, "ot", "ob", "tw")

    await session.open_turn(lease.fence, OpenTurn("t"))

    assert () == await session.load_turn_effects(name, "t")
