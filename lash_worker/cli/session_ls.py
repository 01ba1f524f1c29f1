"""``lash session ls``: a page of sessions."""

from __future__ import annotations

import click

from lash_core.client import LashClient
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json, table, when
from lash_worker.cli.session_rows import summary_json
from lash_worker.cli.store_access import with_client


@click.command("ls")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Sessions of one page.")
@click.option("--cursor", metavar="C", help="Go on after a page: its next_cursor.")
@json_option
@shared_options
@pass_invocation
def ls(invocation: Invocation, *, limit: int, cursor: str | None, as_json: bool) -> None:
    """List sessions, in no stated order."""

    async def work(lash: LashClient) -> None:
        items, following = await lash.list_sessions(limit=limit, cursor=cursor)
        if as_json:
            print_json({"items": [summary_json(item) for item in items], "next_cursor": following})
            return
        if not items:
            console().print(cell("no session is there; `lash session send ID TEXT` makes one", "dim"))
            return
        now_ms = await lash.stores.process_registry.server_time_ms()
        columns = ("id", "model", "revision", "queued", "held by", "created")
        rows = (
            (
                cell(item.session_id),
                cell(item.model),
                cell(item.head_revision),
                cell(item.queued),
                cell(item.lease_owner_id),
                when(item.created_at_ms, now_ms),
            )
            for item in items
        )
        console().print(table(columns, rows, right=("revision", "queued")))
        if following is not None:
            console().print(cell(f"more: --cursor '{following}'", "dim"))

    with_client(invocation, work)
