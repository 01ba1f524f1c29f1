"""Completion: the terminal append of an outcome, and who may write it without a lease (contract 2.7). Pure."""

from __future__ import annotations

from lash_core.errors import CompletionAuthorityError
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event import ProcessEventAppendRequest, Replay
from lash_core.model.event_type import TERMINAL_EVENT_TYPES
from lash_core.model.reports import CompletionAuthority


def terminal_append(
    process_id: str, output: AnyAwaitOutput, authority: CompletionAuthority | None = None
) -> ProcessEventAppendRequest:
    """The terminal event of an outcome; its replay key makes a repeat of the same outcome harmless."""
    event_type = TERMINAL_EVENT_TYPES[output.state]
    payload: dict[str, object] = {"await_output": output.to_json_value()}
    if authority is not None:
        payload["completion_authority"] = authority.to_json_value()
    return ProcessEventAppendRequest(
        event_type=event_type, payload=payload, replay=Replay(key=f"process:{process_id}:terminal:{event_type}")
    )


POISON_CODE = "process_poisoned"
"""Failure code of a process that killed too many owners in a row (DESIGN 4)."""


def cancelled_before_start(process_id: str, reason: str | None) -> ProcessEventAppendRequest:
    """The end of a row that was never claimed when its cancel request arrives (decision 21)."""
    output = ProcessAwaitOutput.cancelled(reason or "cancelled before start")
    return terminal_append(process_id, output, CompletionAuthority(type="cancelled_before_start"))


def check_authority(
    process_id: str, disposition: RecoveryDisposition, authority: CompletionAuthority, output: AnyAwaitOutput
) -> None:
    """Check an unleased completion against the row's disposition.

    Raises:
        CompletionAuthorityError: ``cannot be completed with <label> authority: <why>``.
    """
    external = disposition is RecoveryDisposition.EXTERNALLY_OWNED
    why = None
    match authority.type:
        case "external_owner":
            why = None if external else f"its disposition is {disposition.value}"
        case "workflow_key":
            why = "its disposition is externally_owned" if external else None
        case "reconciled_abandon":
            if not external:
                why = f"its disposition is {disposition.value}"
            elif output.state != "abandoned":
                why = f"it may record an abandoned outcome only, not {output.state}"
        case unknown:
            why = f"unknown authority {unknown!r}"
    if why is not None:
        raise CompletionAuthorityError(process_id, authority.label, why)
