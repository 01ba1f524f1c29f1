"""``lash process events``: the log of one process."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from lash_core.client import LashClient
from lash_core.model.event import ProcessEvent
from lash_core.why import at_text
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, json_cell, print_json
from lash_worker.cli.reader_gone import while_read
from lash_worker.cli.store_access import with_client


@click.command("events")
@click.argument("process_id", metavar="ID")
@click.option("--follow", is_flag=True, help="Wait for more until the process has ended.")
@click.option("--after", type=click.IntRange(min=0), default=0, show_default=True, help="Start after this sequence.")
@json_option
@shared_options
@pass_invocation
def events(invocation: Invocation, process_id: str, *, as_json: bool, follow: bool, after: int) -> None:
    """Print events, one a line."""

    async def work(lash: LashClient) -> None:
        out = console()

        def gap(seen: int, last: int) -> None:
            if as_json:
                print_json({"gap": {"lost_after": last, "seen_up_to": seen}})
            else:
                out.print(cell(f"gap: events {last + 1} to {seen} were lost in a failover", "yellow"))

        async for event in lash.events(process_id, after, follow=follow, on_gap=gap):
            if as_json:
                print_json(event_json(event))
            else:
                out.print(_line(event), soft_wrap=True)

    with_client(invocation, lambda lash: while_read(work(lash)))


def event_json(event: ProcessEvent) -> dict[str, Any]:
    """The JSON of one event (DESIGN 6)."""
    return {
        "sequence": event.sequence,
        "event_type": event.event_type,
        "payload": event.payload,
        "occurred_at_ms": event.occurred_at_ms,
    }


def _line(event: ProcessEvent) -> Text:
    return Text.assemble(
        (f"{event.sequence:>5}  ", "dim"),
        (f"{at_text(event.occurred_at_ms)}  ", "dim"),
        (f"{event.event_type:<26}  ", "bold"),
        json_cell(event.payload, limit=1_000),
    )
