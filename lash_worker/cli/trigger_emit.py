"""``lash trigger emit`` and ``backfill``."""

from __future__ import annotations

from typing import IO, Any

import click

from lash_core.client import LashClient
from lash_core.client_triggers import BACKFILL_MAX, BackfilledTick
from lash_core.errors import InvalidArgumentError
from lash_core.runtime.trigger_router import EmitReport
from lash_core.why import at_text
from lash_worker.cli.apps import DeclaredApps, load_apps
from lash_worker.cli.exit_codes import DONE, FAILED
from lash_worker.cli.invocation import Invocation, app_option, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json, table
from lash_worker.cli.parameters import JSON, MOMENT, parse_json
from lash_worker.cli.store_access import with_client


@click.command("emit")
@click.argument("source", metavar="TYPE:KEY")
@click.option("--payload", type=JSON, metavar="JSON", help="What happened.")
@click.option(
    "--payload-file", type=click.File("r", encoding="utf-8"), metavar="F", help="Payload from a file, - = stdin."
)
@click.option("--key", metavar="K", help="Idempotency key: the same one is the same occurrence.")
@json_option
@app_option
@shared_options
@pass_invocation
def emit(
    invocation: Invocation,
    source: str,
    *,
    payload: Any,
    payload_file: IO[str] | None,
    key: str | None,
    as_json: bool,
) -> int:
    """Say that something happened at TYPE:KEY; every live trigger of it starts a process.

    Exit code 1 when a delivery was given up; the others are started all the same.
    """
    if payload_file is not None:
        if payload is not None:
            raise click.UsageError("--payload and --payload-file exclude each other")
        try:
            payload = parse_json(payload_file.read())
        except (ValueError, UnicodeDecodeError) as error:
            raise InvalidArgumentError(
                f"{payload_file.name}: not JSON: {error}", field="payload_file", value=payload_file.name
            ) from error

    async def work(lash: LashClient) -> EmitReport:
        return await lash.triggers.emit(source, payload, idempotency_key=key)

    report = with_client(invocation, work, app=DeclaredApps(load_apps(invocation)))
    _print_report(report, as_json=as_json)
    return FAILED if any(one.status == "failed" and not one.will_retry for one in report.deliveries) else DONE


def _print_report(report: EmitReport, *, as_json: bool) -> None:
    if as_json:
        deliveries = [
            {
                "process_id": one.process_id,
                "subscription_id": one.subscription_id,
                "status": one.status,
                "reason": one.reason,
                "will_retry": one.will_retry,
            }
            for one in report.deliveries
        ]
        known = "exists" if report.replayed else "created"
        print_json(
            {
                "id": report.occurrence.occurrence_id,
                "key": report.occurrence.idempotency_key,
                "status": known,
                "deliveries": deliveries,
            }
        )
        return
    if not report.deliveries:
        console().print(cell("nobody listens: no live trigger has this source", "dim"))
        return
    rows = (
        (cell(one.status), cell(one.process_id), cell(_reason(one.reason, retry=one.will_retry)))
        for one in report.deliveries
    )
    console().print(table(("delivery", "process", "reason"), rows))


def _reason(reason: str | None, *, retry: bool) -> str | None:
    return f"{reason} (a worker tries again)" if reason is not None and retry else reason


@click.command("backfill")
@click.argument("name")
@click.option("--from", "from_ms", type=MOMENT, required=True, metavar="T", help="First: RFC 3339 or epoch ms.")
@click.option("--to", "until_ms", type=MOMENT, required=True, metavar="T", help="End, itself not included.")
@click.option(
    "--limit", type=click.IntRange(1, BACKFILL_MAX), default=BACKFILL_MAX, show_default=True, help="Ticks at most."
)
@click.option("--dry-run", is_flag=True, help="Print the ticks; start nothing.")
@json_option
@app_option
@shared_options
@pass_invocation
def backfill(
    invocation: Invocation, name: str, *, from_ms: int, until_ms: int, limit: int, dry_run: bool, as_json: bool
) -> int:
    """Run the ticks of the schedule NAME in a past span that were not emitted yet. Safe to repeat."""

    async def work(lash: LashClient) -> tuple[BackfilledTick, ...]:
        return await lash.triggers.backfill(name, from_ms, until_ms, dry_run=dry_run, limit=limit)

    ticks = with_client(invocation, work, app=DeclaredApps(load_apps(invocation)))
    if as_json:
        print_json(
            {
                "items": [
                    {
                        "tick_ms": tick.tick_ms,
                        "status": tick.status,
                        "process_id": tick.process_id,
                        "reason": tick.reason,
                    }
                    for tick in ticks
                ]
            }
        )
    elif not ticks:
        console().print(cell("the schedule has no tick in that span", "dim"))
    else:
        rows = (
            (cell(at_text(tick.tick_ms)), cell(tick.status), cell(tick.process_id), cell(tick.reason)) for tick in ticks
        )
        console().print(table(("tick", "status", "process", "reason"), rows))
    return FAILED if any(tick.status == "failed" for tick in ticks) else DONE
