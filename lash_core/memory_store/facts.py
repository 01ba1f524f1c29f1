"""Facts beside the status: start, abandon request, wait, cancel seen, handovers (contract 2.9, 2.10)."""

from __future__ import annotations

from typing import Any

from lash_core.errors import HandoverConflictError, TerminalProcessError
from lash_core.memory_store.detach import detached_record
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.row import Row
from lash_core.model.facts import AbandonRequest, ProcessStarted, WaitState
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ProcessSegmentHandover


class FactOperations(RegistryPart):
    """First writers win; what is written for a run is fenced by its lease (decision 24)."""

    async def record_first_started(
        self, process_id: str, started: ProcessStarted, *, lease: ProcessLease | None = None
    ) -> ProcessRecord:
        """Record the first start; later calls change nothing."""
        with self._state.lock:
            row = self._state.require(process_id)
            # Only the very same fact is a repeat: a run that lost its lease must not read another's start as its own.
            if row.record.first_started != started:
                self._check(row, lease)
                if row.record.first_started is None:
                    self._write(row, lease, first_started=started)
            return detached_record(row.record)

    async def request_abandon(self, process_id: str, request: AbandonRequest) -> ProcessRecord:
        """Allow a process to be abandoned; the first request stays. The row is offered to a worker at once."""
        with self._state.lock:
            row = self._state.require(process_id)
            if row.record.is_terminal:
                raise TerminalProcessError(
                    f"terminal process `{process_id}` cannot accept an abandon request", process_id=process_id
                )
            if row.record.abandon_request is None:
                self._write(row, None, abandon_request=request)
                if row.holding is None:
                    self._state.schedule(row, self._state.clock.now_ms())
            return detached_record(row.record)

    async def set_wait(self, process_id: str, wait: WaitState, *, lease: ProcessLease | None = None) -> ProcessRecord:
        """Say what the process waits for; overwrites."""
        with self._state.lock:
            row = self._state.require(process_id)
            self._check(row, lease)
            if row.record.is_terminal:
                raise TerminalProcessError(
                    f"terminal process `{process_id}` cannot enter a wait state", process_id=process_id
                )
            self._write(row, lease, wait=wait)
            return detached_record(row.record)

    async def clear_wait(self, process_id: str, *, lease: ProcessLease | None = None) -> ProcessRecord:
        """Clear the wait; always bumps updated_at."""
        with self._state.lock:
            row = self._state.require(process_id)
            self._check(row, lease)
            self._write(row, lease, wait=None)
            return detached_record(row.record)

    async def mark_cancel_seen(self, lease: ProcessLease) -> None:
        """Record that the run has seen the cancel request; the first time stays. Not in the change feed."""
        with self._state.lock:
            row = self._state.require(lease.process_id)
            self._state.check_write(row, lease)
            request = row.record.cancel_request
            if request is not None and request.seen_at_ms is None:
                seen = request.model_copy(update={"seen_at_ms": self._state.clock.now_ms()})
                row.update(cancel_request=seen)
                row.accept_fenced_write()

    async def put_handover(
        self, process_id: str, handover: ProcessSegmentHandover, *, lease: ProcessLease | None = None
    ) -> None:
        """Store a continuation; the newest two ordinals are kept."""
        with self._state.lock:
            row = self._state.require(process_id)
            stored = row.handovers.get(handover.ordinal)
            if stored == handover:
                return
            self._check(row, lease)
            if stored is not None:
                raise HandoverConflictError(process_id, handover.ordinal)
            row.handovers[handover.ordinal] = handover
            for ordinal in [found for found in row.handovers if found < handover.ordinal - 1]:
                del row.handovers[ordinal]
            if lease is not None:
                row.accept_fenced_write()

    async def get_handover(self, process_id: str, ordinal: int) -> ProcessSegmentHandover | None:
        """The continuation at an ordinal."""
        with self._state.lock:
            row = self._state.rows.get(process_id)
            return row.handovers.get(ordinal) if row is not None else None

    async def latest_handover(self, process_id: str) -> ProcessSegmentHandover | None:
        """The continuation of the highest ordinal."""
        with self._state.lock:
            row = self._state.rows.get(process_id)
            return row.handovers[max(row.handovers)] if row is not None and row.handovers else None

    async def delete_handovers(self, process_id: str) -> None:
        """Drop all continuations of a process."""
        with self._state.lock:
            row = self._state.rows.get(process_id)
            if row is not None:
                row.handovers.clear()

    def _check(self, row: Row, lease: ProcessLease | None) -> None:
        if lease is not None:
            self._state.check_write(row, lease)

    def _write(self, row: Row, lease: ProcessLease | None, **facts: Any) -> None:
        if lease is not None:
            row.accept_fenced_write()
        self._state.touch(row, updated_at_ms=self._state.clock.now_ms(), **facts)
