"""``lash top``: the fleet at a glance, live."""

from __future__ import annotations

import asyncio

import click
from rich.live import Live

from lash_core.client import LashClient
from lash_core.errors import CorruptRecordError, LashError
from lash_core.model.record import ProcessRecord
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import console, print_json
from lash_worker.cli.store_access import with_client
from lash_worker.cli.top_looks import FAILURES_KEPT, Looks
from lash_worker.cli.top_screen import screen


@click.command("top")
@click.option("--every", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Look once and stop.")
@json_option
@shared_options
@pass_invocation
def top(invocation: Invocation, *, every: float, once: bool, as_json: bool) -> None:
    """Show counts, rates, queues, sessions, workers and recent failures until Ctrl-C. With --json one look a line."""
    with_client(invocation, lambda lash: _watch(lash, every, once=once, as_json=as_json))


async def _watch(lash: LashClient, every_s: float, *, once: bool, as_json: bool) -> None:
    out, looks = console(), Looks()
    await _look(lash, looks)
    if as_json:
        print_json(looks.to_json_value())
        while not once:
            await asyncio.sleep(every_s)
            await _look(lash, looks)
            print_json(looks.to_json_value())
    elif once or not out.is_terminal:
        out.print(screen(looks, width=out.width, height=None))
    else:
        await _live(lash, looks, every_s)


async def _live(lash: LashClient, looks: Looks, every_s: float) -> None:
    """A screen that stays: a server that is away is told below what was seen last, and looked for again."""
    out = console()
    first = screen(looks, width=out.width, height=out.height)
    with Live(first, console=out, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every_s)
            note = None
            try:
                await _look(lash, looks)
            except LashError as error:
                note = f"{error.message}; what is shown is older"
            live.update(screen(looks, width=out.width, height=out.height, note=note), refresh=True)


async def _look(lash: LashClient, looks: Looks) -> None:
    registry = lash.stores.process_registry
    facts, workers, failures = await asyncio.gather(
        registry.fleet_facts(), lash.stores.directory.list_workers(), _new_failures(lash, looks)
    )
    looks.take(facts, workers, failures)


async def _new_failures(lash: LashClient, looks: Looks) -> list[ProcessRecord]:
    """What failed or was abandoned since the last look; nothing when a row cannot be read: ``process ls`` names it."""
    registry, after = lash.stores.process_registry, looks.cursor
    try:
        failed = await registry.newest_changes(FAILURES_KEPT, status="failed", after=after)
        abandoned = await registry.newest_changes(FAILURES_KEPT, status="abandoned", after=after)
    except CorruptRecordError:
        return []
    looks.cursor = failed.cursor
    return [*failed.records, *abandoned.records]
