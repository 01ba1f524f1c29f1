"""Point reads of rows: registration and control in one round trip, terminal and cancel events in a second one.

Registrations are immutable, so they are cached; the hash in the control hash tells when an id was pruned and started
again with other content.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import CorruptRecordError
from lash_core.model.event import ProcessEvent
from lash_core.model.event_type import CANCEL_REQUESTED
from lash_core.model.record import RUNNING, AnyProcessStatus, ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.event_codec import decode_event, decode_terminal_status
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.row_codec import check_control_version, decode_record, decode_registration

REGISTRATIONS_CACHED_MAX = 10_000
"""Registrations a client keeps; about 1 KB each."""


@dataclass(frozen=True, slots=True)
class StoredRegistration:
    """A registration with the hash its row carries."""

    registration: ProcessRegistration
    hash: str


ReadRow = ProcessRecord | CorruptRecordError | None
"""A row, why it cannot be read, or None when there is none."""


def as_mapping(reply: Any) -> dict[str, str]:
    """HGETALL's reply, whichever protocol it came by."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))


class RowReader:
    """Reads rows and registrations of one namespace."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context
        self._cache: OrderedDict[str, StoredRegistration] = OrderedDict()

    def keys(self, process_id: str) -> PartitionKeys:
        """The partition of a process."""
        return self._context.keyspace.of_process(process_id)

    def forget(self, process_id: str) -> None:
        """Drop a cached registration: a script answered ``stale``."""
        self._cache.pop(process_id, None)

    def remember(self, registration: ProcessRegistration, registration_hash: str) -> None:
        """Cache a registration that is known to be stored."""
        self._cache[registration.id] = StoredRegistration(registration, registration_hash)
        if len(self._cache) > REGISTRATIONS_CACHED_MAX:
            self._cache.popitem(last=False)

    async def registration(self, process_id: str) -> StoredRegistration | None:
        """The registration, maybe from the cache; the script that uses it compares the hash.

        Raises:
            CorruptRecordError, NewerRecordError.
        """
        cached = self._cache.get(process_id)
        if cached is not None:
            return cached
        keys = self.keys(process_id)
        key, control = keys.registration(process_id), keys.control(process_id)
        fields, text = await self._context.connection.read(
            # The hash first: when the id is pruned and started anew in between, the cached hash is the old one and the
            # next script answers ``stale``; the other way round a wrong pair would stay.
            [Command(control, ("HMGET", control, "v", "dg")), Command(key, ("GET", key))]
        )
        version, registration_hash = fields
        if text is None or registration_hash is None:
            return None
        check_control_version(process_id, {"v": version or ""}, key=control)
        self.remember(decode_registration(process_id, text, key=key), registration_hash)
        return self._cache[process_id]

    async def read_one(self, process_id: str) -> ProcessRecord | None:
        """One row, or None. Raises: CorruptRecordError, NewerRecordError; a store failure raises too."""
        row = (await self.read_rows([process_id]))[0]
        if isinstance(row, CorruptRecordError):
            raise row
        return row

    async def read_rows(self, process_ids: Sequence[str]) -> list[ReadRow]:
        """Rows by id, in order; an undecodable row is its error, an absent one None."""
        rows = await self._read_pass(process_ids)
        # A prune or a start between two commands of the pass leaves halves; a second look decides.
        torn = [index for index, row in enumerate(rows) if isinstance(row, _Torn)]
        if torn:
            again = await self._read_pass([process_ids[index] for index in torn])
            for index, row in zip(torn, again, strict=True):
                rows[index] = row
        return [_torn_error(row) if isinstance(row, _Torn) else row for row in rows]

    async def _read_pass(self, process_ids: Sequence[str]) -> list[ReadRow | _Torn]:
        controls = await self._read_controls(process_ids)
        rows: list[ReadRow | _Torn] = []
        entries = await self._read_entries(process_ids, controls)
        for process_id, control in zip(process_ids, controls, strict=True):
            if control is None or isinstance(control, CorruptRecordError | _Torn):
                rows.append(control)
                continue
            rows.append(self._decode(process_id, control, entries))
        return rows

    async def _read_controls(self, process_ids: Sequence[str]) -> list[_Control | CorruptRecordError | _Torn | None]:
        """Control hash (and registration, when it is not cached) of each; the hash first, see ``registration``."""
        commands: list[Command] = []
        cached: list[StoredRegistration | None] = []
        for process_id in process_ids:
            keys = self.keys(process_id)
            control = keys.control(process_id)
            commands.append(Command(control, ("HGETALL", control)))
            known = self._cache.get(process_id)
            cached.append(known)
            if known is None:
                text = keys.registration(process_id)
                commands.append(Command(text, ("GET", text)))
        replies = iter(await self._context.connection.read(commands))
        found: list[_Control | CorruptRecordError | _Torn | None] = []
        for process_id, known in zip(process_ids, cached, strict=True):
            fields = as_mapping(next(replies))
            text = next(replies) if known is None else None
            found.append(self._control_of(process_id, fields, known, text))
        return found

    def _control_of(
        self, process_id: str, fields: dict[str, str], known: StoredRegistration | None, text: str | None
    ) -> _Control | CorruptRecordError | _Torn | None:
        key = self.keys(process_id).control(process_id)
        if not fields:
            return None
        try:
            check_control_version(process_id, fields, key=key)
            if known is not None and known.hash != fields.get("dg"):
                self.forget(process_id)
                return _Torn(key)
            if known is None:
                if text is None:
                    return _Torn(key)
                registration = decode_registration(process_id, text, key=self.keys(process_id).registration(process_id))
                return _Control(fields, registration)
        except CorruptRecordError as error:
            return error
        return _Control(fields, known.registration)

    async def _read_entries(
        self, process_ids: Sequence[str], controls: Sequence[_Control | CorruptRecordError | _Torn | None]
    ) -> dict[tuple[str, int], str | None]:
        """Log entries that a record needs: the terminal event and the first cancel request."""
        wanted: list[tuple[str, int]] = []
        for process_id, control in zip(process_ids, controls, strict=True):
            if isinstance(control, _Control):
                wanted += [(process_id, sequence) for sequence in control.sequences()]
        if not wanted:
            return {}
        commands: list[Command] = []
        for process_id, sequence in wanted:
            key = self.keys(process_id).events(process_id)
            commands.append(Command(key, ("LINDEX", key, sequence - 1)))
        return dict(zip(wanted, await self._context.connection.read(commands), strict=True))

    def _decode(
        self, process_id: str, control: _Control, entries: Mapping[tuple[str, int], str | None]
    ) -> ReadRow | _Torn:
        keys, fields, registration = self.keys(process_id), control.fields, control.registration
        log = keys.events(process_id)
        status: AnyProcessStatus = RUNNING
        reason: str | None = None
        try:
            for sequence in control.sequences():
                entry = entries.get((process_id, sequence))
                if entry is None:
                    return _Torn(log)
                event = decode_event(process_id, sequence, entry, registration, key=log)
                if event.event_type == CANCEL_REQUESTED:
                    reason = _reason_of(event)
                else:
                    status = decode_terminal_status(event, key=log)
            return decode_record(
                process_id, registration, fields, key=keys.control(process_id), status=status, cancel_reason=reason
            )
        except CorruptRecordError as error:
            return error


@dataclass(frozen=True, slots=True)
class _Control:
    fields: dict[str, str]
    registration: ProcessRegistration

    def sequences(self) -> list[int]:
        """Sequences of the events that the record needs."""
        fields = self.fields
        if "te" not in fields and "cr" not in fields:
            return []
        named = [fields["te"]] if "te" in fields else []
        if "cr" in fields:
            named.append(fields["cr"].partition(";")[2])
        return [int(text) for text in named if text.isdigit()]


@dataclass(frozen=True, slots=True)
class _Torn:
    key: str


def _torn_error(torn: _Torn) -> CorruptRecordError:
    return CorruptRecordError(f"{torn.key} belongs to a row of which a part is missing", key=torn.key)


def _reason_of(event: ProcessEvent) -> str | None:
    payload = event.payload
    reason = payload.get("reason") if isinstance(payload, dict) else None
    return reason if isinstance(reason, str) else None
