"""One worker at a time sweeps stored content that nobody names (``docs/contracts/attachments.md`` 6)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from lash_core.clock import own_time_ms
from lash_core.runtime.content_sweep import ContentSweep, SweepReport
from lash_worker.services.fleet_view import FleetView

PASS_EVERY_MS = 6 * 3_600_000.0
"""Content goes at most this long after its day of grace."""

STEPS_A_ROUND = 50
"""Steps of one round of housekeeping: 25,000 rows, about a second; ten million rows take less than a walk may."""

STEP_PAUSE_MS = 20.0
"""Between two steps, so that the server and this loop do other work."""

_log = logging.getLogger(__name__)


class ContentSweeper:
    """Passes of a ``ContentSweep``, a piece in each round.

    Who sweeps is a hint: the worker that is first in line for the first partition. When two think that they are, both
    sweep, which costs time and nothing else; when the one dies, the next begins anew.

    Args:
        sweep: the stores' sweep.
        view: tells whether this worker is first in line.
        pause: waits some ms, less when the worker stops.
        now_ms: this machine's own clock.
    """

    def __init__(
        self,
        sweep: ContentSweep,
        view: FleetView,
        pause: Callable[[float], Awaitable[None]],
        now_ms: Callable[[], float] = own_time_ms,
    ) -> None:
        self._sweep = sweep
        self._view = view
        self._pause = pause
        self._now_ms = now_ms
        self._next_pass_ms = float("-inf")

    async def round(self, is_stopping: Callable[[], bool]) -> SweepReport | None:
        """Do the next piece if it is this worker's turn; the report when a pass has ended.

        Raises:
            LashError: the store could not be asked; the next round goes on where this one was.
        """
        if not self._sweep.is_walking and not self._is_due():
            return None
        for _ in range(STEPS_A_ROUND):
            report = await self._sweep.step()
            if report is not None:
                self._end(report)
                return report
            if is_stopping():
                break
            await self._pause(STEP_PAUSE_MS)
        return None

    def _is_due(self) -> bool:
        first_in_line = self._view.hints.ranks[0] == 0
        return first_in_line and self._now_ms() >= self._next_pass_ms

    def _end(self, report: SweepReport) -> None:
        # What a pass had no room for is the next round's.
        self._next_pass_ms = self._now_ms() + (0.0 if self._sweep.has_more else PASS_EVERY_MS)
        if report.deleted or report.failures:
            _log.info(
                "swept stored content: %d deleted, %d still named, %d put meanwhile, %d failed",
                report.deleted,
                report.kept,
                report.put_meanwhile,
                len(report.failures),
            )
