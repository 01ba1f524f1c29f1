"""``lash trigger``: the verbs, each in a module of its own."""

from __future__ import annotations

import click

from lash_worker.cli.lazy_group import LazyGroup

_HERE = "lash_worker.cli"

VERBS = {
    "create": (f"{_HERE}.trigger_create:create", "Start a kind by cron, by interval, or when a source says so."),
    "update": (f"{_HERE}.trigger_create:update", "Replace the definition of a trigger."),
    "ls": (f"{_HERE}.trigger_ls:ls", "List triggers."),
    "get": (f"{_HERE}.trigger_ls:get", "Show one trigger and its next tick."),
    "failed": (f"{_HERE}.trigger_ls:failed", "List deliveries that were given up, with their reasons."),
    "emit": (f"{_HERE}.trigger_emit:emit", "Say that something happened at a source."),
    "backfill": (f"{_HERE}.trigger_emit:backfill", "Run the ticks of a past span that were not emitted."),
    "pause": (f"{_HERE}.trigger_change:pause", "Stop a trigger for a while."),
    "resume": (f"{_HERE}.trigger_change:resume", "Let a paused trigger go on."),
    "delete": (f"{_HERE}.trigger_change:delete", "Delete a trigger; its name stays taken."),
    "prune": (f"{_HERE}.trigger_change:prune", "Forget deleted triggers, so that their names are free."),
}


@click.group("trigger", cls=LazyGroup, lazy=VERBS)
def trigger() -> None:
    """Start processes by schedule or by what happens outside."""
