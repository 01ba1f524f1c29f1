"""What the fleet's own loops ask (``ProcessMaintenance``). One partition, no outbox, no failover."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.reads import decode_cursor
from lash_core.model.reports import ChangeCursor
from lash_core.store.process_maintenance import FleetFacts
from lash_core.store.process_notices import ProcessNotices


class MaintenanceOperations(RegistryPart):
    """Housekeeping. In memory every unit is atomic, so nothing is ever left to deliver or to drop."""

    def partition_count(self) -> int:
        """1."""
        return 1

    def notices(self) -> ProcessNotices:
        """A new ear; close it."""
        return self._state.notices.open()

    def earliest_cursor(self, cursors: Sequence[ChangeCursor]) -> ChangeCursor | None:
        """The lowest of these positions, None for none."""
        return min(cursors, key=decode_cursor, default=None)

    def next_due_ms(self) -> Mapping[int, int]:
        """The earliest due time after now of the only partition; empty when there is none."""
        with self._state.lock:
            due_ms = self._state.next_due_ms()
        return {} if due_ms is None else {0: due_ms}

    async def ready_at_ms(self, process_id: str) -> float | None:
        """When a row that nobody holds may be claimed; infinite: something has to happen first; None: no such row."""
        with self._state.lock:
            row = self._state.rows.get(process_id)
            return row.due_ms if row is not None and self._state.is_ready(row) else None

    async def deliver_outbox(self, *, min_age_ms: int, limit: int) -> int:
        """0: no step is left for another partition."""
        return 0

    async def drop_unused_owners(self, limit: int) -> int:
        """0: identities live in the leases."""
        return 0

    async def fleet_facts(self) -> FleetFacts:
        """Gauges for the exporter and ``doctor``."""
        with self._state.lock:
            now_ms = self._state.clock.now_ms()
            rows = list(self._state.rows.values())
            waiting = [row for row in rows if self._state.is_ready(row)]
            due = [row for row in waiting if row.due_ms <= now_ms]
            oldest: dict[str, int] = {}
            for row in due:
                queue = row.record.queue
                oldest[queue] = max(oldest.get(queue, 0), now_ms - int(row.due_ms))
            held = list(self._state.held.values())
            return FleetFacts(
                processes=dict(Counter(row.record.status.state for row in rows)),
                ready=dict(Counter(row.record.queue for row in due)),
                delayed=dict(Counter(row.record.queue for row in waiting if row.due_ms > now_ms)),
                oldest_ready_ms=oldest,
                leases=len(held),
                leases_by_queue=dict(Counter(row.record.queue for row in held)),
                server_time_ms=now_ms,
            )

    def store_warnings(self) -> tuple[str, ...]:
        """Empty."""
        return ()

    async def grace_until_ms(self) -> int | None:
        """None: nothing can be promoted."""
        return None

    async def check_writable(self) -> float:
        """The time in ms to get the lock."""
        started = time.perf_counter()
        with self._state.lock:
            return (time.perf_counter() - started) * 1_000

    async def server_time_ms(self) -> int:
        """The clock."""
        return self._state.clock.now_ms()
