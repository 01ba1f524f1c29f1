"""Await-event promises of one program (contract 5.5): kept in memory, keys signed with a random secret."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lash_core.model.await_event import (
    Accepted,
    AlreadyResolved,
    AwaitEventKey,
    Resolution,
    ResolveOutcome,
    UnknownOrRevoked,
    WaitIdentity,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.promise_ends import standing, turn_wait_ended, unknown_or_revoked

TOMBSTONES_MAX = 4_096
"""Revoked sessions remembered; the oldest is forgotten first."""
PROMISES_MAX = 100_000
"""Promises kept; the oldest resolved one is forgotten first. A pending one is never forgotten."""
POLL_SECONDS_MAX = 1.0
"""A waiter looks again at least this often: the notification is a hint, the promise is the truth."""


@dataclass(slots=True)
class _Promise:
    key: AwaitEventKey
    resolution: Resolution | None = None
    revoked: bool = False
    waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(
        default_factory=list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]
    )

    def wake(self) -> None:
        for loop, event in self.waiters:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)


class InlineAwaitEvents:
    """``AwaitEventResolver`` in memory. Safe from several threads and loops."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._promises: OrderedDict[str, _Promise] = OrderedDict()
        self._revoked: OrderedDict[str, None] = OrderedDict()

    def mint(self, scope: ExecutionScope, wait: WaitIdentity) -> AwaitEventKey:
        """Make a key. Raises: RuntimeFailure for a blank scope, a bad identity or a revoked session."""
        key = AwaitEventKey.mint(scope, wait.validated(), self._secret)
        if scope.session_id in self._revoked:
            raise unknown_or_revoked()
        return key

    async def await_event_key(self, scope: ExecutionScope, wait: WaitIdentity) -> AwaitEventKey:
        """As ``mint``."""
        return self.mint(scope, wait)

    async def resolve(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        """Resolve a promise; the first resolution wins."""
        return self._resolve(key, resolution)

    async def peek(self, key: AwaitEventKey) -> Resolution | None:
        """The resolution, or None. Raises: RuntimeFailure for a bad or revoked key."""
        self._check(key)
        promise = self._promises.get(key.key_id)
        return promise.resolution if promise is not None else None

    async def await_event(self, key: AwaitEventKey, *, timeout_ms: int | None = None) -> Resolution:
        """Wait for the resolution; see ``AwaitEventResolver.await_event``."""
        self._check(key)
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        with self._lock:
            promise = self._promise(key)
            promise.waiters.append((loop, told))
        deadline = None if timeout_ms is None else loop.time() + timeout_ms / 1_000
        try:
            while promise.resolution is None and not promise.revoked:
                left = POLL_SECONDS_MAX if deadline is None else min(POLL_SECONDS_MAX, deadline - loop.time())
                if left <= 0:
                    return self._end_wait(key, "timeout")
                told.clear()
                try:
                    async with asyncio.timeout(left):
                        await told.wait()
                except TimeoutError:
                    continue
        except asyncio.CancelledError:
            # The promise ends with its waiter, unless a value was faster; a turn's own control waits are not touched.
            if not key.wait.is_turn_control:
                self._resolve(key, Resolution(type="cancelled"))
            raise
        finally:
            promise.waiters.remove((loop, told))
        if promise.resolution is None:
            raise unknown_or_revoked()
        return promise.resolution

    async def cancel_session(self, session_id: str) -> int:
        """End the pending waits of a session as cancelled, but for turn control; returns how many."""
        return self._cancel(lambda key: key.scope.session_id == session_id and not key.wait.is_turn_control)

    async def cancel_scope(self, scope: ExecutionScope) -> int:
        """End the pending waits of one scope as cancelled; returns how many."""
        return self._cancel(lambda key: key.scope == scope and not key.wait.is_turn_control)

    async def forget_scopes(self, session_id: str, scopes: Sequence[ExecutionScope]) -> int:
        """Delete what is left of scopes of one session that ended long ago; returns how many promises."""
        wanted = {scope for scope in scopes if scope.session_id == session_id}
        with self._lock:
            gone = [key_id for key_id, promise in self._promises.items() if promise.key.scope in wanted]
            for key_id in gone:
                del self._promises[key_id]
        return len(gone)

    async def revoke_session(self, session_id: str) -> None:
        """Delete a session's promises and refuse its keys from now on. Safe to repeat."""
        with self._lock:
            self._revoked[session_id] = None
            while len(self._revoked) > TOMBSTONES_MAX:
                self._revoked.popitem(last=False)
            gone = [promise for promise in self._promises.values() if promise.key.scope.session_id == session_id]
            for promise in gone:
                promise.revoked = True
                del self._promises[promise.key.key_id]
                promise.wake()

    def _check(self, key: AwaitEventKey) -> None:
        if not key.is_authentic(self._secret) or key.scope.session_id in self._revoked:
            raise unknown_or_revoked()

    def _resolve(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        if not key.is_authentic(self._secret):
            return UnknownOrRevoked()
        with self._lock:
            if key.scope.session_id in self._revoked:
                return UnknownOrRevoked()
            promise = self._promise(key)
            if promise.resolution is not None:
                return AlreadyResolved(promise.resolution)
            promise.resolution = resolution
            promise.wake()
            return Accepted()

    def _end_wait(self, key: AwaitEventKey, why: str) -> Resolution:
        if key.wait.is_turn_control:
            raise turn_wait_ended(why)
        resolution = Resolution.model_validate({"type": why})
        return standing(self._resolve(key, resolution), resolution)

    def _cancel(self, wanted: Callable[[AwaitEventKey], bool]) -> int:
        with self._lock:
            pending = [
                promise for promise in self._promises.values() if promise.resolution is None and wanted(promise.key)
            ]
            for promise in pending:
                promise.resolution = Resolution(type="cancelled")
                promise.wake()
        return len(pending)

    def _promise(self, key: AwaitEventKey) -> _Promise:
        promise = self._promises.get(key.key_id)
        if promise is None:
            if len(self._promises) >= PROMISES_MAX:
                oldest = next((k for k, p in self._promises.items() if p.resolution and not p.waiters), None)
                if oldest is not None:
                    del self._promises[oldest]
            promise = self._promises[key.key_id] = _Promise(key)
        return promise
