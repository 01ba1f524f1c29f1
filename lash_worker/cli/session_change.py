"""``lash session park``, ``cancel-input`` and ``delete``."""

from __future__ import annotations

import click

from lash_worker.cli.exit_codes import CONFLICT, DONE, NOT_FOUND
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, confirm, console, print_json
from lash_worker.cli.store_access import with_client

WAIT_SECONDS = 60.0
"""A turn that runs is waited for this long."""


@click.command("park")
@click.argument("session_id", metavar="ID")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=WAIT_SECONDS, show_default=True, help="Seconds to wait."
)
@json_option
@shared_options
@pass_invocation
def park(invocation: Invocation, session_id: str, *, timeout: float, as_json: bool) -> None:
    """Wait until ID is in nobody's memory: its queue is worked off and its turn committed. Exit code 7: not yet."""
    receipt = with_client(invocation, lambda lash: lash.session(session_id).park(timeout))
    if as_json:
        print_json({"id": receipt.session_id, "status": "parked", "head_revision": receipt.head_revision})
    else:
        console().print(cell(f"{receipt.session_id} is parked at revision {receipt.head_revision}"))


_EXITS = {"cancelled": DONE, "already_cancelled": DONE, "not_found": NOT_FOUND}
_TEXTS = {
    "cancelled": "cancelled",
    "already_cancelled": "it was cancelled before",
    "already_claimed": "a turn has taken it in and will answer it",
    "already_completed": "it has been answered",
    "not_found": "there is no such input: it was cancelled before, or never there",
}


@click.command("cancel-input")
@click.argument("session_id", metavar="ID")
@click.argument("input_id", metavar="INPUT")
@json_option
@shared_options
@pass_invocation
def cancel_input(invocation: Invocation, session_id: str, input_id: str, *, as_json: bool) -> int:
    """Take INPUT back: a batch id of `send` or `get`. Exit code 3: no such input, 4: too late."""
    receipt = with_client(invocation, lambda lash: lash.session(session_id).cancel_input(input_id))
    if as_json:
        print_json({"id": receipt.session_id, "input_id": receipt.input_id, "outcome": receipt.outcome})
    else:
        console().print(cell(f"{receipt.input_id}: {_TEXTS[receipt.outcome]}"))
    return _EXITS.get(receipt.outcome, CONFLICT)


@click.command("delete")
@click.argument("session_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@shared_options
@pass_invocation
def delete(invocation: Invocation, session_id: str, *, yes: bool, as_json: bool) -> None:
    """Delete ID with its history and queue. Its processes go on: those that still run are named."""
    if not yes:
        confirm(f"Delete session {session_id} with its history?")
    report = with_client(invocation, lambda lash: lash.session(session_id).delete())
    if as_json:
        print_json(
            {
                "id": report.session_id,
                "status": "deleted",
                "revoked_handle_count": report.revoked_handle_count,
                "deleted_wake_count": report.deleted_wake_count,
                "orphaned_process_ids": list(report.orphaned_process_ids),
                "preserved_process_ids": list(report.preserved_process_ids),
            }
        )
        return
    out = console()
    out.print(cell(f"deleted {report.session_id}"))
    if report.orphaned_process_ids:
        out.print(cell(f"still running, and nobody has a handle: {', '.join(report.orphaned_process_ids)}"))
    if report.preserved_process_ids:
        out.print(cell(f"still running, others have handles: {', '.join(report.preserved_process_ids)}"))
