"""``release_session_execution_lease``: fenced and safe to repeat (``docs/contracts/sessions.md`` 2.3)."""

from __future__ import annotations

from lash_core.errors.session import SessionBindingMismatchError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import SessionStores, leased, opened, owner, taken_over


async def a_released_session_is_free(stores: SessionStores) -> None:
    """The next one needs not wait for the TTL."""
    store = await opened(stores)
    lease = await leased(store)

    assert await store.release_session_execution_lease(lease.completion)

    assert await store.get_session_execution_lease(store.session_id) is None
    await leased(store)


async def a_repeat_does_nothing(stores: SessionStores) -> None:
    """Neither before nor after somebody else claimed."""
    store = await opened(stores)
    lease = await leased(store)
    assert await store.release_session_execution_lease(lease.completion)

    assert not await store.release_session_execution_lease(lease.completion)
    held = await leased(store)
    assert not await store.release_session_execution_lease(lease.completion)

    assert held == await store.get_session_execution_lease(store.session_id)


async def a_stale_or_forged_release_does_nothing(stores: SessionStores) -> None:
    """Older generation, other token, other owner: no error, and the lease stands."""
    store = await opened(stores)
    older = await leased(store)
    held = await taken_over(store, older)
    forged = (
        older.completion,
        held.completion.model_copy(update={"lease_token": "0123456789abcdef"}),
        held.completion.model_copy(update={"fencing_token": older.fencing_token}),
        held.completion.model_copy(update={"owner": owner()}),
    )

    assert [False] * 4 == [await store.release_session_execution_lease(one) for one in forged]

    assert held == await store.get_session_execution_lease(store.session_id)


async def a_lease_of_another_session_is_refused(stores: SessionStores) -> None:
    """A store is bound to one session."""
    store, other = await opened(stores), await opened(stores)
    lease = await leased(other)

    with refused(SessionBindingMismatchError, other.session_id):
        await store.release_session_execution_lease(lease.completion)

    assert lease == await other.get_session_execution_lease(other.session_id)
