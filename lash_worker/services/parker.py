"""Decides which resting runs leave memory: those that rest too long, and the longest resting ones of too many."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from lash_core.clock import own_time_ms
from lash_core.runtime.run_waits import ParkPoint
from lash_worker.services.process_run import ProcessRun

RESTING_PER_SLOT = 16
RESTING_MIN = 256
"""Resting runs kept in memory: this many a slot, no fewer than that. A parent with a hundred children beside it costs
some 100 KB; beyond the bound memory would grow with the backlog."""
PARKS_AT_ONCE = 64
"""Runs that look at their rows before they leave, at once: each look is a round trip."""
SPARE_MS = 1_000
"""A wait that is over this soon is waited out: parking and a replay would cost more than the memory."""
TRY_AGAIN_SECONDS = 1.0
"""After a look that failed: the store is away, and so is the way out of memory."""

_log = logging.getLogger(__name__)


def resting_max(concurrency: int) -> int:
    """Resting runs that a worker of so many slots keeps in memory."""
    return max(RESTING_MIN, RESTING_PER_SLOT * concurrency)


class Parker:
    """Knows the resting runs in the order in which they began to rest.

    Args:
        park_after_ms: how long a run may rest in memory; 0 = not at all.
        bound: how many may.
        park: ends a run as parked.
    """

    def __init__(self, park_after_ms: int, bound: int, park: Callable[[ProcessRun, ParkPoint], None]) -> None:
        self._park_after_ms = park_after_ms
        self._bound = bound
        self._park = park
        self._order: OrderedDict[ProcessRun, float] = OrderedDict()
        self._leaving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    def rested(self, run: ProcessRun) -> None:
        """A run rests from now on."""
        if run.may_park:
            self._order[run] = own_time_ms()
            self._go_on()

    def went_on(self, run: ProcessRun) -> None:
        """A run rests no more."""
        self._order.pop(run, None)

    def hurry(self) -> None:
        """Park whatever rests, at once, from now on: the worker is leaving."""
        self._park_after_ms = 0
        self._go_on()

    async def emptied(self, within_ms: float) -> bool:
        """Wait until nothing is left to park; False when that takes longer. For a drain, after ``hurry``."""
        try:
            async with asyncio.timeout(within_ms / 1_000):
                while self._order or self._leaving:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Park nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._order.clear()
        for task in list(self._leaving):
            task.cancel()

    def _go_on(self) -> None:
        while self._order and len(self._leaving) < PARKS_AT_ONCE:
            run, since_ms = next(iter(self._order.items()))
            wait_ms = since_ms + self._park_after_ms - own_time_ms()
            if wait_ms > 0 and len(self._order) <= self._bound:
                self._wake_in(wait_ms)
                return
            is_urgent = self._park_after_ms == 0 or len(self._order) > self._bound
            del self._order[run]
            task = asyncio.create_task(self._leave(run, is_urgent=is_urgent))
            self._leaving.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        self._go_on()
        if not self._order and not self._leaving:
            self._emptied.set()

    def _wake_in(self, wait_ms: float) -> None:
        # One timer: who rested later is due later, and an early look costs nothing.
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait_ms / 1_000, self._rung)

    def _rung(self) -> None:
        self._timer = None
        self._go_on()

    async def _leave(self, run: ProcessRun, *, is_urgent: bool) -> None:
        try:
            await self._leave_now(run, is_urgent=is_urgent)
        except Exception:  # noqa: BLE001 - whatever a bug raises
            # A run that cannot leave must not stay for ever unseen: said, and tried again.
            _log.exception("process %s could not be parked", run.process_id, extra=run.held.log_fields)
            asyncio.get_running_loop().call_later(TRY_AGAIN_SECONDS, self._try_again, run)

    async def _leave_now(self, run: ProcessRun, *, is_urgent: bool) -> None:
        waits = run.waits
        if waits is None:
            return
        point = await waits.looked()
        if not run.is_resting or run.stop_cause is not None or not waits.is_open:
            # It went on meanwhile; when it rests again it comes back by itself.
            return
        if point is None:
            asyncio.get_running_loop().call_later(TRY_AGAIN_SECONDS, self._try_again, run)
        elif is_urgent or point.due_in_ms is None or point.due_in_ms > SPARE_MS:
            self._park(run, point)

    def _try_again(self, run: ProcessRun) -> None:
        if run.is_resting and run.stop_cause is None and run not in self._order:
            self._order[run] = own_time_ms() - self._park_after_ms
            self._order.move_to_end(run, last=False)
            self._go_on()
