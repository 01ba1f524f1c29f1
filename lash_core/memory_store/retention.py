"""Pruning of terminal rows with everything they own (contract 2.11, decision 31)."""

from __future__ import annotations

from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.reads import decode_cursor
from lash_core.memory_store.row import Row
from lash_core.model.environment import process_env_session_id, process_turn_session_id
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.reports import ChangeCursor, PruneReport


class RetentionOperations(RegistryPart):
    """Retention is the host's lever: nothing here ever runs by itself."""

    async def prune_terminal_processes(
        self,
        cutoff_ms: int,
        filter: ProcessFilter | None = None,
        up_to_cursor: ChangeCursor | None = None,
        *,
        limit: int | None = None,
    ) -> PruneReport:
        """Delete terminal rows older than the cutoff that match, oldest id first."""
        newest = None if up_to_cursor is None else decode_cursor(up_to_cursor)
        with self._state.lock:
            doomed = [
                row
                for _, row in sorted(self._state.rows.items())
                if row.record.is_terminal
                and row.record.updated_at_ms < cutoff_ms
                and (filter is None or filter.matches(row.record))
                and (newest is None or row.change_sequence <= newest)
            ]
            doomed = doomed if limit is None else doomed[: max(limit, 0)]
            for row in doomed:
                self._remove(row)
        await self._delete_owned_sessions(doomed)
        await self._forget_deliveries(doomed, cutoff_ms)
        return PruneReport(pruned_processes=len(doomed), pruned_events=sum(len(row.events) for row in doomed))

    async def _delete_owned_sessions(self, doomed: list[Row]) -> None:
        sessions = self._state.session_store_factory
        if sessions is None:
            return
        for row in doomed:
            await sessions.delete_session(process_env_session_id(row.record.id))
            await sessions.delete_session(process_turn_session_id(row.record.id))

    async def _forget_deliveries(self, doomed: list[Row], cutoff_ms: int) -> None:
        triggers = self._state.trigger_store
        if triggers is None:
            return
        causes = [row.record.provenance.caused_by for row in doomed]
        await triggers.drop_deliveries(
            [
                (cause.occurrence_id, cause.subscription_id)
                for cause in causes
                if cause is not None and cause.occurrence_id is not None and cause.subscription_id is not None
            ]
        )
        await triggers.prune_mutation_receipts(cutoff_ms)

    def _remove(self, row: Row) -> None:
        state, process_id = self._state, row.record.id
        del state.rows[process_id]
        state.held.pop(process_id, None)
        for key in [key for key in state.grants if key[2] == process_id]:
            del state.grants[key]
        # A waiter for a later event of this row would wait for ever; it reads again and finds the id unknown.
        state.changes.changed(process_id)
