"""``lash process``: the verbs, each in a module of its own."""

from __future__ import annotations

import click

from lash_worker.cli.lazy_group import LazyGroup

_HERE = "lash_worker.cli"

VERBS = {
    "enqueue": (f"{_HERE}.process_enqueue:enqueue", "Start a process, or one per line of a file."),
    "cancel": (f"{_HERE}.process_cancel:cancel", "Ask processes to stop, by id or by filter."),
    "ls": (f"{_HERE}.process_ls:ls", "List, count or follow processes."),
    "get": (f"{_HERE}.process_get:get", "Show one process."),
    "why": (f"{_HERE}.process_get:why", "Say why a process is where it is."),
    "events": (f"{_HERE}.process_events:events", "Print the event log of a process."),
    "result": (f"{_HERE}.process_result:result", "Print the outcome of a process, or wait for it."),
    "signal": (f"{_HERE}.process_signal:signal", "Send a declared signal."),
    "retry": (f"{_HERE}.process_retry:retry", "Run a process that ended without success again, as a new one."),
    "resolve": (f"{_HERE}.process_resolve:resolve", "Answer an await-event by its token."),
    "abandon": (f"{_HERE}.process_signal:abandon", "Allow a process whose owner is gone to be abandoned."),
    "prune": (f"{_HERE}.process_prune:prune", "Delete old processes that have ended."),
    "changes": (f"{_HERE}.process_changes:changes", "Print rows as they change, from a remembered position."),
}


@click.group("process", cls=LazyGroup, lazy=VERBS)
def process() -> None:
    """Start, list, follow, signal, explain and prune processes."""
