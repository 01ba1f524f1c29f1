"""Events: append, read, acknowledge, count (contract 2.5, 2.6)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import LashError, LimitExceededError
from lash_core.memory_store.detach import detached_event
from lash_core.memory_store.ledger import append, prepared
from lash_core.memory_store.part import RegistryPart
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest, ProcessEventAppendResult
from lash_core.model.lease import ProcessLease


class EventOperations(RegistryPart):
    """The event log of a process."""

    async def append_event(
        self, process_id: str, request: ProcessEventAppendRequest, *, lease: ProcessLease | None = None
    ) -> ProcessEventAppendResult:
        """Append one event: replay lookup, sequence, event, status, change feed in one unit."""
        request = prepared(request)
        with self._state.lock:
            row = self._state.require(process_id)
            result = append(self._state, row, request, lease, self._state.clock.now_ms())
            if lease is not None and not result.replayed:
                row.accept_fenced_write()
            self._state.deliver_wake(row, result)
            self._state.tell_watchers(row)
            return _detached(result)

    async def append_events(
        self, process_id: str, requests: Sequence[ProcessEventAppendRequest], *, lease: ProcessLease | None = None
    ) -> tuple[ProcessEventAppendResult, ...]:
        """Append several events of one process, all or nothing."""
        limit = self._state.limits.batch_max
        if len(requests) > limit:
            raise LimitExceededError(
                f"a batch of {len(requests)} events; the limit is {limit}",
                field="requests",
                value=len(requests),
                limit=limit,
                process_id=process_id,
            )
        ready = [prepared(request) for request in requests]
        with self._state.lock:
            row = self._state.require(process_id)
            saved = row.checkpoint()
            try:
                now_ms = self._state.clock.now_ms()
                results = [append(self._state, row, request, lease, now_ms) for request in ready]
            except LashError:
                row.restore(saved)
                if row.is_ready:
                    self._state.schedule(row, row.due_ms)
                raise
            # The batch is one write of the run, however many events it has.
            if lease is not None and not all(result.replayed for result in results):
                row.accept_fenced_write()
            for result in results:
                self._state.deliver_wake(row, result)
            self._state.tell_watchers(row)
            return tuple(_detached(result) for result in results)

    async def events_after(self, process_id: str, sequence: int) -> tuple[ProcessEvent, ...]:
        """Events strictly after ``sequence``, ascending."""
        with self._state.lock:
            row = self._state.require(process_id)
            return tuple(detached_event(event) for event in row.events[max(sequence, 0) :])

    async def wake_events_after(self, process_id: str, sequence: int) -> tuple[ProcessEvent, ...]:
        """Events after ``sequence`` whose wake materialized and that are not acknowledged."""
        with self._state.lock:
            row = self._state.require(process_id)
            return tuple(
                detached_event(event)
                for event in row.events[max(sequence, 0) :]
                if event.semantics.wake is not None and event.sequence not in row.acknowledged_wakes
            )

    async def ack_wake(self, process_id: str, sequence: int) -> None:
        """Acknowledge a wake; idempotent."""
        with self._state.lock:
            self._state.require(process_id).acknowledged_wakes.add(sequence)

    async def count_events_through(self, process_id: str, event_type: str, sequence: int) -> int:
        """Events of a type up to and including ``sequence``."""
        with self._state.lock:
            row = self._state.require(process_id)
            return sum(event.event_type == event_type for event in row.events[: max(sequence, 0)])

    async def recent_events(self, process_id: str, limit: int) -> tuple[ProcessEvent, ...]:
        """The last ``limit`` events, ascending."""
        with self._state.lock:
            row = self._state.require(process_id)
            start = max(len(row.events) - max(limit, 0), 0)
            return tuple(detached_event(event) for event in row.events[start:])


def _detached(result: ProcessEventAppendResult) -> ProcessEventAppendResult:
    return result.model_copy(update={"event": detached_event(result.event)})
