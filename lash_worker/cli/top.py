"""``lash top``: the fleet at a glance."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from lash_core.client import LashClient
from lash_core.model.manifest import WorkerEntry
from lash_core.store.process_maintenance import FleetFacts
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import ago, cell, console, print_json, table
from lash_worker.cli.store_access import with_client
from lash_worker.cli.worker_ls import workers_table


@click.command("top")
@click.option("--every", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Look once and stop.")
@json_option
@shared_options
@pass_invocation
def top(invocation: Invocation, *, every: float, once: bool, as_json: bool) -> None:
    """Show queues, processes and workers until Ctrl-C. With --json one look a line."""
    with_client(invocation, lambda lash: _watch(lash, every, once=once, as_json=as_json))


async def _watch(lash: LashClient, every_s: float, *, once: bool, as_json: bool) -> None:
    out = console()
    if as_json or once or not out.is_terminal:
        while True:
            facts, workers = await _look(lash)
            if as_json:
                print_json(snapshot(facts, workers))
            else:
                out.print(_screen(facts, workers))
            if once or not as_json:
                return
            await asyncio.sleep(every_s)
    with Live(_screen(*await _look(lash)), console=out, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every_s)
            live.update(_screen(*await _look(lash)), refresh=True)


async def _look(lash: LashClient) -> tuple[FleetFacts, tuple[WorkerEntry, ...]]:
    return await asyncio.gather(lash.stores.process_registry.fleet_facts(), lash.stores.directory.list_workers())


def snapshot(facts: FleetFacts, workers: tuple[WorkerEntry, ...]) -> dict[str, Any]:
    """One look as JSON."""
    return {**asdict(facts), "workers": [entry.model_dump(mode="json", by_alias=True) for entry in workers]}


def _screen(facts: FleetFacts, workers: tuple[WorkerEntry, ...]) -> RenderableType:
    states = "   ".join(f"{name} {count}" for name, count in sorted(facts.processes.items())) or "no process"
    slots, busy = sum(entry.concurrency for entry in workers), sum(entry.busy for entry in workers)
    head = Text(f"{states}   leases {facts.leases}   slots {busy}/{slots}   outbox {facts.outbox_depth}", style="bold")
    parts: list[RenderableType] = [head]
    if facts.sessions_due or facts.session_leases or any(entry.facts.get("sessions") for entry in workers):
        parts.append(Text(f"sessions: {facts.sessions_due} wait, {facts.session_leases} are held"))
    if facts.grace_until_ms is not None:
        left_s = max(0, facts.grace_until_ms - facts.server_time_ms) / 1_000
        parts.append(Text(f"failover grace: nothing is claimed for {left_s:.0f} s more", style="yellow"))
    queues = sorted(facts.ready.keys() | facts.delayed.keys() | facts.leases_by_queue.keys())
    now_ms = facts.server_time_ms
    rows = (
        (
            cell(queue),
            cell(facts.ready.get(queue, 0)),
            cell(facts.delayed.get(queue, 0)),
            cell(facts.leases_by_queue.get(queue, 0)),
            cell(ago(now_ms - facts.oldest_ready_ms[queue], now_ms) if queue in facts.oldest_ready_ms else None),
        )
        for queue in queues
    )
    columns = ("queue", "ready", "later or waiting", "leased", "oldest ready")
    parts.append(table(columns, rows, right=columns[1:]))
    parts.append(workers_table(workers, now_ms) if workers else Text("no live worker", style="yellow"))
    return Group(*parts)
