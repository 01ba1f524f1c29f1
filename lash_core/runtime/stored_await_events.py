"""Await-event promises over a ``PromiseStore``: keys are verified here, promises are kept there (contract 5.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import (
    AWAIT_EVENT_CANCEL_UNSUPPORTED,
    AWAIT_EVENT_UNSUPPORTED,
    AwaitEventKey,
    Resolution,
    ResolveOutcome,
    UnknownOrRevoked,
    WaitIdentity,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.promise_ends import standing, turn_wait_ended, unknown_or_revoked
from lash_core.store.promise_store import PromiseStore, SigningSecrets

POLL_FIRST_SECONDS = 0.025
POLL_SECONDS_MAX = 1.0
"""A waiter looks again at least this often: the notification is a hint, the stored promise is the truth."""


class StoredAwaitEvents:
    """``AwaitEventResolver`` over a store.

    Args:
        promises: where they are kept.
        waiter_ends_promise: whether a waiter that is cancelled resolves its promise as cancelled. Not so for the waits
            of a run: its task is also cancelled when the run moves to another worker, which waits on.
    """

    def __init__(self, promises: PromiseStore, *, waiter_ends_promise: bool = True) -> None:
        self._promises = promises
        self._waiter_ends_promise = waiter_ends_promise

    def of_run(self) -> StoredAwaitEvents:
        """The same promises for the waits of a run."""
        return StoredAwaitEvents(self._promises, waiter_ends_promise=False)

    def mint(self, scope: ExecutionScope, wait: WaitIdentity) -> AwaitEventKey:
        """Make a key. Raises: RuntimeFailure: no secret, a blank scope or a bad identity."""
        return AwaitEventKey.mint(scope, wait.validated(), self._secrets().current)

    async def await_event_key(self, scope: ExecutionScope, wait: WaitIdentity) -> AwaitEventKey:
        """``mint``, refused for a revoked session. Raises: RuntimeFailure."""
        key = self.mint(scope, wait)
        if scope.session_id is not None and await self._promises.is_revoked(scope.session_id):
            raise unknown_or_revoked()
        return key

    async def resolve(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        """Resolve a promise; the first resolution wins. A bad key, or no secret to check it with, is an answer."""
        secrets = self._promises.signing_secrets()
        if secrets is None or not _is_authentic(key, secrets):
            return UnknownOrRevoked()
        return await self._promises.resolve_promise(key, resolution)

    async def peek(self, key: AwaitEventKey) -> Resolution | None:
        """The resolution, or None. Raises: RuntimeFailure for a bad or revoked key."""
        self._check(key)
        return await self._promises.peek_promise(key)

    async def await_event(self, key: AwaitEventKey, *, timeout_ms: int | None = None) -> Resolution:
        """Wait for the resolution; see ``AwaitEventResolver.await_event``."""
        self._check(key)
        try:
            return await self._wait(key, timeout_ms)
        except asyncio.CancelledError:
            # The promise ends with its waiter, unless a value was faster; a turn's own control waits are not touched.
            if self._waiter_ends_promise and not key.wait.is_turn_control:
                await self._promises.resolve_promise(key, Resolution.cancelled())
            raise

    async def _wait(self, key: AwaitEventKey, timeout_ms: int | None) -> Resolution:
        loop = asyncio.get_running_loop()
        deadline = None if timeout_ms is None else loop.time() + timeout_ms / 1_000
        pause = POLL_FIRST_SECONDS
        async with self._promises.listening(key) as told:
            found = await self._promises.open_promise(key)
            while found is None:
                left = pause if deadline is None else min(pause, deadline - loop.time())
                if left <= 0:
                    return await self._time_out(key)
                try:
                    async with asyncio.timeout(left):
                        await told.wait()
                except TimeoutError:
                    pause = min(pause * 2, POLL_SECONDS_MAX)
                else:
                    told.clear()
                found = await self._promises.peek_promise(key)
            return found

    async def _time_out(self, key: AwaitEventKey) -> Resolution:
        if key.wait.is_turn_control:
            found = await self._promises.peek_promise(key)
            if found is not None:
                return found
            raise turn_wait_ended("timeout")
        resolution = Resolution.timeout()
        return standing(await self._promises.resolve_promise(key, resolution), resolution)

    async def cancel_session(self, session_id: str) -> int:
        """End the pending waits of a session as cancelled, but for turn control. Raises: RuntimeFailure: no secret."""
        self._secrets(AWAIT_EVENT_CANCEL_UNSUPPORTED)
        return await self._promises.cancel_session_promises(session_id)

    async def cancel_scope(self, scope: ExecutionScope) -> int:
        """End the pending waits of one scope as cancelled. Raises: RuntimeFailure: no secret."""
        self._secrets(AWAIT_EVENT_CANCEL_UNSUPPORTED)
        return await self._promises.cancel_promises(scope)

    async def forget_scopes(self, session_id: str, scopes: Sequence[ExecutionScope]) -> int:
        """Delete what is left of scopes of one session that ended long ago; returns how many promises."""
        return await self._promises.forget_promises(session_id, scopes)

    async def revoke_session(self, session_id: str) -> None:
        """Delete a session's promises and refuse its keys for ever. Raises: RuntimeFailure: no secret."""
        self._secrets()
        await self._promises.revoke_session_promises(session_id)

    def _secrets(self, code: str = AWAIT_EVENT_UNSUPPORTED) -> SigningSecrets:
        secrets = self._promises.signing_secrets()
        if secrets is None:
            raise RuntimeFailure(code, "this client's role may not read the signing secret of await-event keys")
        return secrets

    def _check(self, key: AwaitEventKey) -> None:
        if not _is_authentic(key, self._secrets()):
            raise unknown_or_revoked()


def _is_authentic(key: AwaitEventKey, secrets: SigningSecrets) -> bool:
    try:
        current = key.is_authentic(secrets.current)
        # Always both: the time must not tell which secret signed a key.
        previous = secrets.previous is not None and key.is_authentic(secrets.previous)
    except (RuntimeFailure, ValueError):
        return False
    return current or previous
