"""One process as the in-memory stores keep it, and what its facts say about claiming it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lash_core.model.audit import AUDIT_ENTRIES_MAX, AuditEntry
from lash_core.model.await_event import Resolution
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect_record import EffectRecord
from lash_core.model.event import ProcessEvent
from lash_core.model.lease import ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ProcessSegmentHandover

NEVER = math.inf
"""Due time of a row that has nothing to do until something happens."""


Mark = Literal["cancel", "signal"]
DeathEvidence = Literal["expired", "provably_dead"]


@dataclass(slots=True)
class Holding:
    """A lease on a row. ``claimant`` asked for it: the worker's own identity when it was taken in a batch."""

    lease: ProcessLease
    claimant: LeaseOwnerIdentity


@dataclass(slots=True)
class StoredPromise:
    """One promise: canonical JSON of its resolution, None while pending. Sweeps leave turn control alone."""

    resolution_json: str | None = None
    turn_control: bool = False

    @property
    def resolution(self) -> Resolution | None:
        """How it ended, as a value of the reader's own; None while pending."""
        return None if self.resolution_json is None else Resolution.model_validate_json(self.resolution_json)


@dataclass(slots=True)
class Row:
    """One process with everything it owns.

    ``due_ms`` counts only while the row is running and not held; ``parked``: its run gave it back to wait.
    ``death_writes`` is the number of fenced writes at the last death. ``marks`` are what happened since the holder's
    last renewal, cancels and other events; ``mark_count`` counts them since its claim. ``watchers`` are the processes
    that are told of its end.
    """

    record: ProcessRecord
    change_sequence: int = 0
    events: list[ProcessEvent] = field(default_factory=list[ProcessEvent])
    replay: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    log_bytes: int = 0
    acknowledged_wakes: set[int] = field(default_factory=set[int])
    handovers: dict[int, ProcessSegmentHandover] = field(default_factory=dict[int, ProcessSegmentHandover])
    audit: deque[AuditEntry] = field(default_factory=lambda: deque(maxlen=AUDIT_ENTRIES_MAX))
    holding: Holding | None = None
    due_ms: float = NEVER
    death_writes: int = 0
    released_token: str = ""
    marks: set[Mark] = field(default_factory=set["Mark"])
    mark_count: int = 0
    parked: bool = False
    watchers: tuple[str, ...] = ()
    journal: dict[str, EffectRecord] = field(default_factory=dict[str, EffectRecord])
    journal_bytes: int = 0
    promises: dict[str, StoredPromise] = field(default_factory=dict[str, "StoredPromise"])

    def update(self, **facts: Any) -> None:
        """Replace fields of the record."""
        self.record = self.record.model_copy(update=facts)

    def accept_fenced_write(self) -> None:
        """Count a write made under a lease. From here on a repeat of an earlier release is no longer known as one."""
        self.update(fenced_writes=self.record.fenced_writes + 1)
        self.released_token = ""

    def drop_effect(self, key: str) -> None:
        """Forget a journal entry, if there is one."""
        record = self.journal.pop(key, None)
        if record is not None:
            self.journal_bytes -= journal_size(record)

    def checkpoint(self) -> Row:
        """A copy of the log and the facts, to go back to when a later event of one unit is refused."""
        return replace(self, events=list(self.events), replay=dict(self.replay), marks=set(self.marks))

    @property
    def is_ready(self) -> bool:
        """True for a row that stands in its queue: running and not held."""
        return self.holding is None and not self.record.is_terminal

    def restore(self, saved: Row) -> None:
        """Go back to a checkpoint. Waiters that were told already read again and find nothing new."""
        names = ("record", "change_sequence", "events", "replay", "log_bytes", "due_ms", "marks", "mark_count")
        for name in names:
            setattr(self, name, getattr(saved, name))


def journal_size(record: EffectRecord) -> int:
    """Bytes of a journal entry."""
    texts = (record.key, record.kind.value, record.envelope_hash, record.digests, record.outcome_json or "")
    return sum(len(text.encode()) for text in texts)


def resolution_of(row: Row, key_id: str) -> Resolution | None:
    """How a promise of a process ended; what was open at the row's end is cancelled (decision 32)."""
    stored = row.promises.get(key_id)
    found = None if stored is None else stored.resolution
    return Resolution.cancelled() if found is None and row.record.is_terminal else found


def may_be_offered(record: ProcessRecord) -> bool:
    """False for an externally owned row: only an abandon request gives a worker something to do with it."""
    return record.disposition is not RecoveryDisposition.EXTERNALLY_OWNED or record.abandon_request is not None


def waits_for_something(row: Row) -> bool:
    """True for a parked row: an event, a promise or the end of another process may be what it waits for."""
    record = row.record
    if record.is_terminal or record.disposition is RecoveryDisposition.EXTERNALLY_OWNED or record.attempt == 0:
        return False
    return (row.parked or row.due_ms == NEVER or record.wait is not None) and may_run_again(record)


def may_run_again(record: ProcessRecord) -> bool:
    """False for rows that wait for evidence or a person: externally owned ones, and started owner-bound ones."""
    started = record.disposition is RecoveryDisposition.OWNER_BOUND and record.first_started is not None
    return may_be_offered(record) and (not started or record.abandon_request is not None)
