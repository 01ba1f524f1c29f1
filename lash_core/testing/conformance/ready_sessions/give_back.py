"""``defer_session``, ``live_session_leases``, ``expire_session_leases``, ``next_session_due_ms`` (docs/adr/0162)."""

from __future__ import annotations

from lash_core.model.session_lease import SessionExecutionLease
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.ready_sessions.arrange import claimed_of, everybody_held
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    enqueued,
    leased,
    opened,
    ready_sessions_of,
    taken_over,
)
from lash_core.testing.conformance.stores import elapse, short_ttl_ms

PAGES_MAX = 500


async def a_deferred_session_comes_later(stores: SessionStores) -> None:
    """It is free at once, for whoever names it; the fleet gets it after the delay."""
    await everybody_held(stores)
    store = await opened(stores)
    await enqueued(store)
    delay_ms = await short_ttl_ms(stores)
    lease = (await claimed_of(stores, store))[store.session_id].lease

    await ready_sessions_of(stores).defer_session(lease, delay_ms)

    assert await store.get_session_execution_lease(store.session_id) is None
    assert {} == await claimed_of(stores, store)
    await elapse(stores, delay_ms + 50)
    assert {store.session_id} == set(await claimed_of(stores, store))


async def new_work_does_not_end_a_deferral(stores: SessionStores) -> None:
    """What a worker cannot do it cannot do with more of it; a caller of its own can claim it."""
    await everybody_held(stores)
    store = await opened(stores)
    await enqueued(store)
    lease = (await claimed_of(stores, store))[store.session_id].lease
    await ready_sessions_of(stores).defer_session(lease, 60_000)

    await enqueued(store)

    assert {} == await claimed_of(stores, store)
    await leased(store)


async def a_stale_deferral_does_nothing(stores: SessionStores) -> None:
    """The session is somebody else's."""
    store = await opened(stores)
    await enqueued(store)
    stale = await leased(store)
    held = await taken_over(store, stale)

    await ready_sessions_of(stores).defer_session(stale, 1_000)

    assert held == await store.get_session_execution_lease(store.session_id)


async def live_leases_are_listed(stores: SessionStores) -> None:
    """Those of callers and those of the fleet, in pages; what is over is not."""
    await everybody_held(stores)
    ttl_ms = await short_ttl_ms(stores)
    mine, theirs, released, expired = [await opened(stores) for _ in range(4)]
    await leased(expired, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    lease = await leased(mine)
    await enqueued(theirs)
    ready = (await claimed_of(stores, theirs))[theirs.session_id]
    await released.release_session_execution_lease((await leased(released)).completion)

    found = await _live(stores, limit=2)

    assert (lease, ready.lease) == (found[mine.session_id], found[theirs.session_id])
    assert {released.session_id, expired.session_id}.isdisjoint(found)


async def a_lease_of_a_dead_owner_is_ended(stores: SessionStores) -> None:
    """As if it had expired: the death of an open turn's holder is counted, the session is free for the fleet."""
    await everybody_held(stores)
    store = await opened(stores)
    await enqueued(store)
    lease = (await claimed_of(stores, store))[store.session_id].lease
    await store.open_turn(lease.fence, OpenTurn("t"))

    assert (True,) == await ready_sessions_of(stores).expire_session_leases([lease])

    assert await store.get_session_execution_lease(store.session_id) is None
    again = (await claimed_of(stores, store))[store.session_id]
    assert 1 == again.deaths
    assert again.lease.fencing_token > lease.fencing_token


async def only_what_was_observed_is_ended(stores: SessionStores) -> None:
    """Compare and swap, each by itself: a repeat, a successor's lease, a session that is gone."""
    store, other = await opened(stores), await opened(stores)
    stale = await leased(store)
    held, lease = await taken_over(store, stale), await leased(other)
    ready = ready_sessions_of(stores)

    assert (False, True) == await ready.expire_session_leases([stale, lease])
    assert (False, False) == await ready.expire_session_leases([stale, lease])
    assert () == await ready.expire_session_leases([])

    assert held == await store.get_session_execution_lease(store.session_id)


async def the_next_due_time_is_a_hint(stores: SessionStores) -> None:
    """After a claim that found work for later: no later than when it is due."""
    await everybody_held(stores)
    store = await opened(stores)
    lease = await leased(store)
    await store.release_session_execution_lease(lease.completion)
    due_ms = lease.claimed_at_ms + 3_600_000
    await enqueued(store, available_at_ms=due_ms)
    await claimed_of(stores, store)

    hints = ready_sessions_of(stores).next_session_due_ms()

    assert hints
    assert min(hints.values()) <= due_ms


async def _live(stores: SessionStores, *, limit: int) -> dict[str, SessionExecutionLease]:
    found: dict[str, SessionExecutionLease] = {}
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        leases, cursor = await ready_sessions_of(stores).live_session_leases(cursor, limit)
        found |= {lease.session_id: lease for lease in leases}
        if cursor is None:
            return found
    raise AssertionError(f"the listing did not end within {PAGES_MAX} pages")
