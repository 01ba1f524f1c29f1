"""Reads for views of processes over Redis (``docs/contracts/observation.md`` 7), by plain commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from lash_core.errors import CorruptRecordError
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessHandleGrant
from lash_core.model.process_filter import FilterStatus
from lash_core.model.reports import ChangeCursor, ProcessChanges
from lash_core.redis_store.commands import Command
from lash_core.redis_store.cursors import decode_feed_cursor, encode_feed_cursor
from lash_core.redis_store.event_codec import decode_event
from lash_core.redis_store.outbox_steps import decode_grant
from lash_core.redis_store.process_listing import ProcessListing
from lash_core.redis_store.replies import scored
from lash_core.redis_store.row_codec import STATUS_LETTERS
from lash_core.redis_store.row_reader import as_mapping
from lash_core.store.process_observation import (
    NEWEST_LOOKED_AT_MAX,
    PAGE_MAX,
    SESSION_PROCESSES_MAX,
    TAIL_MAX,
    SessionProcess,
    SessionProcessPage,
)

SCAN_PAGE = 1_000
"""Fields of one step through a session's processes, and ids of one pipeline: about 1 ms of the server's time."""

WHOLE_MAX = 5_000
"""Fields of a hash that is read in one go: about 2 ms of the server's time."""


@dataclass(slots=True)
class _Tie:
    """What ties a process to a session, as the session's side has it."""

    grants: dict[str, str] = field(default_factory=dict[str, str])
    wake_hash: str | None = None


class ProcessObservationReads(ProcessListing):
    """``ProcessObservation``."""

    async def processes_of_session(
        self, session_id: str, *, live_only: bool = False, limit: int = 50
    ) -> SessionProcessPage:
        """Processes that a scope of the session has a handle on, or that wake it; newest first.

        Raises:
            CorruptRecordError, NewerRecordError.
        """
        ties = await self._ties(session_id)
        places: list[tuple[int, str]] = []
        ids = list(ties)
        for start in range(0, len(ids), SCAN_PAGE):
            places += await self._tied(ids[start : start + SCAN_PAGE], ties, live_only=live_only)
        places.sort(reverse=True)
        chosen = [process_id for _, process_id in places[: min(max(limit, 0), PAGE_MAX)]]
        key = self._context.keyspace.of_session(session_id).session_grants(session_id)
        found: list[SessionProcess] = []
        for process_id, row in zip(chosen, await self._rows.read_rows(chosen), strict=True):
            if isinstance(row, CorruptRecordError):
                raise row
            if row is not None:
                tie = ties[process_id]
                grants = _grants(process_id, tie, key)
                found.append(SessionProcess(row, grants, wakes=tie.wake_hash is not None))
        return SessionProcessPage(tuple(found), len(places))

    async def newest_changes(
        self, limit: int, *, status: FilterStatus = "any", after: ChangeCursor | None = None
    ) -> ProcessChanges:
        """The rows that changed last, newest first, and the end of the feed as it was before they were read.

        Raises:
            InvalidCursorError, CorruptRecordError, NewerRecordError.
        """
        partitions = self._context.keyspace.partitions
        behind = decode_feed_cursor("" if after is None else after.token, len(partitions))
        wanted = min(max(limit, 0), PAGE_MAX)
        deep = max(1, wanted if status == "any" else NEWEST_LOOKED_AT_MAX)
        commands = [
            Command(
                keys.changes,
                ("ZRANGE", keys.changes, "+inf", f"({passed}", "BYSCORE", "REV", "LIMIT", 0, deep, "WITHSCORES"),
            )
            for keys, passed in zip(partitions, behind, strict=True)
        ]
        found = [scored(reply) for reply in await self._context.connection.read(commands)]
        end = [part[0][1] if part else passed for part, passed in zip(found, behind, strict=True)]
        newest = sorted(((sequence, process_id) for part in found for process_id, sequence in part), reverse=True)
        ids = [process_id for _, process_id in newest[: wanted if status == "any" else NEWEST_LOOKED_AT_MAX]]
        chosen = (await self._with_status(ids, status))[:wanted]
        records = [row for _, row in await self._records([(process_id, 0) for process_id in chosen], "any")]
        kept = [row for row in records if row is not None and status in ("any", row.status.state)]
        return ProcessChanges(records=tuple(kept), cursor=ChangeCursor(token=encode_feed_cursor(end)))

    async def recent_events_of(self, process_ids: Sequence[str], limit: int) -> tuple[tuple[ProcessEvent, ...], ...]:
        """The last events of each process, ascending; none for one that is gone.

        Raises:
            CorruptRecordError.
        """
        tail = min(max(limit, 0), TAIL_MAX)
        if tail == 0 or not process_ids:
            return tuple(() for _ in process_ids)
        commands: list[Command] = []
        for process_id in process_ids:
            keys = self._keys(process_id)
            control, log = keys.control(process_id), keys.events(process_id)
            commands += [
                Command(control, ("HGET", control, "dg")),
                Command(log, ("LLEN", log)),
                Command(log, ("LRANGE", log, -tail, -1)),
            ]
        replies = await self._context.connection.read(commands)
        return tuple(
            [
                await self._tail(process_id, *replies[3 * place : 3 * place + 3])
                for place, process_id in enumerate(process_ids)
            ]
        )

    async def _tail(
        self, process_id: str, row_hash: str | None, length: int, entries: Sequence[str]
    ) -> tuple[ProcessEvent, ...]:
        stored = None if row_hash is None else await self._rows.registration(process_id)
        if stored is not None and stored.hash != row_hash:
            self._rows.forget(process_id)
            stored = await self._rows.registration(process_id)
        if stored is None or stored.hash != row_hash:
            return ()  # gone, or gone and begun anew, while this looked
        key = self._keys(process_id).events(process_id)
        first = length - len(entries) + 1
        return tuple(
            decode_event(process_id, number, entry, stored.registration, key=key)
            for number, entry in enumerate(entries, start=first)
        )

    # -- a session's side --------------------------------------------------------------------------------

    async def _ties(self, session_id: str) -> dict[str, _Tie]:
        keys = self._context.keyspace.of_session(session_id)
        ties: dict[str, _Tie] = {}
        async for name, text in self._fields(keys.session_grants(session_id)):
            scope_id, separator, process_id = name.rpartition("\n")
            if separator and process_id:  # the other fields are about deletions and transfers
                ties.setdefault(process_id, _Tie()).grants[scope_id] = text
            if len(ties) >= SESSION_PROCESSES_MAX:
                return ties
        async for process_id, row_hash in self._fields(keys.session_wakes(session_id)):
            ties.setdefault(process_id, _Tie()).wake_hash = row_hash
            if len(ties) >= SESSION_PROCESSES_MAX:
                return ties
        return ties

    async def _fields(self, key: str) -> AsyncIterator[tuple[str, str]]:
        """All fields of a hash; in one read where that is short, which is all that an enqueuer may do."""
        (length,) = await self._context.connection.read([Command(key, ("HLEN", key))])
        if length <= WHOLE_MAX:
            (whole,) = await self._context.connection.read([Command(key, ("HGETALL", key))])
            for name, text in as_mapping(whole).items():
                yield name, text
            return
        position = "0"
        while True:
            # A scan ends by the server's promise: its cursor visits each slot a bounded number of times.
            command = Command(key, ("HSCAN", key, position, "COUNT", SCAN_PAGE))
            position, flat = (await self._context.connection.read([command]))[0]
            for name, text in zip(flat[::2], flat[1::2], strict=True):
                yield name, text
            if position in ("0", 0):
                return

    async def _tied(self, ids: Sequence[str], ties: dict[str, _Tie], *, live_only: bool) -> list[tuple[int, str]]:
        """Creation time and id of those whose own side agrees; what it does not have is taken out of the ties."""
        commands: list[Command] = []
        for process_id in ids:
            keys = self._keys(process_id)
            control, scopes = keys.control(process_id), keys.grant_scopes(process_id)
            commands.append(Command(control, ("HMGET", control, "ca", "st", "dg", "wc")))
            commands.append(Command(scopes, ("HMGET", scopes, *ties[process_id].grants, "\n")))
        replies = await self._context.connection.read(commands)
        found: list[tuple[int, str]] = []
        for place, process_id in enumerate(ids):
            tie = ties[process_id]
            created, status, row_hash, wake_cleared = replies[2 * place]
            there = replies[2 * place + 1]
            tie.grants = {name: text for (name, text), side in zip(tie.grants.items(), there, strict=False) if side}
            if tie.wake_hash != row_hash or wake_cleared:
                tie.wake_hash = None
            tied = bool(tie.grants) or tie.wake_hash is not None
            if created is not None and tied and not (live_only and status != STATUS_LETTERS["running"]):
                found.append((int(created), process_id))
        return found


def _grants(process_id: str, tie: _Tie, key: str) -> tuple[ProcessHandleGrant, ...]:
    return tuple(decode_grant(process_id, scope_id, text, key=key) for scope_id, text in sorted(tie.grants.items()))
