"""Await-event promises in memory: those of a row stand with it, others with their scope (contract 5.5)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

from lash_core.errors import LimitExceededError, RuntimeFailure
from lash_core.memory_store.registry import MemoryProcessRegistry
from lash_core.memory_store.row import Row, StoredPromise, resolution_of
from lash_core.model.await_event import (
    UNKNOWN_OR_REVOKED,
    Accepted,
    AlreadyResolved,
    AwaitEventKey,
    Resolution,
    ResolveOutcome,
    UnknownOrRevoked,
)
from lash_core.model.canonical_json import canonical_json
from lash_core.model.disposition import DurabilityTier
from lash_core.model.execution_scope import ExecutionScope
from lash_core.store.promise_store import SigningSecrets

SECRET_BYTES = 32


class MemoryPromiseStore:
    """``PromiseStore`` in memory; lost with the OS process. May be called from any event loop and any thread.

    Args:
        registry: holds the rows; gives its lock, clock, limits and, unless told otherwise, its tier.
        durability_tier: what the store reports; None: what the registry reports.
    """

    def __init__(self, registry: MemoryProcessRegistry, *, durability_tier: DurabilityTier | None = None) -> None:
        self._registry = registry
        self._state = registry.state
        self._tier = durability_tier
        self._secrets = SigningSecrets(secrets.token_bytes(SECRET_BYTES))

    def durability_tier(self) -> DurabilityTier:
        """The registry's, unless told otherwise."""
        return self._tier or self._registry.durability_tier()

    def signing_secrets(self) -> SigningSecrets:
        """Random for each object; gone with the program, as the promises are."""
        return self._secrets

    async def resolve_promise(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        """Resolve, also before anybody waits; the first resolution stays.

        Raises:
            InvalidJsonError: the value. LimitExceededError: it is over the payload limit, or the scope has too many
                promises.
        """
        text = _encoded(resolution)
        self._state.limits.check_payload_size(len(text.encode()), field="resolution")
        with self._state.lock:
            row = self._row(key.scope)
            if self._is_revoked(key):
                return UnknownOrRevoked()
            found = self._read(key, row)
            if found is not None:
                return AlreadyResolved(found)
            self._open(key, row).resolution_json = text
            self._tell(key.scope, row)
            return Accepted()

    async def peek_promise(self, key: AwaitEventKey) -> Resolution | None:
        """The resolution, or None. Raises: RuntimeFailure."""
        with self._state.lock:
            row = self._row(key.scope)
            self._refuse_revoked(key)
            return self._read(key, row)

    async def open_promise(self, key: AwaitEventKey) -> Resolution | None:
        """Create a pending promise unless there is one; its resolution, or None while pending.

        Raises:
            RuntimeFailure: ``await_event_unknown_or_revoked``. LimitExceededError: the scope has too many promises.
        """
        with self._state.lock:
            row = self._row(key.scope)
            self._refuse_revoked(key)
            found = self._read(key, row)
            if found is None:
                self._open(key, row)
            return found

    async def cancel_promises(self, scope: ExecutionScope) -> int:
        """Resolve the pending promises of one scope as cancelled, but for turn control; returns how many."""
        with self._state.lock:
            row = self._row(scope)
            if row is None:
                count = _cancel(self._state.scopes.promises.get(scope, {}).values())
                if count:
                    self._tell(scope, None)
                return count
            if row.record.is_terminal:
                return 0
            count = _cancel(row.promises.values())
            if count:
                self._tell(scope, row)
            return count

    async def cancel_session_promises(self, session_id: str) -> int:
        """As ``cancel_promises``, for every scope of a session."""
        with self._state.lock:
            count = sum(_cancel(self._state.scopes.promises[scope].values()) for scope in self._scopes_of(session_id))
            self._state.scope_changes.changed(_session_subject(session_id))
            return count

    async def revoke_session_promises(self, session_id: str) -> None:
        """Delete a session's promises and refuse its keys as long as this program lives. Safe to repeat."""
        with self._state.lock:
            self._state.scopes.revoked.add(session_id)
            for scope in self._scopes_of(session_id):
                del self._state.scopes.promises[scope]
            self._state.scope_changes.changed(_session_subject(session_id))

    async def forget_promises(self, session_id: str, scopes: Sequence[ExecutionScope]) -> int:
        """Delete what is left of scopes of one session that ended long ago; returns how many promises."""
        with self._state.lock:
            found = self._state.scopes.promises
            gone = [found.pop(scope, {}) for scope in scopes if scope.session_id == session_id]
            return sum(len(promises) for promises in gone)

    async def is_revoked(self, session_id: str) -> bool:
        """True once the session's promises were revoked."""
        with self._state.lock:
            return session_id in self._state.scopes.revoked

    @asynccontextmanager
    async def listening(self, key: AwaitEventKey) -> AsyncGenerator[asyncio.Event]:
        """An event that is set when the promise may have changed."""
        is_process = key.scope.kind == "process"
        hub = self._state.changes if is_process else self._state.scope_changes
        with hub.subscribed(key.scope.id if is_process else _subject(key.scope)) as waiter:
            yield waiter.event

    # -- under the lock ------------------------------------------------------------------------------

    def _row(self, scope: ExecutionScope) -> Row | None:
        return self._state.rows.get(scope.id) if scope.kind == "process" else None

    def _is_revoked(self, key: AwaitEventKey) -> bool:
        return key.scope.session_id is not None and key.scope.session_id in self._state.scopes.revoked

    def _refuse_revoked(self, key: AwaitEventKey) -> None:
        if self._is_revoked(key):
            raise RuntimeFailure(UNKNOWN_OR_REVOKED, f"no promise of scope `{key.scope.id}` under this key")

    def _read(self, key: AwaitEventKey, row: Row | None) -> Resolution | None:
        if row is not None:
            return resolution_of(row, key.key_id)
        stored = self._state.scopes.promises.get(key.scope, {}).get(key.key_id)
        return None if stored is None else stored.resolution

    def _open(self, key: AwaitEventKey, row: Row | None) -> StoredPromise:
        all_promises = self._state.scopes.promises
        promises = row.promises if row is not None else all_promises.get(key.scope, {})
        stored = promises.get(key.key_id)
        if stored is not None:
            return stored
        session_id, limit = key.scope.session_id, self._state.limits.promises_max
        count = len(promises)
        if session_id is not None:
            count = sum(len(all_promises[scope]) for scope in self._scopes_of(session_id))
        if count >= limit:
            raise LimitExceededError(
                f"scope `{key.scope.id}` has {limit} promises; that is the limit", field="promises", limit=limit
            )
        stored = promises[key.key_id] = StoredPromise(turn_control=key.wait.is_turn_control)
        if row is None:
            all_promises[key.scope] = promises
        if row is None and session_id is None:
            self._state.scopes.touched_ms[key.scope] = self._state.clock.now_ms()
        return stored

    def _tell(self, scope: ExecutionScope, row: Row | None) -> None:
        if scope.kind != "process":
            self._state.scope_changes.changed(_subject(scope))
            return
        self._state.changes.changed(scope.id)
        if row is not None:
            self._state.tell(row)

    def _scopes_of(self, session_id: str) -> list[ExecutionScope]:
        return [scope for scope in self._state.scopes.promises if scope.session_id == session_id]


def _subject(scope: ExecutionScope) -> str:
    return f"operation\n{scope.id}" if scope.session_id is None else _session_subject(scope.session_id)


def _session_subject(session_id: str) -> str:
    return f"session\n{session_id}"


def _cancel(promises: Iterable[StoredPromise]) -> int:
    count = 0
    for promise in promises:
        if promise.resolution_json is None and not promise.turn_control:
            promise.resolution_json = _CANCELLED
            count += 1
    return count


def _encoded(resolution: Resolution) -> str:
    facts = {name: getattr(resolution, name) for name in ("type", "value", "code", "message")}
    return canonical_json({name: fact for name, fact in facts.items() if fact is not None}, field="resolution")


_CANCELLED = _encoded(Resolution.cancelled())
