"""``lash worker ls`` and ``lash worker drain``."""

from __future__ import annotations

import asyncio

import click
from rich.table import Table

from lash_core.client import LashClient
from lash_core.model.manifest import WorkerEntry
from lash_worker.cli.exit_codes import NotFoundError
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import ago, cell, console, print_json, status_cell, table
from lash_worker.cli.store_access import with_client

LIVE_WITHIN_MS = 30_000
"""A worker beats several times in this; one that did not is shown as silent."""


@click.command("ls")
@click.option("--all", "everything", is_flag=True, help="Silent ones of the last day too.")
@json_option
@shared_options
@pass_invocation
def ls(invocation: Invocation, *, everything: bool, as_json: bool) -> None:
    """List workers: who they are, what they serve, how busy they are."""

    async def work(lash: LashClient) -> tuple[tuple[WorkerEntry, ...], int]:
        return await asyncio.gather(
            lash.stores.directory.list_workers(seen_within_ms=None if everything else LIVE_WITHIN_MS),
            lash.stores.process_registry.server_time_ms(),
        )

    entries, now_ms = with_client(invocation, work)
    if as_json:
        print_json({"items": [entry.model_dump(mode="json", by_alias=True) for entry in entries]})
    elif not entries:
        console().print(cell("no live worker; start one with: lash worker run --app MODULE:ATTR", "dim"))
    else:
        console().print(workers_table(entries, now_ms))


@click.command("drain")
@click.argument("worker_id", metavar="ID")
@json_option
@shared_options
@pass_invocation
def drain(invocation: Invocation, worker_id: str, *, as_json: bool) -> None:
    """Ask a worker to stop claiming, finish what runs and stop. It hears of it with its next beat."""
    if not with_client(invocation, lambda lash: lash.stores.directory.request_drain(worker_id)):
        raise NotFoundError(f"no worker `{worker_id}`; see: lash worker ls --all", field="worker_id", value=worker_id)
    print_json({"id": worker_id, "status": "requested"}) if as_json else click.echo(f"drain requested: {worker_id}")


def workers_table(entries: tuple[WorkerEntry, ...], now_ms: int) -> Table:
    """Workers for people."""
    rows = (
        (
            cell(entry.worker_id),
            status_cell(worker_state(entry, now_ms)),
            cell(f"{entry.host}:{entry.pid}"),
            cell(", ".join(entry.queues)),
            cell(len(entry.kinds)),
            cell(f"{entry.busy}/{entry.concurrency}"),
            cell(entry.parked),
            cell(turns_text(entry)),
            cell(entry.lash_version),
            cell(ago(entry.seen_at_ms, now_ms)),
        )
        for entry in entries
    )
    columns = ("worker", "state", "host:pid", "queues", "kinds", "busy", "parked", "turns", "lash", "seen")
    return table(columns, rows, right=("kinds", "busy", "parked", "turns", "seen"))


def turns_text(entry: WorkerEntry) -> str | None:
    """Turns of sessions that run, of how many at once; None for a worker that runs no sessions."""
    facts = entry.facts.get("sessions")
    return f"{facts.get('busy', 0)}/{facts.get('concurrency', 0)}" if isinstance(facts, dict) else None


def worker_state(entry: WorkerEntry, now_ms: int) -> str:
    """The state for people: silence and a drain on its way come first."""
    if now_ms - entry.seen_at_ms > LIVE_WITHIN_MS:
        return "silent"
    if entry.state == "running" and entry.drain_requested:
        return "draining"
    return entry.state
