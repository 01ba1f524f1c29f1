"""The journal of effects in memory: entries stand with their row, or with a scope that has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lash_core.errors import InvalidArgumentError, LimitExceededError, RegistrationConflictError
from lash_core.memory_store.registry import MemoryProcessRegistry
from lash_core.memory_store.row import Row, journal_size
from lash_core.memory_store.scope_effects import ScopeEffects
from lash_core.memory_store.start import PreparedStart, prepare_start, start_row
from lash_core.model.canonical_json import canonical_json
from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectWrite, WriteAnswer
from lash_core.model.facts import ProcessStarted
from lash_core.model.ids import check_replay_key
from lash_core.model.lease import ProcessLease

CONFLICT_CODE = "process_registration_conflict"
"""Code of a child start whose id has other content."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A checked write; ``start`` of a child that it starts."""

    write: EffectWrite
    start: PreparedStart | None


@dataclass(slots=True)
class _Plan:
    """What a call would write: the entries as they will stand, and how each item is answered."""

    entries: dict[str, EffectRecord]
    answers: list[tuple[EffectRecord, WriteAnswer]]
    starts: list[tuple[str, PreparedStart]]
    size: int = 0


class MemoryEffectJournal(ScopeEffects):
    """``EffectJournal`` in memory; lost with the OS process. May be called from any event loop and any thread.

    Args:
        registry: holds the rows; gives its lock, clock, limits and, unless told otherwise, its tier.
        durability_tier: what the journal reports; None: what the registry reports.
    """

    def __init__(self, registry: MemoryProcessRegistry, *, durability_tier: DurabilityTier | None = None) -> None:
        super().__init__(registry.state)
        self._registry = registry
        self._tier = durability_tier

    def durability_tier(self) -> DurabilityTier:
        """The registry's, unless told otherwise."""
        return self._tier or self._registry.durability_tier()

    async def load_effects(self, process_id: str) -> Mapping[str, EffectRecord]:
        """Every entry of a process by replay key; empty for an unknown process."""
        with self._state.lock:
            row = self._state.rows.get(process_id)
            return {} if row is None else {key: _detached(record) for key, record in row.journal.items()}

    async def record_effects(
        self, lease: ProcessLease, writes: Sequence[EffectWrite], *, first_started: ProcessStarted | None = None
    ) -> tuple[EffectAnswer, ...]:
        """Write entries of one process in one fenced unit; one answer per write, in order. Safe to repeat.

        Children are registered in the same unit.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError: nothing was written.
            LimitExceededError: the journal is full, or one outcome is over the payload limit.
            InvalidRegistrationError: a child start's registration.
        """
        items = [self._checked(write, lease.process_id) for write in writes]
        with self._state.lock:
            row = self._state.require(lease.process_id)
            now_ms = self._state.clock.now_ms()
            plan = _planned(row, items, now_ms)
            if plan.entries:
                self._state.check_write(row, lease)
                self._check_room(row, plan)
                for key, start in plan.starts:
                    plan.entries[key] = self._started(plan.entries[key], start)
                row.journal.update(plan.entries)
                row.journal_bytes += plan.size
                row.accept_fenced_write()
                if first_started is not None and row.record.first_started is None:
                    self._state.touch(row, first_started=first_started, updated_at_ms=now_ms)
            return tuple(
                EffectAnswer.of_word(
                    _detached(row.journal[record.key] if record.state == "starting" else record), now_ms, word
                )
                for record, word in plan.answers
            )

    def _checked(self, write: EffectWrite, process_id: str) -> _Item:
        check_replay_key(write.key)
        limits = self._state.limits
        size = len((write.outcome_json or "").encode())
        limits.check_payload_size(size, field="outcome", process_id=process_id)
        if write.state != "starting":
            return _Item(write, None)
        if write.start is None:
            raise InvalidArgumentError(f"effect `{write.key}` starts a process and does not say which", field="start")
        child = write.start
        return _Item(write, prepare_start(self._state, child.registration, child.grant_to, child.descriptor))

    def _check_room(self, row: Row, plan: _Plan) -> None:
        limits, process_id = self._state.limits, row.record.id
        entries = len(row.journal) + sum(key not in row.journal for key in plan.entries)
        bytes_ = row.journal_bytes + plan.size
        for field, value, limit in (
            ("journal_entries", entries, limits.journal_entries_max),
            ("journal_bytes", bytes_, limits.journal_bytes_max),
        ):
            if value > limit:
                raise LimitExceededError(
                    f"process `{process_id}` would pass the limit of its journal: {field} {limit}",
                    field=field,
                    value=value,
                    limit=limit,
                    process_id=process_id,
                )

    def _started(self, record: EffectRecord, start: PreparedStart) -> EffectRecord:
        try:
            start_row(self._state, start)
        except RegistrationConflictError as error:
            facts = {"code": CONFLICT_CODE, "message": error.message}
            return replace(record, state="failed", outcome_json=canonical_json(facts))
        outcome = {"id": start.registration.id}
        return replace(record, state="completed", outcome_json=canonical_json(outcome))


def _planned(row: Row, items: Sequence[_Item], now_ms: int) -> _Plan:
    plan = _Plan({}, [], [])
    for item in items:
        write = item.write
        stored = plan.entries.get(write.key) or row.journal.get(write.key)
        record, word = write.taken_over(stored, now_ms)
        plan.answers.append((record, word))
        if word == "written":
            plan.size += journal_size(record) - (0 if stored is None else journal_size(stored))
            plan.entries[write.key] = record
            if item.start is not None:
                plan.starts.append((write.key, item.start))
    return plan


def _detached(record: EffectRecord) -> EffectRecord:
    """A record of the reader's own: the decoded outcome, once asked for, stays with it."""
    return replace(record)
