"""``lash worker``: run, list, drain."""

from __future__ import annotations

import click

from lash_worker.cli.lazy_group import LazyGroup

_HERE = "lash_worker.cli"

VERBS = {
    "run": (f"{_HERE}.worker_run:run", "Run a worker until SIGTERM."),
    "ls": (f"{_HERE}.worker_ls:ls", "List workers."),
    "drain": (f"{_HERE}.worker_ls:drain", "Ask a worker to finish and stop."),
}


@click.group("worker", cls=LazyGroup, lazy=VERBS)
def worker() -> None:
    """Run, list and drain workers."""
