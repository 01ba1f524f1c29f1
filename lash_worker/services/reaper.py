"""Housekeeping: expired leases, unused owner identities, retention, old journals, idle rings, content nobody names."""

from __future__ import annotations

import logging

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.model.reports import ChangeCursor
from lash_core.runtime.content_sweep import ContentSweep
from lash_core.store.effect_journal import EffectJournal
from lash_core.store.fleet_directory import FleetDirectory
from lash_core.store.live_replay_store import FleetLiveReplayStore
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.content_sweeper import ContentSweeper
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.service import Service

PERIOD_MS = 5_000.0
PERIOD_MAX_MS = 60_000.0
BATCH_MAX = 200
OWNERS_MAX = 1_000
OWNERS_PERIOD_MS = 60_000.0
"""An identity that no lease names costs some hundred bytes; looking for it costs a script in each partition."""
PRUNE_BATCH = 100
PRUNE_BATCHES_MAX = 50
"""Batches of one round: 5,000 rows, then other work gets its turn."""
PRUNE_PAUSE_MS = 20.0
MS_PER_HOUR = 3_600_000
SCOPE_JOURNAL_KEPT_MS = 7 * 24 * MS_PER_HOUR
"""A turn or an operation that nobody has repeated for a week is not repeated any more; its journal goes."""
FORGET_PERIOD_MS = 1.0 * MS_PER_HOUR
FORGET_BATCH = 1_000
RINGS_BATCH = 1_000
RINGS_BATCHES_MAX = 10
"""Rings of a round: 2,000 a second, each of them looked at every two minutes while its session is busy."""

_log = logging.getLogger(__name__)


class Reaper(Service):
    """Each round is bounded; whatever is left waits for the next one or for a peer's."""

    name = "reaper"

    def __init__(
        self,
        driver: ProcessWorkDriver,
        view: FleetView,
        maintenance: ProcessMaintenance,
        directory: FleetDirectory,
        sweep: ContentSweep | None = None,
        journal: EffectJournal | None = None,
        *,
        live_replay: FleetLiveReplayStore | None = None,
    ) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        self._context = driver.context
        self._view = view
        self._maintenance = maintenance
        self._directory = directory
        self._journal = journal
        self._live_replay = live_replay
        self._forget_at_ms = own_time_ms() + FORGET_PERIOD_MS
        self._owners_at_ms = 0.0
        self._sweeper = None if sweep is None else ContentSweeper(sweep, view, self.pause)

    async def run(self) -> None:
        """One round each period; the fleet as a whole keeps the period."""
        while not self.is_stopping:
            await self.pause(min(PERIOD_MS * self._view.workers_count, PERIOD_MAX_MS))
            if self.is_stopping:
                return
            try:
                await self.round()
            except (LashError, OSError) as error:
                self._context.metrics.redis_errors.inc()
                _log.warning("housekeeping waits for the store: %s", error)

    async def round(self) -> None:
        """Do everything once. Raises: LashError."""
        # All queues: those that no worker serves must not keep leases of the dead either.
        await self._context.registry.requeue_expired_leases(BATCH_MAX)
        if own_time_ms() >= self._owners_at_ms:
            self._owners_at_ms = own_time_ms() + OWNERS_PERIOD_MS
            await self._maintenance.drop_unused_owners(OWNERS_MAX)
        if self._context.settings.retention_hours is not None:
            await self.prune(self._context.settings.retention_hours)
        await self._forget_old_journals()
        await self._trim_idle_rings()
        # Last: it may take a second, and nobody waits for it.
        if self._sweeper is not None:
            await self._sweeper.round(lambda: self.is_stopping)

    async def _forget_old_journals(self) -> None:
        if self._journal is not None and own_time_ms() >= self._forget_at_ms:
            self._forget_at_ms = own_time_ms() + FORGET_PERIOD_MS
            await self._journal.forget_effects(SCOPE_JOURNAL_KEPT_MS, FORGET_BATCH)

    async def _trim_idle_rings(self) -> None:
        for _ in range(RINGS_BATCHES_MAX):
            if self._live_replay is None or self.is_stopping:
                return
            if await self._live_replay.trim_idle(RINGS_BATCH) < RINGS_BATCH:
                return
            await self.pause(PRUNE_PAUSE_MS)

    async def prune(self, retention_hours: float) -> int:
        """Prune terminal rows that are old enough and that every projector has seen; returns how many."""
        cutoff_ms = await self._maintenance.server_time_ms() - int(retention_hours * MS_PER_HOUR)
        pruned = 0
        cursor = await self._slowest_projector()
        for _ in range(PRUNE_BATCHES_MAX):
            report = await self._context.registry.prune_terminal_processes(
                cutoff_ms, up_to_cursor=cursor, limit=PRUNE_BATCH
            )
            pruned += report.pruned_processes
            if report.pruned_processes < PRUNE_BATCH or self.is_stopping:
                break
            await self.pause(PRUNE_PAUSE_MS)
        if pruned:
            _log.info("pruned %d processes older than %s h", pruned, retention_hours)
        return pruned

    async def _slowest_projector(self) -> ChangeCursor | None:
        cursors = [cursor for cursor, _ in (await self._directory.projectors()).values()]
        return self._maintenance.earliest_cursor(cursors)
