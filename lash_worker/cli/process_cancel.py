"""``lash process cancel``: by id, or by filter after asking."""

from __future__ import annotations

import asyncio
from typing import Any

import click
from rich.progress import Progress

from lash_core.client import LashClient
from lash_core.client_listing import ListOptions
from lash_core.model.receipts import CancelReceipt
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, confirm, console, print_json
from lash_worker.cli.store_access import with_client

_AT_ONCE = 64
"""Cancel requests under way: they share pipelines, and a slow server is not flooded."""

_PAGE = 500

WAIT_SECONDS = 60.0
"""``--wait`` without ``--timeout``: long enough for a cooperative stop, short enough for a person."""


@click.command("cancel")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--reason", metavar="TEXT", help="For the record and for the running code.")
@click.option("--wait", is_flag=True, help="Wait until the process has ended.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=WAIT_SECONDS, show_default=True, help="Seconds to wait."
)
@click.option("--kind", metavar="KIND", help="Instead of ids: all running ones of this kind.")
@click.option("--queue", metavar="Q", help="Instead of ids: all running ones of this queue.")
@click.option("--label", metavar="TEXT", help="Instead of ids: all running ones with this label.")
@click.option("--yes", is_flag=True, help="Do not ask before a cancel by filter.")
@json_option
@shared_options
@pass_invocation
def cancel(invocation: Invocation, ids: tuple[str, ...], *, as_json: bool, yes: bool, **given: Any) -> None:
    """Ask processes to stop. It is a durable request, not a kill; safe to repeat."""
    facets: ListOptions = {"status": "running", "kind": given["kind"], "queue": given["queue"], "label": given["label"]}
    by_filter = any(given[name] is not None for name in ("kind", "queue", "label"))
    if bool(ids) == by_filter:
        raise click.UsageError("name processes by id or by --kind, --queue, --label; not both, not neither")

    async def work(lash: LashClient) -> list[CancelReceipt]:
        chosen = list(ids) if ids else await _matching(lash, facets)
        if by_filter and chosen and not yes:
            confirm(f"Cancel {len(chosen)} running processes?")
        receipts: list[CancelReceipt] = []
        with Progress(console=console(stderr=True), transient=True, disable=as_json or len(chosen) < 2) as progress:
            task = progress.add_task("cancel", total=len(chosen))
            for start in range(0, len(chosen), _AT_ONCE):
                part = chosen[start : start + _AT_ONCE]
                receipts += await asyncio.gather(*(_cancel(lash, process_id, given) for process_id in part))
                progress.advance(task, len(part))
        return receipts

    for receipt in with_client(invocation, work):
        _print(receipt, as_json=as_json)


async def _cancel(lash: LashClient, process_id: str, given: dict[str, Any]) -> CancelReceipt:
    handle = lash.handle(process_id)
    receipt = await handle.cancel(given["reason"])
    if not given["wait"] or receipt.status != "running":
        return receipt
    await handle.output(given["timeout"])
    record = await handle.record()
    seen_at_ms = None if record.cancel_request is None else record.cancel_request.seen_at_ms
    return receipt.model_copy(update={"status": record.status.state, "seen_at_ms": seen_at_ms})


async def _matching(lash: LashClient, facets: ListOptions) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await lash.list(limit=_PAGE, cursor=cursor, **facets)
        found += [record.id for record in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def _print(receipt: CancelReceipt, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"id": receipt.id, "outcome": receipt.outcome, "status": receipt.status, "seen_at_ms": receipt.seen_at_ms}
        )
        return
    console().print(cell(f"{receipt.outcome.replace('_', ' ')}: {receipt.id} ({receipt.status})"))
