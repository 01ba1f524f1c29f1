"""``lash process changes``: the change feed, from a position that the fleet remembers by name."""

from __future__ import annotations

import asyncio

import click

from lash_core.client import LashClient
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ChangeCursor
from lash_worker.cli.exit_codes import NotFoundError
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json
from lash_worker.cli.process_rows import row_json, row_line
from lash_worker.cli.store_access import with_client

_PAGE = 200

_PAUSE_S = 0.5
"""Pause of ``--follow`` when nothing changed: one read per partition each time."""

_SEEN_EVERY_S = 60.0
"""How often an idle follower says that it is alive; ``doctor`` reports one that was silent for 7 days."""


@click.command("changes")
@click.option("--name", metavar="N", help="Remember the position under this name; rows past it are never pruned.")
@click.option("--follow", is_flag=True, help="Wait for more.")
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
        if not with_client(invocation, lambda lash: lash.stores.directory.forget_projector(forget)):
            raise NotFoundError(f"no projector `{forget}`", field="forget", value=forget)
        print_json({"name": forget, "status": "forgotten"}) if as_json else click.echo(f"forgotten: {forget}")
        return

    async def work(lash: LashClient) -> None:
        at = await _start(lash, name, cursor)
        await _Feed(lash, name, as_json=as_json).run(at, limit, follow=follow)

    with_client(invocation, work)


async def _start(lash: LashClient, name: str | None, cursor: str | None) -> ChangeCursor:
    if cursor is not None:
        return ChangeCursor(token=cursor)
    known = await lash.stores.directory.projectors() if name is not None else {}
    return known[name][0] if name is not None and name in known else ChangeCursor.initial()


class _Feed:
    def __init__(self, lash: LashClient, name: str | None, *, as_json: bool) -> None:
        self._registry = lash.stores.process_registry
        self._directory = lash.stores.directory
        self._name = name
        self._as_json = as_json
        self._out = console()

    async def run(self, at: ChangeCursor, limit: int | None, *, follow: bool) -> None:
        """Print until the limit, or until nothing is left and nobody follows."""
        left, idle_s = limit, 0.0
        while left is None or left > 0:
            page = await self._registry.processes_changed_since(at, _PAGE if left is None else min(_PAGE, left))
            await self._print(page.records)
            moved, at = page.cursor != at, page.cursor
            left = None if left is None else left - len(page.records)
            idle_s = 0.0 if page.records else idle_s + _PAUSE_S
            if self._name is not None and (moved or idle_s >= _SEEN_EVERY_S):
                await self._directory.put_projector(self._name, at)
                idle_s = 0.0
            if not page.records:
                if not follow:
                    break
                await asyncio.sleep(_PAUSE_S)
        if self._name is not None:
            await self._directory.put_projector(self._name, at)
        print_json({"cursor": at.token}) if self._as_json else self._out.print(cell(f"cursor: {at.token}", "dim"))

    async def _print(self, records: tuple[ProcessRecord, ...]) -> None:
        if not records:
            return
        now_ms = await self._registry.server_time_ms()
        for record in records:
            if self._as_json:
                print_json(row_json(record))
            else:
                self._out.print(row_line(record, now_ms), soft_wrap=True)
