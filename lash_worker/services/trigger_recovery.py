"""Starts deliveries that were left waiting: their caller died, the store was away, or nobody knew the kind."""

from __future__ import annotations

import logging

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.runtime.trigger_router import RETRY_MS_MIN, TriggerRouter
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.reaper import MS_PER_HOUR
from lash_worker.services.service import Service

BATCH_MAX = 200
PERIOD_MS = 1_000.0
PERIOD_MAX_MS = 30_000.0
"""The fleet looks about once a second together, each worker of many more rarely."""

PRUNE_MS = 300_000.0
"""Receipts and occurrences are forgotten that often, when there is a retention."""

PRUNE_PARTS_MAX = 50

_log = logging.getLogger(__name__)


class TriggerRecovery(Service):
    """Sweeps reserved deliveries; starts have one id each, so two workers may do the same one."""

    name = "trigger-recovery"

    def __init__(self, driver: ProcessWorkDriver, view: FleetView, router: TriggerRouter) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        self._context = driver.context
        self._view = view
        self._router = router
        self._prune_due_ms = own_time_ms() + PRUNE_MS

    async def run(self) -> None:
        """Look, start, forget, rest."""
        while not self.is_stopping:
            found = 0
            try:
                found = await self._router.recover(min_age_ms=RETRY_MS_MIN, limit=BATCH_MAX)
                await self._prune_now_and_then()
            except (LashError, OSError) as error:
                self._context.metrics.redis_errors.inc()
                _log.warning("reserved deliveries wait for the store: %s", error)
            if found:
                _log.info("started %d deliveries of triggers that were left waiting", found)
            if found < BATCH_MAX:
                await self.pause(min(PERIOD_MS * self._view.workers_count, PERIOD_MAX_MS))

    async def _prune_now_and_then(self) -> None:
        hours = self._context.settings.retention_hours
        if hours is not None and own_time_ms() >= self._prune_due_ms:
            self._prune_due_ms = own_time_ms() + PRUNE_MS
            await self.prune(hours)

    async def prune(self, retention_hours: float) -> None:
        """Forget receipts and settled occurrences that are older. Raises: LashError."""
        store = self._router.store
        _, now_ms = await store.next_schedule_ms()
        cutoff_ms = now_ms - int(retention_hours * MS_PER_HOUR)
        await store.prune_mutation_receipts(cutoff_ms)
        for _ in range(PRUNE_PARTS_MAX):
            if not await store.prune_occurrences(cutoff_ms) or self.is_stopping:
                return
