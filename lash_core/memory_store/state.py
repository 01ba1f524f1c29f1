"""What an in-memory registry knows, and the few moves all its operations are made of.

One lock guards everything: an operation takes it, checks, writes, tells, and lets go, without an await in between.
So every operation is one atomic unit, on one event loop as well as between threads.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from lash_core.clock import Clock
from lash_core.errors import InvalidArgumentError, LeaseLostError, StoreBehindError, UnknownProcessError
from lash_core.memory_store.hub import ChangeHub, NoticeHub
from lash_core.model.audit import AUDIT_ENTRIES_MAX, AuditEntry, AuditKind
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessHandleGrant
from lash_core.model.lease import ProcessLease
from lash_core.model.limits import Limits
from lash_core.model.owner import LeaseOwnerIdentity, ProcessTable
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ProcessSegmentHandover
from lash_core.store.session_store import SessionStoreFactory

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
class Row:
    """One process with everything it owns.

    ``due_ms`` counts only while the row is running and not held. ``death_writes`` is the number of fenced writes at
    the last death. ``marks`` are what happened since the holder's last renewal, cancels and other events; ``marked``
    says that anything did since its claim.
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
    marked: bool = False

    def update(self, **facts: Any) -> None:
        """Replace fields of the record."""
        self.record = self.record.model_copy(update=facts)

    def accept_fenced_write(self) -> None:
        """Count a write made under a lease. From here on a repeat of an earlier release is no longer known as one."""
        self.update(fenced_writes=self.record.fenced_writes + 1)
        self.released_token = ""

    def checkpoint(self) -> Row:
        """A copy of the log and the facts, to go back to when a later event of one unit is refused."""
        return replace(self, events=list(self.events), replay=dict(self.replay), marks=set(self.marks))

    def restore(self, saved: Row) -> None:
        """Go back to a checkpoint. Waiters that were told already read again and find nothing new."""
        for name in ("record", "change_sequence", "events", "replay", "log_bytes", "due_ms", "marks", "marked"):
            setattr(self, name, getattr(saved, name))


class RefreshedEnvironments(Protocol):
    """The part of an environment store that a registry uses."""

    def refresh(self, ref: str) -> bool:
        """Refresh the age of an environment as a put would."""
        ...


class RegistryState:
    """Rows, grants and counters of one registry; shared by its copies.

    Args:
        clock: the store's clock; decides expiry, due times and fences.
        limits: what is refused.
        process_table: what this process can see of its own host, for reclaims by proof; None proves nothing.
        session_store_factory: holds the sessions that processes own; None: there are none.
        environments: holds the environments that rows name; None: there are none.
    """

    def __init__(
        self,
        clock: Clock,
        limits: Limits,
        process_table: ProcessTable | None,
        session_store_factory: SessionStoreFactory | None,
        environments: RefreshedEnvironments | None = None,
    ) -> None:
        self.clock = clock
        self._environments = environments
        self.limits = limits
        self.process_table = process_table
        self.session_store_factory = session_store_factory
        self.lock = threading.RLock()
        self.rows: dict[str, Row] = {}
        self.held: dict[str, Row] = {}
        self.grants: dict[tuple[str, str, str], ProcessHandleGrant] = {}
        self.changes = ChangeHub(self.lock)
        self.notices = NoticeHub(self.lock, limits.notices_max)
        self._ready: dict[str, list[tuple[float, str]]] = {}
        self._last_fence = 0
        self._last_change = 0

    # -- rows ----------------------------------------------------------------------------------

    def refresh_environment(self, env_ref: str | None) -> None:
        """Keep what a row is about to name from the sweep (docs/adr/0151)."""
        if env_ref is not None and self._environments is not None:
            with suppress(InvalidArgumentError):
                self._environments.refresh(env_ref)

    def require(self, process_id: str) -> Row:
        """The row of an id.

        Raises:
            UnknownProcessError: there is none.
        """
        row = self.rows.get(process_id)
        if row is None:
            raise UnknownProcessError(process_id)
        return row

    def touch(self, row: Row, **facts: Any) -> None:
        """Change facts of a row: its record, the change feed, those who wait for it."""
        row.update(**facts)
        self._last_change = max(self._last_change + 1, self.clock.now_us())
        row.change_sequence = self._last_change
        self.changes.changed(row.record.id)

    def next_fence(self) -> int:
        """A fence above every earlier one (decision 16): by the clock, so that even a new registry's are higher."""
        self._last_fence = max(self._last_fence + 1, self.clock.now_us())
        return self._last_fence

    def note(self, row: Row, kind: AuditKind, **evidence: Any) -> None:
        """Add an audit entry. Declines in a row are one entry with a count, so that they push out no evidence."""
        if kind == "decline" and row.audit and row.audit[-1].kind == "decline":
            evidence["count"] = row.audit.pop().evidence.get("count", 1) + 1
        row.audit.append(AuditEntry(kind=kind, at_ms=self.clock.now_ms(), evidence=evidence))

    # -- the ready queues ------------------------------------------------------------------------

    def schedule(self, row: Row, due_ms: float) -> None:
        """Say when a running, unheld row may be claimed; tells workers when that is now."""
        row.due_ms = due_ms
        if due_ms == NEVER:
            return
        heapq.heappush(self._ready.setdefault(row.record.queue, []), (due_ms, row.record.id))
        if due_ms <= self.clock.now_ms():
            self.notices.ready(row.record.id)

    def take_due(self, queue: str, now_ms: int) -> Iterator[Row]:
        """Due rows of a queue, oldest first; each is the caller's to hold. Entries that rows have left are dropped."""
        heap = self._ready.get(queue, [])
        while heap and heap[0][0] <= now_ms:
            due_ms, process_id = heapq.heappop(heap)
            row = self.rows.get(process_id)
            if row is not None and self.is_ready(row) and row.due_ms == due_ms and row.record.queue == queue:
                yield row

    def is_ready(self, row: Row) -> bool:
        """True for a row that stands in its queue: running and not held."""
        return row.holding is None and not row.record.is_terminal

    # -- leases ----------------------------------------------------------------------------------

    def hold(self, row: Row, holding: Holding) -> None:
        """Put a row under a lease."""
        row.holding = holding
        self.held[row.record.id] = row

    def let_go(self, row: Row, *, declined: bool = False) -> None:
        """End a row's lease; the caller says when it may be claimed next.

        A lease that ends counts as an attempt, but for a declined one and one that outlived the process.
        """
        row.holding = None
        row.marks.clear()
        row.marked = False
        self.held.pop(row.record.id, None)
        if not declined and not row.record.is_terminal:
            row.update(attempt=row.record.attempt + 1)

    def mark(self, row: Row, mark: Mark) -> None:
        """Tell the holder of a row that something happened to it; the next renewal hands the mark back."""
        if row.holding is not None:
            row.marks.add(mark)
            row.marked = True
            self.notices.holder(mark, row.record.id, row.holding.lease.owner)

    def live_holding(self, row: Row) -> Holding | None:
        """The row's lease when it has not expired."""
        holding = row.holding
        return holding if holding is not None and holding.lease.is_live(self.clock.now_ms()) else None

    def require_live_holding(self, row: Row, lease: ProcessLease) -> Holding:
        """The live holding that ``lease`` is.

        Raises:
            LeaseLostError: the row is not held, held by another acquisition, or the lease has expired.
        """
        holding = row.holding
        if holding is None:
            raise LeaseLostError(row.record.id, "released")
        if not holding.lease.same_acquisition(lease):
            raise LeaseLostError(row.record.id, "taken")
        if not holding.lease.is_live(self.clock.now_ms()):
            raise LeaseLostError(row.record.id, "expired")
        return holding

    def check_write(self, row: Row, lease: ProcessLease) -> None:
        """Refuse a write of a run that does not hold the row any more, or that the store has fallen behind.

        Raises:
            LeaseLostError: no such lease, or expired.
            StoreBehindError: the row has fewer fenced writes than the lease had acknowledged.
        """
        self.require_live_holding(row, lease)
        stored = row.record.fenced_writes
        if stored < lease.fenced_writes:
            raise StoreBehindError(row.record.id, acknowledged=lease.fenced_writes, stored=stored)

    def count_death(self, row: Row, kind: AuditKind, evidence: DeathEvidence, **taken_by: str) -> None:
        """Count the death of a row's holder (DESIGN 4, poison): in a row only without a fenced write in between."""
        record, holding = row.record, row.holding
        if holding is None or record.is_terminal:
            return
        repeated = record.deaths > 0 and record.fenced_writes == row.death_writes
        row.death_writes = record.fenced_writes
        row.update(deaths=record.deaths + 1 if repeated else 1)
        lease = holding.lease
        self.note(
            row,
            kind,
            deaths=row.record.deaths,
            evidence=evidence,
            expires_at_ms=lease.expires_at_epoch_ms,
            fencing_token=lease.fencing_token,
            owner_id=lease.owner.owner_id,
            incarnation_id=lease.owner.incarnation_id,
            **taken_by,
        )


def may_be_offered(record: ProcessRecord) -> bool:
    """False for an externally owned row: only an abandon request gives a worker something to do with it."""
    return record.disposition is not RecoveryDisposition.EXTERNALLY_OWNED or record.abandon_request is not None


def may_run_again(record: ProcessRecord) -> bool:
    """False for rows that wait for evidence or a person: externally owned ones, and started owner-bound ones."""
    started = record.disposition is RecoveryDisposition.OWNER_BOUND and record.first_started is not None
    return may_be_offered(record) and (not started or record.abandon_request is not None)
