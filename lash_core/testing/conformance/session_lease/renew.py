"""``renew_session_execution_lease``: a live lease goes on, any other is said to be over.

``docs/contracts/sessions.md`` 2.3.
"""

from __future__ import annotations

from lash_core.errors.session import SessionBindingMismatchError, SessionExecutionLeaseExpiredError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import TTL_MS, SessionStores, leased, opened, owner, taken_over
from lash_core.testing.conformance.stores import elapse, short_ttl_ms


async def a_live_lease_is_extended(stores: SessionStores) -> None:
    """From now on, for the TTL; token and fencing number stay."""
    store = await opened(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await leased(store, ttl_ms=ttl_ms)

    renewed = await store.renew_session_execution_lease(lease.fence, TTL_MS)

    assert lease.same_acquisition(renewed)
    assert lease.claimed_at_ms == renewed.claimed_at_ms
    await elapse(stores, ttl_ms + 50)
    assert renewed == await store.get_session_execution_lease(store.session_id)


async def an_expired_lease_is_over(stores: SessionStores) -> None:
    """Even when nobody took it meanwhile."""
    store = await opened(stores)
    ttl_ms = await short_ttl_ms(stores)
    lease = await leased(store, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    with refused(SessionExecutionLeaseExpiredError):
        await store.renew_session_execution_lease(lease.fence, TTL_MS)

    assert await store.get_session_execution_lease(store.session_id) is None


async def what_is_not_the_live_lease_is_refused(stores: SessionStores) -> None:
    """Released, taken over, of another token, owner or fencing number: the live one is as it was."""
    store = await opened(stores)
    released = await leased(store)
    held = await taken_over(store, released)
    forged = (
        released.fence,
        held.fence.model_copy(update={"lease_token": "0123456789abcdef"}),
        held.fence.model_copy(update={"fencing_token": held.fencing_token + 1}),
        held.fence.model_copy(update={"fencing_token": held.fencing_token - 1}),
        held.fence.model_copy(update={"owner": owner()}),
    )
    for fence in forged:
        with refused(SessionExecutionLeaseExpiredError):
            await store.renew_session_execution_lease(fence, TTL_MS)

    assert held == await store.get_session_execution_lease(store.session_id)


async def a_lease_of_another_session_is_refused(stores: SessionStores) -> None:
    """A store is bound to one session."""
    store, other = await opened(stores), await opened(stores)
    lease = await leased(other)

    with refused(SessionBindingMismatchError, other.session_id):
        await store.renew_session_execution_lease(lease.fence, TTL_MS)
