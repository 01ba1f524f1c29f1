"""The promises of a host under the names that controllers and hosts offer them by (``AwaitEventDoor``)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lash_core.model.await_event import AwaitEventKey, Resolution, ResolveOutcome, WaitIdentity
from lash_core.model.execution_scope import ExecutionScope
from lash_core.store.effect_host import AwaitEventResolver, RuntimeEffectLocalExecutor


@runtime_checkable
class WaitsAtController(Protocol):
    """An executor that may have been made without promises."""

    def waiting_at(self, await_events: AwaitEventResolver) -> RuntimeEffectLocalExecutor:
        """The executor, waiting at these promises unless it has its own."""
        ...


class HasAwaitEvents:
    """Hands the three calls on to ``await_events``."""

    __slots__ = ()

    @property
    def await_events(self) -> AwaitEventResolver:
        """The promises of the host."""
        raise NotImplementedError

    async def await_event_key(self, scope: ExecutionScope, identity: WaitIdentity) -> AwaitEventKey:
        """Mint a key. Raises: RuntimeFailure: a bad scope or identity, a revoked session, no secret."""
        return await self.await_events.await_event_key(scope, identity)

    async def resolve_await_event(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        """Resolve a promise; a bad key is an answer."""
        return await self.await_events.resolve(key, resolution)

    async def peek_await_event(self, key: AwaitEventKey) -> Resolution | None:
        """The resolution, or None. Raises: RuntimeFailure, ``await_event_unknown_or_revoked``."""
        return await self.await_events.peek(key)

    def _at_own_promises(self, executor: RuntimeEffectLocalExecutor) -> RuntimeEffectLocalExecutor:
        """The executor; a wait that was made without promises waits at those of this controller."""
        return executor.waiting_at(self.await_events) if isinstance(executor, WaitsAtController) else executor
