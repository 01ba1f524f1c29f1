"""``lash worker run``: one worker in this process, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
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
from lash_worker.cli.worker_options import AUTO, worker_options, worker_settings
from lash_worker.isolation.horses import Horses
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
    worker = worker_settings(settings, given, drain_seconds=drain_seconds)
    count = runners(given["isolated"], apps)
    return asyncio.run(_run(settings, worker, apps, lambda run_id: _horses(count, apps, settings, run_id, log_format)))


def runners(asked: int | None, apps: Sequence[App]) -> int:
    """How many work-horses: none for apps that isolate nothing, whatever was asked for."""
    if not any(app.isolated_kinds for app in apps):
        return 0
    return 1 if asked == AUTO else asked or 0


async def _horses(
    count: int, apps: Sequence[App], settings: Settings, fleet_run_id: str, log_format: str
) -> Horses | None:
    if count == 0:
        return None
    # RQ and the private server cost a fifth of a second: only for a worker that has horses.
    from lash_worker.isolation.opening import open_horses  # noqa: PLC0415

    return await open_horses(count, apps, settings, fleet_run_id=fleet_run_id, log_format=log_format)


async def _run(
    settings: Settings,
    worker: WorkerSettings,
    apps: Sequence[App],
    open_horses: Callable[[str], Awaitable[Horses | None]],
) -> int:
    server = resolve_url(settings)
    _log.info(server.line.removeprefix("lash: "))
    try:
        try:
            async with asyncio.timeout(GIVE_UP_MS / 1_000):
                stores = await open_stores(server, settings)
        except TimeoutError as error:
            raise no_answer(server.url) from error
        try:
            horses = await open_horses(stores.context.connection.report.run_id)
            try:
                return await run_worker(worker, apps, stores, horses)
            finally:
                if horses is not None:
                    await horses.stop()
        finally:
            await stores.close()
    finally:
        server.close()
