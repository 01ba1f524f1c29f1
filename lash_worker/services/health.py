"""Measures what readiness is made of: the main loop's lag and a write to the store. Read from the metrics thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.metrics import WorkerMetrics
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_worker.services.service import Service

TICK_MS = 100.0
LAG_MAX_MS = 2_000.0
"""A loop that is this late runs code that should be in a thread."""
PROBE_MS = 1_000.0
GRACE_EVERY = 5
"""Probes between two looks for a grace: it reads every partition."""
PROBE_AGE_MAX_MS = 3_000.0
"""Without an answer for that long the store counts as gone; a probe is asked every second."""
DEAD_LOOP_MS = 60_000.0
PEAK_MS = 15_000.0
"""How long the gauge keeps the worst lag: a usual scrape interval, so that no scrape misses a block."""


class LoopLag(Service):
    """Ticks on the main loop. The age of the last tick, seen from another thread, is the block that goes on now."""

    name = "loop-lag"

    def __init__(self, metrics: WorkerMetrics) -> None:
        super().__init__(metrics.service_crashed)
        self._due_ms = own_time_ms() + TICK_MS
        self._peak_ms = 0.0
        self._peak_until_ms = 0.0
        metrics.loop_lag.set_function(lambda: self.worst_ms / 1_000)

    @property
    def worst_ms(self) -> float:
        """The worst lag of the last ``PEAK_MS``, the block that goes on now included."""
        peak_ms = self._peak_ms if own_time_ms() < self._peak_until_ms else 0.0
        return max(peak_ms, self.lag_ms)

    @property
    def lag_ms(self) -> float:
        """How late the tick is that is due now; 0 while it is on time."""
        return max(0.0, own_time_ms() - self._due_ms)

    async def run(self) -> None:
        """Tick until stopped."""
        while not self.is_stopping:
            self._due_ms = own_time_ms() + TICK_MS
            await self.pause(TICK_MS)
            lag_ms = self.lag_ms
            if lag_ms >= self._peak_ms or own_time_ms() >= self._peak_until_ms:
                self._peak_ms, self._peak_until_ms = lag_ms, own_time_ms() + PEAK_MS


class StoreProbe(Service):
    """Writes and reads back one bounded key a second, and learns of a failover grace."""

    name = "store-probe"

    def __init__(self, maintenance: ProcessMaintenance, metrics: WorkerMetrics) -> None:
        super().__init__(metrics.service_crashed)
        self._maintenance = maintenance
        self._metrics = metrics
        self._ok_at_ms: float | None = None
        self._error: str | None = None
        self._probes = 0
        self.grace_until_ms: int | None = None
        self.warnings: tuple[str, ...] = ()

    @property
    def trouble(self) -> str | None:
        """Why the store counts as gone, or None."""
        if self._error is not None:
            return f"the store cannot be written: {self._error}"
        if self._ok_at_ms is None:
            return "the store has not answered yet"
        silent_ms = own_time_ms() - self._ok_at_ms
        return f"the store has not answered for {silent_ms / 1_000:.1f} s" if silent_ms > PROBE_AGE_MAX_MS else None

    async def run(self) -> None:
        """Probe until stopped."""
        while not self.is_stopping:
            await self.probe()
            await self.pause(PROBE_MS)

    async def probe(self) -> None:
        """Probe once and remember how it went."""
        try:
            roundtrip_ms = await self._maintenance.check_writable()
            if self._probes % GRACE_EVERY == 0 or self._error is not None:
                self.grace_until_ms = await self._maintenance.grace_until_ms()
            self._probes += 1
            self.warnings = self._maintenance.store_warnings()
        except (LashError, OSError) as error:
            if self._error is None:
                logging.getLogger(__name__).warning("the store cannot be written: %s", error)
            self._error = str(error)
            self._metrics.redis_errors.inc()
        else:
            self._metrics.redis_roundtrip.observe(roundtrip_ms / 1_000)
            self._error = None
            self._ok_at_ms = own_time_ms()


@dataclass(frozen=True, slots=True)
class Health:
    """Asks everything that readiness depends on. Each source is safe to read from any thread.

    ``troubles`` are checks by name that answer the trouble, or None when there is none.
    """

    loop: LoopLag
    troubles: dict[str, Callable[[], str | None]]
    notes: Callable[[], dict[str, object]]

    def is_alive(self) -> bool:
        """False only when the main loop has not run for a minute: restarting the worker is all that helps."""
        return self.loop.lag_ms < DEAD_LOOP_MS

    def readiness(self) -> dict[str, object]:
        """``{"ready", "checks": {name: "ok" | trouble}, …notes}``."""
        lag_ms = self.loop.lag_ms
        checks = {"loop": f"the event loop is {lag_ms / 1_000:.1f} s late" if lag_ms > LAG_MAX_MS else "ok"}
        for name, ask in self.troubles.items():
            checks[name] = ask() or "ok"
        return {"ready": all(text == "ok" for text in checks.values()), "checks": checks, **self.notes()}
