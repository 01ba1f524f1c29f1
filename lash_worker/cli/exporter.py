"""``lash exporter``: one per fleet; gauges read from Redis, and service discovery of the workers."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

import click

from lash_core.client import LashClient
from lash_core.metrics import FleetSnapshot
from lash_worker.cli.fleet_pages import FleetReader, fleet_pages
from lash_worker.cli.invocation import Invocation, pass_invocation, shared_options
from lash_worker.cli.logs import LOG_FORMATS, start_logging
from lash_worker.cli.store_access import with_client
from lash_worker.services.metrics_server import MetricsServer

_log = logging.getLogger("lash.exporter")


@click.command("exporter")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=9464, show_default=True, help="Port; 0 = a free one.")
@click.option(
    "--log-format", type=click.Choice(LOG_FORMATS), default="text", show_default=True, help="Form of log lines."
)
@shared_options
@pass_invocation
def exporter(invocation: Invocation, *, host: str, port: int, log_format: Any) -> None:
    """Serve /metrics, /healthz, /readyz and /sd (Prometheus service discovery of all workers) until SIGTERM."""
    start_logging(log_format)
    with_client(invocation, lambda lash: _serve(lash, host, port))


async def _serve(lash: LashClient, host: str, port: int) -> None:
    async def read() -> FleetSnapshot:
        facts, workers = await asyncio.gather(
            lash.stores.process_registry.fleet_facts(), lash.stores.directory.list_workers()
        )
        return FleetSnapshot(facts=facts, workers=workers)

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = MetricsServer(fleet_pages(FleetReader(read, loop)), host, port)
    await server.start()
    _log.info("exporter listens on %s", server.url)
    try:
        await stop.wait()
    finally:
        await server.stop()
        _log.info("exporter stopped")
