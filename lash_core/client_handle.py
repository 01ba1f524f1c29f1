"""A handle on one process: result, cancel, signal, status, events, why. It holds an id, never state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

from lash_core.client_enqueue import as_json, new_process_id, requester
from lash_core.errors import (
    InvalidArgumentError,
    ProcessAbandoned,
    ProcessCancelled,
    ProcessFailed,
    TerminalProcessError,
    UnknownProcessError,
    UnknownSignalError,
)
from lash_core.model.await_output import (
    ABANDON_MESSAGES,
    AbandonedOutput,
    AnyAwaitOutput,
    CancelledOutput,
    FailureOutput,
    Success,
)
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest
from lash_core.model.ids import check_id, check_signal_name, signal_event_type
from lash_core.model.receipts import CancelOutcome, CancelReceipt, SignalReceipt
from lash_core.model.record import ProcessRecord
from lash_core.store.client_stores import ClientStores
from lash_core.why import Why, WhyFacts, explain

log = logging.getLogger("lash.client")

_POLL_FIRST_MS = 25
_POLL_MAX_MS = 1_000
"""The contract's back-off: prompt at first, one read a second for what takes long."""

OnGap = Callable[[int, int], None]
"""Called with the last sequence seen and the last one the log has now, after a failover that lost events."""


class ProcessHandle:
    """One process of a fleet. Cheap to make; any number may name the same process.

    Attributes:
        process_id: the id.
        created: True when this call started the process, False when it was there, None when it was only named.
    """

    def __init__(self, stores: ClientStores, process_id: str, *, created: bool | None = None) -> None:
        self._registry = stores.process_registry
        self._directory = stores.directory
        self.process_id = check_id(process_id)
        self.created = created

    def __repr__(self) -> str:
        return f"ProcessHandle({self.process_id!r}, created={self.created})"

    @property
    def id(self) -> str:
        """The process id, under the name that rows and receipts have it."""
        return self.process_id

    async def record(self) -> ProcessRecord:
        """The row now. Raises: UnknownProcessError."""
        record = await self._registry.get_process(self.process_id)
        if record is None:
            raise UnknownProcessError(self.process_id)
        return record

    async def status(self) -> str:
        """``running``, ``completed``, ``failed``, ``cancelled`` or ``abandoned``. Raises: UnknownProcessError."""
        return (await self.record()).status.state

    async def output(self, timeout: float | None = None) -> AnyAwaitOutput:  # noqa: ASYNC109 - the design's name
        """Wait for the recorded outcome and return it, whatever it is.

        Args:
            timeout: seconds; None waits for ever, 0 only looks.

        Raises:
            UnknownProcessError. TimeoutError: still running.
        """
        output = (await self.record()).await_output
        if output is not None:
            return output
        try:
            async with asyncio.timeout(timeout):
                if timeout is not None and timeout <= 0:
                    raise TimeoutError  # noqa: TRY301 - one place gives the error its text
                output = (await self._registry.await_terminal(self.process_id)).await_output
        except TimeoutError as error:
            waited = f" after {timeout:g} s" if timeout else ""
            raise TimeoutError(f"process `{self.process_id}` is still running{waited}") from error
        if output is None:
            raise RuntimeError(f"process `{self.process_id}` was reported terminal without an outcome")
        return output

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - the design's name
        """Wait for the end and return the success value.

        Args:
            timeout: seconds; None waits for ever, 0 only looks.

        Raises:
            ProcessFailed, ProcessCancelled, ProcessAbandoned: how it ended. TimeoutError: still running.
            UnknownProcessError: no such process.
        """
        return value_of(self.process_id, await self.output(timeout))

    async def cancel(self, reason: str | None = None, *, requested_by: str | None = None) -> CancelReceipt:
        """Ask the process to stop: durable, cooperative, safe to repeat.

        A process that was never claimed ends as cancelled at once. On one that has ended nothing is written.

        Args:
            reason: for the record and for the running code; another reason is a second request.
            requested_by: who asks; user, host and pid by default.

        Raises:
            UnknownProcessError.
        """
        before = await self.record()
        if before.is_terminal:
            return _receipt(before, "already_terminal")
        request = ProcessEventAppendRequest.cancel_requested(
            self.process_id, reason, requested_by=requested_by or requester()
        )
        appended = await self._registry.append_event(self.process_id, request)
        after = await self.record()
        if after.status.state == "cancelled":
            return _receipt(after, "cancelled")
        if after.is_terminal:
            return _receipt(after, "already_terminal")
        return _receipt(after, "already_requested" if appended.replayed else "requested")

    async def signal(self, name: str, payload: Any = None, *, signal_id: str | None = None) -> SignalReceipt:
        """Send a declared signal: recorded once per ``signal_id``; one sent before the wait is kept for it.

        Args:
            name: one that the kind declares.
            payload: any JSON value, pydantic model or dataclass that matches the signal's schema.
            signal_id: repeat a call with the same id to be sure; a fresh one by default.

        Raises:
            UnknownProcessError. UnknownSignalError: names the declared ones. InvalidPayloadError: not the schema's.
            TerminalProcessError: the process has ended. ReplayKeyConflictError: the id was used with another payload.
        """
        event_type = signal_event_type(check_signal_name(name))
        used_id = new_process_id() if signal_id is None else check_id(signal_id, field="signal_id", subject="signal id")
        record = await self.record()
        if record.event_type(event_type) is None:
            raise _unknown_signal(record, name)
        request = ProcessEventAppendRequest.signal(self.process_id, name, as_json(payload), signal_id=used_id)
        if record.is_terminal and not await self._was_sent(request.replay_key):
            raise TerminalProcessError(
                f"process `{self.process_id}` is {record.status.state}: nobody would hear signal `{name}`",
                process_id=self.process_id,
            )
        appended = await self._registry.append_event(self.process_id, request)
        return SignalReceipt(
            id=self.process_id,
            name=name,
            signal_id=used_id,
            sequence=appended.event.sequence,
            status="exists" if appended.replayed else "recorded",
        )

    async def _was_sent(self, replay_key: str | None) -> bool:
        events = await self._registry.events_after(self.process_id, 0)
        return any(event.replay_key == replay_key for event in events)

    async def events(
        self, after: int = 0, *, follow: bool = False, on_gap: OnGap | None = None
    ) -> AsyncGenerator[ProcessEvent, None]:
        """Events after a sequence, in order; with ``follow`` new ones too, until the process has ended.

        Args:
            after: 0 for the whole log.
            follow: wait for more.
            on_gap: told when a failover lost events that were seen; the follower goes on where the log ends now.
                By default it is a warning in the log.

        Raises:
            UnknownProcessError. InvalidArgumentError: ``after`` is negative.
        """
        if after < 0:
            raise InvalidArgumentError(f"after is {after}; it must be at least 0", field="after", value=after, limit=0)
        if not follow:
            for event in await self._registry.events_after(self.process_id, after):
                yield event
            return
        await self.record()
        ended = asyncio.ensure_future(self._registry.await_terminal(self.process_id))
        try:
            async for event in self._follow(after, ended, on_gap or _warn_of_gap(self.process_id)):
                yield event
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def _follow(
        self, after: int, ended: asyncio.Future[ProcessRecord], on_gap: OnGap
    ) -> AsyncGenerator[ProcessEvent, None]:
        sequence, seen, pause_ms = after, False, _POLL_FIRST_MS
        while True:
            for event in await self._registry.events_after(self.process_id, sequence):
                sequence, seen, pause_ms = event.sequence, True, _POLL_FIRST_MS
                yield event
            record = await self.record()
            if record.last_sequence < sequence and seen:
                on_gap(sequence, record.last_sequence)
                sequence = record.last_sequence
            elif record.last_sequence <= sequence and record.is_terminal:
                return
            elif record.last_sequence <= sequence:
                await asyncio.wait({ended}, timeout=pause_ms / 1_000)
                if ended.done():
                    ended.result()
                pause_ms = min(2 * pause_ms, _POLL_MAX_MS)

    async def why(self) -> Why:
        """Why the process is where it is. Raises: UnknownProcessError."""
        registry = self._registry
        record = await self.record()
        lease, ready_at_ms, workers, now_ms, grace_until_ms, audit = await asyncio.gather(
            registry.get_process_lease(self.process_id),
            registry.ready_at_ms(self.process_id),
            self._directory.list_workers(),
            registry.server_time_ms(),
            registry.grace_until_ms(),
            registry.audit_entries(self.process_id),
        )
        facts = WhyFacts(
            record=record,
            lease=lease,
            workers=workers,
            now_ms=now_ms,
            grace_until_ms=grace_until_ms,
            audit=audit,
            ready_at_ms=ready_at_ms,
        )
        return explain(facts)


def value_of(process_id: str, output: AnyAwaitOutput) -> Any:
    """The success value of an outcome.

    Raises:
        ProcessFailed, ProcessCancelled, ProcessAbandoned: any other outcome.
    """
    match output:
        case Success():
            return output.value
        case FailureOutput():
            raise ProcessFailed(output.class_.value, output.code, output.message, output.raw, process_id=process_id)
        case CancelledOutput():
            raise ProcessCancelled(output.message, output.raw, process_id=process_id)
        case AbandonedOutput():
            evidence = output.evidence
            raise ProcessAbandoned(ABANDON_MESSAGES[evidence.writer], evidence.to_json_value(), process_id=process_id)


def _receipt(record: ProcessRecord, outcome: CancelOutcome) -> CancelReceipt:
    cancel = record.cancel_request
    seen_at_ms = None if cancel is None else cancel.seen_at_ms
    return CancelReceipt(id=record.id, outcome=outcome, status=record.status.state, seen_at_ms=seen_at_ms)


def _unknown_signal(record: ProcessRecord, name: str) -> UnknownSignalError:
    prefix = "signal."
    declared = sorted(item.name[len(prefix) :] for item in record.event_types if item.name.startswith(prefix))
    listed = ", ".join(f"`{item}`" for item in declared) or "none"
    return UnknownSignalError(
        f"process `{record.id}` declares no signal `{name}`; declared: {listed}",
        field="name",
        value=name,
        process_id=record.id,
    )


def _warn_of_gap(process_id: str) -> OnGap:
    def warn(seen: int, last: int) -> None:
        log.warning("process %s: events %d to %d were lost in a failover", process_id, last + 1, seen)

    return warn
