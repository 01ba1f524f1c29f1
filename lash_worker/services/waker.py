"""Wakes the claimer when a row becomes due: rows that wait for their time send no notice when it comes.

When the earliest row of a partition is due is known from the answers of claims and from ``due`` notices. Both are
hints: the claimer's sweeps find what nobody told, later (docs/adr/0112).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.claimer import Claimer
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.service import Service

RANKS_LEARNING = 2
"""Workers that wake for every row of a partition: its first one, and the second a moment later in case the first is
full. The others wake only for what a notice told."""
SHY_MS = 1_500.0
"""A worker that declined a row leaves it to the others for this long after it is due again: whoever has its kind would
else never be faster than a partition's first worker."""
SHY_TOLERANCE_MS = 500.0
"""A due time this near to that of a declined row counts as its own: it is set when the release is carried out."""
SHY_MAX = 64
"""Declined rows that are kept in mind for a partition."""
LATE_MS = 1.0
"""A row is asked for this long after its time: both clocks are cut to milliseconds."""
AGAIN_MS = 2.0
"""The next try when a claim found that the time had not come: the estimate of the server's clock was early."""
CLOCK_PERIOD_MS = 30_000.0
CLOCK_SAMPLES = 4
"""The server's clock is asked for this often, and at first this many times: the estimate is as good as half of the
fastest round trip."""
WAIT_MAX_MS = 60_000.0

_log = logging.getLogger(__name__)


class Waker(Service):
    """One timer, for the earliest due time of all partitions that this worker is among the first of."""

    name = "waker"

    def __init__(
        self, driver: ProcessWorkDriver, claimer: Claimer, view: FleetView, maintenance: ProcessMaintenance
    ) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        self._driver = driver
        self._claimer = claimer
        self._view = view
        self._maintenance = maintenance
        self._due: dict[int, float] = {}
        self._declined: dict[int, deque[float]] = {}
        self.armed_ms = float("inf")
        """The time the timer is set for, by the server's clock."""
        self._not_before_ms = 0.0
        self._changed = asyncio.Event()
        self._clock_at_ms = 0.0
        driver.on_claimed = self.learn
        driver.executor.on_declined = self.avoid

    def hear(self, partition: int, due_at_ms: int) -> None:
        """A notice: a row of the partition is due then, before every other of its queue."""
        if partition not in self._due or due_at_ms < self._due[partition]:
            self._due[partition] = due_at_ms
            self._look()

    def learn(self) -> None:
        """A claim was answered: the store may know due times anew."""
        # What is due by now was offered to that claim.
        now_ms = self._driver.context.clock.precise_ms() - LATE_MS
        ranks = self._view.hints.ranks
        for partition, due in self._maintenance.next_due_ms().items():
            if due > now_ms and partition < len(ranks) and ranks[partition] < RANKS_LEARNING:
                self._due[partition] = due
        self._look()

    def avoid(self, partition: int, due_at_ms: float) -> None:
        """This worker declined a row, which is due again then: others come first."""
        self._declined.setdefault(partition, deque(maxlen=SHY_MAX)).append(due_at_ms)

    def _look(self) -> None:
        if self._earliest() < self.armed_ms:
            self._changed.set()

    def _earliest(self) -> float:
        """When to wake next, by the server's clock."""
        return min((self._wake_at(*item) for item in self._due.items()), default=float("inf"))

    def _wake_at(self, partition: int, due: float) -> float:
        declined = self._declined.get(partition, ())
        is_ours = any(abs(due - other) < SHY_TOLERANCE_MS for other in declined)
        return due + SHY_MS if is_ours else due

    async def run(self) -> None:
        """Sleep until a row is due, poke, again."""
        clock = self._driver.context.clock
        while not self.is_stopping:
            if own_time_ms() >= self._clock_at_ms:
                await self._ask_the_time()
            self._changed.clear()
            self.armed_ms = self._earliest()
            wait_ms = min(self.armed_ms + LATE_MS - clock.precise_ms(), self._clock_at_ms - own_time_ms())
            wait_ms = max(wait_ms, self._not_before_ms - own_time_ms())
            if wait_ms > 0:
                await self._sleep(min(wait_ms, WAIT_MAX_MS))
            self._poke_due()

    def _wake(self) -> None:
        self._changed.set()

    async def _sleep(self, wait_ms: float) -> None:
        try:
            async with asyncio.timeout(wait_ms / 1_000):
                await self._changed.wait()
        except TimeoutError:
            return

    def _poke_due(self) -> None:
        now_ms = self._driver.context.clock.precise_ms() - LATE_MS
        for partition in [partition for partition, due in self._due.items() if self._wake_at(partition, due) <= now_ms]:
            del self._due[partition]
            self._not_before_ms = own_time_ms() + AGAIN_MS
            self._claimer.poke(partition)

    async def _ask_the_time(self) -> None:
        clock = self._driver.context.clock
        samples = 1 if clock.is_set else CLOCK_SAMPLES
        self._clock_at_ms = own_time_ms() + CLOCK_PERIOD_MS
        try:
            for _ in range(samples):
                sent_at_ms = own_time_ms()
                clock.observe(await self._maintenance.server_time_ms(), sent_at_ms)
        except (LashError, OSError) as error:
            self._driver.context.metrics.redis_errors.inc()
            _log.info("the server's clock could not be read: %s", error)
