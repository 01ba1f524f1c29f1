"""Appending to a log: the one place where events, status and what follows are written (contract 2.5)."""

from __future__ import annotations

import json
from typing import Any

from lash_core.errors import AlreadyTerminalError, LimitExceededError, ReplayKeyConflictError
from lash_core.memory_store.row import Row
from lash_core.memory_store.state import RegistryState
from lash_core.model.canonical_json import canonical_json
from lash_core.model.completion import cancelled_before_start
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event import (
    MaterializedSemantics,
    ProcessEvent,
    ProcessEventAppendRequest,
    ProcessEventAppendResult,
    payload_hash,
)
from lash_core.model.event_type import CANCEL_REQUESTED
from lash_core.model.facts import CancelRequest
from lash_core.model.ids import check_replay_key
from lash_core.model.lease import ProcessLease
from lash_core.model.materialize import check_append, materialize, wake_delivery
from lash_core.model.record import terminal_status


def prepared(request: ProcessEventAppendRequest) -> ProcessEventAppendRequest:
    """The request with a payload of its own, checked as JSON, before the lock is taken.

    Raises:
        InvalidJsonError: the payload is not canonical JSON.
        InvalidArgumentError: the replay key is too long.
    """
    if request.replay_key is not None:
        check_replay_key(request.replay_key)
    return request.model_copy(update={"payload": json.loads(canonical_json(request.payload, field="payload"))})


def find_replay(row: Row, request: ProcessEventAppendRequest) -> ProcessEvent | None:
    """The stored event of the request's replay key, or None.

    Raises:
        ReplayKeyConflictError: the key stands for other content.
    """
    key = request.replay_key
    found = row.replay.get(key) if key is not None else None
    if key is None or found is None:
        return None
    sequence, stored_hash = found
    if stored_hash != payload_hash(request.event_type, request.payload):
        raise ReplayKeyConflictError(row.record.id, key)
    return row.events[sequence - 1]


def append(
    state: RegistryState, row: Row, request: ProcessEventAppendRequest, lease: ProcessLease | None, now_ms: int
) -> ProcessEventAppendResult:
    """Append one prepared request under the lock, at ``now_ms``; whatever it raises, nothing was written."""
    stored = find_replay(row, request)
    if stored is not None:
        return ProcessEventAppendResult(
            event=stored, wake_delivery=wake_delivery(stored, row.record, request.wake_target_scope), replayed=True
        )
    if lease is not None:
        state.check_write(row, lease)
    event_type = check_append(row.record.id, row.record.event_type(request.event_type), request)
    semantics = materialize(row.record.id, len(row.events) + 1, event_type, request.payload)
    if semantics.terminal is not None and row.record.is_terminal:
        raise AlreadyTerminalError(row.record.id, row.record.status.state)
    _check_limits(state, row, request, semantics)
    event = write_event(state, row, request, semantics, now_ms)
    delivery = wake_delivery(event, row.record, request.wake_target_scope)
    _react(state, row, request, event, fenced=lease is not None)
    return ProcessEventAppendResult(event=event, wake_delivery=delivery)


def write_event(
    state: RegistryState,
    row: Row,
    request: ProcessEventAppendRequest,
    semantics: MaterializedSemantics,
    now_ms: int,
) -> ProcessEvent:
    """Write a checked event: log, replay index, status, times, change feed."""
    event = ProcessEvent(
        process_id=row.record.id,
        sequence=len(row.events) + 1,
        event_type=request.event_type,
        payload=request.payload,
        occurred_at_ms=now_ms,
        replay_key=request.replay_key,
        semantics=semantics,
    )
    row.events.append(event)
    row.log_bytes += len(canonical_json(request.payload).encode())
    if request.replay_key is not None:
        row.replay[request.replay_key] = (event.sequence, payload_hash(request.event_type, request.payload))
    facts: dict[str, Any] = {"last_sequence": event.sequence, "updated_at_ms": now_ms}
    if semantics.terminal is not None:
        facts["status"] = terminal_status(semantics.terminal.state, semantics.terminal.await_output)
        facts["wait"] = None
    state.touch(row, **facts)
    return event


def check_payload_size(state: RegistryState, row: Row, request: ProcessEventAppendRequest) -> int:
    """The payload's bytes in the log.

    Raises:
        LimitExceededError: more than one payload may have.
    """
    size = len(canonical_json(request.payload).encode())
    state.limits.check_payload_size(size, process_id=row.record.id)
    return size


def _check_limits(
    state: RegistryState, row: Row, request: ProcessEventAppendRequest, semantics: MaterializedSemantics
) -> None:
    limits, record, size = state.limits, row.record, check_payload_size(state, row, request)
    if semantics.terminal is not None or request.event_type == CANCEL_REQUESTED:
        return
    if len(row.events) >= limits.events_max:
        raise LimitExceededError(
            f"process `{record.id}` has {len(row.events)} events; the limit is {limits.events_max}",
            field="events",
            value=len(row.events),
            limit=limits.events_max,
            process_id=record.id,
        )
    if row.log_bytes + size > limits.log_bytes_max:
        raise LimitExceededError(
            f"process `{record.id}` log would have {row.log_bytes + size} bytes; the limit is {limits.log_bytes_max}",
            field="log_bytes",
            value=row.log_bytes + size,
            limit=limits.log_bytes_max,
            process_id=record.id,
        )


def _react(
    state: RegistryState, row: Row, request: ProcessEventAppendRequest, event: ProcessEvent, *, fenced: bool
) -> None:
    """What an event sets going: the row's holder hears of it, or the row may be claimed (DESIGN 3.2, decision 21)."""
    cancel = request.event_type == CANCEL_REQUESTED
    if cancel:
        _record_cancel(row, request, event)
    claimable = not row.record.is_terminal and row.record.disposition is not RecoveryDisposition.EXTERNALLY_OWNED
    if row.holding is not None:
        if not fenced:
            state.mark(row, "cancel" if cancel and claimable else "signal")
    elif claimable and cancel and row.record.attempt == 0:
        _end_before_start(state, row, request, event.occurred_at_ms)
    elif claimable and cancel:
        if row.due_ms > event.occurred_at_ms:
            state.schedule(row, event.occurred_at_ms)
    else:
        state.tell(row)


def _record_cancel(row: Row, request: ProcessEventAppendRequest, event: ProcessEvent) -> None:
    if row.record.cancel_request is None:
        row.update(
            cancel_request=CancelRequest(
                requested_at_ms=event.occurred_at_ms, requested_by=request.requested_by, reason=_reason(request)
            )
        )


def _end_before_start(state: RegistryState, row: Row, request: ProcessEventAppendRequest, now_ms: int) -> None:
    terminal = cancelled_before_start(row.record.id, _reason(request))
    event_type = check_append(row.record.id, row.record.event_type(terminal.event_type), terminal)
    semantics = materialize(row.record.id, len(row.events) + 1, event_type, terminal.payload)
    write_event(state, row, terminal, semantics, now_ms)


def _reason(request: ProcessEventAppendRequest) -> str | None:
    payload: Any = request.payload
    reason: Any = payload.get("reason") if isinstance(payload, dict) else None
    return reason if isinstance(reason, str) else None
