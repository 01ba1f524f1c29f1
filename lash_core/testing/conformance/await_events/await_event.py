"""``await_event`` of the resolver: waiting, and who ends a promise when nobody resolves it (contract 5.5)."""

from __future__ import annotations

import asyncio

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import Accepted, AlreadyResolved, WaitIdentity
from lash_core.testing.conformance.await_events.arrange import (
    CANCELLED,
    ERR,
    OK,
    TIMEOUT,
    ended,
    process_scope,
    resolver_of,
    scopes,
    turn,
    waiting,
)
from lash_core.testing.conformance.expectations import reached, refused
from lash_core.testing.conformance.process_registry.arrange import SUCCESS, claimed
from lash_core.testing.conformance.stores import EffectStores

WAIT = WaitIdentity.custom("c")


async def a_waiter_gets_the_resolution(stores: EffectStores) -> None:
    """In every kind of scope, and every waiter the same one."""
    resolver = resolver_of(stores)
    for scope in await scopes(stores):
        key = resolver.mint(scope, WAIT)
        async with waiting(stores, key) as one, waiting(stores, key, timeout_ms=600_000) as two:
            assert Accepted() == await resolver.resolve(key, ERR)

            assert [ERR, ERR] == [await ended(one), await ended(two)]


async def a_resolution_before_the_wait_is_answered_at_once(stores: EffectStores) -> None:
    """Buffered: the first terminal value of a promise that nobody had opened."""
    resolver = resolver_of(stores)
    for scope in await scopes(stores):
        key = resolver.mint(scope, WAIT)
        await resolver.resolve(key, OK)

        assert [OK, OK] == [await resolver.await_event(key), await resolver.await_event(key, timeout_ms=0)]


async def a_wait_that_is_over_ends_the_promise(stores: EffectStores) -> None:
    """As timeout, for everybody; a value that was faster is returned instead."""
    resolver, scope = resolver_of(stores), await process_scope(stores)
    key, fast = resolver.mint(scope, WAIT), resolver.mint(scope, WaitIdentity.custom("fast"))

    assert TIMEOUT == await resolver.await_event(key, timeout_ms=20)

    assert AlreadyResolved(TIMEOUT) == await resolver.resolve(key, OK)
    await resolver.resolve(fast, OK)
    assert OK == await resolver.await_event(fast, timeout_ms=0)


async def a_cancelled_waiter_ends_the_promise(stores: EffectStores) -> None:
    """Nobody else waits for it; a value that was faster stands."""
    resolver, scope = resolver_of(stores), turn()
    key, fast = resolver.mint(scope, WAIT), resolver.mint(scope, WaitIdentity.custom("fast"))
    async with waiting(stores, key) as task:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with waiting(stores, fast) as task:
        await stores.promises.resolve_promise(fast, OK)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert [CANCELLED, OK] == [await resolver.peek(key), await resolver.peek(fast)]


async def a_run_that_moves_leaves_its_promise_open(stores: EffectStores) -> None:
    """Its next run waits on: a cancelled task of a run ends nothing."""
    resolver, scope = resolver_of(stores), await process_scope(stores)
    key = resolver.mint(scope, WAIT)
    async with waiting(stores, key, of_run=True) as task:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert None is await resolver.peek(key)
    async with waiting(stores, key, of_run=True) as task:
        await resolver.resolve(key, OK)
        assert OK == await ended(task)


async def waiters_of_turn_control_only_give_up(stores: EffectStores) -> None:
    """Their promise stays open when they are cancelled or out of time; the turn alone ends it."""
    resolver, scope = resolver_of(stores), turn()
    for wait in (WaitIdentity.turn_cancel_gate(), WaitIdentity.turn_terminal()):
        key = resolver.mint(scope, wait)
        with refused(RuntimeFailure, "turn_control_wait_timeout"):
            await resolver.await_event(key, timeout_ms=10)
        async with waiting(stores, key) as task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert None is await resolver.peek(key)

        async with waiting(stores, key) as task:
            assert Accepted() == await resolver.resolve(key, OK)
            assert OK == await ended(task)
        assert OK == await resolver.await_event(key, timeout_ms=0)


async def sweeps_end_waits(stores: EffectStores) -> None:
    """Of one scope, or of a session with all its scopes; a process by its scope (hazard 9)."""
    resolver = resolver_of(stores)
    session_scope, process = turn(), await process_scope(stores)
    assert session_scope.session_id is not None
    first, second = resolver.mint(session_scope, WAIT), resolver.mint(process, WAIT)
    async with waiting(stores, first) as one, waiting(stores, second) as two:
        assert 1 == await resolver.cancel_session(session_scope.session_id)
        assert CANCELLED == await ended(one)
        assert not two.done()

        assert 1 == await resolver.cancel_scope(process)
        assert CANCELLED == await ended(two)


async def a_revocation_wakes_its_waiters(stores: EffectStores) -> None:
    """With the error of an unknown key."""
    resolver, scope = resolver_of(stores), turn()
    assert scope.session_id is not None
    async with waiting(stores, resolver.mint(scope, WAIT)) as task:
        await resolver.revoke_session(scope.session_id)

        with refused(RuntimeFailure, "await_event_unknown_or_revoked"):
            await ended(task)


async def the_end_of_a_process_ends_its_waits(stores: EffectStores) -> None:
    """Whoever waited for a promise of it learns that nobody will resolve it (decision 32)."""
    resolver, scope = resolver_of(stores), await process_scope(stores)
    lease = await claimed(stores, scope.id)
    async with waiting(stores, resolver.mint(scope, WAIT)) as task:
        await stores.process_registry.complete_process_with_lease(lease, SUCCESS)

        assert CANCELLED == await ended(task)


async def a_lost_hint_costs_a_second_at_most(stores: EffectStores) -> None:
    """The stored promise is the truth: a waiter looks again by itself."""
    resolver, scope = resolver_of(stores), turn()
    key = resolver.mint(scope, WAIT)
    async with waiting(stores, key) as task:
        await stores.promises.resolve_promise(key, OK)

        async def over() -> bool:
            return task.done()

        await reached(over, within_ms=3_000)
        assert OK == await ended(task)
