"""Await-event promises over Redis (``docs/contracts/effects.md``, contract 5.5).

Promises of a process stand with its row and are judged with its status; those of a session's scopes in one hash of the
session, which also is its tombstone; those of a runtime operation are forgotten with its journal, and so are those of a
process that has no row, which its row never sees (docs/adr/0098).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from lash_core.errors import LimitExceededError, RuntimeFailure
from lash_core.model.await_event import (
    UNKNOWN_OR_REVOKED,
    Accepted,
    AlreadyResolved,
    AwaitEventKey,
    Resolution,
    ResolveOutcome,
    UnknownOrRevoked,
)
from lash_core.model.disposition import DurabilityTier
from lash_core.model.execution_scope import ExecutionScope
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.done_channels import DoneChannels
from lash_core.redis_store.event_codec import byte_size
from lash_core.redis_store.keys import scope_hash
from lash_core.redis_store.process_base import STALE_RETRIES_MAX, still_stale
from lash_core.redis_store.promise_codec import (
    REVOKED,
    decode_resolution,
    encode_resolution,
    pending_mark,
    promise_field,
)
from lash_core.redis_store.row_reader import RowReader, StoredRegistration
from lash_core.redis_store.scripts import Call
from lash_core.store.promise_store import SigningSecrets


class RedisPromiseStore:
    """``PromiseStore`` over Redis.

    Args:
        context: connection, scripts, keys and settings of one namespace.
        channels: subscriptions of those who wait; the registry's.
    """

    def __init__(self, context: RedisContext, channels: DoneChannels) -> None:
        self._context = context
        self._channels = channels
        self._rows = RowReader(context)

    def durability_tier(self) -> DurabilityTier:
        """Durable: promises survive this OS process."""
        return DurabilityTier.DURABLE

    def signing_secrets(self) -> SigningSecrets | None:
        """Read when the stores were opened; None where this client's role may not read them."""
        return self._context.signing

    async def resolve_promise(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        """Resolve, also before anybody waits. Atomic; safe to repeat (the second answer is ``AlreadyResolved``).

        Raises:
            InvalidJsonError: the value. LimitExceededError: it is over the payload limit, or the scope has too many
                promises.
        """
        text = encode_resolution(resolution)
        limits = self._context.settings.limits
        limits.check_payload_size(byte_size(text), field="resolution")
        field = promise_field(key)
        if key.scope.kind == "process":
            keys, process_id = self._context.keyspace.of_process(key.scope.id), key.scope.id
            args = (field, text, limits.promises_max, limits.notices_max)
            channels = (keys.owner_channel(""), keys.done_channel(process_id))
            reply = await self._tell("resolve_process_promise", process_id, *args, *channels)
        else:
            reply = ["unknown"]
        if reply[0] == "unknown":
            reply = await self._run_scope("resolve_scope_promise", key, text)
        match reply[0]:
            case "accepted":
                return Accepted()
            case "resolved" | "cancelled":
                return AlreadyResolved(self._terminal(key, reply))
            case "full":
                raise self._full(key)
            case _:
                return UnknownOrRevoked()

    async def peek_promise(self, key: AwaitEventKey) -> Resolution | None:
        """The resolution, or None.

        Raises:
            RuntimeFailure: ``await_event_unknown_or_revoked``.
        """
        field, name = promise_field(key), self._hash(key.scope)
        if key.scope.kind != "process":
            found = (await self._context.connection.read([Command(name, ("HMGET", name, field, REVOKED))]))[0]
            if found[1] is not None:
                raise _unknown(key)
            return decode_resolution(found[0], key=name)
        control = self._context.keyspace.of_process(key.scope.id).control(key.scope.id)
        # The status first: after a terminal one no resolution is accepted any more, so the pair is of one moment.
        status, text = await self._context.connection.read(
            [Command(control, ("HGET", control, "st")), Command(name, ("HGET", name, field))]
        )
        if status is None:
            loose = self._loose_hash(key.scope)
            found = (await self._context.connection.read([Command(loose, ("HGET", loose, field))]))[0]
            return decode_resolution(found, key=loose)
        resolution = decode_resolution(text, key=name)
        return Resolution.cancelled() if resolution is None and status != "r" else resolution

    async def open_promise(self, key: AwaitEventKey) -> Resolution | None:
        """Create a pending promise unless there is one; returns its resolution, or None while pending.

        Raises:
            RuntimeFailure: ``await_event_unknown_or_revoked``. LimitExceededError: the scope has too many promises.
        """
        if key.scope.kind == "process":
            keys, process_id = self._context.keyspace.of_process(key.scope.id), key.scope.id
            names = (keys.control(process_id), keys.promises(process_id))
            args = (promise_field(key), pending_mark(key), self._context.settings.limits.promises_max)
            reply = (await self._context.scripts.run([Call("open_process_promise", names, args)], durable=True))[0]
        else:
            reply = ["unknown"]
        if reply[0] == "unknown":
            reply = await self._run_scope("open_scope_promise", key, pending_mark(key))
        match reply[0]:
            case "pending":
                return None
            case "resolved" | "cancelled":
                return self._terminal(key, reply)
            case "full":
                raise self._full(key)
            case _:
                raise _unknown(key)

    async def cancel_promises(self, scope: ExecutionScope) -> int:
        """Resolve the pending promises of one scope as cancelled, but for turn control; returns how many.

        The process of a cancelled promise is told, as by a resolution. Safe to repeat.
        """
        text = encode_resolution(Resolution.cancelled())
        if scope.kind == "process":
            keys = self._context.keyspace.of_process(scope.id)
            args = (text, self._context.settings.limits.notices_max)
            channels = (keys.owner_channel(""), keys.done_channel(scope.id))
            reply = await self._tell("cancel_process_promises", scope.id, *args, *channels)
            if reply[0] != "unknown":
                return int(reply[1]) if reply[0] == "cancelled" else 0
        prefix = "" if scope.session_id is None else f"{scope_hash(scope)[:16]}:"
        return await self._sweep(self._loose_hash(scope), prefix)

    async def cancel_session_promises(self, session_id: str) -> int:
        """As ``cancel_promises``, for every scope of a session."""
        return await self._sweep(self._session_hash(session_id), "")

    async def revoke_session_promises(self, session_id: str) -> None:
        """Delete a session's promises and refuse its keys for ever. Safe to repeat."""
        call = Call("revoke_session_promises", (self._session_hash(session_id),), ())
        await self._context.scripts.run([call], durable=True)

    async def forget_promises(self, session_id: str, scopes: Sequence[ExecutionScope]) -> int:
        """Delete what is left of scopes of one session that ended long ago; returns how many promises."""
        prefixes = tuple(f"{scope_hash(scope)[:16]}:" for scope in scopes if scope.session_id == session_id)
        if not prefixes:
            return 0
        call = Call("forget_promises", (self._session_hash(session_id),), prefixes)
        return int((await self._context.scripts.run([call]))[0][1])

    async def is_revoked(self, session_id: str) -> bool:
        """True once the session's promises were revoked."""
        name = self._session_hash(session_id)
        return bool((await self._context.connection.read([Command(name, ("HEXISTS", name, REVOKED))]))[0])

    def listening(self, key: AwaitEventKey) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set when the promise may have changed: a hint, the stored promise is the truth."""
        if key.scope.kind == "process":
            return self._channels.listening(self._context.keyspace.of_process(key.scope.id).done_channel(key.scope.id))
        return self._channels.listening(self._hash(key.scope))

    async def _tell(self, script: str, process_id: str, *args: str | int) -> list[Any]:
        """A verb that may wake the row; ``unknown`` without one."""
        keys = self._context.keyspace.of_process(process_id)
        for _ in range(STALE_RETRIES_MAX):
            stored: StoredRegistration | None = await self._rows.registration(process_id)
            if stored is None:
                return ["unknown"]
            names = (keys.control(process_id), keys.promises(process_id), keys.owners, keys.marks)
            names += (keys.ready(stored.registration.queue), keys.notices)
            call = Call(script, names, (process_id, stored.hash, *args))
            reply: list[Any] = (await self._context.scripts.run([call], durable=True))[0]
            if reply[0] != "stale":
                return reply
            self._rows.forget(process_id)
        raise still_stale(process_id)

    async def _run_scope(self, script: str, key: AwaitEventKey, value: str) -> list[Any]:
        scope = key.scope
        name = scope_hash(scope) if scope.session_id is None else ""
        scopes = self._context.keyspace.of_scope(scope).scopes
        args = (promise_field(key), value, self._context.settings.limits.promises_max, name)
        names = (self._loose_hash(scope), scopes)
        return (await self._context.scripts.run([Call(script, names, args)], durable=True))[0]

    async def _sweep(self, name: str, prefix: str) -> int:
        call = Call("cancel_scope_promises", (name,), (prefix, encode_resolution(Resolution.cancelled())))
        return int((await self._context.scripts.run([call], durable=True))[0])

    def _hash(self, scope: ExecutionScope) -> str:
        """The key of the hash that has a scope's promises."""
        if scope.kind == "process":
            return self._context.keyspace.of_process(scope.id).promises(scope.id)
        return self._loose_hash(scope)

    def _loose_hash(self, scope: ExecutionScope) -> str:
        """The key of the hash that has the promises of a scope without a row."""
        if scope.session_id is not None:
            return self._session_hash(scope.session_id)
        return self._context.keyspace.of_scope(scope).scope_promises(scope_hash(scope))

    def _session_hash(self, session_id: str) -> str:
        return self._context.keyspace.of_session(session_id).session_promises(session_id)

    def _terminal(self, key: AwaitEventKey, reply: list[Any]) -> Resolution:
        resolution = decode_resolution(reply[1], key=self._hash(key.scope)) if reply[0] == "resolved" else None
        return resolution or Resolution.cancelled()

    def _full(self, key: AwaitEventKey) -> LimitExceededError:
        limit = self._context.settings.limits.promises_max
        return LimitExceededError(
            f"scope `{key.scope.id}` has {limit} promises; that is the limit", field="promises", limit=limit
        )


def _unknown(key: AwaitEventKey) -> RuntimeFailure:
    return RuntimeFailure(UNKNOWN_OR_REVOKED, f"no promise of scope `{key.scope.id}` under this key")
