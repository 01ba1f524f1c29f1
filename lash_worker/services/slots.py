"""Places for runs: a claim never takes more rows than there are places for."""

from __future__ import annotations

import asyncio

from lash_core.metrics import WorkerMetrics


class Slots:
    """A bounded number of places on one event loop."""

    def __init__(self, total: int, metrics: WorkerMetrics) -> None:
        self.total = total
        self._taken = 0
        self._freed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._metrics = metrics

    @property
    def free(self) -> int:
        """Places that nobody has."""
        return self.total - self._taken

    @property
    def taken(self) -> int:
        """Places in use or reserved for a claim on its way."""
        return self._taken

    def reserve(self, wanted: int) -> int:
        """Take up to ``wanted`` places; returns how many."""
        got = max(0, min(wanted, self.total - self._taken))
        if got:
            self._taken += got
            self._idle.clear()
        return got

    def force(self) -> None:
        """Take a place beyond the bound: for rows that need one write and no run."""
        self._taken += 1
        self._idle.clear()

    def release(self, count: int = 1) -> None:
        """Give places back."""
        self._taken -= count
        self._freed.set()
        if self._taken <= 0:
            self._idle.set()

    async def wait_freed(self) -> None:
        """Wait until a place is given back; returns at once when one was since the last call."""
        await self._freed.wait()
        self._freed.clear()

    def wake(self) -> None:
        """End a ``wait_freed``, so that its caller looks again."""
        self._freed.set()

    async def wait_idle(self) -> None:
        """Wait until no place is in use."""
        await self._idle.wait()

    def show(self) -> None:
        """Write the gauges. Called by a loop: once a run would cost more than the run's own bookkeeping."""
        self._metrics.slots_free.set(self.free)
        self._metrics.slots_busy.set(self._taken)
