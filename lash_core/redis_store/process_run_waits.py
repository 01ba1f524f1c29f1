"""What a waiting run asks of the registry over Redis (``lash_core.store.process_run_waits``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lash_core.errors import (
    AlreadyTerminalError,
    CorruptRecordError,
    LimitExceededError,
    TerminalProcessError,
    UnknownProcessError,
)
from lash_core.model.await_event import AwaitEventKey, Resolution
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessStarted, WaitState
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_core.redis_store.event_codec import decode_event
from lash_core.redis_store.event_writer import EncodedEvent
from lash_core.redis_store.journal_codec import journal_field
from lash_core.redis_store.lease_codec import fence_argument
from lash_core.redis_store.process_base import STALE_RETRIES_MAX, ProcessRegistryBase, lease_answer, still_stale
from lash_core.redis_store.process_leases import release_id
from lash_core.redis_store.promise_codec import decode_resolution, promise_field
from lash_core.redis_store.row_codec import encode_first_started
from lash_core.redis_store.scripts import Call
from lash_core.store.process_run_waits import RunLook
from lash_core.store.run_wait_bounds import WATCHERS_MAX, check_own_promises, too_many_watchers

_CANCELLED = Resolution.cancelled()


class ProcessRunWaitOperations(ProcessRegistryBase):
    """``ProcessRunWaits`` over Redis."""

    async def look_at_run(
        self, lease: ProcessLease, after_sequence: int, promises: Sequence[AwaitEventKey] = ()
    ) -> RunLook:
        """Read what may end a wait of this run: one script. Reads only; a stale lease may look.

        Raises:
            UnknownProcessError. InvalidArgumentError: a promise of another scope.
        """
        process_id = lease.process_id
        check_own_promises(process_id, promises)
        keys, start = self._keys(process_id), max(after_sequence, 0)
        names = (keys.control(process_id), keys.events(process_id), keys.marks, keys.promises(process_id))
        call = Call("look_at_run", names, (process_id, start, *(promise_field(key) for key in promises)))
        for _ in range(STALE_RETRIES_MAX):
            stored = await self._require_registration(process_id)
            word, *facts = (await self._context.scripts.run([call]))[0]
            if word == "unknown":
                raise UnknownProcessError(process_id)
            now_ms, marks, status, registration_hash, count = facts[:5]
            if registration_hash != stored.hash:
                self._rows.forget(process_id)
                continue
            entries, values = facts[5 : 5 + int(count)], facts[5 + int(count) :]
            events = tuple(
                decode_event(process_id, number, entry, stored.registration, key=names[1])
                for number, entry in enumerate(entries, start=start + 1)
            )
            found: dict[str, Resolution] = {}
            for key, value in zip(promises, values, strict=True):
                resolution = decode_resolution(value or None, key=names[3])
                if resolution is None and status != "r":
                    resolution = _CANCELLED
                if resolution is not None:
                    found[key.key_id] = resolution
            return RunLook(events, found, marks, int(now_ms))
        raise still_stale(process_id)

    async def begin_signal_wait(
        self, process_id: str, wait: WaitState, *, lease: ProcessLease, first_started: ProcessStarted | None = None
    ) -> WaitState:
        """Set the wait and append ``process.waiting`` in one unit; the ``since_ms`` of a stored event stays.

        Fenced, safe to repeat.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError, TerminalProcessError.
            LimitExceededError: the log is full.
        """
        started = {} if first_started is None else encode_first_started(first_started)
        pairs = [part for pair in started.items() for part in pair]
        event = EncodedEvent.of(process_id, ProcessEventAppendRequest.waiting(process_id, wait))
        args = (str(wait.since_ms), _name(wait), event.field, event.body)
        reply = await self._write_wait("begin_signal_wait", process_id, lease, *args, more=pairs)
        if reply[0] == "terminal":
            text = f"terminal process `{process_id}` cannot enter a wait state"
            raise TerminalProcessError(text, process_id=process_id)
        return wait.model_copy(update={"since_ms": int(reply[2])})

    async def end_signal_wait(self, process_id: str, wait: WaitState, *, lease: ProcessLease, received: bool) -> None:
        """Clear the wait, if it is still this one; when the signal was received, append ``process.resumed`` too.

        Fenced, safe to repeat.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError. LimitExceededError: the log is full.
        """
        event = EncodedEvent.of(process_id, ProcessEventAppendRequest.resumed(process_id, wait))
        args = (_name(wait), event.field, event.body if received else "")
        await self._write_wait("end_signal_wait", process_id, lease, *args)

    async def watch_processes(self, watcher_id: str, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """The rows by id, None for an unknown one; ``watcher_id`` is told when one that still runs becomes terminal.

        The note comes before the row is read, so an end is either read or told. Safe to repeat.

        Raises:
            LimitExceededError: too many watch one of them. CorruptRecordError: a row cannot be read.
        """
        groups = self._by_partition(process_ids)
        calls = [
            Call(
                "watch_processes",
                tuple(keys.control(process_ids[place]) for place in places),
                (watcher_id, WATCHERS_MAX),
            )
            for keys, places in groups
        ]
        replies = await self._context.scripts.run(calls, durable=True) if calls else []
        for (_, places), words in zip(groups, replies, strict=True):
            for place, word in zip(places, words, strict=True):
                if word == "full":
                    raise too_many_watchers(process_ids[place])
        rows = await self._rows.read_rows(process_ids)
        for row in rows:
            if isinstance(row, CorruptRecordError):
                raise row
        return tuple(row for row in rows if not isinstance(row, CorruptRecordError))

    async def retry_process(self, lease: ProcessLease, *, delay_ms: int, drop: Sequence[str], detail: str) -> int:
        """Give the lease back so that the whole process runs again after ``delay_ms``; returns the retries so far.

        In one fenced unit with the removal of recorded failures and the audit entry. Only a cancel makes the row due
        earlier. Safe to repeat with the same lease.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError, AlreadyTerminalError.
        """
        process_id = lease.process_id
        keys = self._keys(process_id)
        names = (keys.control(process_id), keys.owners, keys.leases, keys.changes, keys.meta, keys.marks, keys.notices)
        names += (keys.ready(lease.queue), keys.audit(process_id), keys.journal(process_id), keys.blobs(process_id))
        async with self._writes.write(lease) as write:
            fence, token, acknowledged = fence_argument(lease), lease.lease_token, write.args[2]
            facts = (max(delay_ms, 0), json.dumps(detail[:500]), self._context.settings.limits.notices_max)
            args = (process_id, fence, token, acknowledged, release_id(token), *facts)
            fields = (journal_field(process_id, key) for key in drop)
            word, found = await self._answered(lease, Call("retry_process", names, (*args, *fields)), acknowledged)
        if word == "terminal":
            raise AlreadyTerminalError(process_id)
        self._writes.forget(lease)
        return int(found)

    async def _answered(self, lease: ProcessLease, call: Call, acknowledged: str) -> tuple[str, Any]:
        reply: list[Any] = (await self._context.scripts.run([call], durable=True))[0]
        word, detail = str(reply[0]), reply[1] if len(reply) > 1 else None
        error = lease_answer(lease.process_id, word, detail, acknowledged=int(acknowledged or 0))
        if error is not None:
            raise error
        return word, detail

    async def _write_wait(
        self, script: str, process_id: str, lease: ProcessLease, *args: str, more: Sequence[str] = ()
    ) -> list[Any]:
        keys, limits = self._keys(process_id), self._context.settings.limits
        names = (keys.control(process_id), keys.owners, keys.leases, keys.changes, keys.meta, keys.events(process_id))
        bounds = (limits.events_max, limits.log_bytes_max, keys.done_channel(process_id))
        async with self._writes.write(lease) as write:
            call = Call(script, names, (process_id, *write.args, *args, *bounds, *more))
            reply: list[Any] = (await self._context.scripts.run([call], durable=True))[0]
            word, detail = str(reply[0]), reply[1] if len(reply) > 1 else None
            error = lease_answer(process_id, word, detail, acknowledged=int(write.args[2] or 0))
            if error is not None:
                raise error
            if word == "limit":
                limit = limits.events_max if detail == "events" else limits.log_bytes_max
                text = f"process `{process_id}` would pass the limit of its log: {detail} {limit}"
                raise LimitExceededError(text, field=str(detail), limit=limit, process_id=process_id)
            if detail is not None:
                write.acknowledge(int(detail))
        return reply


def _name(wait: WaitState) -> str:
    """The wait as scripts compare it: ordinal and signal name."""
    return f"{wait.kind.ordinal};{wait.kind.name}"
