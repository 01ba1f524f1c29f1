"""``lash process ls``: list, count, follow."""

from __future__ import annotations

from typing import Any

import click

from lash_core.client import LashClient
from lash_core.client_listing import ListOptions, list_filter
from lash_core.client_patience import patiently
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json
from lash_worker.cli.parameters import MOMENT
from lash_worker.cli.process_rows import STATUSES, row_json, row_line, rows_table
from lash_worker.cli.reader_gone import while_read
from lash_worker.cli.store_access import with_client


@click.command("ls")
@click.option("--status", type=click.Choice(STATUSES), default="any", show_default=True, help="State of the rows.")
@click.option("--kind", metavar="KIND", help="Only this kind.")
@click.option("--queue", metavar="Q", help="Only this queue.")
@click.option("--label", metavar="TEXT", help="Only this label.")
@click.option("--since", "since_ms", type=MOMENT, metavar="T", help="Created at or after: RFC 3339 or epoch ms.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Rows of one page.")
@click.option("--cursor", metavar="C", help="Go on after a page: its next_cursor.")
@click.option("--count", is_flag=True, help="Print the number of rows only.")
@click.option("--follow", is_flag=True, help="Print each row, then again whenever it changes, until Ctrl-C.")
@json_option
@shared_options
@pass_invocation
def ls(invocation: Invocation, *, as_json: bool, count: bool, follow: bool, **given: Any) -> None:
    """List processes, in no stated order."""
    facets: ListOptions = {name: given[name] for name in ("status", "kind", "queue", "label", "since_ms")}  # pyright: ignore[reportAssignmentType] - the names are the facets'
    if count:
        found = with_client(invocation, lambda lash: lash.count(**facets))
        print_json({"count": found}) if as_json else click.echo(found)
    elif follow:
        with_client(invocation, lambda lash: while_read(_follow(lash, facets, as_json=as_json)))
    else:
        with_client(invocation, lambda lash: _list(lash, facets, given["limit"], given["cursor"], as_json=as_json))


async def _list(lash: LashClient, facets: ListOptions, limit: int, cursor: str | None, *, as_json: bool) -> None:
    page = await lash.list(limit=limit, cursor=cursor, **facets)
    if as_json:
        print_json({"items": [row_json(record) for record in page.items], "next_cursor": page.next_cursor})
        return
    if not page.items:
        console().print(cell("no process matches", "dim"))
        return
    now_ms = await lash.stores.process_registry.server_time_ms()
    out = console()
    out.print(rows_table(page.items, now_ms, out.width))
    if page.next_cursor is not None:
        console().print(cell(f"more: --cursor '{page.next_cursor}'", "dim"))


async def _follow(lash: LashClient, facets: ListOptions, *, as_json: bool) -> None:
    registry, wanted = lash.stores.process_registry, list_filter(facets)
    out = console()
    async for changes in lash.changes(follow=True):
        now_ms = 0 if as_json else await patiently("the list", registry.server_time_ms)
        for record in changes.records:
            if not wanted.matches(record):
                continue
            if as_json:
                print_json(row_json(record))
            else:
                out.print(row_line(record, now_ms), soft_wrap=True)
