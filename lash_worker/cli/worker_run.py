"""``lash worker run``: one worker in this process, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import click

from lash_core.client_connect import open_stores
from lash_core.redis_store.embedded import resolve_url
from lash_core.settings import Settings
from lash_worker.app import App
from lash_worker.cli.apps import load_apps
from lash_worker.cli.effective_settings import GIVE_UP_MS, settings_of
from lash_worker.cli.invocation import Invocation, app_option, pass_invocation, shared_options
from lash_worker.cli.logs import start_logging
from lash_worker.cli.store_access import no_answer
from lash_worker.cli.worker_options import worker_options, worker_settings
from lash_worker.supervisor import run_worker
from lash_worker.worker_settings import WorkerSettings

_log = logging.getLogger("lash.worker")


@click.command("run")
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Time for running work on SIGTERM.",
)
@click.option("--worker-id", metavar="ID", help="Stable name.  [default: from host and pid]")
@worker_options
@app_option
@shared_options
@pass_invocation
def run(invocation: Invocation, *, drain_seconds: float, log_format: Any, **given: Any) -> int:
    """Claim and run processes of the apps' kinds until SIGTERM, then drain; a second SIGTERM stops at once."""
    start_logging(log_format)
    apps = load_apps(invocation)
    if not apps:
        raise click.UsageError("a worker needs an app: --app MODULE:ATTR, or LASH_APP")
    settings = settings_of(invocation)
    return asyncio.run(_run(settings, worker_settings(settings, given, drain_seconds=drain_seconds), apps))


async def _run(settings: Settings, worker: WorkerSettings, apps: Sequence[App]) -> int:
    server = resolve_url(settings)
    _log.info(server.line.removeprefix("lash: "))
    try:
        try:
            async with asyncio.timeout(GIVE_UP_MS / 1_000):
                stores = await open_stores(server, settings)
        except TimeoutError as error:
            raise no_answer(server.url) from error
        try:
            return await run_worker(worker, apps, stores)
        finally:
            await stores.close()
    finally:
        server.close()
