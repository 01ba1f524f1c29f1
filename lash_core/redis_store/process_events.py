"""Events over Redis: append and read (contract 2.5, 2.6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from lash_core.errors import LashError, LimitExceededError, UnknownProcessError
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest, ProcessEventAppendResult
from lash_core.model.lease import ProcessLease
from lash_core.model.registration import ProcessRegistration
from lash_core.redis_store.commands import Command
from lash_core.redis_store.event_codec import decode_event
from lash_core.redis_store.event_writer import (
    Appended,
    EncodedEvent,
    append_call,
    append_error,
    judge,
    read_answer,
)
from lash_core.redis_store.outbox import ProcessOutbox
from lash_core.redis_store.process_base import STALE_RETRIES_MAX, still_stale

Refusal = Callable[[ProcessRegistration], LashError | None]
"""A further rule of one caller: why this registration's row must not get the event."""


class ProcessEvents(ProcessOutbox):
    """The event log of a process."""

    async def append_event(
        self, process_id: str, request: ProcessEventAppendRequest, *, lease: ProcessLease | None = None
    ) -> ProcessEventAppendResult:
        """Append one event: replay lookup, sequence, event, status, change feed and wake in one unit.

        Safe to repeat with a replay key, or under a lease; without either a lost reply is ``OutcomeUnknownError``.

        Raises:
            In this order: UnknownProcessError, ReplayKeyConflictError, LeaseLostError / StoreBehindError,
            UndeclaredEventTypeError, ReplayKeyRequiredError, InvalidPayloadError, SelectorError, AlreadyTerminalError,
            LimitExceededError.
        """
        return (await self._append(process_id, [request], lease)).results[0]

    async def append_events(
        self, process_id: str, requests: Sequence[ProcessEventAppendRequest], *, lease: ProcessLease | None = None
    ) -> tuple[ProcessEventAppendResult, ...]:
        """Append several events of one process in one unit, all or nothing. Errors as ``append_event``."""
        limit = self._context.settings.limits.batch_max
        if len(requests) > limit:
            raise LimitExceededError(
                f"a batch of {len(requests)} events; the limit is {limit}",
                field="requests",
                value=len(requests),
                limit=limit,
                process_id=process_id,
            )
        return (await self._append(process_id, requests, lease)).results

    async def _append(
        self,
        process_id: str,
        requests: Sequence[ProcessEventAppendRequest],
        lease: ProcessLease | None,
        refusal: Refusal | None = None,
    ) -> Appended:
        """Append, carry out the wakes, remember the fenced-write count."""
        encoded = [EncodedEvent.of(process_id, request) for request in requests]
        repeatable = lease is not None or all(event.field for event in encoded)
        keys, limits = self._keys(process_id), self._context.settings.limits
        async with self._writes.write(lease) as write:
            for _ in range(STALE_RETRIES_MAX):
                stored = await self._require_registration(process_id)
                refused = refusal(stored.registration) if refusal is not None else None
                events = [judge(process_id, stored, event, limits, refused) for event in encoded]
                call = append_call(keys, process_id, stored, events, write, limits)
                reply: list[Any] = (await self._context.scripts.run([call], durable=True, repeatable=repeatable))[0]
                if reply[0] == "stale":
                    self._rows.forget(process_id)
                    continue
                error = append_error(process_id, events, reply, write, limits)
                if error is not None:
                    raise error
                appended = read_answer(keys, process_id, stored, events, reply)
                write.acknowledge(appended.fenced_writes)
                break
            else:
                raise still_stale(process_id)
        if appended.entries:
            # The event is stored, and its wake with it: where the session's partition is away the outbox delivers.
            await self.carry_out(appended.entries, required=False)
        return appended

    async def events_after(self, process_id: str, sequence: int) -> tuple[ProcessEvent, ...]:
        """Events strictly after ``sequence``, ascending. Raises: UnknownProcessError."""
        start = max(sequence, 0)
        return await self._read_log(process_id, start, -1)

    async def wake_events_after(self, process_id: str, sequence: int) -> tuple[ProcessEvent, ...]:
        """Events after ``sequence`` whose wake materialized and that are not acknowledged.

        Raises: UnknownProcessError.
        """
        events = await self._read_log(process_id, max(sequence, 0), -1)
        key = self._keys(process_id).wake_acks(process_id)
        acknowledged = set((await self._context.connection.read([Command(key, ("HKEYS", key))]))[0])
        return tuple(
            event for event in events if event.semantics.wake is not None and str(event.sequence) not in acknowledged
        )

    async def count_events_through(self, process_id: str, event_type: str, sequence: int) -> int:
        """Events of a type up to and including ``sequence``; 0 for an undeclared type. Raises: UnknownProcessError."""
        await self._require_row(process_id)
        if sequence < 1:
            return 0
        key = self._keys(process_id).events(process_id)
        entries = (await self._context.connection.read([Command(key, ("LRANGE", key, 0, sequence - 1))]))[0]
        # The type is the last member of the canonical text, so no entry needs decoding.
        ending = f',"t":{json.dumps(event_type, ensure_ascii=False)}}}'
        return sum(entry.endswith(ending) for entry in entries)

    async def recent_events(self, process_id: str, limit: int) -> tuple[ProcessEvent, ...]:
        """The last ``limit`` events, ascending. Raises: UnknownProcessError."""
        key = self._keys(process_id).events(process_id)
        length = (await self._context.connection.read([Command(key, ("LLEN", key))]))[0]
        return await self._read_log(process_id, max(length - max(limit, 0), 0), length - 1)

    async def _require_row(self, process_id: str) -> None:
        control = self._keys(process_id).control(process_id)
        if not (await self._context.connection.read([Command(control, ("EXISTS", control))]))[0]:
            raise UnknownProcessError(process_id)

    async def _read_log(self, process_id: str, start: int, stop: int) -> tuple[ProcessEvent, ...]:
        """Entries from index ``start`` to ``stop``, decoded by the registration that the row has now."""
        keys = self._keys(process_id)
        control, log = keys.control(process_id), keys.events(process_id)
        entries_wanted = Command(log, ("LRANGE", log, start, stop))
        for _ in range(STALE_RETRIES_MAX):
            stored = await self._require_registration(process_id)
            found, entries = await self._context.connection.read(
                [Command(control, ("HGET", control, "dg")), entries_wanted]
            )
            if found == stored.hash:
                return tuple(
                    decode_event(process_id, number, entry, stored.registration, key=log)
                    for number, entry in enumerate(entries, start=start + 1)
                )
            self._rows.forget(process_id)
        raise still_stale(process_id)
