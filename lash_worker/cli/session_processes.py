"""``lash session processes``: processes as the session sees them."""

from __future__ import annotations

import click
from rich.text import Text

from lash_core.client import LashClient
from lash_core.runtime.observation.process_views import SessionProcesses, SessionProcessView
from lash_core.store.process_observation import PAGE_MAX, TAIL_MAX
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import ago, cell, console, json_cell, print_json, table
from lash_worker.cli.process_rows import row_cells
from lash_worker.cli.session_views import say_what_is_left, seen_now
from lash_worker.cli.store_access import with_client

_PAYLOAD_CHARS = 80
"""Of an event's payload in a table: what it is about, not all of it."""


@click.command("processes")
@click.argument("session_id", metavar="ID")
@click.option("--live", is_flag=True, help="Without those that ended.")
@click.option("--limit", type=click.IntRange(1, PAGE_MAX), default=20, show_default=True, help="The newest so many.")
@click.option("--events", type=click.IntRange(0, TAIL_MAX), default=1, show_default=True, help="Of each log's end.")
@json_option
@shared_options
@pass_invocation
def processes(invocation: Invocation, session_id: str, *, live: bool, limit: int, events: int, as_json: bool) -> None:
    """Show the processes that a session has handles on or is woken by, newest first, with the ends of their logs."""

    async def work(lash: LashClient) -> tuple[SessionProcesses, int]:
        found = await lash.session(session_id).processes(live_only=live, limit=limit, events=events)
        return await seen_now(lash, session_id, found)

    shown, now_ms = with_client(invocation, work)
    if as_json:
        print_json(shown.to_json_value())
    elif not shown.processes:
        console().print(cell("it has no processes", "dim"))
    else:
        console().print(table(("process", "status", "tie", "created", "last events"), _rows(shown, now_ms)))
        say_what_is_left(shown, len(shown.processes))


def _rows(shown: SessionProcesses, now_ms: int) -> list[tuple[Text, ...]]:
    rows: list[tuple[Text, ...]] = []
    for view in shown.processes:
        cells = row_cells(view.record, now_ms)
        name = Text.assemble(cells["id"], "\n", cell(view.record.identity.label or view.record.identity.kind, "dim"))
        rows.append((name, cells["status"], cell(_tie(view)), cells["created"], _events(view, now_ms)))
    return rows


def _tie(view: SessionProcessView) -> str:
    handles = f"{len(view.grants)} handles" if len(view.grants) > 1 else "handle" if view.grants else ""
    return ", ".join(part for part in (handles, "wakes it" if view.wakes else "") if part)


def _events(view: SessionProcessView, now_ms: int) -> Text:
    shown = Text(f"({view.events_before} before)\n" if view.events and view.events_before else "", "dim")
    for place, event in enumerate(view.events):
        shown.append("\n" if place else "").append_text(cell(f"{event.sequence} {event.event_type} "))
        shown.append_text(json_cell(event.payload, limit=_PAYLOAD_CHARS))
        shown.append(f"  {ago(event.occurred_at_ms, now_ms)} ago", "dim")
    return shown or cell(None)
