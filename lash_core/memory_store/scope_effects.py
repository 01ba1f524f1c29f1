"""Effects of scopes without a lease, in memory: each is claimed, executed and finalized (contract 5.3)."""

from __future__ import annotations

import secrets
from dataclasses import replace

from lash_core.memory_store.scope_state import ScopeEntry
from lash_core.memory_store.state import RegistryState
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
from lash_core.store.scope_claims import check_claim, claim_lost, scope_journal_full


class ScopeEffects:
    """The part of ``EffectJournal`` for scopes without a lease."""

    def __init__(self, state: RegistryState) -> None:
        self._state = state

    @property
    def backend(self) -> str:
        """``memory``."""
        return "memory"

    async def claim_effect(self, scope: ExecutionScope, write: EffectWrite, *, owner: str, ttl_ms: int) -> EffectClaim:
        """Begin an effect, or learn that it has an outcome, is under way, or is another effect.

        Raises:
            LimitExceededError: the scope's journal is full (``journal_entries``).
        """
        check_claim(write.key, ttl_ms)
        with self._state.lock:
            now_ms = self._state.clock.now_ms()
            entry = self._find(scope, write.key)
            if entry is None:
                entry = self._begun(scope, write, now_ms)
            elif (entry.record.kind, entry.record.envelope_hash) != (write.kind, write.envelope_hash):
                return EffectConflict(replace(entry.record))
            elif entry.record.is_final:
                return EffectRecorded(replace(entry.record), now_ms)
            elif entry.until_ms > now_ms:
                return EffectInProgress(entry.until_ms)
            # A taken-over effect keeps its due time: it stands in the record.
            entry.token, entry.until_ms = secrets.token_hex(8), now_ms + ttl_ms
            self._touch(scope, now_ms)
            return EffectClaimed(entry.token, now_ms, entry.record.due_at_ms)

    def _begun(self, scope: ExecutionScope, write: EffectWrite, now_ms: int) -> ScopeEntry:
        limit, journal = self._state.limits.journal_entries_max, self._state.scopes.journals.get(scope, {})
        if len(journal) >= limit:
            raise scope_journal_full(scope, limit)
        record = EffectRecord(
            key=write.key,
            kind=write.kind,
            state="waiting",
            envelope_hash=write.envelope_hash,
            digests=write.digests,
            due_at_ms=None if write.delay_ms is None else now_ms + write.delay_ms,
        )
        entry = journal[write.key] = ScopeEntry(record)
        self._state.scopes.journals[scope] = journal
        return entry

    async def renew_effect(self, scope: ExecutionScope, key: str, token: str, *, ttl_ms: int) -> None:
        """Extend a claim.

        Raises:
            RuntimeFailure: ``memory_effect_replay_lease_lost``.
        """
        with self._state.lock:
            now_ms = self._state.clock.now_ms()
            self._live(scope, key, token, now_ms).until_ms = now_ms + ttl_ms
            self._touch(scope, now_ms)

    async def finalize_effect(self, scope: ExecutionScope, write: EffectWrite, token: str) -> EffectRecord:
        """Record an outcome under a live claim. Safe to repeat: the same outcome again answers what is stored.

        Raises:
            RuntimeFailure: ``memory_effect_replay_lease_lost``; nothing was recorded.
            LimitExceededError: the outcome is over the payload limit.
        """
        outcome = write.outcome_json or "null"
        self._state.limits.check_payload_size(len(outcome.encode()), field="outcome")
        with self._state.lock:
            found = self._find(scope, write.key)
            if found is not None and found.record == _final(found.record, write, outcome):
                return replace(found.record)
            now_ms = self._state.clock.now_ms()
            entry = self._live(scope, write.key, token, now_ms)
            if (entry.record.kind, entry.record.envelope_hash) != (write.kind, write.envelope_hash):
                raise claim_lost(self.backend, write.key)
            entry.record = _final(entry.record, write, outcome)
            entry.token, entry.until_ms = "", 0
            self._touch(scope, now_ms)
            return replace(entry.record)

    async def find_effect(self, scope: ExecutionScope, key: str) -> EffectRecord | None:
        """The entry of a scope without a lease, or None; one under way is ``waiting``."""
        with self._state.lock:
            entry = self._find(scope, key)
            return None if entry is None else replace(entry.record)

    async def forget_effects(self, older_than_ms: int, limit: int) -> int:
        """Delete journals of lease-less scopes that nobody touched for ``older_than_ms``; returns how many scopes.

        Promises of runtime operations go with them. Safe to repeat.
        """
        scopes = self._state.scopes
        with self._state.lock:
            before_ms = self._state.clock.now_ms() - older_than_ms
            old = [scope for scope, touched_ms in scopes.touched_ms.items() if touched_ms <= before_ms]
            old = sorted(old, key=lambda scope: scopes.touched_ms[scope])[: max(limit, 0)]
            for scope in old:
                del scopes.touched_ms[scope]
                scopes.journals.pop(scope, None)
                if scope.session_id is None:
                    scopes.promises.pop(scope, None)
            return len(old)

    def _find(self, scope: ExecutionScope, key: str) -> ScopeEntry | None:
        return self._state.scopes.journals.get(scope, {}).get(key)

    def _touch(self, scope: ExecutionScope, now_ms: int) -> None:
        self._state.scopes.touched_ms[scope] = now_ms

    def _live(self, scope: ExecutionScope, key: str, token: str, now_ms: int) -> ScopeEntry:
        entry = self._find(scope, key)
        if entry is None or entry.record.is_final or entry.token != token or entry.until_ms <= now_ms:
            raise claim_lost(self.backend, key)
        return entry


def _final(record: EffectRecord, write: EffectWrite, outcome: str) -> EffectRecord:
    return replace(record, kind=write.kind, envelope_hash=write.envelope_hash, state=write.state, outcome_json=outcome)
