"""Process commands, carried out over a registry: what the effect boundary runs (contract 5.1, 5.4).

The value of an outcome is small JSON, as journals keep it; rows and payloads are read where they are needed.
"""

from __future__ import annotations

from typing import Any

from lash_core.errors import UnknownProcessError
from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.process_command import (
    AnyProcessCommand,
    AwaitProcess,
    CancelProcess,
    DeleteSessionProcesses,
    GrantProcess,
    ListProcesses,
    ProcessListMode,
    RevokeProcess,
    SignalProcess,
    StartProcess,
    TransferProcesses,
)
from lash_core.model.process_handle import process_handle_summary
from lash_core.model.record import ProcessRecord
from lash_core.model.scope import SessionScope
from lash_core.runtime.run_waits import RunWaits
from lash_core.store.contract_names import Handles
from lash_core.store.process_registry import ProcessRegistry


async def run_process_command(
    registry: ProcessRegistry, command: AnyProcessCommand, waits: RunWaits | None = None
) -> dict[str, Any]:
    """Carry a command out and answer its outcome's value. Safe to repeat: every command is idempotent.

    ``waits`` are those of the run that asks: it rests while it waits for another process.

    ====================  =================================================
    start                 ``{"id"}``
    list                  ``{"handles": [summary, …]}`` by process id
    transfer, grant,      ``{}``
    revoke
    delete_session        the report (contract 1.14)
    await                 ``{"output"}``
    cancel                ``{"process_id", "status"}``
    signal                ``{"event"}``, without the payload: whoever asked has it
    ====================  =================================================

    Raises:
        UnknownProcessError and what the registry's operations raise.
    """
    match command:
        case StartProcess(registration=registration, grant_to=grant_to, descriptor=descriptor):
            await registry.register_process(registration, grant_to=grant_to, descriptor=descriptor)
            return {"id": registration.id}
        case ListProcesses(scope=scope, mode=mode):
            handles = await list_handles(registry, scope, mode)
            return {"handles": [process_handle_summary(record, grant.descriptor) for grant, record in handles]}
        case TransferProcesses(source=source, target=target, process_ids=process_ids):
            await registry.transfer_handles(source, target, process_ids)
            return {}
        case GrantProcess(scope=scope, process_id=process_id, descriptor=granted):
            await registry.grant_handle(scope, process_id, granted)
            return {}
        case RevokeProcess(scope=scope, process_id=process_id):
            await registry.revoke_handle(scope, process_id)
            return {}
        case DeleteSessionProcesses(session_id=session_id):
            return (await registry.delete_session_process_state(session_id)).to_json_value()
        case AwaitProcess(process_id=process_id):
            return {"output": (await _outcome(registry, process_id, waits)).to_json_value()}
        case CancelProcess(process_id=process_id, reason=reason):
            record = await _cancel(registry, process_id, reason)
            return {"process_id": process_id, "status": record.status.state}
        case SignalProcess(process_id=process_id, request=request):
            event = (await registry.append_event(process_id, request)).event
            return {"event": event.model_copy(update={"payload": None}).to_json_value()}


async def list_handles(registry: ProcessRegistry, scope: SessionScope, mode: ProcessListMode) -> Handles:
    """The handles of a scope with their rows, by process id."""
    if mode is ProcessListMode.LIVE:
        return await registry.list_live_handles(scope)
    return await registry.list_handles(scope)


async def _outcome(registry: ProcessRegistry, process_id: str, waits: RunWaits | None) -> AnyAwaitOutput:
    record = await (registry.await_terminal(process_id) if waits is None else waits.ended(process_id))
    output = record.await_output
    if output is None:
        raise RuntimeError(f"process `{process_id}` was reported terminal without an outcome")
    return output


async def _cancel(registry: ProcessRegistry, process_id: str, reason: str | None) -> ProcessRecord:
    """Append the request, then read the row (contract 5.4). On a terminal row only the event is written."""
    await registry.append_event(process_id, ProcessEventAppendRequest.cancel_requested(process_id, reason))
    record = await registry.get_process(process_id)
    if record is None:
        raise UnknownProcessError(process_id)
    return record
