"""Reads for views of processes: a session's, the newest, tails (``docs/contracts/observation.md`` 7)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.memory_store.detach import detached_event, detached_record
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.reads import decode_cursor, encode_cursor
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessHandleGrant
from lash_core.model.process_filter import FilterStatus
from lash_core.model.reports import ChangeCursor, ProcessChanges
from lash_core.store.process_observation import (
    NEWEST_LOOKED_AT_MAX,
    PAGE_MAX,
    TAIL_MAX,
    SessionProcess,
    SessionProcessPage,
)


class ObservationReads(RegistryPart):
    """``ProcessObservation``."""

    async def processes_of_session(
        self, session_id: str, *, live_only: bool = False, limit: int = 50
    ) -> SessionProcessPage:
        """Processes that the session has a handle on or is woken by, newest first."""
        with self._state.lock:
            grants: dict[str, list[ProcessHandleGrant]] = {}
            for key, grant in sorted(self._state.grants.items()):
                if key[0] == session_id:
                    grants.setdefault(key[2], []).append(grant)
            found: list[SessionProcess] = []
            for process_id, row in self._state.rows.items():
                target = row.record.wake_target
                wakes = target is not None and target.session_id == session_id
                if (wakes or process_id in grants) and not (live_only and row.record.is_terminal):
                    found.append(SessionProcess(row.record, tuple(grants.get(process_id, ())), wakes))
            found.sort(key=lambda one: (one.record.created_at_ms, one.record.id), reverse=True)
            shown = tuple(
                SessionProcess(detached_record(one.record), one.grants, one.wakes)
                for one in found[: min(max(limit, 0), PAGE_MAX)]
            )
            return SessionProcessPage(shown, len(found))

    async def newest_changes(
        self, limit: int, *, status: FilterStatus = "any", after: ChangeCursor | None = None
    ) -> ProcessChanges:
        """The rows that changed last, newest first, and the end of the feed."""
        behind = decode_cursor(after or ChangeCursor.initial())
        with self._state.lock:
            rows = sorted(self._state.rows.values(), key=lambda row: row.change_sequence, reverse=True)
            end = max(rows[0].change_sequence if rows else 0, behind)
            looked_at = [row for row in rows[:NEWEST_LOOKED_AT_MAX] if row.change_sequence > behind]
            found = [row for row in looked_at if status in ("any", row.record.status.state)]
            records = tuple(detached_record(row.record) for row in found[: min(max(limit, 0), PAGE_MAX)])
            return ProcessChanges(records=records, cursor=encode_cursor(end))

    async def recent_events_of(self, process_ids: Sequence[str], limit: int) -> tuple[tuple[ProcessEvent, ...], ...]:
        """The last events of each process."""
        tail = min(max(limit, 0), TAIL_MAX)
        with self._state.lock:
            rows = [self._state.rows.get(process_id) for process_id in process_ids]
            return tuple(
                () if row is None or tail == 0 else tuple(detached_event(event) for event in row.events[-tail:])
                for row in rows
            )
