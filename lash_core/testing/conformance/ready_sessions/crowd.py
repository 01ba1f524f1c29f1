"""Many workers, some of which die: every batch is answered once (guarantees G1 to G3)."""

from __future__ import annotations

import asyncio
import itertools

from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.model.queued_work import ClaimBoundary, SlotPolicy
from lash_core.model.session_commit import GraphAppend, RuntimeCommit
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.store.ready_sessions import DEATH_WAITS_MS
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.ready_sessions.arrange import everybody_held
from lash_core.testing.conformance.session_scene import (
    TTL_MS,
    SessionStores,
    chain,
    commit_of,
    enqueued,
    loaded,
    opened,
    owner,
    ready_sessions_of,
)
from lash_core.testing.conformance.stores import can_advance, elapse, short_ttl_ms

SESSIONS, BATCHES, WORKERS = 4, 6, 5
ROUNDS_MAX = 60
Zombie = tuple[RuntimePersistence, RuntimeCommit]


async def every_batch_is_answered_once(stores: SessionStores) -> None:
    """Though every third worker dies with what it claimed: it is in the history once, and its usage is counted once.

    Where nobody can move the clock all of them live: a back-off after deaths is longer than a case may take.
    """
    await everybody_held(stores)
    mine = {(store := await opened(stores)).session_id: store for _ in range(SESSIONS)}
    for store in mine.values():
        for n in range(BATCHES):
            slot = SlotPolicy.EXCLUSIVE if n % 3 == 2 else SlotPolicy.JOIN
            await enqueued(store, f"{store.session_id}-{n}", slot_policy=slot)
    ttl_ms, mortal = await short_ttl_ms(stores), await can_advance(stores)
    deaths, zombies = itertools.cycle((False, False, mortal)), list[Zombie]()

    async def work() -> None:
        for ready in await ready_sessions_of(stores).claim_ready_sessions(owner(), 2, ttl_ms if mortal else TTL_MS):
            store = mine.get(ready.lease.session_id)
            if store is not None:
                await _answer(store, ready.lease, zombies if next(deaths) else None)

    for _ in range(ROUNDS_MAX):
        await asyncio.gather(*(work() for _ in range(WORKERS)))
        if not any([await store.list_queued_work(store.session_id) for store in mine.values()]):
            break
        # A session that lost its worker several times is held back; that time passes too.
        await elapse(stores, ttl_ms + DEATH_WAITS_MS[-1] if mortal else 0)
        await _come_back(zombies)

    for store in mine.values():
        assert () == await store.list_queued_work(store.session_id)
        read = await loaded(store)
        assert sorted(f"{store.session_id}-{n}" for n in range(BATCHES)) == sorted(one.node_id for one in read.nodes)
        assert [BATCHES] == [entry.usage.input for entry in read.token_ledger]


async def _answer(store: RuntimePersistence, lease: SessionExecutionLease, zombies: list[Zombie] | None) -> None:
    """One turn: what is at the head of the queue, in one commit. A worker that dies leaves that commit for later."""
    claim = await store.claim_ready_queued_work(lease.fence, ClaimBoundary.IDLE, 3)
    if claim is None:
        return
    head = await store.load_session()
    texts = [payload.input.items[0].text for batch in claim.batches for payload in batch.payloads]  # type: ignore[union-attr]
    nodes = chain(*texts, after=None if head is None else head.leaf_node_id)
    commit = commit_of(
        store,
        lease,
        expected_head_revision=0 if head is None else head.head_revision,
        graph=GraphAppend(nodes, nodes[-1].node_id),
        usage_deltas=(TokenLedgerEntry("turn", "m", TokenUsage(input=len(texts))),),
        completed_queue_claims=(claim.completion,),
        release_session_execution_lease=lease.completion,
    ).stamped(f"t_{claim.batches[0].batch_id}:{lease.fencing_token}")
    if zombies is not None:
        zombies.append((store, commit))
        return
    first = await store.commit_runtime_state(commit)
    # As after a lost reply.
    assert first == await store.commit_runtime_state(commit)


async def _come_back(zombies: list[Zombie]) -> None:
    """What was thought dead commits after all: too late, each of them."""
    for store, commit in zombies:
        with refused(SessionExecutionLeaseExpiredError):
            await store.commit_runtime_state(commit)
    zombies.clear()
