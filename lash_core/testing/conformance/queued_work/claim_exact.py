"""``claim_ready_queued_work_by_batch_ids``: exactly these, all or none (``docs/contracts/sessions.md`` 2.4)."""

from __future__ import annotations

from lash_core.model.queued_work import ClaimBoundary, DeliveryPolicy, MergeKey, SlotPolicy
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    claimed,
    command_draft,
    enqueued,
    ids_of,
    leased,
    opened,
    taken_over,
)


async def earlier_rows_may_be_passed_over(stores: SessionStores) -> None:
    """Whatever they are; the claim has the rows in the order of the queue."""
    store = await opened(stores)
    await store.enqueue_queued_work(command_draft(store.session_id))
    await enqueued(store, "passed")
    two, three = await enqueued(store, "two"), await enqueued(store, "three", merge_key=MergeKey.of_group("g"))
    lease = await leased(store)

    claim = await store.claim_ready_queued_work_by_batch_ids(
        lease.fence, ClaimBoundary.IDLE, [three.batch_id, two.batch_id]
    )

    assert claim is not None
    assert [two.batch_id, three.batch_id] == ids_of(claim)
    assert f"qwc:{two.enqueue_seq}:{claim.fencing_token}" == claim.claim_id


async def all_or_none(stores: SessionStores) -> None:
    """One that is unknown, held, not due, a command, or exclusive beside others: no claim, and no row is held by it."""
    store = await opened(stores)
    free = await enqueued(store, "free")
    held = await enqueued(store, "held")
    late = await enqueued(store, "late", available_at_ms=2**45)
    alone = [await enqueued(store, f"alone{n}", slot_policy=SlotPolicy.EXCLUSIVE) for n in range(2)]
    command = await store.enqueue_queued_work(command_draft(store.session_id))
    lease = await leased(store)
    by_ids = store.claim_ready_queued_work_by_batch_ids
    assert await by_ids(lease.fence, ClaimBoundary.IDLE, [held.batch_id]) is not None
    wanted = (
        [],
        [unique("qwb:absent")],
        [free.batch_id, unique("qwb:absent")],
        [free.batch_id, held.batch_id],
        [free.batch_id, late.batch_id],
        [free.batch_id, command.batch_id],
        [command.batch_id],
        [free.batch_id, alone[0].batch_id],
        [alone[0].batch_id, alone[1].batch_id],
    )

    for batch_ids in wanted:
        assert await by_ids(lease.fence, ClaimBoundary.IDLE, batch_ids) is None, batch_ids

    assert [free.batch_id] == ids_of(await by_ids(lease.fence, ClaimBoundary.IDLE, [free.batch_id]))
    assert [alone[1].batch_id] == ids_of(await by_ids(lease.fence, ClaimBoundary.IDLE, [alone[1].batch_id]))


async def the_boundary_counts_for_every_row(stores: SessionStores) -> None:
    """At a checkpoint of a running turn none of them may be one that waits for its commit."""
    store = await opened(stores)
    early = await enqueued(store, "early")
    later = await enqueued(store, "later", delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT)
    lease = await leased(store)
    by_ids = store.claim_ready_queued_work_by_batch_ids
    checkpoint = ClaimBoundary.ACTIVE_TURN_CHECKPOINT

    assert await by_ids(lease.fence, checkpoint, [later.batch_id]) is None
    assert await by_ids(lease.fence, checkpoint, [early.batch_id, later.batch_id]) is None
    assert [early.batch_id] == ids_of(await by_ids(lease.fence, checkpoint, [early.batch_id]))
    assert [later.batch_id] == ids_of(await by_ids(lease.fence, ClaimBoundary.IDLE, [later.batch_id]))


async def rows_of_an_older_generation_are_taken_again(stores: SessionStores) -> None:
    """This is how a turn is redone with what it was given."""
    store = await opened(stores)
    rows = [await enqueued(store, f"{n}") for n in range(3)]
    lease = await leased(store)
    first = await claimed(store, lease, max_batches=2)

    again = await store.claim_ready_queued_work_by_batch_ids(
        (await taken_over(store, lease)).fence, ClaimBoundary.IDLE, ids_of(first)
    )

    assert [row.batch_id for row in rows[:2]] == ids_of(again)


async def an_id_that_is_named_twice_is_one(stores: SessionStores) -> None:
    """It is a set."""
    store = await opened(stores)
    batch = await enqueued(store)
    lease = await leased(store)

    claim = await store.claim_ready_queued_work_by_batch_ids(lease.fence, ClaimBoundary.IDLE, [batch.batch_id] * 2)

    assert [batch.batch_id] == ids_of(claim)
