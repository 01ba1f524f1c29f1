"""Waiting for events and ends: subscribe first, then read, so that no change is missed (contract 3.11)."""

from __future__ import annotations

from lash_core.memory_store.detach import detached_event, detached_record
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.row import Row
from lash_core.model.event import ProcessEvent
from lash_core.model.record import ProcessRecord


class WaitOperations(RegistryPart):
    """Waits without polling. The caller bounds them."""

    async def wait_event_after(self, process_id: str, event_type: str, after_sequence: int) -> ProcessEvent:
        """The first event of a type strictly after a sequence, history first."""
        after = max(after_sequence, 0)
        with self._state.changes.subscribed(process_id) as waiter:
            while True:
                with self._state.lock:
                    row = self._state.require(process_id)
                    found = _first_of_type(row, event_type, after)
                    after = max(after, len(row.events))
                if found is not None:
                    return detached_event(found)
                await waiter.wait()

    async def await_terminal(self, process_id: str) -> ProcessRecord:
        """The row once it is terminal; at once when it is."""
        with self._state.changes.subscribed(process_id) as waiter:
            while True:
                with self._state.lock:
                    record = self._state.require(process_id).record
                if record.is_terminal:
                    return detached_record(record)
                await waiter.wait()

    def waited_for(self) -> tuple[str, ...]:
        """Ids that somebody waits for now; for tests and tools."""
        return self._state.changes.waited_for()


def _first_of_type(row: Row, event_type: str, after: int) -> ProcessEvent | None:
    return next((event for event in row.events[after:] if event.event_type == event_type), None)
