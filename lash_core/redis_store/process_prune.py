"""Retention over Redis (contract 2.11): terminal rows go with everything they own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lash_core.errors import CorruptRecordError
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import ChangeCursor, PruneReport
from lash_core.redis_store.commands import Command
from lash_core.redis_store.cursors import decode_feed_cursor, earliest_feed_cursor
from lash_core.redis_store.keys import PartitionKeys, TriggerKeys
from lash_core.redis_store.outbox_steps import prune_step
from lash_core.redis_store.process_grants import ProcessGrants
from lash_core.redis_store.replies import scored
from lash_core.redis_store.row_codec import decode_registration
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.session_deletion import session_state_keys
from lash_core.redis_store.trigger_codec import delivery_name

PAGE = 200
"""Rows looked at in one read."""

ROWS_A_CALL = 50
"""Rows of one script: 2,400 keys, about 2 ms."""

SEQUENCE_LEAD_MS = 600_000
"""How far a change sequence may run ahead of the clock that wrote ``updated_at_ms``: after a failover to a node whose
clock is behind. Rows beyond cutoff plus this are not looked at, so a prune costs what it removes, not what it keeps."""

RECEIPTS_A_CALL = 1_000
"""Receipts of trigger mutations that one prune forgets: about 3 ms."""

_NO_BOUND = 2**53


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that looked prunable, with the registration it had then."""

    process_id: str
    registration_hash: str


@dataclass(frozen=True, slots=True)
class Outside:
    """The session that a row wakes, and the trigger's delivery that started it."""

    session_id: str | None = None
    delivery: str | None = None


_NOTHING = Outside()


class ProcessPrune(ProcessGrants):
    """Prunes rows."""

    def earliest_cursor(self, cursors: Sequence[ChangeCursor]) -> ChangeCursor | None:
        """The position that none of these is behind, compared per partition; None for none.

        Raises:
            InvalidCursorError: this store did not issue one of them.
        """
        if not cursors:
            return None
        partitions = len(self._context.keyspace.partitions)
        return ChangeCursor(token=earliest_feed_cursor([cursor.token for cursor in cursors], partitions))

    async def prune_terminal_processes(
        self,
        cutoff_ms: int,
        filter: ProcessFilter | None = None,
        up_to_cursor: ChangeCursor | None = None,
        *,
        limit: int | None = None,
    ) -> PruneReport:
        """Delete terminal rows whose ``updated_at_ms < cutoff_ms``, with everything they own. Atomic per row.

        The script checks again that a row is terminal, old enough, not changed after the cursor, and of the same
        registration. Grants on it are removed at their sessions before the call returns. Works on a full server. Safe
        to repeat; after a lost reply the report may miss rows that are gone.

        Receipts of trigger mutations that are older than the cutoff go too, 1,000 a call.

        Args:
            cutoff_ms: rows updated at or after it stay.
            filter: None = every terminal row; a filter's default status is *running* and prunes nothing.
            up_to_cursor: rows changed after it stay, compared per partition.
            limit: rows at most.

        Raises:
            InvalidCursorError. OutcomeUnknownError: rows are gone, some sessions' sides are left to the outbox.
        """
        partitions = self._context.keyspace.partitions
        bounds = [_NO_BOUND] * len(partitions)
        if up_to_cursor is not None:
            bounds = decode_feed_cursor(up_to_cursor.token, len(partitions))
        last = (cutoff_ms + SEQUENCE_LEAD_MS) * 1_000
        processes = events = 0
        for keys, bound in zip(partitions, bounds, strict=True):
            after = 0
            while limit is None or processes < limit:
                size = PAGE if limit is None else min(PAGE, limit - processes)
                command = (
                    "ZRANGE",
                    keys.changes,
                    f"({after}",
                    min(bound, last),
                    "BYSCORE",
                    "LIMIT",
                    0,
                    size,
                    "WITHSCORES",
                )
                page = scored((await self._context.connection.read([Command(keys.changes, command)]))[0])
                if not page:
                    break
                after = page[-1][1]
                candidates = await self._candidates(keys, [process_id for process_id, _ in page], cutoff_ms, filter)
                for start in range(0, len(candidates), ROWS_A_CALL):
                    removed = await self._prune(keys, candidates[start : start + ROWS_A_CALL], cutoff_ms, bound)
                    processes += len(removed)
                    events += sum(removed)
        await self._forget_receipts(cutoff_ms)
        return PruneReport(pruned_processes=processes, pruned_events=events)

    async def _candidates(
        self,
        keys: PartitionKeys,
        process_ids: Sequence[str],
        cutoff_ms: int,
        filter: ProcessFilter | None,
    ) -> list[Candidate]:
        """Rows that look prunable; the script decides."""
        controls = [keys.control(process_id) for process_id in process_ids]
        facts = await self._context.connection.read(
            [Command(control, ("HMGET", control, "st", "ua", "ca", "dg")) for control in controls]
        )
        found: list[Candidate] = []
        for process_id, (status, updated, created, registration_hash) in zip(process_ids, facts, strict=True):
            if status not in (None, "r") and int(updated or created) < cutoff_ms:
                found.append(Candidate(process_id, registration_hash))
        if filter is None or not found:
            return found
        rows = await self._rows.read_rows([candidate.process_id for candidate in found])
        return [
            candidate
            for candidate, row in zip(found, rows, strict=True)
            if row is not None and not isinstance(row, CorruptRecordError) and filter.matches(row)
        ]

    async def _prune(
        self, keys: PartitionKeys, candidates: Sequence[Candidate], cutoff_ms: int, bound: int
    ) -> list[int]:
        """Prune in one script; returns the events removed of each row that went."""
        script_keys = [keys.changes, keys.meta, keys.owners, keys.leases, keys.marks, keys.outbox, keys.sessions]
        script_keys += [keys.session_leases, keys.session_expiries, keys.sessions_ready, keys.session_deaths]
        args: list[str | int] = [cutoff_ms, bound]
        for candidate, outside in zip(candidates, await self._outside(keys, candidates), strict=True):
            script_keys += _keys_of_row(keys, candidate.process_id)
            step = prune_step(candidate.process_id, candidate.registration_hash, outside.session_id, outside.delivery)
            args += [candidate.process_id, candidate.registration_hash, step, 0 if outside == _NOTHING else 1]
        call = Call("prune_processes", tuple(script_keys), tuple(args))
        reply = (await self._context.scripts.run([call]))[0]
        removed: list[int] = []
        for candidate, answer, entry_id in zip(candidates, reply[::2], reply[1::2], strict=True):
            if answer == "kept":
                continue
            self._rows.forget(candidate.process_id)
            removed.append(int(answer))
            entry = await self._entry(keys.index, entry_id) if entry_id else None
            if entry is not None:
                await self.carry_out([entry])
        return removed

    async def _outside(self, keys: PartitionKeys, candidates: Sequence[Candidate]) -> list[Outside]:
        """What each row has in other partitions beside its grants."""
        texts = [keys.registration(candidate.process_id) for candidate in candidates]
        found: list[Outside] = []
        replies = await self._context.connection.read([Command(key, ("GET", key)) for key in texts])
        for candidate, key, text in zip(candidates, texts, replies, strict=True):
            outside = _NOTHING
            # Few rows wake a session or come from a trigger; the others are not decoded.
            if text is not None and ('"wake_target"' in text or '"trigger_occurrence"' in text):
                try:
                    outside = _outside_of(decode_registration(candidate.process_id, text, key=key))
                except CorruptRecordError:
                    outside = _NOTHING
            found.append(outside)
        return found

    async def _forget_receipts(self, cutoff_ms: int) -> None:
        keys = TriggerKeys.of(self._context.keyspace.namespace)
        script_keys = (keys.receipts, keys.receipt_times, keys.meta)
        await self._context.scripts.run([Call("prune_mutation_receipts", script_keys, (cutoff_ms, RECEIPTS_A_CALL))])


def _outside_of(registration: ProcessRegistration) -> Outside:
    target, cause = registration.wake_target, registration.provenance.caused_by
    delivery = None
    if cause is not None and cause.occurrence_id is not None and cause.subscription_id is not None:
        delivery = delivery_name(cause.occurrence_id, cause.subscription_id)
    return Outside(None if target is None else target.session_id, delivery)


def _keys_of_row(keys: PartitionKeys, process_id: str) -> list[str]:
    """Every key of a row and of the two sessions it owns, in the order that the script names."""
    own = [
        keys.control(process_id),
        keys.registration(process_id),
        keys.events(process_id),
        keys.journal(process_id),
        keys.handovers(process_id),
        keys.wake_acks(process_id),
        keys.grant_scopes(process_id),
        keys.promises(process_id),
        keys.audit(process_id),
        keys.blobs(process_id),
    ]
    for session_id in (f"process-env:{process_id}", f"process-session-turn:{process_id}"):
        own += [
            *session_state_keys(keys, session_id),
            keys.session_grants(session_id),
            keys.session_wakes(session_id),
            keys.session_promises(session_id),
        ]
    return own
