"""What an in-memory registry knows, and the few moves all its operations are made of.

One lock guards everything: an operation takes it, checks, writes, tells, and lets go, without an await in between.
So every operation is one atomic unit, on one event loop as well as between threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from lash_core.clock import Clock
from lash_core.errors import InvalidArgumentError, LeaseLostError, StoreBehindError, UnknownProcessError
from lash_core.memory_store.hub import ChangeHub, NoticeHub
from lash_core.memory_store.ready_queues import ReadyQueues
from lash_core.memory_store.row import NEVER, DeathEvidence, Holding, Mark, Row, waits_for_something
from lash_core.memory_store.scope_state import ScopeState
from lash_core.model.audit import AuditEntry, AuditKind
from lash_core.model.event import ProcessEventAppendResult, ProcessWakeDelivery
from lash_core.model.facts import ProcessHandleGrant
from lash_core.model.lease import ProcessLease
from lash_core.model.limits import Limits
from lash_core.model.owner import ProcessTable
from lash_core.store.runtime_persistence import SessionStoreFactory
from lash_core.store.trigger_store import TriggerStore


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
        environments: holds the environments that rows name; None: there are none.
    """

    def __init__(
        self,
        clock: Clock,
        limits: Limits,
        process_table: ProcessTable | None,
        environments: RefreshedEnvironments | None = None,
    ) -> None:
        self.clock = clock
        self._environments = environments
        self.limits = limits
        self.process_table = process_table
        self.session_store_factory: SessionStoreFactory | None = None
        self.trigger_store: TriggerStore | None = None
        self.lock = threading.RLock()
        self.rows: dict[str, Row] = {}
        self.held: dict[str, Row] = {}
        self.grants: dict[tuple[str, str, str], ProcessHandleGrant] = {}
        self.changes = ChangeHub(self.lock)
        self.notices = NoticeHub(self.lock, limits.notices_max)
        self.scopes = ScopeState()
        self.scope_changes = ChangeHub(self.lock)
        self.on_wake: Callable[[ProcessWakeDelivery], str | None] | None = None
        """Queues a wake for its session; answers why it could not. None: wakes are nobody's business here."""
        self._ready = ReadyQueues(self.rows)
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
        """Add an audit entry. Declines in a row are one entry with a count, and parks: they push out no evidence."""
        if kind in ("decline", "park") and row.audit and row.audit[-1].kind == kind:
            evidence["count"] = row.audit.pop().evidence.get("count", 1) + 1
        row.audit.append(AuditEntry(kind=kind, at_ms=self.clock.now_ms(), evidence=evidence))

    def deliver_wake(self, row: Row, result: ProcessEventAppendResult) -> None:
        """Queue the wake of an event that was just appended; one that cannot be queued is noted (decision 33)."""
        delivery = result.wake_delivery
        if delivery is None or result.replayed or self.on_wake is None:
            return
        reason = self.on_wake(delivery)
        if reason is not None:
            session_id = delivery.target_session_id
            self.note(row, "wake_dropped", reason=reason, sequence=delivery.sequence, session_id=session_id)

    # -- the ready queues ------------------------------------------------------------------------

    def schedule(self, row: Row, due_ms: float) -> None:
        """Say when a running, unheld row may be claimed; tells workers when that is now, or before all others."""
        row.due_ms = due_ms
        if due_ms == NEVER:
            return
        now_ms = self.clock.now_ms()
        is_first = self._ready.put(row, now_ms)
        if due_ms <= now_ms:
            self.notices.ready(row.record.id)
        elif is_first:
            self.notices.due(row.record.id, int(due_ms))

    def take_due(self, queue: str, now_ms: int) -> Iterator[Row]:
        """Due rows of a queue, oldest first; each is the caller's to hold."""
        return self._ready.take(queue, now_ms)

    def next_due_ms(self) -> int | None:
        """The earliest due time after now, of any queue."""
        return self._ready.next_after(self.clock.now_ms())

    def due_entries(self) -> int:
        """Entries of the queues, stale ones included; for tests of their bound."""
        return len(self._ready)

    def is_ready(self, row: Row) -> bool:
        """True for a row that stands in its queue: running and not held."""
        return row.is_ready

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
        row.mark_count = 0
        row.parked = False
        self.held.pop(row.record.id, None)
        if not declined and not row.record.is_terminal:
            row.update(attempt=row.record.attempt + 1)

    def mark(self, row: Row, mark: Mark) -> None:
        """Tell the holder of a row that something happened to it; the next renewal hands the mark back."""
        if row.holding is not None:
            row.marks.add(mark)
            row.mark_count += 1
            self.notices.holder(mark, row.record.id, row.holding.lease.owner)

    def tell(self, row: Row) -> None:
        """Something happened that may end a wait of the row's run: its holder hears of it, a parked row is due now.

        A row that is merely due later, stands back after deaths, or waits for a person is left alone.
        """
        if row.holding is not None:
            self.mark(row, "signal")
        elif waits_for_something(row) and row.due_ms > self.clock.now_ms():
            self.schedule(row, self.clock.now_ms())

    def tell_watchers(self, row: Row) -> None:
        """Tell those who watch a row of its end, once. Called when the unit that ended it stands."""
        if not row.record.is_terminal:
            return
        watchers, row.watchers = row.watchers, ()
        for watcher_id in watchers:
            watcher = self.rows.get(watcher_id)
            if watcher is not None:
                self.tell(watcher)

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
