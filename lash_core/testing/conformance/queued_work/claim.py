"""``claim_ready_queued_work``: the group at the head of the queue.

``docs/contracts/sessions.md`` 2.4; decisions 2, 21, 22.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from lash_core.errors import InvalidArgumentError
from lash_core.errors.session import SessionBindingMismatchError, SessionExecutionLeaseExpiredError
from lash_core.model.queued_work import ClaimBoundary, DeliveryPolicy, MergeKey, SlotPolicy
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.testing.conformance.expectations import refused
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
from lash_core.testing.conformance.stores import elapse, short_ttl_ms

LATER = DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT
FAR_AHEAD_MS = 2**45


async def a_claim_names_its_rows_and_its_generation(stores: SessionStores) -> None:
    """``qwc:<first number>:<fencing token>``, pinned to the lease; the rows stay in the queue."""
    store = await opened(stores)
    one, two = await enqueued(store, "a"), await enqueued(store, "b")
    lease = await leased(store)

    claim = await claimed(store, lease)

    assert (one, two) == claim.batches
    assert f"qwc:{one.enqueue_seq}:{claim.fencing_token}" == claim.claim_id
    assert (lease.fencing_token, store.session_id) == (claim.session_lease_generation, claim.session_id)
    assert lease.owner.to_json_value() == claim.owner
    assert claim.lease_token
    assert (one, two) == await store.list_queued_work(store.session_id)


async def an_empty_queue_gives_nothing(stores: SessionStores) -> None:
    """None, not an empty claim."""
    store = await opened(stores)
    lease = await leased(store)

    assert await store.claim_ready_queued_work(lease.fence, ClaimBoundary.IDLE) is None


async def a_generation_never_takes_its_own_rows_again(stores: SessionStores) -> None:
    """What it holds it holds; rows that come later are another claim with a higher number."""
    store = await opened(stores)
    await enqueued(store)
    lease = await leased(store)
    first = await claimed(store, lease)
    assert await store.claim_ready_queued_work(lease.fence, ClaimBoundary.IDLE) is None
    late = await enqueued(store)

    second = await claimed(store, lease)

    assert [late.batch_id] == ids_of(second)
    assert second.fencing_token > first.fencing_token


async def the_next_generation_takes_what_the_last_one_had(stores: SessionStores) -> None:
    """After a release and after an expiry, at once: claims have no time of their own."""
    store = await opened(stores)
    batch = await enqueued(store)
    ttl_ms = await short_ttl_ms(stores)
    first_lease = await leased(store)
    first = await claimed(store, first_lease)
    second_lease = await taken_over(store, first_lease)
    second = await claimed(store, second_lease)
    assert await store.release_session_execution_lease(second_lease.completion)
    await leased(store, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    third = await claimed(store, await leased(store))

    assert [[batch.batch_id]] * 3 == [ids_of(claim) for claim in (first, second, third)]
    assert first.fencing_token < second.fencing_token < third.fencing_token
    assert 3 == len({claim.lease_token for claim in (first, second, third)})


async def joinable_rows_come_together(stores: SessionStores) -> None:
    """Same delivery, equal merge key; two rows that name no group join each other too (decision 21)."""
    store = await opened(stores)
    rows = [await enqueued(store, f"{n}") for n in range(3)]

    assert [row.batch_id for row in rows] == ids_of(await claimed(store, await leased(store)))


async def a_group_ends_at_the_first_row_that_does_not_join(stores: SessionStores) -> None:
    """Another key, another delivery, an exclusive row, a command; rows behind it wait, also those that would join."""
    others = (
        {"merge_key": MergeKey.of_group("g")},
        {"merge_key": MergeKey("payload_default")},
        {"delivery_policy": LATER},
        {"slot_policy": SlotPolicy.EXCLUSIVE},
        None,
    )
    for other in others:
        store = await opened(stores)
        head = await enqueued(store, "head")
        if other is None:
            await store.enqueue_queued_work(command_draft(store.session_id))
        else:
            await enqueued(store, "other", **other)
        await enqueued(store, "behind")

        assert [head.batch_id] == ids_of(await claimed(store, await leased(store))), other


async def groups_join_by_their_name(stores: SessionStores) -> None:
    """Equal names join, other names do not."""
    store = await opened(stores)
    one = await enqueued(store, merge_key=MergeKey.of_group("g"))
    two = await enqueued(store, merge_key=MergeKey.of_group("g"))
    await enqueued(store, merge_key=MergeKey.of_group("h"))

    assert [one.batch_id, two.batch_id] == ids_of(await claimed(store, await leased(store)))


async def an_exclusive_head_comes_alone(stores: SessionStores) -> None:
    """Also before another exclusive row, and before one that joins."""
    store = await opened(stores)
    rows = [await enqueued(store, f"{n}", slot_policy=SlotPolicy.EXCLUSIVE) for n in range(2)]
    rows.append(await enqueued(store, "joins"))
    lease = await leased(store)

    claims = [await claimed(store, lease) for _ in rows]

    assert [[row.batch_id] for row in rows] == [ids_of(claim) for claim in claims]


async def a_command_at_the_head_is_never_skipped(stores: SessionStores) -> None:
    """Turn work behind it waits."""
    store = await opened(stores)
    await store.enqueue_queued_work(command_draft(store.session_id))
    await enqueued(store)
    lease = await leased(store)

    assert await store.claim_ready_queued_work(lease.fence, ClaimBoundary.IDLE) is None


async def a_checkpoint_takes_what_may_come_early_only(stores: SessionStores) -> None:
    """The head decides; rows behind it are not looked at."""
    store = await opened(stores)
    later = await enqueued(store, delivery_policy=LATER)
    early = await enqueued(store)
    lease = await leased(store)

    at_checkpoint = await store.claim_ready_queued_work(lease.fence, ClaimBoundary.ACTIVE_TURN_CHECKPOINT)

    assert at_checkpoint is None
    assert [later.batch_id] == ids_of(await claimed(store, lease))
    assert [early.batch_id] == ids_of(await claimed(store, lease, boundary=ClaimBoundary.ACTIVE_TURN_CHECKPOINT))


async def rows_that_are_not_due_do_not_block(stores: SessionStores) -> None:
    """They neither lead nor end a group, and come when their time has come."""
    store = await opened(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await leased(store)
    now_ms = lease.claimed_at_ms
    far = await enqueued(store, "far", available_at_ms=FAR_AHEAD_MS, slot_policy=SlotPolicy.EXCLUSIVE)
    one = await enqueued(store, "one")
    soon = await enqueued(store, "soon", available_at_ms=now_ms + ttl_ms)
    two = await enqueued(store, "two")
    first = await claimed(store, lease)
    await elapse(stores, ttl_ms + 50)

    second = await claimed(store, lease)

    assert [[one.batch_id, two.batch_id], [soon.batch_id]] == [ids_of(first), ids_of(second)]
    assert far in await store.list_queued_work(store.session_id)


async def rows_that_are_held_do_not_break_a_group(stores: SessionStores) -> None:
    """Rows of this generation's other claim are passed over (decision 21)."""
    store = await opened(stores)
    rows = [await enqueued(store, f"{n}") for n in range(4)]
    lease = await leased(store)
    held = await store.claim_ready_queued_work_by_batch_ids(
        lease.fence, ClaimBoundary.IDLE, [rows[1].batch_id, rows[2].batch_id]
    )
    assert held is not None

    assert [rows[0].batch_id, rows[3].batch_id] == ids_of(await claimed(store, lease))


async def the_limit_counts_what_may_be_taken(stores: SessionStores) -> None:
    """Rows that are held already do not use it up, however many they are."""
    store = await opened(stores)
    rows = [await enqueued(store, f"{n}") for n in range(40)]
    lease = await leased(store)
    first = await claimed(store, lease, max_batches=35)

    second = await claimed(store, lease, max_batches=4)

    wanted = [row.batch_id for row in rows]
    assert (wanted[:35], wanted[35:39]) == (ids_of(first), ids_of(second))


async def a_limit_of_nothing_takes_nothing(stores: SessionStores) -> None:
    """0 claims nothing; under 0 and over 64 is refused."""
    store = await opened(stores)
    await enqueued(store)
    lease = await leased(store)

    assert await store.claim_ready_queued_work(lease.fence, ClaimBoundary.IDLE, 0) is None
    for limit in (-1, 65):
        with refused(InvalidArgumentError, "max_batches"):
            await store.claim_ready_queued_work(lease.fence, ClaimBoundary.IDLE, limit)


async def a_lease_that_is_not_live_claims_nothing(stores: SessionStores) -> None:
    """Every claim is refused, and the row is free for the next one."""
    store, other = await opened(stores), await opened(stores)
    batch = await enqueued(store)
    stale = await leased(store)
    lease = await taken_over(store, stale)
    foreign = await leased(other, lease.owner)

    def claims(fence: SessionExecutionLeaseFence) -> list[Coroutine[Any, Any, Any]]:
        return [
            store.claim_ready_queued_work(fence, ClaimBoundary.IDLE),
            store.claim_ready_queued_work_by_batch_ids(fence, ClaimBoundary.IDLE, [batch.batch_id]),
            store.claim_leading_ready_session_command(fence),
            store.claim_checkpoint_work(fence, "t", "after_work"),
        ]

    for claim in claims(stale.fence):
        with refused(SessionExecutionLeaseExpiredError):
            await claim
    for claim in claims(foreign.fence):
        with refused(SessionBindingMismatchError):
            await claim

    assert [batch.batch_id] == ids_of(await claimed(store, lease))
