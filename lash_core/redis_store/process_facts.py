"""Facts beside the status over Redis: external reference, start, abandon request, wait, acks, audit (contract 2.9)."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from lash_core.errors import (
    CorruptRecordError,
    ExternalRefConflictError,
    InvalidArgumentError,
    LimitExceededError,
    TerminalProcessError,
    UnknownProcessError,
)
from lash_core.model.audit import AuditEntry
from lash_core.model.canonical_json import canonical_json
from lash_core.model.facts import AbandonRequest, ProcessExternalRef, ProcessStarted, WaitState
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_core.redis_store.commands import Command
from lash_core.redis_store.process_base import STALE_RETRIES_MAX, ProcessRegistryBase, lease_answer, still_stale
from lash_core.redis_store.row_codec import decode_wait, encode_first_started, encode_wait
from lash_core.redis_store.scripts import Call


class ProcessFacts(ProcessRegistryBase):
    """First writers win; what is written for a run is fenced by its lease (decision 24).

    Each write is one script; the row in the answer is read after it.
    """

    async def set_external_ref(self, process_id: str, external_ref: ProcessExternalRef) -> ProcessRecord:
        """Name the process in another system. The first assignment sticks; the same again changes nothing.

        Raises:
            UnknownProcessError. ExternalRefConflictError: another reference is there.
        """
        text = canonical_json(external_ref.model_dump(mode="json"), field="external_ref")
        self._context.settings.limits.check_payload_size(len(text.encode()), field="external_ref")
        keys = self._keys(process_id)
        call = Call("set_external_ref", (keys.control(process_id), keys.changes, keys.meta), (process_id, text))
        match (await self._context.scripts.run([call], durable=True))[0]:
            case "unknown":
                raise UnknownProcessError(process_id)
            case "conflict":
                raise ExternalRefConflictError(process_id)
            case _:
                return await self._row(process_id)

    async def record_first_started(
        self, process_id: str, started: ProcessStarted, *, lease: ProcessLease | None = None
    ) -> ProcessRecord:
        """Record the first start; later calls change nothing. Safe to repeat.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError.
        """
        fields = [part for pair in encode_first_started(started).items() for part in pair]
        await self._write_row("record_first_started", process_id, lease, *fields)
        return await self._row(process_id)

    async def request_abandon(self, process_id: str, request: AbandonRequest) -> ProcessRecord:
        """Allow a process to be abandoned; the first request stays, and the row is due at once. Safe to repeat.

        Raises:
            UnknownProcessError. TerminalProcessError: it has ended.
        """
        keys, limits = self._keys(process_id), self._context.settings.limits
        for _ in range(STALE_RETRIES_MAX):
            stored = await self._require_registration(process_id)
            script_keys = (
                keys.control(process_id),
                keys.ready(stored.registration.queue),
                keys.changes,
                keys.meta,
                keys.notices,
            )
            reason = request.reason
            limits.check_payload_size(len((reason or "").encode()), field="reason", process_id=process_id)
            args = (process_id, stored.hash, request.requested_at_ms, request.requested_by, reason or "")
            more = ("0" if reason is None else "1", limits.notices_max)
            match (await self._context.scripts.run([Call("request_abandon", script_keys, args + more)], durable=True))[
                0
            ]:
                case "unknown":
                    raise UnknownProcessError(process_id)
                case "terminal":
                    raise _terminal(process_id, "accept an abandon request")
                case "stale":
                    self._rows.forget(process_id)
                case _:
                    return await self._row(process_id)
        raise still_stale(process_id)

    async def set_wait(self, process_id: str, wait: WaitState, *, lease: ProcessLease | None = None) -> ProcessRecord:
        """Say what the process waits for; overwrites.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError. TerminalProcessError: it has ended.
            InvalidArgumentError: event type or key do not follow from the signal's name and ordinal.
        """
        text = encode_wait(wait)
        if decode_wait(process_id, text) != wait:
            raise InvalidArgumentError(
                f"process `{process_id}`: a wait for signal `{wait.kind.name}` number {wait.kind.ordinal} has another "
                f"event type or key than {wait.kind.event_type!r} and {wait.kind.key!r}",
                field="wait.kind.key",
                value=wait.kind.key,
                process_id=process_id,
            )
        if await self._write_row("set_wait", process_id, lease, text) == "terminal":
            raise _terminal(process_id, "enter a wait state")
        return await self._row(process_id)

    async def clear_wait(self, process_id: str, *, lease: ProcessLease | None = None) -> ProcessRecord:
        """Clear the wait; allowed on a terminal row, always bumps updated_at.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError.
        """
        await self._write_row("clear_wait", process_id, lease)
        return await self._row(process_id)

    async def mark_cancel_seen(self, lease: ProcessLease) -> None:
        """Record that the run has seen the cancel request; the first time stays. Not in the change feed.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError.
        """
        keys, process_id = self._keys(lease.process_id), lease.process_id
        script_keys = (keys.control(process_id), keys.owners, keys.leases)
        await self._write_fenced("mark_cancel_seen", script_keys, process_id, lease)

    async def ack_wake(self, process_id: str, sequence: int) -> None:
        """Acknowledge a wake; idempotent, does not check the sequence.

        Raises:
            UnknownProcessError. LimitExceededError: more acks than the log may have events.
        """
        keys, acks_max = self._keys(process_id), self._context.settings.limits.events_max
        script_keys = (keys.control(process_id), keys.wake_acks(process_id))
        match (await self._context.scripts.run([Call("ack_wake", script_keys, (sequence, acks_max))], durable=True))[0]:
            case "unknown":
                raise UnknownProcessError(process_id)
            case "full":
                raise LimitExceededError(
                    f"process `{process_id}` has {acks_max} wake acks; that is the limit",
                    field="sequence",
                    value=sequence,
                    limit=acks_max,
                    process_id=process_id,
                )
            case _:
                return

    async def audit_entries(self, process_id: str) -> tuple[AuditEntry, ...]:
        """The newest audit entries of a row, oldest first.

        Raises:
            UnknownProcessError. CorruptRecordError: an entry cannot be decoded.
        """
        keys = self._keys(process_id)
        control, key = keys.control(process_id), keys.audit(process_id)
        exists, texts = await self._context.connection.read(
            [Command(control, ("EXISTS", control)), Command(key, ("LRANGE", key, 0, -1))]
        )
        if not exists:
            raise UnknownProcessError(process_id)
        try:
            return tuple(AuditEntry.model_validate_json(text) for text in texts)
        except ValidationError as error:
            raise CorruptRecordError(f"{key} has an unreadable entry", key=key, process_id=process_id) from error

    async def _write_row(self, script: str, process_id: str, lease: ProcessLease | None, *args: str) -> str:
        """A fenced verb over control, owners, leases, changes and meta; returns its word."""
        keys = self._keys(process_id)
        script_keys = (keys.control(process_id), keys.owners, keys.leases, keys.changes, keys.meta)
        return await self._write_fenced(script, script_keys, process_id, lease, *args)

    async def _write_fenced(
        self, script: str, keys: tuple[str, ...], process_id: str, lease: ProcessLease | None, *args: str
    ) -> str:
        async with self._writes.write(lease) as write:
            call = Call(script, keys, (process_id, *write.args, *args))
            reply: list[Any] = (await self._context.scripts.run([call], durable=True))[0]
            word, detail = reply[0], reply[1] if len(reply) > 1 else None
            acknowledged = int(write.args[2] or 0)
            fault = lease_answer(process_id, word, detail, acknowledged=acknowledged)
            if fault is not None:
                raise fault
            if detail is not None:
                write.acknowledge(int(detail))
            return word

    async def _row(self, process_id: str) -> ProcessRecord:
        """The row after a write. Raises: UnknownProcessError when it was pruned in between."""
        record = await self._rows.read_one(process_id)
        if record is None:
            raise UnknownProcessError(process_id)
        return record


def _terminal(process_id: str, what: str) -> TerminalProcessError:
    return TerminalProcessError(f"terminal process `{process_id}` cannot {what}", process_id=process_id)
