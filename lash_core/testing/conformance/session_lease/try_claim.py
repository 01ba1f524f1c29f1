"""``try_claim_session_execution_lease``: one writer of a session.

``docs/contracts/sessions.md`` 2.3; decisions 2, 9.
"""

from __future__ import annotations

import asyncio

from lash_core.errors import InvalidArgumentError, UnknownSessionError
from lash_core.errors.session import SessionBindingMismatchError
from lash_core.model.ids import LEASE_TTL_MS_MAX
from lash_core.model.session_lease import SessionLeaseAcquired, SessionLeaseBusy
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    TTL_MS,
    SessionStores,
    factory_of,
    leased,
    opened,
    owner,
)
from lash_core.testing.conformance.stores import elapse, short_ttl_ms


async def a_free_session_is_given(stores: SessionStores) -> None:
    """With a token, a fencing number, and an end that lies the TTL ahead."""
    store, me = await opened(stores), owner()

    outcome = await store.try_claim_session_execution_lease(store.session_id, me, TTL_MS)

    assert isinstance(outcome, SessionLeaseAcquired)
    lease = outcome.lease
    assert (store.session_id, me, False) == (lease.session_id, lease.owner, outcome.reentrant)
    assert lease.lease_token
    assert lease.fencing_token >= 1
    assert TTL_MS == lease.expires_at_ms - lease.claimed_at_ms
    assert lease == await store.get_session_execution_lease(store.session_id)


async def a_live_lease_of_another_owner_is_busy(stores: SessionStores) -> None:
    """The answer names who holds it; nothing changes."""
    store = await opened(stores)
    held = await leased(store)

    outcome = await store.try_claim_session_execution_lease(store.session_id, owner(), TTL_MS)

    assert isinstance(outcome, SessionLeaseBusy)
    assert (held.owner, held.fencing_token, held.expires_at_ms) == (
        outcome.holder.owner,
        outcome.holder.fencing_token,
        outcome.holder.expires_at_ms,
    )
    assert held == await store.get_session_execution_lease(store.session_id)


async def another_incarnation_of_the_owner_is_busy(stores: SessionStores) -> None:
    """A restarted owner is another writer: its predecessor may still run."""
    store, me = await opened(stores), owner()
    await leased(store, me)

    outcome = await store.try_claim_session_execution_lease(
        store.session_id, me.with_incarnation(unique("incarnation")), TTL_MS
    )

    assert isinstance(outcome, SessionLeaseBusy)


async def the_same_incarnation_reenters(stores: SessionStores) -> None:
    """Same token, same fencing number, a later end; said so in the answer."""
    store, me = await opened(stores), owner()
    first = await leased(store, me, ttl_ms=60_000)

    again = await store.try_claim_session_execution_lease(store.session_id, me, TTL_MS)

    assert isinstance(again, SessionLeaseAcquired)
    assert again.reentrant
    assert first.same_acquisition(again.lease)
    assert again.lease.expires_at_ms > first.expires_at_ms


async def reentry_never_shortens_a_lease(stores: SessionStores) -> None:
    """What was promised stands."""
    store, me = await opened(stores), owner()
    first = await leased(store, me)

    again = await leased(store, me, ttl_ms=0)

    assert first.expires_at_ms == again.expires_at_ms


async def an_expired_lease_goes_to_the_next_one(stores: SessionStores) -> None:
    """A new token, a higher fencing number; the old holder is fenced off, also when it asks again itself."""
    store, me = await opened(stores), owner()
    ttl_ms = await short_ttl_ms(stores)
    first = await leased(store, me, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    second = await leased(store, me)

    assert first.lease_token != second.lease_token
    assert second.fencing_token > first.fencing_token


async def a_lease_of_no_time_is_over_at_once(stores: SessionStores) -> None:
    """TTL 0: it is claimable again, and nobody holds the session."""
    store = await opened(stores)

    await leased(store, ttl_ms=0)

    assert await store.get_session_execution_lease(store.session_id) is None
    await leased(store)


async def fencing_numbers_rise_over_releases(stores: SessionStores) -> None:
    """A release does not take them back."""
    store = await opened(stores)
    fences: list[int] = []
    for _ in range(3):
        lease = await leased(store)
        fences.append(lease.fencing_token)
        assert await store.release_session_execution_lease(lease.completion)

    assert sorted(set(fences)) == fences


async def fencing_numbers_rise_over_a_deletion(stores: SessionStores) -> None:
    """Who wrote the session before it was deleted cannot write its successor (decision 9)."""
    store = await opened(stores)
    before = await leased(store)
    await factory_of(stores).delete_session(store.session_id)

    after = await leased(await opened(stores, store.session_id))

    assert after.fencing_token > before.fencing_token
    assert not after.same_acquisition(before)


async def one_of_many_claimers_wins(stores: SessionStores) -> None:
    """However many ask at once."""
    store = await opened(stores)

    answers = await asyncio.gather(
        *(store.try_claim_session_execution_lease(store.session_id, owner(), TTL_MS) for _ in range(8))
    )

    assert 1 == sum(isinstance(answer, SessionLeaseAcquired) for answer in answers)


async def another_session_is_refused(stores: SessionStores) -> None:
    """A store is bound to one session."""
    store, other = await opened(stores), await opened(stores)

    with refused(SessionBindingMismatchError, other.session_id):
        await store.try_claim_session_execution_lease(other.session_id, owner(), TTL_MS)
    with refused(SessionBindingMismatchError, other.session_id):
        await store.get_session_execution_lease(other.session_id)

    assert await other.get_session_execution_lease(other.session_id) is None


async def a_session_that_is_gone_is_refused(stores: SessionStores) -> None:
    """Nobody makes half a session by claiming it."""
    store = await opened(stores)
    await factory_of(stores).delete_session(store.session_id)

    with refused(UnknownSessionError, store.session_id):
        await store.try_claim_session_execution_lease(store.session_id, owner(), TTL_MS)


async def a_ttl_out_of_range_is_refused(stores: SessionStores) -> None:
    """Below 0 or over a week."""
    store = await opened(stores)

    for ttl_ms in (-1, LEASE_TTL_MS_MAX + 1):
        with refused(InvalidArgumentError, "lease_ttl_ms"):
            await store.try_claim_session_execution_lease(store.session_id, owner(), ttl_ms)
