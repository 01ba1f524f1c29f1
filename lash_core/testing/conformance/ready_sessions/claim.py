"""``claim_ready_sessions``: the fleet finds sessions with work that nobody writes (docs/adr/0162)."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError
from lash_core.model.queued_work import ClaimBoundary
from lash_core.model.scope import SessionScope
from lash_core.model.turn_input import ActiveTurnIngress
from lash_core.store.ready_sessions import CLAIM_SESSIONS_MAX
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.effect_journal.arrange import completed
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import event, registered
from lash_core.testing.conformance.ready_sessions.arrange import claimed_of, everybody_held
from lash_core.testing.conformance.session_scene import (
    TTL_MS,
    SessionStores,
    claimed,
    commit_of,
    committed,
    draft,
    enqueued,
    factory_of,
    ids_of,
    leased,
    opened,
    owner,
    put_in,
    ready_sessions_of,
)
from lash_core.testing.conformance.stores import elapse, short_ttl_ms


async def a_session_with_work_is_given(stores: SessionStores) -> None:
    """With a lease under an attempt of the worker's incarnation; its rows are not claimed by that."""
    await everybody_held(stores)
    store, me = await opened(stores), owner()
    batch = await enqueued(store)

    ready = (await claimed_of(stores, store, by=me))[store.session_id]

    assert ready.lease == await store.get_session_execution_lease(store.session_id)
    assert ready.lease.owner.is_attempt_of(me)
    assert me.incarnation_id != ready.lease.owner.incarnation_id
    assert (0, TTL_MS) == (ready.deaths, ready.lease.expires_at_ms - ready.lease.claimed_at_ms)
    assert (batch,) == await store.list_pending_queued_work(store.session_id)
    assert [batch.batch_id] == ids_of(await claimed(store, ready.lease))


async def sessions_without_due_work_are_not(stores: SessionStores) -> None:
    """An empty queue, work for later, an input that waits for a turn that runs: nobody needs to come."""
    await everybody_held(stores)
    empty, later, active, cancelled = [await opened(stores) for _ in range(4)]
    await enqueued(later, available_at_ms=2**45)
    await put_in(active, "x", ActiveTurnIngress("t"))
    batch = await enqueued(cancelled)
    await cancelled.cancel_queued_work_batch(cancelled.session_id, batch.batch_id)

    assert {} == await claimed_of(stores, empty, later, active, cancelled)


async def work_for_later_comes_when_it_is_due(stores: SessionStores) -> None:
    """By the store's clock."""
    await everybody_held(stores)
    store = await opened(stores)
    wait_ms = await short_ttl_ms(stores)
    lease = await leased(store)
    await store.release_session_execution_lease(lease.completion)
    await enqueued(store, available_at_ms=lease.claimed_at_ms + wait_ms)
    assert {} == await claimed_of(stores, store)
    await elapse(stores, wait_ms + 50)

    assert {store.session_id} == set(await claimed_of(stores, store))


async def an_input_for_the_next_turn_is_work(stores: SessionStores) -> None:
    """It would wait for ever if nobody came."""
    await everybody_held(stores)
    store = await opened(stores)
    await put_in(store)

    assert {store.session_id} == set(await claimed_of(stores, store))


async def a_wake_is_work(stores: SessionStores) -> None:
    """A process that has something to say brings a worker to its session."""
    await everybody_held(stores)
    store = await opened(stores)
    row = await registered(stores, wake_target=SessionScope(session_id=store.session_id))

    await stores.process_registry.append_event(row.id, event("ping", {"text": "look"}))

    assert {store.session_id} == set(await claimed_of(stores, store))


async def a_session_that_is_written_is_not_given(stores: SessionStores) -> None:
    """It comes up again when its lease is over: released, or expired."""
    await everybody_held(stores)
    released, expired = await opened(stores), await opened(stores)
    ttl_ms = await short_ttl_ms(stores)
    first = await leased(released)
    await leased(expired, ttl_ms=ttl_ms)
    for store in (released, expired):
        await enqueued(store)
    assert {} == await claimed_of(stores, released, expired)

    await released.release_session_execution_lease(first.completion)
    assert {released.session_id} == set(await claimed_of(stores, released, expired))
    await elapse(stores, ttl_ms + 50)

    assert {expired.session_id} == set(await claimed_of(stores, expired))


async def a_commit_that_settles_everything_ends_it(stores: SessionStores) -> None:
    """What is left, and what the commit puts out, keeps the session ready."""
    await everybody_held(stores)
    store = await opened(stores)
    await enqueued(store)
    lease = (await claimed_of(stores, store))[store.session_id].lease
    claim = await claimed(store, lease)
    await committed(
        store,
        lease,
        completed_queue_claims=(claim.completion,),
        enqueued_queue_batches=(draft(store.session_id, "out"),),
        release_session_execution_lease=lease.completion,
    )
    lease = (await claimed_of(stores, store))[store.session_id].lease
    claim = await claimed(store, lease)

    await committed(
        store, lease, completed_queue_claims=(claim.completion,), release_session_execution_lease=lease.completion
    )

    assert {} == await claimed_of(stores, store)


async def rows_of_a_dead_holder_are_work(stores: SessionStores) -> None:
    """A claim ends with its lease, so the session is given again with the same rows."""
    await everybody_held(stores)
    store = await opened(stores)
    batch = await enqueued(store)
    ttl_ms = await short_ttl_ms(stores)
    lease = (await claimed_of(stores, store, ttl_ms=ttl_ms))[store.session_id].lease
    await claimed(store, lease)
    await elapse(stores, ttl_ms + 50)

    again = (await claimed_of(stores, store))[store.session_id].lease

    assert again.fencing_token > lease.fencing_token
    claim = await store.claim_ready_queued_work_by_batch_ids(again.fence, ClaimBoundary.IDLE, [batch.batch_id])
    assert [batch.batch_id] == ids_of(claim)


async def the_limit_bounds_a_call(stores: SessionStores) -> None:
    """Nothing for 0; over 64 is refused."""
    await everybody_held(stores)
    mine = [await opened(stores) for _ in range(3)]
    for store in mine:
        await enqueued(store)
    ready = ready_sessions_of(stores)
    assert () == await ready.claim_ready_sessions(owner(), 0, TTL_MS)

    taken = [await ready.claim_ready_sessions(owner(), 2, TTL_MS) for _ in range(3)]

    assert all(len(part) <= 2 for part in taken)
    assert {store.session_id for store in mine} == {one.lease.session_id for part in taken for one in part}
    with refused(InvalidArgumentError):
        await ready.claim_ready_sessions(owner(), CLAIM_SESSIONS_MAX + 1, TTL_MS)


async def deaths_are_counted_while_a_turn_is_open(stores: SessionStores) -> None:
    """Holders in a row that ended without a write; the second and later takeovers wait longer and longer."""
    await everybody_held(stores)
    store = await opened(stores)
    await enqueued(store)
    ttl_ms = await short_ttl_ms(stores)
    first = (await claimed_of(stores, store, ttl_ms=ttl_ms))[store.session_id]
    await store.open_turn(first.lease.fence, OpenTurn("t"))
    await elapse(stores, ttl_ms + 50)
    second = (await claimed_of(stores, store, ttl_ms=ttl_ms))[store.session_id]
    await elapse(stores, ttl_ms + 50)
    assert {} == await claimed_of(stores, store)
    await elapse(stores, 1_050)

    third = (await claimed_of(stores, store))[store.session_id]

    assert [0, 1, 2] == [one.deaths for one in (first, second, third)]
    await store.record_turn_effects(third.lease.fence, "t", [completed("k", 1)])
    turn = await store.load_open_turn(store.session_id)
    assert turn is not None
    assert 0 == turn.deaths


async def a_commit_forgets_deaths(stores: SessionStores) -> None:
    """It is progress."""
    await everybody_held(stores)
    store = await opened(stores)
    await enqueued(store)
    ttl_ms = await short_ttl_ms(stores)
    lease = (await claimed_of(stores, store, ttl_ms=ttl_ms))[store.session_id].lease
    await store.open_turn(lease.fence, OpenTurn("t"))
    await elapse(stores, ttl_ms + 50)
    lease = (await claimed_of(stores, store))[store.session_id].lease

    await store.commit_runtime_state(
        commit_of(store, lease, release_session_execution_lease=lease.completion).stamped("t")
    )

    assert 0 == (await claimed_of(stores, store))[store.session_id].deaths


async def a_deleted_session_is_not_given(stores: SessionStores) -> None:
    """Its queue went with it."""
    await everybody_held(stores)
    store = await opened(stores)
    await enqueued(store)
    await factory_of(stores).delete_session(store.session_id)

    assert {} == await claimed_of(stores, store)
