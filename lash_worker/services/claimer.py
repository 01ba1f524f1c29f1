"""Claims due rows for free slots: hinted partitions first, foreign ones now and then, all of them once a TTL."""

from __future__ import annotations

import asyncio
import logging

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.hot_partitions import HotPartitions, wait_at_most
from lash_worker.services.service import Service

OWN_SWEEP_MS = 3_000.0
"""The net below lost notices and clocks that were set: the partition's first worker looks this often. What is due by
time is told by the waker."""
FOREIGN_SWEEP_MS = 200.0
FOREIGN_SWEEP_MAX_MS = 3_000.0
WORKERS_PER_SWEEP = 8
"""A worker with free slots looks into partitions of others: soon after it found work there, else ever more rarely, at
last every three seconds for each ``WORKERS_PER_SWEEP`` workers of the fleet."""
GATHER_SECONDS = 0.002
"""With work waiting, slots that free up gather this long, so that a claim fills several."""
ANSWER_AGE_MAX_MS = 10_000.0
"""An idle claimer asks every three seconds; three times without an answer mean that it cannot claim."""
RETRY_DELAY_MS = 100.0
RETRY_DELAY_MAX_MS = 2_000.0

_log = logging.getLogger(__name__)


class Claimer(Service):
    """Keeps the slots full. Never claims more than there are free slots."""

    name = "claimer"
    grace_seconds = 5.0

    def __init__(self, driver: ProcessWorkDriver, view: FleetView) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        self._driver = driver
        self._view = view
        self._hot = HotPartitions(view)
        self._foreign_pause_ms = FOREIGN_SWEEP_MS
        now = own_time_ms()
        self._own_at = self._foreign_at = now
        self._sweep_at = now + driver.context.timings.ttl_ms
        self._last_ok_ms = now

    @property
    def trouble(self) -> str | None:
        """Why nothing could be claimed lately, or None. May be asked from any thread; full slots are no trouble."""
        silent_ms = own_time_ms() - self._last_ok_ms
        return f"no claim was answered for {silent_ms / 1_000:.1f} s" if silent_ms > ANSWER_AGE_MAX_MS else None

    def poke(self, partition: int) -> None:
        """A notice says that a row of this partition is due."""
        self._hot.poke(partition)

    def poke_all(self) -> None:
        """Notices may have been missed: look everywhere."""
        self._hot.poke_all()

    def _wake(self) -> None:
        self._hot.wake()
        self._driver.slots.wake()

    async def run(self) -> None:
        """Claim while slots are free; rest while nothing is due."""
        delay_ms = RETRY_DELAY_MS
        while not self.is_stopping and self._driver.is_accepting:
            try:
                await self._step()
                delay_ms = RETRY_DELAY_MS
            except (LashError, OSError) as error:
                self._driver.context.metrics.redis_errors.inc()
                _log.warning("claiming failed: %s", error)
                await self.pause(delay_ms)
                delay_ms = min(delay_ms * 2, RETRY_DELAY_MAX_MS)
        await self.pause(OWN_SWEEP_MS)

    async def _step(self) -> None:
        slots = self._driver.slots
        slots.show()
        if slots.free <= 0:
            self._last_ok_ms = own_time_ms()
            await wait_at_most(slots.wait_freed(), OWN_SWEEP_MS)
            if self._hot and slots.free < slots.total // 4:
                await asyncio.sleep(GATHER_SECONDS)
            return
        now = own_time_ms()
        if now >= self._sweep_at:
            self._sweep_at = now + self._driver.context.timings.ttl_ms
            await self._driver.claim_and_run_pending("safety sweep")
            return
        self._collect_due(now)
        if not self._hot:
            await self._rest(now)
            return
        await self._claim_hot()

    async def _claim_hot(self) -> None:
        partitions = self._hot.take()
        try:
            _, got = await self._driver.claim(partitions)
        except BaseException:
            self._hot.add(partitions)
            raise
        self._last_ok_ms = own_time_ms()
        if got:
            # There may be more, also in partitions that this claim did not come to: asked again until there is none.
            self._hot.add(partitions)
        if got and any(self._view.hints.ranks[partition] > 0 for partition in partitions):
            self._foreign_pause_ms = FOREIGN_SWEEP_MS
            self._foreign_at = min(self._foreign_at, own_time_ms() + FOREIGN_SWEEP_MS)

    def _collect_due(self, now: float) -> None:
        self._hot.collect_later(now)
        if now >= self._own_at:
            self._own_at = now + OWN_SWEEP_MS
            self._hot.add(self._view.hints.own)
        if not self._hot and now >= self._foreign_at:
            self._foreign_at = now + self._foreign_pause_ms
            longest_ms = FOREIGN_SWEEP_MAX_MS * max(1.0, self._view.workers_count / WORKERS_PER_SWEEP)
            self._foreign_pause_ms = min(self._foreign_pause_ms * 2, longest_ms)
            self._hot.add(self._view.hints.foreign)

    async def _rest(self, now: float) -> None:
        await self._hot.rest(self._hot.next_at_ms(self._own_at, self._foreign_at, self._sweep_at) - now)
