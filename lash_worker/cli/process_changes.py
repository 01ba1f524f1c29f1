"""``lash process changes``: the change feed, from a position that the fleet remembers by name."""

from __future__ import annotations

import click

from lash_core.client import LashClient
from lash_core.client_patience import patiently
from lash_core.model.record import ProcessRecord
from lash_worker.cli.exit_codes import NotFoundError
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json
from lash_worker.cli.process_rows import row_json, row_line
from lash_worker.cli.reader_gone import while_read
from lash_worker.cli.store_access import with_client


@click.command("changes")
@click.option("--name", metavar="N", help="Remember the position under this name; rows past it are never pruned.")
@click.option("--follow", is_flag=True, help="Wait for more, also while the server is away.")
@click.option("--cursor", metavar="C", help="Start here instead of at the remembered position or the beginning.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many rows.")
@click.option("--forget", metavar="N", help="Forget a name; retention no longer waits for it.")
@json_option
@shared_options
@pass_invocation
def changes(
    invocation: Invocation,
    *,
    name: str | None,
    follow: bool,
    cursor: str | None,
    limit: int | None,
    forget: str | None,
    as_json: bool,
) -> None:
    """Print rows that changed, the latest state of each, and at the end the cursor to go on from.

    With --name the position moves after the rows were printed: a reader that dies sees them again, never less.
    """
    if forget is not None:
        if not with_client(invocation, lambda lash: lash.forget_projector(forget)):
            raise NotFoundError(f"no projector `{forget}`", field="forget", value=forget)
        print_json({"name": forget, "status": "forgotten"}) if as_json else click.echo(f"forgotten: {forget}")
        return

    async def work(lash: LashClient) -> None:
        at = ""
        async for page in lash.changes(cursor, name=name, follow=follow, limit=limit):
            # A page that came is printed, also where the store goes away behind it.
            now_ms = await _now_ms(lash, follow=follow) if page.records and not as_json else 0
            _print(page.records, now_ms, as_json=as_json)
            at = page.cursor.token
        print_json({"cursor": at}) if as_json else console().print(cell(f"cursor: {at}", "dim"))

    with_client(invocation, lambda lash: while_read(work(lash)))


async def _now_ms(lash: LashClient, *, follow: bool) -> int:
    tell = lash.stores.process_registry.server_time_ms
    return await patiently("the feed of changes", tell) if follow else await tell()


def _print(records: tuple[ProcessRecord, ...], now_ms: int, *, as_json: bool) -> None:
    for record in records:
        if as_json:
            print_json(row_json(record))
        else:
            console().print(row_line(record, now_ms), soft_wrap=True)
