"""A lease is kept alive, and its loss is told at once (docs/contracts/turns.md 1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session_lease import SessionLeaseTimings
from lash_core.runtime.session.lease_guard import SessionBusyError, SessionLeaseGuard, SessionLeaseLostError
from lash_core.testing.conformance.session_scene import leased, opened, owner
from lash_core.testing.waiting import eventually

FAST = SessionLeaseTimings(ttl_ms=60_000, renew_interval_ms=1)


class _Leases:
    """A store whose renewals are counted, and fail when they are told to."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.renewals = 0
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def renew_session_execution_lease(self, *args: Any) -> Any:
        self.renewals += 1
        if self.error is not None:
            raise self.error
        return await self._store.renew_session_execution_lease(*args)


@asynccontextmanager
async def _guarded(**kwargs: Any) -> AsyncGenerator[tuple[SessionLeaseGuard, _Leases]]:
    store: Any = _Leases(await opened(InMemoryStores(VirtualClock())))
    guard = await SessionLeaseGuard.acquire(store, owner(), FAST, **kwargs)
    try:
        yield guard, store
    finally:
        await guard.release()


async def test_it_is_renewed_until_it_is_released() -> None:
    """Then the session is free, and nothing is renewed any more."""
    async with _guarded() as (guard, store):
        await eventually(lambda: store.renewals >= 3)
        assert guard.fence == guard.require()
        assert await guard.release()
        assert not await guard.release()
        renewals = store.renewals
        for _ in range(5):
            await asyncio.sleep(0)

        assert (renewals, True) == (store.renewals, guard.released)
        assert await store.get_session_execution_lease(guard.session_id) is None
        assert not guard.is_lost


async def test_a_session_of_somebody_else_is_busy() -> None:
    """The error names the holder."""
    store = await opened(InMemoryStores())
    lease = await leased(store)

    with pytest.raises(SessionBusyError, match="session_execution_busy") as caught:
        await SessionLeaseGuard.acquire(store, owner())

    assert caught.value.holder is not None
    assert lease.owner == caught.value.holder.owner


async def test_a_refused_renewal_is_a_loss() -> None:
    """Told by the token; a write is refused from then on, and nothing is released."""
    async with _guarded() as (guard, store):
        await store.release_session_execution_lease(guard.fence)
        other = await leased(store._store)
        await eventually(lambda: guard.lost.cancelled)

        assert guard.is_lost
        with pytest.raises(SessionLeaseLostError, match="session_execution_lease_lost"):
            guard.require()
        assert not await guard.release()
        live = await store.get_session_execution_lease(guard.session_id)
        assert live is not None
        assert other.same_acquisition(live)


async def test_a_failing_store_is_no_loss_before_the_deadline() -> None:
    """One renewal that succeeds in time makes up for many that failed."""
    async with _guarded() as (guard, store):
        store.error = StoreUnreachableError("gone")
        seen = store.renewals
        await eventually(lambda: store.renewals > seen + 2)
        assert not guard.is_lost
        store.error = None
        seen = store.renewals
        await eventually(lambda: store.renewals > seen + 1)

        assert not guard.is_lost


async def test_the_deadline_is_before_the_stores() -> None:
    """Own time passes without a renewal: the holder stops a tenth of the life earlier, and sees so by itself."""
    now = [1_000.0]
    async with _guarded(clock=lambda: now[0]) as (guard, store):
        store.error = StoreUnreachableError("gone")
        now[0] += 53_999
        assert not guard.is_lost
        now[0] += 2

        assert guard.is_lost
        assert guard.lost.cancelled
        with pytest.raises(SessionLeaseLostError, match="not renewed in time"):
            guard.require()


async def test_a_lease_from_elsewhere_is_kept_as_well() -> None:
    """The fleet claims sessions by scripts of its own."""
    store: Any = _Leases(await opened(InMemoryStores()))
    lease = await leased(store._store)
    guard = SessionLeaseGuard.adopt(store, lease, FAST)
    await eventually(lambda: store.renewals >= 1)

    assert (lease.fence, lease.fencing_token) == (guard.fence, guard.generation)
    assert await guard.release()
