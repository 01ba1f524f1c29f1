"""``lash session history``: the messages of a session."""

from __future__ import annotations

import click

from lash_core.model.message import Message, ToolResultPart
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json, safe
from lash_worker.cli.session_rows import message_text
from lash_worker.cli.store_access import with_client

SPEAKER_STYLES = {"user": "cyan", "assistant": "green", "system": "yellow", "tools": "dim"}


@click.command("history")
@click.argument("session_id", metavar="ID")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N messages.")
@json_option
@shared_options
@pass_invocation
def history(invocation: Invocation, session_id: str, *, limit: int | None, as_json: bool) -> None:
    """Print the messages of the active path, oldest first; with --json one a line."""
    messages = with_client(invocation, lambda lash: lash.session(session_id).history(limit))
    out = console()
    for message in messages:
        if as_json:
            print_json(message.to_json_value())
            continue
        who = speaker_of(message)
        out.print(cell(who + (f" ({message.origin})" if message.origin else ""), SPEAKER_STYLES[who]))
        click.echo(safe(message_text(message)))


def speaker_of(message: Message) -> str:
    """The role; what tools answered goes to the model as the user's, and a person would be surprised."""
    is_of_tools = bool(message.parts) and all(isinstance(part, ToolResultPart) for part in message.parts)
    return "tools" if is_of_tools else message.role
