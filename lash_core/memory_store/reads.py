"""Reads: rows, lists, counts, the change feed, audit (contract 2.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lash_core.errors import InvalidArgumentError, InvalidCursorError
from lash_core.memory_store.detach import detached_record
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.row import Row
from lash_core.model.audit import AuditEntry
from lash_core.model.canonical_json import canonical_json
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ChangeCursor, LiveReference, ProcessChanges, ProcessPage

_CURSOR_PREFIX = "memory:"
_PAGE_PREFIX = "after:"


class ReadOperations(RegistryPart):
    """What is there, as copies of the caller's own."""

    async def get_process(self, process_id: str) -> ProcessRecord | None:
        """The row, or None when there is none."""
        with self._state.lock:
            row = self._state.rows.get(process_id)
            return detached_record(row.record) if row is not None else None

    async def get_processes(self, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """Rows by id, in order, None for an absent one."""
        return tuple([await self.get_process(process_id) for process_id in process_ids])

    async def list_processes(self, filter: ProcessFilter | None = None) -> tuple[ProcessRecord, ...]:
        """All matching rows by id."""
        with self._state.lock:
            return tuple(detached_record(row.record) for row in self._matching(filter))

    async def list_non_terminal(self) -> tuple[ProcessRecord, ...]:
        """All running rows by id."""
        return await self.list_processes(ProcessFilter(status="running"))

    async def list_processes_page(
        self,
        filter: ProcessFilter | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> ProcessPage:
        """A bounded page of matching rows; here by id."""
        if limit < 1:
            raise InvalidArgumentError(f"limit is {limit}; it must be at least 1", field="limit", value=limit)
        limit = min(limit, self._state.limits.page_max)
        if cursor is not None and not cursor.startswith(_PAGE_PREFIX):
            raise InvalidCursorError(f"page cursor {cursor[:80]!r} is not of this store", field="cursor", value=cursor)
        after = "" if cursor is None else cursor.removeprefix(_PAGE_PREFIX)
        with self._state.lock:
            items: list[ProcessRecord] = []
            for row in self._matching(filter):
                if row.record.id <= after:
                    continue
                if len(items) == limit:
                    return ProcessPage(items=tuple(items), next_cursor=_PAGE_PREFIX + items[-1].id)
                items.append(detached_record(row.record))
            return ProcessPage(items=tuple(items))

    async def count_processes(self, filter: ProcessFilter | None = None) -> int:
        """Number of matching rows."""
        with self._state.lock:
            return sum(1 for _ in self._matching(filter))

    async def filter_unregistered(self, process_ids: Sequence[str]) -> tuple[str, ...]:
        """The ids without a row, in input order."""
        with self._state.lock:
            return tuple(process_id for process_id in process_ids if process_id not in self._state.rows)

    async def live_reference_summary(self) -> tuple[LiveReference, ...]:
        """Running rows grouped by definition and environment, ordered by both."""
        with self._state.lock:
            records = [row.record for row in self._matching(None)]
        definitions = {canonical_json(record.identity.definition): record.identity.definition for record in records}
        counts = Counter((canonical_json(record.identity.definition), record.env_ref) for record in records)
        return tuple(
            LiveReference(definition=definitions[text], env_ref=env_ref, count=count)
            for (text, env_ref), count in sorted(counts.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        )

    async def processes_changed_since(self, cursor: ChangeCursor, limit: int) -> ProcessChanges:
        """Rows changed after ``cursor``, latest state once per row."""
        after = decode_cursor(cursor)
        if limit < 0:
            raise InvalidArgumentError(f"limit is {limit}; it must be at least 0", field="limit", value=limit)
        with self._state.lock:
            changed = [row for row in self._state.rows.values() if row.change_sequence > after]
            changed.sort(key=lambda row: row.change_sequence)
            page = changed[:limit]
            end = encode_cursor(page[-1].change_sequence) if page else cursor
            return ProcessChanges(records=tuple(detached_record(row.record) for row in page), cursor=end)

    async def audit_entries(self, process_id: str) -> tuple[AuditEntry, ...]:
        """The newest audit entries of a row, oldest first."""
        with self._state.lock:
            return tuple(self._state.require(process_id).audit)

    def _matching(self, filter: ProcessFilter | None) -> Iterator[Row]:
        wanted = filter or ProcessFilter()
        for process_id in sorted(self._state.rows):
            row = self._state.rows[process_id]
            if wanted.matches(row.record):
                yield row


def encode_cursor(sequence: int) -> ChangeCursor:
    """The cursor behind a change sequence; the initial one for 0."""
    return ChangeCursor(token=f"{_CURSOR_PREFIX}{sequence}") if sequence else ChangeCursor.initial()


def decode_cursor(cursor: ChangeCursor) -> int:
    """The change sequence of a cursor of this store, 0 for the initial one.

    Raises:
        InvalidCursorError: another store's cursor, or none at all.
    """
    if not cursor.token:
        return 0
    number = cursor.token.removeprefix(_CURSOR_PREFIX)
    if not cursor.token.startswith(_CURSOR_PREFIX) or not (number.isascii() and number.isdigit()):
        raise InvalidCursorError(
            f"change cursor {cursor.token[:80]!r} is not of this store", field="cursor", value=cursor.token
        )
    return int(number)
