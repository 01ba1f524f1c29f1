"""``lash process get`` and ``lash process why``: one process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import click
from rich.text import Text

from lash_core.client import LashClient
from lash_core.client_retry import retries_of, retry_of
from lash_core.model.audit import AuditEntry
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_core.model.scope import SessionOriginator
from lash_core.why import Why, at_text
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, facts, json_cell, print_json, status_cell, table, when
from lash_worker.cli.process_rows import row_json
from lash_worker.cli.store_access import with_client


@click.command("get")
@click.argument("process_id", metavar="ID")
@json_option
@shared_options
@pass_invocation
def get(invocation: Invocation, process_id: str, *, as_json: bool) -> None:
    """Show one process: its row, its lease, its outcome, its handovers."""
    shown = with_client(invocation, lambda lash: _read(lash, process_id))
    if as_json:
        print_json(process_json(shown))
        return
    out = console()
    out.print(facts(_pairs(shown)))
    if shown.audit:
        rows = ((cell(at_text(entry.at_ms)), cell(entry.kind), json_cell(entry.evidence)) for entry in shown.audit)
        out.print(table(("handover at", "kind", "evidence"), rows))


@click.command("why")
@click.argument("process_id", metavar="ID")
@json_option
@shared_options
@pass_invocation
def why(invocation: Invocation, process_id: str, *, as_json: bool) -> None:
    """Say why a process is where it is: who holds it, what it waits for, what the fleet lacks."""
    answer: Why = with_client(invocation, lambda lash: lash.why(process_id))
    if as_json:
        print_json(answer.model_dump(mode="json"))
        return
    console().print(Text.assemble(status_cell(answer.status), "  ", (answer.reason, "bold"), "  ", cell(answer.text)))


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of one process at one time."""

    record: ProcessRecord
    why: Why
    lease: ProcessLease | None
    audit: tuple[AuditEntry, ...]
    retried_as: tuple[str, ...]
    now_ms: int


async def _read(lash: LashClient, process_id: str) -> Shown:
    registry = lash.stores.process_registry
    record = await lash.handle(process_id).record()
    why, lease, audit, retries, now_ms = await asyncio.gather(
        lash.why(process_id),
        registry.get_process_lease(process_id),
        registry.audit_entries(process_id),
        retries_of(registry, process_id),
        registry.server_time_ms(),
    )
    return Shown(record, why, lease, audit, tuple(row.id for row in retries), now_ms)


def process_json(shown: Shown) -> dict[str, Any]:
    """The JSON of one process (DESIGN 6)."""
    record, lease, audit = shown.record, shown.lease, shown.audit
    held = None
    if lease is not None:
        held = {
            "owner_id": lease.owner.owner_id,
            "incarnation_id": lease.owner.incarnation_id,
            "fencing_token": lease.fencing_token,
            "expires_at_ms": lease.expires_at_epoch_ms,
        }
    return {
        **row_json(record),
        "lease": held,
        "input": record.input.to_json_value(),
        "wait": None if record.wait is None else record.wait.to_json_value(),
        "cancel_request": None if record.cancel_request is None else record.cancel_request.to_json_value(),
        "abandon_request": None if record.abandon_request is None else record.abandon_request.to_json_value(),
        "originator": record.provenance.originator.to_json_value(),
        "wake_target": None if record.wake_target is None else record.wake_target.to_json_value(),
        "first_started": None if record.first_started is None else record.first_started.to_json_value(),
        "deaths": record.deaths,
        "retries": record.retries,
        "retry_of": retry_of(record),
        "retried_as": list(shown.retried_as),
        "last_sequence": record.last_sequence,
        "timeout_ms": record.timeout_ms,
        "app_version": record.app_version,
        "version_pin": record.version_pin,
        "handovers": [entry.to_json_value() for entry in audit],
    }


def _attempt(record: ProcessRecord, lease: ProcessLease | None, now_ms: int) -> str:
    """The row counts attempts that ended; a person wants to hear of the one that goes on."""
    is_held = lease is not None and lease.is_live(now_ms)
    return f"{record.attempt + 1} (running)" if is_held else str(record.attempt)


def _pairs(shown: Shown) -> list[tuple[str, Text]]:
    record, lease, now_ms = shown.record, shown.lease, shown.now_ms
    pairs = [
        ("id", cell(record.id)),
        ("kind", cell(record.identity.kind)),
        ("label", cell(record.identity.label)),
        ("queue", cell(record.queue)),
        ("status", status_cell(record.status.state)),
        ("disposition", cell(record.disposition.value)),
        ("attempt", cell(_attempt(record, lease, now_ms))),
        ("created", when(record.created_at_ms, now_ms)),
        ("updated", when(record.updated_at_ms, now_ms)),
    ]
    if not record.is_terminal:
        pairs.append(("why", Text.assemble((shown.why.reason, "bold"), "  ", cell(shown.why.text))))
    if record.due_at_ms is not None and not record.is_terminal:
        pairs.append(("due", when(record.due_at_ms, now_ms)))
    if record.first_started is not None:
        started = Text.assemble(
            cell(record.first_started.owner.owner_id), "  ", when(record.first_started.started_at_ms, now_ms)
        )
        pairs.append(("first started", started))
    if lease is not None:
        held = f"{lease.owner.owner_id}  fence {lease.fencing_token}, until {at_text(lease.expires_at_epoch_ms)}"
        pairs.append(("lease", cell(held if lease.is_live(now_ms) else f"{held} (expired)")))
    if record.wait is not None:
        waits = f"signal {record.wait.kind.name} number {record.wait.kind.ordinal}"
        pairs.append(("waiting for", Text.assemble(cell(waits), "  since ", when(record.wait.since_ms, now_ms))))
    if record.cancel_request is not None:
        asked = record.cancel_request
        pairs.append(
            (
                "cancel",
                Text.assemble(
                    cell(asked.reason), "  ", cell(asked.requested_by), "  ", when(asked.requested_at_ms, now_ms)
                ),
            )
        )
    if record.deaths:
        pairs.append(("deaths", cell(record.deaths)))
    if record.retries:
        pairs.append(("retries", cell(record.retries)))
    pairs += _sessions_of(record)
    first_id = retry_of(record)
    if first_id is not None:
        pairs.append(("retry of", cell(first_id)))
    if shown.retried_as:
        pairs.append(("retried as", cell(", ".join(shown.retried_as))))
    pairs.append(("input", json_cell(record.input.to_json_value(), limit=2_000)))
    if record.await_output is not None:
        pairs.append(("output", json_cell(record.await_output.to_json_value(), limit=4_000)))
    return pairs


def _sessions_of(record: ProcessRecord) -> list[tuple[str, Text]]:
    originator, woken = record.provenance.originator, record.wake_target
    pairs: list[tuple[str, Text]] = []
    if isinstance(originator, SessionOriginator):
        pairs.append(("started by", cell(f"session {originator.scope.session_id}")))
    if woken is not None:
        pairs.append(("wakes", cell(f"session {woken.session_id}")))
    return pairs
