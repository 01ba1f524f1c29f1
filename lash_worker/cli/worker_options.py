"""Options that ``worker run`` and ``dev`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from lash_core.settings import Settings
from lash_worker.cli.logs import LOG_FORMATS
from lash_worker.worker_settings import WorkerSettings

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])

RUNNERS_MAX = 256
"""Each is an OS process with the apps imported."""


class _Runners(click.ParamType[int]):
    name = "runners"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value in ("auto", AUTO):
            return AUTO
        if not str(value).isdecimal() or int(value) > RUNNERS_MAX:
            self.fail(f"{value!r} is neither a number from 0 to {RUNNERS_MAX} nor auto", param, ctx)
        return int(value)


AUTO = -1
"""As many work-horses as the apps need at least."""
RUNNERS = _Runners()

_OPTIONS = (
    click.option(
        "--queue", "queues", metavar="Q", multiple=True, help="Queue to serve, may be repeated.  [default: default]"
    ),
    click.option("--concurrency", type=click.IntRange(1, 10_000), default=64, show_default=True, help="Runs at once."),
    click.option(
        "--session-concurrency",
        type=click.IntRange(1, 10_000),
        help="Turns of sessions at once, beside the runs.  [default: as --concurrency]",
    ),
    click.option(
        "--lease-ttl-ms",
        type=click.IntRange(min=300),
        default=30_000,
        show_default=True,
        envvar="LASH_LEASE_TTL_MS",
        help="Life of a lease: how long a lost host holds up its work.",
    ),
    click.option(
        "--renew-interval-ms",
        type=click.IntRange(min=1),
        envvar="LASH_RENEW_INTERVAL_MS",
        help="Time between renewals.  [default: a third of the TTL]",
    ),
    click.option(
        "--metrics-host", default="127.0.0.1", show_default=True, help="Address of /metrics, /healthz, /readyz."
    ),
    click.option(
        "--metrics-port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="0 = a free one."
    ),
    click.option(
        "--isolated",
        type=RUNNERS,
        metavar="N|auto",
        envvar="LASH_ISOLATED",
        help="Work-horses for kinds with isolation; auto = 1 when an app has such kinds.  [default: 0]",
    ),
    click.option(
        "--poison-deaths-max",
        type=click.IntRange(min=0),
        default=8,
        show_default=True,
        envvar="LASH_POISON_DEATHS_MAX",
        help="Deaths in a row without progress that fail a process or stop a turn; 0 = never.",
    ),
    click.option(
        "--park-after-ms",
        type=click.IntRange(min=0),
        help="A run that only waits leaves memory after this; 0 = at every wait.  [default: LASH_PARK_AFTER_MS, 5000]",
    ),
    click.option(
        "--log-format", type=click.Choice(LOG_FORMATS), default="text", show_default=True, help="Form of log lines."
    ),
)


def worker_options(command: AnyCallable) -> AnyCallable:
    """Add the options of a worker."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def worker_settings(settings: Settings, given: dict[str, Any], *, drain_seconds: float) -> WorkerSettings:
    """The worker's settings from its options. Raises: SettingsError: TTL and renewal interval do not fit."""
    made = WorkerSettings(
        queues=given["queues"] or ("default",),
        concurrency=given["concurrency"],
        session_concurrency=given["session_concurrency"],
        lease_ttl_ms=given["lease_ttl_ms"],
        renew_interval_ms=given["renew_interval_ms"],
        metrics_host=given["metrics_host"],
        metrics_port=given["metrics_port"],
        drain_seconds=drain_seconds,
        worker_id=given.get("worker_id"),
        poison_deaths_max=given["poison_deaths_max"],
        park_after_ms=settings.park_after_ms if given["park_after_ms"] is None else given["park_after_ms"],
        retention_hours=settings.retention_hours,
    )
    _ = made.timings
    return made
