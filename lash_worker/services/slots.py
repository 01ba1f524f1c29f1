"""Places for runs: a claim never takes more rows than there are places for, and a run that only waits has none."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from lash_core.metrics import WorkerMetrics


class Slots:
    """A bounded number of places on one event loop.

    A run that rests gives its place back and stays known as resting; before it goes on it takes one again, ahead of
    every claim and in the order of asking (docs/adr/0091): what has begun is finished before something new begins.
    """

    def __init__(self, total: int, metrics: WorkerMetrics) -> None:
        self.total = total
        self._taken = 0
        self._resting = 0
        self._resumers: deque[asyncio.Future[None]] = deque()
        self._freed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._metrics = metrics

    @property
    def free(self) -> int:
        """Places that nobody has; none while a resting run waits for one, which gets it in the moment it is free."""
        return max(0, self.total - self._taken)

    @property
    def taken(self) -> int:
        """Places in use or reserved for a claim on its way."""
        return self._taken

    @property
    def resting(self) -> int:
        """Runs in memory without a place, those that wait for one again included."""
        return self._resting

    def reserve(self, wanted: int) -> int:
        """Take up to ``wanted`` places; returns how many."""
        got = min(wanted, self.free)
        if got > 0:
            self._taken += got
            self._idle.clear()
            return got
        return 0

    def force(self) -> None:
        """Take a place beyond the bound: for rows that need one write and no run."""
        self._taken += 1
        self._idle.clear()

    def release(self, count: int = 1) -> None:
        """Give places back: to runs that wait to go on first."""
        self._taken -= count
        while self._resumers and self._taken < self.total:
            resumer = self._resumers.popleft()
            if not resumer.done():
                # Taken here for it, so that no claim comes in between.
                self._taken += 1
                resumer.set_result(None)
        self._freed.set()
        self._tell_idle()

    # -- runs that rest -----------------------------------------------------------------------------

    def rest(self) -> None:
        """A run gives its place back and stays in memory."""
        self._resting += 1
        self.release()

    def resume_now(self, *, force: bool = False) -> bool:
        """A resting run takes a place if it need not wait for it, or beyond the bound with ``force``."""
        if not force and self.free <= 0:
            return False
        self._taken += 1
        self._resting -= 1
        return True

    async def resume(self) -> None:
        """A resting run takes a place, after those that asked before it. A cancelled wait takes none."""
        if self.resume_now():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._resumers.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            with suppress(ValueError):
                self._resumers.remove(turn)
            # It may have been the last one that stood before the claims.
            self._freed.set()
            raise
        self._resting -= 1

    def leave(self) -> None:
        """A resting run ended or left memory."""
        self._resting -= 1
        self._tell_idle()

    # -- waiting ------------------------------------------------------------------------------------

    async def wait_freed(self) -> None:
        """Wait until a place is given back; returns at once when one was since the last call."""
        await self._freed.wait()
        self._freed.clear()

    def wake(self) -> None:
        """End a ``wait_freed``, so that its caller looks again."""
        self._freed.set()

    async def wait_idle(self) -> None:
        """Wait until no place is in use and no run rests."""
        await self._idle.wait()

    def _tell_idle(self) -> None:
        if self._taken <= 0 and self._resting <= 0:
            self._idle.set()

    def show(self) -> None:
        """Write the gauges. Called by a loop: once a run would cost more than the run's own bookkeeping."""
        self._metrics.slots_free.set(self.free)
        self._metrics.slots_busy.set(self._taken)
        self._metrics.slots_parked.set(self._resting)
