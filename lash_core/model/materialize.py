"""What an event means: semantics materialized from its type and payload (contract 2.5, checks 4 to 6). Pure.

The client computes this and hands a script the verdict; the scripts compare bytes and never decode a payload.
"""

from __future__ import annotations

from typing import Any

from lash_core.errors import InvalidPayloadError, ReplayKeyRequiredError, UndeclaredEventTypeError
from lash_core.model.await_output import (
    AbandonEvidence,
    AbandonWriter,
    AnyAwaitOutput,
    ProcessAwaitOutput,
    decode_await_output,
)
from lash_core.model.event import (
    MaterializedSemantics,
    MaterializedTerminal,
    MaterializedWake,
    ProcessEvent,
    ProcessEventAppendRequest,
    ProcessWakeDelivery,
    wake_id,
)
from lash_core.model.event_type import (
    CANCEL_REQUESTED,
    ConstDedupe,
    EventIdentityDedupe,
    ProcessEventType,
    SelectorDedupe,
    TerminalSemantics,
    TerminalState,
    WakeSemantics,
)
from lash_core.model.payload_schema import check_payload
from lash_core.model.record import ProcessRecord
from lash_core.model.scope import SessionScope
from lash_core.model.selector import is_truthy, select, stringify

NO_SEMANTICS = MaterializedSemantics()


def check_append(
    process_id: str, event_type: ProcessEventType | None, request: ProcessEventAppendRequest
) -> ProcessEventType:
    """Steps 3 to 5 of an append: declared, replay key where it is mandatory, payload schema.

    Raises:
        UndeclaredEventTypeError: the type is not declared.
        ReplayKeyRequiredError: a terminal event or a cancel request without a replay key.
        InvalidPayloadError: the payload does not match the schema.
    """
    if event_type is None:
        raise UndeclaredEventTypeError(process_id, request.event_type)
    needs_key = event_type.semantics.terminal is not None or event_type.name == CANCEL_REQUESTED
    if needs_key and request.replay_key is None:
        raise ReplayKeyRequiredError(process_id, event_type.name)
    check_payload(event_type, request.payload, process_id=process_id)
    return event_type


def materialize(process_id: str, sequence: int, event_type: ProcessEventType, payload: Any) -> MaterializedSemantics:
    """The meaning of an event (step 6).

    Raises:
        SelectorError: a selector that does not match; nothing may be written then.
        InvalidPayloadError: the selected outcome does not fit the declared state.
    """
    semantics = event_type.semantics
    if semantics.is_plain:
        return NO_SEMANTICS
    terminal = wake = None
    if semantics.terminal is not None:
        terminal = MaterializedTerminal(
            state=semantics.terminal.state, await_output=_terminal_output(event_type.name, semantics.terminal, payload)
        )
    if semantics.wake is not None:
        wake = _wake(process_id, sequence, semantics.wake, payload)
    return MaterializedSemantics(terminal=terminal, wake=wake)


def wake_delivery(event: ProcessEvent, record: ProcessRecord, scope: SessionScope | None) -> ProcessWakeDelivery | None:
    """The delivery of an event's wake to the request's scope, else the row's wake target; None without a target."""
    wake = event.semantics.wake
    target = scope or record.wake_target
    if wake is None or target is None:
        return None
    return ProcessWakeDelivery(
        wake_id=wake_id(target.scope_id, wake.dedupe_key),
        target_session_id=target.session_id,
        target_scope_id=target.scope_id,
        process_id=event.process_id,
        sequence=event.sequence,
        event_type=event.event_type,
        event_invocation=event.invocation,
        process_caused_by=record.provenance.caused_by,
        dedupe_key=wake.dedupe_key,
        input=wake.input,
        created_at_ms=event.occurred_at_ms,
    )


def default_wake_input(payload: Any) -> str:
    """Wake input of a raw payload: ``/text``, else ``/value``, else the payload as JSON text."""
    if isinstance(payload, dict):
        for name in ("text", "value"):
            if name in payload:
                return stringify(payload[name])
    return stringify(payload)


def _terminal_output(event_type: str, terminal: TerminalSemantics, payload: Any) -> AnyAwaitOutput:
    value = payload if terminal.await_output is None else select(terminal.await_output, payload)
    decoded = decode_await_output(value)
    if decoded is None:
        return _wrap(terminal.state, value)
    if decoded.state != terminal.state:
        # Decision 34; wrapping would report a failure that lash did observe as a success (ADR 0040).
        raise InvalidPayloadError(
            event_type, f"its outcome is {decoded.type}, but the event ends the process as {terminal.state}"
        )
    return decoded


def _wrap(state: TerminalState, value: Any) -> AnyAwaitOutput:
    match state:
        case "completed":
            return ProcessAwaitOutput.success(value)
        case "failed":
            return ProcessAwaitOutput.failure("execution", "process_failed", stringify(value), raw=value)
        case "cancelled":
            return ProcessAwaitOutput.cancelled(stringify(value), raw=value)
        case "abandoned":
            return ProcessAwaitOutput.abandoned(AbandonEvidence(writer=AbandonWriter.OWNER_DRAIN, epoch_ms=0))


def _wake(process_id: str, sequence: int, wake: WakeSemantics, payload: Any) -> MaterializedWake | None:
    if wake.when is not None and not is_truthy(select(wake.when, payload)):
        return None
    match wake.dedupe_key:
        case EventIdentityDedupe():
            key = f"{process_id}:{sequence}"
        case SelectorDedupe():
            key = stringify(select(wake.dedupe_key.selector, payload))
        case ConstDedupe():
            key = wake.dedupe_key.value
    return MaterializedWake(input=stringify(select(wake.input, payload)), dedupe_key=key)
