"""Carries out what calls left undone between two partitions: they died, or their connection did (DESIGN 3.5)."""

from __future__ import annotations

import logging

from lash_core.errors import LashError
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.service import Service

MIN_AGE_MS = 2_000
"""Younger steps are still being carried out by the call that wrote them."""
BATCH_MAX = 200
PERIOD_MS = 5_000.0
PERIOD_MAX_MS = 30_000.0
"""The fleet looks about every five seconds together, each worker of many more rarely: the call that writes a step
carries it out, and a look costs a script in each partition."""

_log = logging.getLogger(__name__)


class OutboxLoop(Service):
    """Redelivers outbox entries; each step is idempotent, so two workers may do the same one."""

    name = "outbox"

    def __init__(self, driver: ProcessWorkDriver, view: FleetView, maintenance: ProcessMaintenance) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        self._metrics = driver.context.metrics
        self._view = view
        self._maintenance = maintenance

    async def run(self) -> None:
        """Look, deliver, rest."""
        while not self.is_stopping:
            delivered = 0
            try:
                delivered = await self._maintenance.deliver_outbox(min_age_ms=MIN_AGE_MS, limit=BATCH_MAX)
            except (LashError, OSError) as error:
                self._metrics.redis_errors.inc()
                _log.warning("the outbox could not be delivered: %s", error)
            if delivered < BATCH_MAX:
                await self.pause(min(PERIOD_MS * self._view.workers_count, PERIOD_MAX_MS))
