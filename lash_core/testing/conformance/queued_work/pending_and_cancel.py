"""``list_pending_queued_work``, ``cancel_queued_work_batch``, ``abandon_queued_work_claim``.

``docs/contracts/sessions.md`` 2.4.
"""

from __future__ import annotations

from lash_core.errors.session import QueuedWorkClaimSupersededError, SessionBindingMismatchError
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    claimed,
    committed,
    enqueued,
    ids_of,
    leased,
    opened,
    taken_over,
)
from lash_core.testing.conformance.stores import elapse, short_ttl_ms


async def pending_is_what_no_live_claim_has(stores: SessionStores) -> None:
    """While the lease lives its rows are not pending; the queue lists them all the same, in its order."""
    store = await opened(stores)
    rows = [await enqueued(store, f"{n}") for n in range(3)]
    lease = await leased(store)
    await claimed(store, lease, max_batches=1)

    assert tuple(rows[1:]) == await store.list_pending_queued_work(store.session_id)
    assert tuple(rows) == await store.list_queued_work(store.session_id)


async def a_claim_ends_with_its_lease(stores: SessionStores) -> None:
    """Released, expired, or taken over: its rows are pending again, and may be cancelled."""
    store = await opened(stores)
    batch = await enqueued(store)
    ttl_ms = await short_ttl_ms(stores)
    lease = await leased(store)
    await claimed(store, lease)
    assert await store.release_session_execution_lease(lease.completion)
    assert (batch,) == await store.list_pending_queued_work(store.session_id)
    await claimed(store, await leased(store, ttl_ms=ttl_ms))
    assert () == await store.list_pending_queued_work(store.session_id)
    await elapse(stores, ttl_ms + 50)
    assert (batch,) == await store.list_pending_queued_work(store.session_id)
    await leased(store)

    assert (batch,) == await store.list_pending_queued_work(store.session_id)
    assert batch == await store.cancel_queued_work_batch(store.session_id, batch.batch_id)


async def a_cancelled_batch_is_gone(stores: SessionStores) -> None:
    """It is answered once; then there is nothing to cancel and nothing to claim."""
    store = await opened(stores)
    batch, other = await enqueued(store, "a"), await enqueued(store, "b")

    assert batch == await store.cancel_queued_work_batch(store.session_id, batch.batch_id)

    assert await store.cancel_queued_work_batch(store.session_id, batch.batch_id) is None
    assert (other,) == await store.list_queued_work(store.session_id)
    assert [other.batch_id] == ids_of(await claimed(store, await leased(store)))


async def what_a_live_claim_has_is_not_cancelled(stores: SessionStores) -> None:
    """Nor what is not there."""
    store = await opened(stores)
    batch = await enqueued(store)
    lease = await leased(store)
    claim = await claimed(store, lease)

    assert await store.cancel_queued_work_batch(store.session_id, batch.batch_id) is None
    assert await store.cancel_queued_work_batch(store.session_id, unique("qwb:absent")) is None

    await committed(store, lease, completed_queue_claims=(claim.completion,))


async def what_an_open_turn_took_in_is_not_cancelled(stores: SessionStores) -> None:
    """Its owner may be dead: whoever redoes the turn needs the same work."""
    store = await opened(stores)
    batch = await enqueued(store)
    lease = await leased(store)
    await store.open_turn(lease.fence, OpenTurn("t", batch_ids=(batch.batch_id,)))
    assert await store.release_session_execution_lease(lease.completion)

    assert await store.cancel_queued_work_batch(store.session_id, batch.batch_id) is None

    assert (batch,) == await store.list_queued_work(store.session_id)


async def another_session_is_refused(stores: SessionStores) -> None:
    """A store is bound to one session."""
    store, other = await opened(stores), await opened(stores)
    batch = await enqueued(other)

    with refused(SessionBindingMismatchError, other.session_id):
        await store.cancel_queued_work_batch(other.session_id, batch.batch_id)
    with refused(SessionBindingMismatchError, other.session_id):
        await store.abandon_queued_work_claim(await claimed(other, await leased(other)))


async def abandoned_rows_are_pending_again(stores: SessionStores) -> None:
    """Under the same lease too; the next claim has a higher number."""
    store = await opened(stores)
    rows = [await enqueued(store, f"{n}") for n in range(2)]
    lease = await leased(store)
    first = await claimed(store, lease)

    given = await store.abandon_queued_work_claim(first)

    assert [row.batch_id for row in rows] == list(given)
    assert tuple(rows) == await store.list_pending_queued_work(store.session_id)
    assert (await claimed(store, lease)).fencing_token > first.fencing_token


async def a_stale_abandon_does_nothing(stores: SessionStores) -> None:
    """The rows are somebody else's, or settled, or were given back before."""
    store = await opened(stores)
    await enqueued(store)
    lease = await leased(store)
    first = await claimed(store, lease)
    second_lease = await taken_over(store, lease)
    second = await claimed(store, second_lease)

    assert () == await store.abandon_queued_work_claim(first)
    forged = second.model_copy(update={"lease_token": "0" * 32})
    assert () == await store.abandon_queued_work_claim(forged)

    assert () == await store.list_pending_queued_work(store.session_id)
    await committed(store, second_lease, completed_queue_claims=(second.completion,))
    assert () == await store.abandon_queued_work_claim(second)


async def an_abandoned_claim_settles_nothing(stores: SessionStores) -> None:
    """Its rows are not its own any more."""
    store = await opened(stores)
    batch = await enqueued(store)
    lease = await leased(store)
    claim = await claimed(store, lease)
    await store.abandon_queued_work_claim(claim)

    with refused(QueuedWorkClaimSupersededError, batch.batch_id):
        await committed(store, lease, completed_queue_claims=(claim.completion,))

    assert (batch,) == await store.list_pending_queued_work(store.session_id)
