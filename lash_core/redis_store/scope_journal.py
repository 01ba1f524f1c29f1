"""Journals of scopes without a lease: turns, drains, runtime operations (contract 5.3).

Each effect is claimed, executed and finalized under a claim of its own, whose token names its owner. An expired claim
is taken over with its due time.
"""

from __future__ import annotations

import secrets
from typing import Any

from lash_core.model.effect_record import (
    EffectClaim,
    EffectClaimed,
    EffectConflict,
    EffectInProgress,
    EffectRecord,
    EffectRecorded,
    EffectWrite,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.event_codec import byte_size
from lash_core.redis_store.journal_codec import STATE_LETTERS, decode_entry, effect_head
from lash_core.redis_store.keys import PartitionKeys, scope_hash
from lash_core.redis_store.scripts import Call
from lash_core.store.scope_claims import check_claim, claim_lost, scope_journal_full

FORGET_PAGE = 100
"""Scopes of one script call: their journals are deleted while the server waits."""


class ScopeJournal:
    """The part of ``EffectJournal`` for scopes without a lease."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    @property
    def backend(self) -> str:
        """``redis``."""
        return "redis"

    async def claim_effect(self, scope: ExecutionScope, write: EffectWrite, *, owner: str, ttl_ms: int) -> EffectClaim:
        """Begin an effect, or learn that it has an outcome, is under way, or is another effect. Safe to repeat.

        Raises:
            LimitExceededError: the scope's journal is full (``journal_entries``).
        """
        key, token = check_claim(write.key, ttl_ms), secrets.token_hex(8)
        limit = self._context.settings.limits.journal_entries_max
        delay = "" if write.delay_ms is None else str(write.delay_ms)
        args = (key, effect_head(write), write.digests, delay, owner, token, ttl_ms, limit)
        reply = await self._run("claim_effect", scope, *args)
        match reply[0]:
            case "claimed":
                return EffectClaimed(token, int(reply[1]), int(reply[2]) if reply[2] else None)
            case "recorded":
                return EffectRecorded(self._decode(scope, key, reply[2]), int(reply[1]))
            case "busy":
                return EffectInProgress(int(reply[1]))
            case "conflict":
                return EffectConflict(self._decode(scope, key, reply[2]))
            case _:
                raise scope_journal_full(scope, limit)

    async def renew_effect(self, scope: ExecutionScope, key: str, token: str, *, ttl_ms: int) -> None:
        """Extend a claim.

        Raises:
            RuntimeFailure: ``redis_effect_replay_lease_lost``.
        """
        if await self._run("renew_effect", scope, key, token, ttl_ms) == "lost":
            raise claim_lost(self.backend, key)

    async def finalize_effect(self, scope: ExecutionScope, write: EffectWrite, token: str) -> EffectRecord:
        """Record an outcome under a live claim. Safe to repeat: the same outcome again answers what is stored.

        Raises:
            RuntimeFailure: ``redis_effect_replay_lease_lost``; nothing was recorded.
            LimitExceededError: the outcome is over the payload limit.
        """
        outcome = write.outcome_json or "null"
        self._context.settings.limits.check_payload_size(byte_size(outcome), field="outcome")
        args = (write.key, effect_head(write), token, STATE_LETTERS[write.state], outcome)
        reply = await self._run("finalize_effect", scope, *args)
        if reply[0] == "lost":
            raise claim_lost(self.backend, write.key)
        return self._decode(scope, write.key, reply[1])

    async def find_effect(self, scope: ExecutionScope, key: str) -> EffectRecord | None:
        """The entry of a scope without a lease, or None; one under way is ``waiting``."""
        journal = self._keys(scope).scope_journal(scope_hash(scope))
        text = (await self._context.connection.read([Command(journal, ("HGET", journal, key))]))[0]
        return None if text is None else self._decode(scope, key, text)

    async def forget_effects(self, older_than_ms: int, limit: int) -> int:
        """Delete journals of lease-less scopes that nobody touched for ``older_than_ms``; returns how many scopes.

        Promises of runtime operations go with them. Safe to repeat.
        """
        forgotten = 0
        for keys in self._context.keyspace.partitions:
            while forgotten < limit:
                size = min(FORGET_PAGE, limit - forgotten)
                oldest = ("ZRANGE", keys.scopes, 0, size - 1)
                hashes = (await self._context.connection.read([Command(keys.scopes, oldest)]))[0]
                if not hashes:
                    break
                names = [name for one in hashes for name in (keys.scope_journal(one), keys.scope_promises(one))]
                call = Call("forget_scopes", (keys.scopes, *names), (older_than_ms, *hashes))
                count = int((await self._context.scripts.run([call]))[0])
                forgotten += count
                if count < len(hashes):
                    break
        return forgotten

    def _keys(self, scope: ExecutionScope) -> PartitionKeys:
        return self._context.keyspace.of_scope(scope)

    async def _run(self, script: str, scope: ExecutionScope, *args: str | int) -> Any:
        keys, name = self._keys(scope), scope_hash(scope)
        call = Call(script, (keys.scope_journal(name), keys.scopes), (name, *args))
        return (await self._context.scripts.run([call], durable=True))[0]

    def _decode(self, scope: ExecutionScope, replay_key: str, text: str) -> EffectRecord:
        key = self._keys(scope).scope_journal(scope_hash(scope))
        return decode_entry(replay_key, text, key=key).record
