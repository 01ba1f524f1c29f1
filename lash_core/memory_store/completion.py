"""Terminal writes: by authority without a lease, or fenced together with the release (contract 2.7, decision 4)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import AlreadyTerminalError, LashError
from lash_core.memory_store.detach import detached_record
from lash_core.memory_store.ledger import check_payload_size, find_replay, prepared, write_event
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.row import Row
from lash_core.model.await_output import AnyAwaitOutput, FailureOutput
from lash_core.model.completion import POISON_CODE, check_authority, terminal_append
from lash_core.model.event import MaterializedSemantics, ProcessEventAppendRequest
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease
from lash_core.model.materialize import check_append, materialize
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import CompletionAuthority
from lash_core.store.process_batches import BatchOutcome, LeasedCompletion


class CompletionOperations(RegistryPart):
    """``complete_process``, ``complete_process_with_lease`` and its batch form."""

    async def complete_process(
        self, process_id: str, output: AnyAwaitOutput, authority: CompletionAuthority
    ) -> ProcessRecord:
        """Write the terminal event without a lease, by authority. A held lease stays until it expires."""
        request = prepared(terminal_append(process_id, output, authority))
        with self._state.lock:
            row = self._state.require(process_id)
            if find_replay(row, request) is None:
                check_authority(process_id, row.record.disposition, authority, output)
                semantics = self._check_terminal(row, request)
                write_event(self._state, row, request, semantics, self._state.clock.now_ms())
                self._state.mark(row, "signal")
                self._state.tell_watchers(row)
            return detached_record(row.record)

    async def complete_process_with_lease(
        self, lease: ProcessLease, output: AnyAwaitOutput, *, first_started: ProcessStarted | None = None
    ) -> ProcessRecord:
        """Write the terminal event and release the lease in one fenced unit."""
        return self._complete(lease, output, first_started)

    async def complete_processes_with_lease(self, completions: Sequence[LeasedCompletion]) -> tuple[BatchOutcome, ...]:
        """Many, one answer per item; atomic per item."""
        return tuple(self._complete_item(item) for item in completions)

    def _complete_item(self, item: LeasedCompletion) -> BatchOutcome:
        process_id = item.lease.process_id
        try:
            self._complete(item.lease, item.output, item.first_started)
        except LashError as error:
            return BatchOutcome(process_id=process_id, error=error)
        return BatchOutcome(process_id=process_id)

    def _complete(
        self, lease: ProcessLease, output: AnyAwaitOutput, first_started: ProcessStarted | None
    ) -> ProcessRecord:
        process_id = lease.process_id
        request = prepared(terminal_append(process_id, output))
        with self._state.lock:
            row = self._state.require(process_id)
            if find_replay(row, request) is None:
                self._state.check_write(row, lease)
                semantics = self._check_terminal(row, request)
                self._state.let_go(row)
                if first_started is not None and row.record.first_started is None:
                    row.update(first_started=first_started)
                write_event(self._state, row, request, semantics, self._state.clock.now_ms())
                row.update(fenced_writes=row.record.fenced_writes + 1)
                self._note_ending(row, output)
                self._state.tell_watchers(row)
            return detached_record(row.record)

    def _check_terminal(self, row: Row, request: ProcessEventAppendRequest) -> MaterializedSemantics:
        record = row.record
        event_type = check_append(record.id, record.event_type(request.event_type), request)
        semantics = materialize(record.id, len(row.events) + 1, event_type, request.payload)
        if record.is_terminal:
            raise AlreadyTerminalError(record.id, record.status.state)
        check_payload_size(self._state, row, request)
        return semantics

    def _note_ending(self, row: Row, output: AnyAwaitOutput) -> None:
        if output.state == "abandoned":
            self._state.note(row, "abandon", **output.evidence.to_json_value())
        elif isinstance(output, FailureOutput) and output.code == POISON_CODE:
            self._state.note(row, "poison", deaths=row.record.deaths)
