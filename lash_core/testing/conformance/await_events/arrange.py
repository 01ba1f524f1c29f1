"""Promises for the cases: scopes of each kind, keys, and waiters that are known to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.stored_await_events import StoredAwaitEvents
from lash_core.store.promise_store import PromiseStore
from lash_core.testing.conformance.process_registry.arrange import registered, unique
from lash_core.testing.conformance.stores import EffectStores

OK = Resolution.ok({"by": "ops", "n": 1})
ERR = Resolution.err("declined", "no budget")
CANCELLED = Resolution.cancelled()
TIMEOUT = Resolution.timeout()

SECRET = b"0123456789abcdef0123456789abcdef"
"""Keys come to a store authenticated, so it does not matter which secret signed them there."""


def key_of(scope: ExecutionScope, name: str = "k") -> AwaitEventKey:
    """A key of a custom promise."""
    return AwaitEventKey.mint(scope, WaitIdentity.custom(name), SECRET)


def gate_of(scope: ExecutionScope) -> AwaitEventKey:
    """A turn's control promise."""
    return AwaitEventKey.mint(scope, WaitIdentity.turn_cancel_gate(), SECRET)


def turn(session_id: str | None = None) -> ExecutionScope:
    """A turn of a session."""
    return ExecutionScope.turn(session_id or unique("session"), unique("turn"))


async def process_scope(stores: EffectStores) -> ExecutionScope:
    """The scope of a fresh row."""
    return ExecutionScope.process((await registered(stores)).id)


async def scopes(stores: EffectStores) -> tuple[ExecutionScope, ...]:
    """One scope of each kind."""
    session = unique("session")
    return (
        await process_scope(stores),
        turn(),
        ExecutionScope.queue_drain(session, unique("drain")),
        ExecutionScope.session_delete(unique("session")),
        ExecutionScope.runtime_operation(unique("operation")),
    )


def resolver_of(stores: EffectStores) -> StoredAwaitEvents:
    """The resolver over the promises under test: it checks keys, they keep promises."""
    return StoredAwaitEvents(stores.promises)


class _Watched:
    """The promises under test; says when a promise was opened, which is when its waiter waits."""

    def __init__(self, promises: PromiseStore) -> None:
        self._promises = promises
        self.opened = asyncio.Event()

    async def open_promise(self, key: AwaitEventKey) -> Resolution | None:
        found = await self._promises.open_promise(key)
        self.opened.set()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._promises, name)


@asynccontextmanager
async def waiting(
    stores: EffectStores, key: AwaitEventKey, *, timeout_ms: int | None = None, of_run: bool = False
) -> AsyncGenerator[asyncio.Task[Resolution]]:
    """A task that waits for a promise, which is open when the block begins; cancelled on exit.

    Args:
        stores: the stores.
        key: signed by the stores' own secret.
        timeout_ms: of the wait.
        of_run: the waiter is a run, whose cancellation leaves the promise open.
    """
    watched = _Watched(stores.promises)
    resolver = StoredAwaitEvents(cast("PromiseStore", watched), waiter_ends_promise=not of_run)
    task = asyncio.create_task(resolver.await_event(key, timeout_ms=timeout_ms))
    try:
        async with asyncio.timeout(10):
            await watched.opened.wait()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended(task: asyncio.Task[Resolution]) -> Resolution:
    """How a wait ended; at most 10 s."""
    async with asyncio.timeout(10):
        return await task
