"""Processes, as a session and as the fleet sees them (``docs/contracts/web.md`` 3)."""

from __future__ import annotations

from starlette.responses import Response

from lash_core.client_session_watch import tell_process_changed
from lash_core.errors import UnknownProcessError
from lash_core.model.ids import check_id
from lash_core.model.session_observation import SessionProcessEventKind
from lash_core.runtime.observation.process_views import fleet_snapshot, session_processes
from lash_core.web import forms
from lash_core.web.calls import Call
from lash_core.web.replies import json_reply


async def list_processes(call: Call) -> Response:
    """Processes that the session has handles on or is woken by, newest first, with the ends of their logs."""
    asked: forms.ProcessesQuery = call.query
    found = await session_processes(
        call.client.stores.process_registry,
        call.session_id,
        live_only=asked.live,
        limit=asked.limit,
        events=asked.events,
    )
    return json_reply(found.to_json_value())


async def list_fleet_processes(call: Call) -> Response:
    """The fleet at a glance: counts, workers, the processes that changed last."""
    asked: forms.FleetQuery = call.query
    stores = call.client.stores
    found = await fleet_snapshot(
        stores.process_registry, stores.directory, limit=asked.limit, events=asked.events, status=asked.status
    )
    return json_reply(found.to_json_value())


async def cancel_processes(call: Call) -> forms.CancelProcessesAnswer:
    """Ask processes to stop that the session has handles on."""
    body: forms.CancelProcessesBody = call.body
    # All checked before the first is asked: nothing is half done because of a bad id.
    names = [check_id(name) for name in dict.fromkeys(body.process_ids)]
    items = [forms.CancelledProcess(id=name, outcome=await _cancel(call, name, body.reason)) for name in names]
    changed = tuple(item.id for item in items if item.outcome in ("requested", "cancelled"))
    if changed:
        await tell_process_changed(call.client.stores, call.session_id, SessionProcessEventKind.CANCELLED, changed)
    return forms.CancelProcessesAnswer(items=items)


async def _cancel(call: Call, process_id: str, reason: str | None) -> str:
    try:
        grants = await call.client.stores.process_registry.handles_for_process(process_id)
        if not any(grant.session_id == call.session_id for grant in grants):
            # Also one that is there: who has nothing to do with it does not learn of it.
            return "not_found"
        receipt = await call.client.handle(process_id).cancel(reason, requested_by=f"session:{call.session_id}")
    except UnknownProcessError:
        return "not_found"
    return receipt.outcome
