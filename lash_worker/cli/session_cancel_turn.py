"""``lash session cancel-turn``: ask the turn under way to stop."""

from __future__ import annotations

import click

from lash_worker.cli.exit_codes import CONFLICT, DONE, NOT_FOUND
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json
from lash_worker.cli.store_access import with_client

_EXITS = {"requested": DONE, "already_requested": DONE, "completion_won_race": CONFLICT}
_TEXTS = {
    "requested": "asked to stop",
    "already_requested": "it was asked to stop before",
    "completion_won_race": "it ended before it could be stopped",
    "unknown_or_revoked": "there is no such turn",
}


@click.command("cancel-turn")
@click.argument("session_id", metavar="ID")
@click.option("--turn", "turn_id", metavar="TURN", help="Another turn than the one that is open.")
@click.option("--reason", metavar="TEXT", help="For the record, and for whoever reads the turn's outcome.")
@json_option
@shared_options
@pass_invocation
def cancel_turn(
    invocation: Invocation, session_id: str, *, turn_id: str | None, reason: str | None, as_json: bool
) -> int:
    """Ask the turn of ID that is under way to stop. Exit code 3: no turn is open, 4: too late.

    The request is durable, and the turn ends as cancelled within milliseconds; the session goes on with what waits.
    """
    receipt = with_client(invocation, lambda lash: lash.session(session_id).cancel_turn(turn_id, reason=reason))
    if as_json:
        print_json({"id": receipt.session_id, "turn_id": receipt.turn_id, "outcome": receipt.outcome})
    elif receipt.turn_id is None:
        console().print(cell(f"no turn of {receipt.session_id} is open"))
    else:
        console().print(cell(f"{receipt.turn_id}: {_TEXTS[receipt.outcome]}"))
    return _EXITS.get(receipt.outcome, NOT_FOUND)
