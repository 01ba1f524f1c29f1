"""One wait for a promise, cancellable; a signal's promise also ends by its event (contract 4.5, 5.5; docs/adr/0121).

The promise is the arbiter: however the wait ends, the promise is resolved so before the waiter sees it, and what it was
resolved with before is what the waiter sees. So a replay finds the same end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from lash_core.errors import UnknownProcessError
from lash_core.model.await_event import (
    AwaitEventKey,
    Resolution,
)
from lash_core.model.event import ProcessEvent
from lash_core.model.ids import signal_event_type
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.promise_ends import standing, turn_wait_ended
from lash_core.runtime.run_waits import RunWaits
from lash_core.runtime.token_race import end_tasks
from lash_core.store.effect_host import AwaitEventResolver
from lash_core.store.process_registry import ProcessRegistry


class PromiseWait:
    """Waits once for ``key``. See ``RuntimeEffectLocalExecutor.await_event`` for the arguments."""

    def __init__(
        self,
        key: AwaitEventKey,
        await_events: AwaitEventResolver,
        token: CancellationToken,
        *,
        registry: ProcessRegistry | None = None,
        waits: RunWaits | None = None,
        may_write: Callable[[], bool] | None = None,
    ) -> None:
        self._key = key
        self._await_events = await_events
        self._token = token
        self._registry = registry
        self._waits = waits
        self._may_write = may_write

    async def resolution(self, timeout_ms: int | None = None) -> Resolution:
        """Wait for the end of the promise.

        Raises:
            RuntimeFailure: ``await_event_unknown_or_revoked``; ``turn_control_wait_cancelled`` / ``_timeout`` for the
                waits of turn control, whose promises no waiter ends.
            asyncio.CancelledError: this wait ends here and decides nothing: the run moves on or has lost its lease.
        """
        if self._token.cancelled:
            return await self._give_up("cancelled")
        promise = asyncio.ensure_future(self._promise(timeout_ms))
        fired = asyncio.ensure_future(self._token.wait())
        tasks: list[asyncio.Future[Any]] = [promise, fired]
        logged: asyncio.Future[ProcessEvent | None] | None = None
        if self._key.wait.kind == "process_signal" and self._registry is not None:
            logged = asyncio.ensure_future(self._event(self._registry))
            tasks.append(logged)
        try:
            await _first(tasks, logged)
        except BaseException:
            await end_tasks(tasks)
            raise
        # From here on the run goes on: parked now, it would have seen what ended the wait and not act on it.
        with nullcontext() if self._waits is None else self._waits.working():
            try:
                return await self._ended(promise, logged)
            finally:
                await end_tasks(tasks)

    async def _ended(
        self, promise: asyncio.Future[Resolution | None], logged: asyncio.Future[ProcessEvent | None] | None
    ) -> Resolution:
        if promise.done():
            found = promise.result()
            return await self._give_up("timeout") if found is None else found
        event = logged.result() if logged is not None and logged.done() else None
        if event is not None:
            return await self._settle(Resolution.ok(event.payload))
        return await self._give_up("cancelled")

    async def _promise(self, timeout_ms: int | None) -> Resolution | None:
        if self._waits is not None:
            return await self._waits.promise(self._key, timeout_ms)
        return await self._await_events.await_event(self._key, timeout_ms=timeout_ms)

    async def _event(self, registry: ProcessRegistry) -> ProcessEvent | None:
        """The n-th event of the signal's type in its process's log; None when there is no such process."""
        process_id, name = self._key.wait.parts
        event_type, ordinal = signal_event_type(name), self._key.wait.ordinal or 1
        if self._waits is not None:
            return await self._waits.signal(event_type, ordinal)
        event: ProcessEvent | None = None
        try:
            for _ in range(ordinal):
                after = 0 if event is None else event.sequence
                event = await registry.wait_event_after(process_id, event_type, after)
        except UnknownProcessError:
            return None
        return event

    async def _give_up(self, why: str) -> Resolution:
        if self._key.wait.is_turn_control:
            known = await self._await_events.peek(self._key)
            if known is not None:
                return known
            raise turn_wait_ended(why)
        return await self._settle(Resolution.timeout() if why == "timeout" else Resolution.cancelled())

    async def _settle(self, resolution: Resolution) -> Resolution:
        """Resolve the promise; another resolution may have been faster."""
        if self._may_write is not None and not self._may_write():
            raise asyncio.CancelledError("the run has lost its lease")
        return standing(await self._await_events.resolve(self._key, resolution), resolution)


async def _first(tasks: list[asyncio.Future[Any]], logged: asyncio.Future[ProcessEvent | None] | None) -> None:
    """Wait until one of them ends; a log that is not there ends nothing."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    others = [task for task in tasks if task is not logged]
    if logged is not None and logged.done() and logged.result() is None and not any(task.done() for task in others):
        await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
