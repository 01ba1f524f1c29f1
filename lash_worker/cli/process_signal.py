"""``lash process signal`` and ``lash process abandon``: what a person tells a process."""

from __future__ import annotations

from typing import Any

import click

from lash_core.client import LashClient
from lash_core.client_enqueue import requester
from lash_core.model.facts import AbandonRequest
from lash_core.model.record import ProcessRecord
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json
from lash_worker.cli.parameters import JSON
from lash_worker.cli.store_access import with_client


@click.command("signal")
@click.argument("process_id", metavar="ID")
@click.argument("name")
@click.option("--payload", type=JSON, metavar="JSON", help="What the signal carries.")
@click.option("--signal-id", metavar="ID", help="Recorded once per signal id; a fresh one by default.")
@json_option
@shared_options
@pass_invocation
def signal(
    invocation: Invocation, process_id: str, name: str, *, payload: Any, signal_id: str | None, as_json: bool
) -> None:
    """Send a signal that the process declares."""
    receipt = with_client(invocation, lambda lash: lash.handle(process_id).signal(name, payload, signal_id=signal_id))
    if as_json:
        print_json(receipt.model_dump(mode="json"))
    else:
        sent = f"{receipt.name} is event {receipt.sequence} of {receipt.id} (signal id {receipt.signal_id})"
        text = f"{receipt.status}: {sent}"
        console().print(cell(text))


@click.command("abandon")
@click.argument("process_id", metavar="ID")
@click.option("--reason", required=True, metavar="TEXT", help="Why nobody will run it any more.")
@json_option
@shared_options
@pass_invocation
def abandon(invocation: Invocation, process_id: str, *, reason: str, as_json: bool) -> None:
    """Allow a process whose owner is gone to be abandoned. A worker records it; the first request stays."""

    async def work(lash: LashClient) -> ProcessRecord:
        registry = lash.stores.process_registry
        request = AbandonRequest(
            requested_by=requester(), requested_at_ms=await registry.server_time_ms(), reason=reason
        )
        return await registry.request_abandon(lash.handle(process_id).process_id, request)

    record = with_client(invocation, work)
    request = record.abandon_request
    if as_json:
        stored = None if request is None else request.to_json_value()
        print_json({"id": record.id, "status": record.status.state, "abandon_request": stored})
    else:
        by = "" if request is None else f" (asked by {request.requested_by}: {request.reason})"
        console().print(cell(f"abandon requested: {record.id}{by}; a worker records it"))
