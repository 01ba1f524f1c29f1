"""``lash process prune``: delete old processes that have ended."""

from __future__ import annotations

from typing import Any

import click
from rich.progress import Progress, SpinnerColumn, TextColumn

from lash_core.client import LashClient
from lash_core.client_listing import ListOptions, list_filter
from lash_core.model.reports import PruneReport
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, confirm, console, print_json
from lash_worker.cli.parameters import DURATION
from lash_worker.cli.store_access import with_client

_BATCH = 500
"""Rows of one call: the bar moves, and a Ctrl-C stops soon."""

_ENDED = ("any", "completed", "failed", "cancelled", "abandoned")


@click.command("prune")
@click.option("--older-than", "age_ms", type=DURATION, required=True, metavar="D", help="Ended that long ago: 10m, 7d.")
@click.option("--status", type=click.Choice(_ENDED), default="any", show_default=True, help="Only this outcome.")
@click.option("--kind", metavar="KIND", help="Only this kind.")
@click.option("--queue", metavar="Q", help="Only this queue.")
@click.option("--label", metavar="TEXT", help="Only this label.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@shared_options
@pass_invocation
def prune(invocation: Invocation, *, age_ms: int, yes: bool, as_json: bool, **given: Any) -> None:
    """Delete processes that ended long ago, with their events. Never running ones, never past a projector's cursor."""
    if not yes:
        confirm("Delete ended processes and their events for good?")
    facets: ListOptions = {
        "status": given["status"],
        "kind": given["kind"],
        "queue": given["queue"],
        "label": given["label"],
    }
    report = with_client(invocation, lambda lash: _prune(lash, age_ms, facets, quiet=as_json))
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        console().print(cell(f"pruned {report.pruned_processes} processes, {report.pruned_events} events"))


async def _prune(lash: LashClient, age_ms: int, facets: ListOptions, *, quiet: bool) -> PruneReport:
    registry = lash.stores.process_registry
    cutoff_ms = await registry.server_time_ms() - age_ms
    projectors = await lash.stores.directory.projectors()
    limit_cursor = registry.earliest_cursor([cursor for cursor, _ in projectors.values()])
    columns = (SpinnerColumn(), TextColumn("pruned {task.completed} processes"))
    total = PruneReport()
    with Progress(*columns, console=console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("prune", total=None)
        while True:
            part = await registry.prune_terminal_processes(cutoff_ms, list_filter(facets), limit_cursor, limit=_BATCH)
            total = PruneReport(
                pruned_processes=total.pruned_processes + part.pruned_processes,
                pruned_events=total.pruned_events + part.pruned_events,
            )
            progress.update(task, completed=total.pruned_processes)
            if part.pruned_processes == 0:
                return total
