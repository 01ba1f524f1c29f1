"""Opening the work-horses of one worker: what its entry point does once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from lash_core.errors import SettingsError
from lash_core.settings import Settings
from lash_worker.app import App
from lash_worker.isolation.horses import Horses
from lash_worker.isolation.job_queue import JobQueue
from lash_worker.isolation.private_server import PrivateServer


async def open_horses(
    count: int,
    apps: Sequence[App],
    settings: Settings,
    *,
    fleet_run_id: str = "",
    log_format: str | None = None,
) -> Horses:
    """Prepare ``count`` runners for the apps that isolate kinds; ``Horses.start`` starts them, ``stop`` ends all.

    Args:
        count: runners, at least 1.
        apps: loaded by import path, since each runner imports them again.
        settings: which server; without ``isolation_redis_url`` a private one is started.
        fleet_run_id: of the fleet's server, which is refused as the horses' server; empty = not checked.
        log_format: form of the runners' log lines; None leaves logging as Python has it.

    Raises:
        SettingsError: an app that isolates kinds has no import path; the server is the fleet's own.
        StoreUnreachableError: the server does not answer, or a private one cannot be started.
    """
    config: dict[str, Any] = {"apps": [app_path(app) for app in apps if app.isolated_kinds], "log_format": log_format}
    server: PrivateServer | None = None
    if settings.isolation_redis_url is None:
        server = await asyncio.to_thread(PrivateServer, settings.embedded.server_bin)
    try:
        if server is not None:
            await asyncio.to_thread(server.ensure)
        jobs = JobQueue(settings.isolation_redis_url or (server.url if server is not None else ""))
        if server is None:
            await asyncio.to_thread(jobs.check, fleet_run_id)
    except BaseException:
        if server is not None:
            await asyncio.to_thread(server.close)
        raise
    return Horses(count, jobs, config | {"url": jobs.url, "queue": jobs.name}, server)


def app_path(app: App) -> str:
    """Where runners import the app from.

    Raises:
        SettingsError: it was not loaded by a path.
    """
    if app.import_path is None:
        kinds = ", ".join(app.isolated_kinds)
        raise SettingsError(
            f"app `{app.name}` isolates {kinds}, and work-horses import it again: load it by its path, with "
            "lash worker run --app MODULE:ATTR or load_app('MODULE:ATTR')",
            field="app",
            value=app.name,
        )
    return app.import_path
