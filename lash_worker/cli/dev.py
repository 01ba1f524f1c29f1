"""``lash dev``: embedded server and worker in one command, reload on change."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from lash_core.redis_store.embedded import resolve_url
from lash_worker.cli.apps import app_names
from lash_worker.cli.dev_supervisor import DevSupervisor
from lash_worker.cli.effective_settings import settings_of
from lash_worker.cli.invocation import Invocation, app_option, pass_invocation, shared_options
from lash_worker.cli.source_watch import SourceWatch
from lash_worker.cli.worker_options import AUTO, worker_options, worker_settings

RETENTION_HOURS = "168"
"""A developer's data folder must not grow for ever; a week is long enough to look back."""


@click.command("dev")
@click.option(
    "--reload/--no-reload", default=True, show_default=True, help="Restart the worker when a source file changes."
)
@worker_options
@app_option
@shared_options
@pass_invocation
def dev(invocation: Invocation, *, reload: bool, log_format: str, **given: Any) -> int:
    """Start a server and a worker for --app, and restart the worker when its code changes.

    Running work yields and goes on under the new code. Data stays in LASH_DATA_DIR (.lash) for the next time.
    """
    names = app_names(invocation)
    if not names:
        raise click.UsageError("lash dev needs an app: --app MODULE:ATTR, or LASH_APP")
    settings = settings_of(invocation)
    worker_settings(settings, given, drain_seconds=0)
    server = resolve_url(settings)
    try:
        click.echo(server.line, err=True)
        watch = SourceWatch([name.partition(":")[0] for name in names], Path.cwd()) if reload else None
        watched = "" if watch is None else f", watching {', '.join(str(folder) for folder in watch.folders)}"
        click.echo(f"lash dev: {', '.join(names)}{watched}; Ctrl-C stops", err=True)
        command = [sys.executable, "-m", "lash_worker.cli.main", "worker", "run", *_arguments(names, log_format, given)]
        environment = {"LASH_RETENTION_HOURS": RETENTION_HOURS, **os.environ, **invocation.environment()}
        return DevSupervisor(command, environment, watch).run()
    finally:
        server.close()


def _arguments(names: tuple[str, ...], log_format: str, given: dict[str, Any]) -> list[str]:
    arguments = ["--drain-seconds", "0", "--log-format", log_format]
    for name in names:
        arguments += ["--app", name]
    for queue in given["queues"]:
        arguments += ["--queue", queue]
    isolated = given["isolated"]
    arguments += ["--isolated", "auto" if isolated is None or isolated == AUTO else str(isolated)]
    for name in (
        "concurrency",
        "session_concurrency",
        "lease_ttl_ms",
        "renew_interval_ms",
        "metrics_host",
        "metrics_port",
        "poison_deaths_max",
    ):
        if given[name] is not None:
            arguments += [f"--{name.replace('_', '-')}", str(given[name])]
    return arguments
