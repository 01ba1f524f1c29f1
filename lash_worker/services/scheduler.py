"""Emits the ticks of schedules when they come, and keeps the triggers that apps declare registered.

Every worker looks; each tick is one compare-and-set by the store's clock, so one of them emits it.
"""

from __future__ import annotations

import logging
import zlib

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.runtime.due_schedules import run_due_schedule
from lash_core.runtime.trigger_router import TriggerRouter
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.app_triggers import AppTriggers
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.service import Service

PERIOD_MS = 1_000.0
PERIOD_MAX_MS = 10_000.0
"""A worker looks for new schedules that often, each of many more rarely; for the tick that it knows of it wakes."""

TURN_MS = 4
TURNS_MAX = 25
"""Workers of a fleet wake for one tick a few ms after each other, at most 100 ms: the first emits it, the others see
that it has moved on, without a race."""

BATCH_MAX = 500
"""Due schedules of one round; more than could ever stand in the way because they cannot be emitted."""

DECLARED_MS = 30_000.0
"""Declared triggers are looked at that often: a server without persistence that restarted has forgotten them."""

_log = logging.getLogger(__name__)


class Scheduler(Service):
    """Looks at what is due, emits, and sleeps until the next tick or the next look."""

    name = "scheduler"

    def __init__(
        self, driver: ProcessWorkDriver, view: FleetView, router: TriggerRouter, declared: AppTriggers
    ) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        self._context = driver.context
        self._view = view
        self._router = router
        self._declared = declared
        self._declared_due_ms = 0.0

    async def run(self) -> None:
        """One round after the other."""
        while not self.is_stopping:
            delay_ms = self.period_ms
            try:
                await self.declare()
                delay_ms = await self.round()
            except (LashError, OSError) as error:
                self._context.metrics.redis_errors.inc()
                _log.warning("schedules wait for the store: %s", error)
            await self.pause(delay_ms)

    @property
    def period_ms(self) -> float:
        """Longest time between two looks of this worker."""
        return min(PERIOD_MS * self._view.workers_count, PERIOD_MAX_MS)

    async def declare(self) -> None:
        """Register what the apps declare, when it is time to. Raises: LashError."""
        if own_time_ms() >= self._declared_due_ms:
            await self._declared.publish()
            self._declared_due_ms = own_time_ms() + DECLARED_MS

    async def round(self) -> float:
        """Emit what is due; returns how long to sleep, in ms. Raises: LashError."""
        next_ms, looked_ms = await self._router.store.next_schedule_ms()
        now_ms = looked_ms
        if next_ms is not None and next_ms <= looked_ms:
            await self._emit_due()
            next_ms, now_ms = await self._router.store.next_schedule_ms()
        if next_ms is None or next_ms - now_ms > self.period_ms:
            return self.period_ms
        if next_ms > now_ms:
            return next_ms - now_ms + self._turn_ms(next_ms)
        # Due still: it came meanwhile, or it cannot be emitted now and is tried again with the next look.
        return self.period_ms if next_ms <= looked_ms else 0.0

    async def _emit_due(self) -> None:
        for item in await self._router.store.due_schedules(BATCH_MAX):
            if self.is_stopping:
                return
            try:
                await run_due_schedule(self._router, item)
            except LashError as error:
                # One schedule that cannot go on must not keep the others.
                _log.warning(
                    "trigger %s cannot tick now: %s",
                    item.subscription.subscription_key,
                    error,
                    extra={"trigger": item.subscription.subscription_key},
                )

    def _turn_ms(self, tick_ms: int) -> int:
        turns = min(self._view.workers_count, TURNS_MAX)
        return zlib.crc32(f"{self._context.identity.owner_id}:{tick_ms}".encode()) % turns * TURN_MS
