"""``lash process retry``: a process that ended without success runs again, as a new one that is linked to it."""

from __future__ import annotations

import click

from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json
from lash_worker.cli.store_access import with_client


@click.command("retry")
@click.argument("process_id", metavar="ID")
@click.option("--id", "new_id", metavar="NEW", help="Id of the new process.  [default: ID.retry-N]")
@click.option("--force", is_flag=True, help="Also when it has completed.")
@json_option
@shared_options
@pass_invocation
def retry(invocation: Invocation, process_id: str, *, new_id: str | None, force: bool, as_json: bool) -> None:
    """Run a failed, cancelled or abandoned process again with the same input, as a new process.

    While a retry of it is under way, that one is the answer (status exists). Exit code 4 for one that runs, or that has
    completed.
    """
    handle = with_client(invocation, lambda lash: lash.retry(process_id, new_id, force=force))
    status = "created" if handle.created else "exists"
    if as_json:
        print_json({"id": handle.process_id, "status": status, "retry_of": process_id})
    else:
        console().print(cell(f"{status} {handle.process_id} (retry of {process_id})"))
