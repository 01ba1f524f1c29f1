"""Publishes this worker in the directory, hears drain requests, and learns who else works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.model.manifest import KindManifest, WorkerEntry
from lash_core.store.fleet_directory import FleetDirectory
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.service import Service

BEAT_MS = 1_000.0
WORKERS_PER_SECOND = 50
"""The whole fleet beats about this often a second: with many workers each one beats more rarely."""
BEAT_MAX_MS = 10_000.0
"""A third of the time after which a silent worker is left out of the directory."""

KINDS_MS = 30_000.0
"""Manifests are published again that often: a server without persistence that restarted has forgotten them."""

LEAVE_SECONDS = 2.0
"""A worker that ends does not wait longer for a store that is away."""

_log = logging.getLogger(__name__)


class DirectoryBeat(Service):
    """One beat: publish, hear about a drain, read who else is there."""

    name = "directory-beat"

    def __init__(
        self,
        directory: FleetDirectory,
        view: FleetView,
        make_entry: Callable[[], WorkerEntry],
        manifests: Sequence[KindManifest],
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__(on_crash)
        self._directory = directory
        self._view = view
        self._make_entry = make_entry
        self._manifests = tuple(manifests)
        self._kinds_published = False
        self._kinds_due_ms = 0.0
        self.on_drain: Callable[[], None] | None = None
        self.on_hints: Callable[[], None] | None = None

    async def start(self) -> None:
        """Publish once, so that a worker that runs is known, then beat.

        Raises:
            LashError: the directory cannot be written.
        """
        if not self.is_stopping and not self._kinds_published:
            await self.beat()
        await super().start()

    async def beat(self) -> None:
        """Publish and read once. Raises: LashError."""
        if own_time_ms() >= self._kinds_due_ms:
            await self._directory.publish_kinds(self._manifests)
            self._kinds_published = True
            self._kinds_due_ms = own_time_ms() + KINDS_MS
        drain = await self._directory.publish_worker(self._make_entry())
        if drain and self.on_drain is not None:
            self.on_drain()
        if self._view.see(await self._directory.list_workers()) and self.on_hints is not None:
            self.on_hints()

    async def run(self) -> None:
        """Beat until stopped; a failed beat is tried again with the next one."""
        while not self.is_stopping:
            period_ms = max(BEAT_MS, self._view.workers_count * 1_000 / WORKERS_PER_SECOND)
            await self.pause(min(period_ms, BEAT_MAX_MS))
            if self.is_stopping:
                return
            try:
                await self.beat()
            except (LashError, OSError) as error:
                _log.warning("the directory could not be refreshed: %s", error)

    async def leave(self) -> None:
        """Take this worker out of the directory; when that fails it fades out by its silence."""
        if not self._kinds_published:
            return
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._directory.remove_worker(self._make_entry().worker_id)
        except (LashError, OSError) as error:
            reason = str(error) or f"no answer within {LEAVE_SECONDS:g} s"
            _log.info("this worker could not be taken out of the directory: %s", reason)
