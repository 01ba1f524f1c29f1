"""The exporter's pages: /metrics, /healthz, /readyz, /sd, made in server threads from looks that the loop takes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from lash_core.metrics import FleetCollector, FleetSnapshot
from lash_core.model.manifest import WorkerEntry
from lash_worker.services.metrics_server import Answer, Page, metrics_page

READ_WITHIN_S = 5.0
"""One look at the fleet; Prometheus itself gives up after 10 s."""

CACHE_S = 1.0
"""Scrapers that come together share one look."""


class FleetReader:
    """The newest look at a fleet for callers on other threads.

    Args:
        read: makes a snapshot; runs on ``loop``.
        loop: the loop that owns the connections.
    """

    def __init__(self, read: Callable[[], Awaitable[FleetSnapshot]], loop: asyncio.AbstractEventLoop) -> None:
        self._read = read
        self._loop = loop
        self._lock = threading.Lock()
        self._at = 0.0
        self._snapshot: FleetSnapshot | None = None

    def snapshot(self) -> FleetSnapshot:
        """A look at most ``CACHE_S`` old. Raises: whatever the store raised, TimeoutError."""
        with self._lock:
            if self._snapshot is None or time.monotonic() - self._at > CACHE_S:
                self._snapshot = None
                future = asyncio.run_coroutine_threadsafe(self._bounded(), self._loop)
                self._snapshot = future.result(READ_WITHIN_S + 1)
                self._at = time.monotonic()
            return self._snapshot

    async def _bounded(self) -> FleetSnapshot:
        async with asyncio.timeout(READ_WITHIN_S):
            return await self._read()


def fleet_pages(reader: FleetReader) -> dict[str, Page]:
    """Path → page."""
    registry = CollectorRegistry()
    registry.register(FleetCollector(reader.snapshot))

    def from_fleet(make: Callable[[FleetSnapshot], Answer]) -> Page:
        def page() -> Answer:
            try:
                snapshot = reader.snapshot()
            except Exception as error:  # noqa: BLE001 - whatever it is, the fleet cannot be read, and that is the answer
                text = str(error) or type(error).__name__
                return Answer.as_json({"ready": False, "error": text}, 503)
            return make(snapshot)

        return page

    return {
        "/metrics": metrics_page(registry),
        "/healthz": lambda: Answer.as_json({"alive": True}),
        "/readyz": from_fleet(lambda _: Answer.as_json({"ready": True})),
        "/sd": from_fleet(lambda snapshot: Answer.as_json(discovery(snapshot.workers))),
    }


def discovery(workers: tuple[WorkerEntry, ...]) -> list[dict[str, Any]]:
    """Prometheus HTTP service discovery: one target a worker that serves metrics."""
    targets: list[dict[str, Any]] = []
    for entry in workers:
        if entry.metrics_url:
            where = urlsplit(entry.metrics_url)
            path = where.path if where.path not in ("", "/") else "/metrics"
            labels = {"worker": entry.worker_id, "__scheme__": where.scheme, "__metrics_path__": path}
            targets.append({"targets": [where.netloc], "labels": labels})
    return targets
