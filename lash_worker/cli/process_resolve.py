"""``lash process resolve``: the answer that a process waits for, sent by whoever was handed its token."""

from __future__ import annotations

import sys
from typing import Any

import click

from lash_core.errors import InvalidArgumentError
from lash_core.model.await_event import Accepted, AlreadyResolved, Resolution, UnknownOrRevoked
from lash_worker.cli.exit_codes import CONFLICT, DONE, NOT_FOUND
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, json_cell, print_json
from lash_worker.cli.parameters import JSON
from lash_worker.cli.store_access import with_client

TOKEN_CHARACTERS_MAX = 4_096
"""A token holds two ids of 200 bytes; what is longer is none."""


@click.command("resolve")
@click.argument("token", metavar="TOKEN")
@click.option(
    "--value", "--payload", "value", type=JSON, metavar="JSON", help="What the wait answers.  [default: null]"
)
@click.option("--error", metavar="CODE", help="The wait raises an error of this code instead.")
@click.option("--message", metavar="TEXT", default="", help="Text of the error.")
@json_option
@shared_options
@pass_invocation
def resolve(invocation: Invocation, token: str, *, value: Any, error: str | None, message: str, as_json: bool) -> int:
    """Resolve the await-event of TOKEN, once; - reads the token from standard input, where nobody sees it in ps.

    Exit code 0 when this resolution stands, also one of an earlier call; 3 for a token that is unknown or revoked; 4
    when another resolution came first.
    """
    if error is not None and value is not None:
        raise click.UsageError("--value and --error exclude each other")
    if error is None and message:
        raise click.UsageError("--message goes with --error")
    resolution = Resolution.ok(value) if error is None else Resolution.err(error, message)
    if token == "-":  # noqa: S105 - a dash is no token
        token = sys.stdin.read(TOKEN_CHARACTERS_MAX + 1)
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise InvalidArgumentError("standard input holds no token", field="token", limit=TOKEN_CHARACTERS_MAX)
    outcome = with_client(invocation, lambda lash: lash.resolve(token, resolution))
    match outcome:
        case Accepted():
            status, stands, code = "accepted", resolution, DONE
        case AlreadyResolved(terminal):
            status, stands, code = "already_resolved", terminal, DONE if terminal == resolution else CONFLICT
        case UnknownOrRevoked():
            status, stands, code = "unknown_or_revoked", None, NOT_FOUND
    if as_json:
        print_json({"status": status, "resolution": None if stands is None else _json(stands)})
    elif stands is None:
        click.echo("lash: the token is unknown or was revoked", err=True)
    else:
        console().print(cell(f"{status}: ").append(json_cell(_json(stands))))
    return code


def _json(resolution: Resolution) -> dict[str, Any]:
    """A success always has its value, null included."""
    plain = resolution.to_json_value()
    return plain | ({"value": resolution.value} if resolution.type == "ok" else {})
