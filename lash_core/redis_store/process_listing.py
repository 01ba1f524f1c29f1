"""Listings, counts and the change feed over Redis (contract 1.12, 2.6; DESIGN 3.2).

``T:chg`` of a partition names all its rows. Exact listings page it with ZSCAN, which returns every row that is there
from beginning to end of the scan; pages and the feed go by change sequence, which only rises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence

from lash_core.errors import CorruptRecordError, InvalidArgumentError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ChangeCursor, LiveReference, ProcessChanges, ProcessPage
from lash_core.redis_store.commands import Command
from lash_core.redis_store.cursors import (
    decode_feed_cursor,
    decode_page_cursor,
    encode_feed_cursor,
    encode_page_cursor,
)
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.process_base import ProcessRegistryBase
from lash_core.redis_store.replies import scored
from lash_core.redis_store.row_codec import STATUS_LETTERS

SCAN_PAGE = 500
"""Rows of one ZSCAN step and of one read: about 1 ms of the server's time."""

FEED_IDS_MAX = 20_000
"""Ids that one feed read looks at over all partitions; beyond it partitions take turns."""

_DEFAULT = ProcessFilter()


class ProcessListing(ProcessRegistryBase):
    """Reads over many rows. Rows that cannot be decoded raise: a listing that leaves one out would lie."""

    async def list_processes(self, filter: ProcessFilter | None = None) -> tuple[ProcessRecord, ...]:
        """All matching rows by id. Exact and O(all rows): for tools. The default filter lists running ones.

        Raises:
            CorruptRecordError, NewerRecordError.
        """
        wanted = filter or _DEFAULT
        rows = [record async for record in self._each_row(wanted.status) if wanted.matches(record)]
        return tuple(sorted(rows, key=lambda record: record.id))

    async def list_non_terminal(self) -> tuple[ProcessRecord, ...]:
        """All running rows by id. Exact and O(all rows): for tools; workers use ``claim_ready_processes``."""
        return await self.list_processes(_DEFAULT)

    async def list_processes_page(
        self,
        filter: ProcessFilter | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> ProcessPage:
        """At most ``limit`` matching rows in no stated order, from at most ``page_max`` rows looked at.

        A page may be short or empty and still have a next one. A row that changes between two pages may come twice;
        none that is there throughout is left out.

        Raises:
            InvalidArgumentError: ``limit`` is below 1. InvalidCursorError, CorruptRecordError, NewerRecordError.
        """
        if limit < 1:
            raise InvalidArgumentError(f"limit is {limit}; it must be at least 1", field="limit", value=limit)
        wanted = filter or _DEFAULT
        partitions = self._context.keyspace.partitions
        index, after = decode_page_cursor(cursor, len(partitions))
        budget = self._context.settings.limits.page_max
        items: list[ProcessRecord] = []
        while index < len(partitions) and len(items) < limit and budget > 0:
            size = min(SCAN_PAGE, budget)
            found = await self._changed(partitions[index : index + 1], [after], size)
            budget -= max(len(found[0]), 1)
            for sequence, record in await self._records(found[0], wanted.status):
                after = sequence
                if record is not None and wanted.matches(record):
                    items.append(record)
                    if len(items) == limit:
                        return ProcessPage(items=tuple(items), next_cursor=encode_page_cursor(index, after))
            if len(found[0]) < size:
                index, after = index + 1, 0
        next_cursor = encode_page_cursor(index, after) if index < len(partitions) else None
        return ProcessPage(items=tuple(items), next_cursor=next_cursor)

    async def count_processes(self, filter: ProcessFilter | None = None) -> int:
        """Number of matching rows; one read a partition when only the status is given, else O(all rows)."""
        wanted = filter or _DEFAULT
        if wanted != ProcessFilter(status=wanted.status):
            matching = [True async for record in self._each_row(wanted.status) if wanted.matches(record)]
            return len(matching)
        letters = STATUS_LETTERS.values() if wanted.status == "any" else [STATUS_LETTERS[wanted.status]]
        names = [f"n:{letter}" for letter in letters]
        commands = [Command(keys.meta, ("HMGET", keys.meta, *names)) for keys in self._context.keyspace.partitions]
        return sum(int(count or 0) for counts in await self._context.connection.read(commands) for count in counts)

    async def filter_unregistered(self, process_ids: Sequence[str]) -> tuple[str, ...]:
        """The ids without a row, in input order."""
        if not process_ids:
            return ()
        commands: list[Command] = []
        for process_id in process_ids:
            key = self._keys(process_id).control(process_id)
            commands.append(Command(key, ("EXISTS", key)))
        found = await self._context.connection.read(commands)
        return tuple(process_id for process_id, exists in zip(process_ids, found, strict=True) if not exists)

    async def live_reference_summary(self) -> tuple[LiveReference, ...]:
        """Running rows grouped by definition and environment, in the order of their JSON. O(all rows)."""
        counts: Counter[tuple[str, str]] = Counter()
        shown: dict[tuple[str, str], LiveReference] = {}
        async for record in self._each_row("running"):
            if record.is_terminal:
                continue
            definition = record.identity.definition
            group = (canonical_json(definition), record.env_ref or "")
            counts[group] += 1
            shown.setdefault(group, LiveReference(definition=definition, env_ref=record.env_ref, count=0))
        return tuple(shown[group].model_copy(update={"count": counts[group]}) for group in sorted(counts))

    async def processes_changed_since(self, cursor: ChangeCursor, limit: int) -> ProcessChanges:
        """Rows changed after ``cursor``, latest state once per row; nothing that committed is ever skipped.

        Ascending within a partition. At most ``limit`` and at most ``page_max`` rows; limit 0 answers empty with the
        same cursor.

        Raises:
            InvalidCursorError, CorruptRecordError, NewerRecordError.
        """
        partitions = self._context.keyspace.partitions
        positions = decode_feed_cursor(cursor.token, len(partitions))
        room = min(limit, self._context.settings.limits.page_max)
        if room <= 0:
            return ProcessChanges(records=(), cursor=cursor)
        each = min(room, max(1, FEED_IDS_MAX // len(partitions)))
        found = await self._changed(partitions, positions, each)
        changes = sorted(
            (sequence, index, process_id) for index, part in enumerate(found) for process_id, sequence in part
        )[:room]
        for sequence, index, _ in changes:
            positions[index] = sequence
        records = await self._records([(process_id, sequence) for sequence, _, process_id in changes], "any")
        return ProcessChanges(
            records=tuple(record for _, record in records if record is not None),
            cursor=ChangeCursor(token=encode_feed_cursor(positions)) if changes else cursor,
        )

    async def _changed(
        self, partitions: Sequence[PartitionKeys], after: Sequence[int], limit: int
    ) -> list[list[tuple[str, int]]]:
        """Id and change sequence of the next rows after a sequence, of each partition, ascending."""
        commands = [
            Command(
                keys.changes,
                ("ZRANGE", keys.changes, f"({sequence}", "+inf", "BYSCORE", "LIMIT", 0, limit, "WITHSCORES"),
            )
            for keys, sequence in zip(partitions, after, strict=True)
        ]
        return [scored(reply) for reply in await self._context.connection.read(commands)]

    async def _records(self, changes: Sequence[tuple[str, int]], status: str) -> list[tuple[int, ProcessRecord | None]]:
        """Rows of ids with their sequences; None for one that is gone or has another status."""
        process_ids = [process_id for process_id, _ in changes]
        kept = await self._with_status(process_ids, status)
        rows = dict(zip(kept, await self._rows.read_rows(kept), strict=True)) if kept else {}
        found: list[tuple[int, ProcessRecord | None]] = []
        for process_id, sequence in changes:
            row = rows.get(process_id)
            if isinstance(row, CorruptRecordError):
                raise row
            found.append((sequence, row))
        return found

    async def _with_status(self, process_ids: Sequence[str], status: str) -> list[str]:
        """The ids whose rows may match: decoding a row costs far more than reading its status."""
        if status == "any" or not process_ids:
            return list(process_ids)
        commands: list[Command] = []
        for process_id in process_ids:
            key = self._keys(process_id).control(process_id)
            commands.append(Command(key, ("HGET", key, "st")))
        letters = await self._context.connection.read(commands)
        wanted = STATUS_LETTERS[status]
        return [process_id for process_id, letter in zip(process_ids, letters, strict=True) if letter == wanted]

    async def _each_row(self, status: str) -> AsyncIterator[ProcessRecord]:
        """Every row of a status once, partition by partition."""
        for keys in self._context.keyspace.partitions:
            position = "0"
            seen: set[str] = set()
            while True:
                # A scan ends by the server's promise: its cursor visits each slot a bounded number of times.
                command = Command(keys.changes, ("ZSCAN", keys.changes, position, "COUNT", SCAN_PAGE))
                position, flat = (await self._context.connection.read([command]))[0]
                fresh = [process_id for process_id in dict.fromkeys(flat[::2]) if process_id not in seen]
                seen.update(fresh)
                for start in range(0, len(fresh), SCAN_PAGE):
                    part = [(process_id, 0) for process_id in fresh[start : start + SCAN_PAGE]]
                    for _, record in await self._records(part, status):
                        if record is not None:
                            yield record
                if str(position) == "0":
                    break
