"""What ``lash top`` knows: the last look at the fleet, rates over some looks, failures it has met. Pure data."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from lash_core.model.manifest import WorkerEntry
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ChangeCursor
from lash_core.runtime.observation.process_views import ProcessView
from lash_core.store.process_maintenance import FleetFacts

RATES_OVER_MS: Final = 10_000
"""Rates are means of so long: long enough to read, short enough to see a stop."""

FAILURES_KEPT: Final = 20
"""More than a screen shows."""

_ENDED = ("completed", "failed", "cancelled", "abandoned")


@dataclass(frozen=True, slots=True)
class Rates:
    """Processes a second. What is pruned meanwhile is not counted, so that a rate may be too low, never too high."""

    started: float
    ended: float
    failed: float

    def to_json_value(self) -> dict[str, float]:
        """``{started_per_s, ended_per_s, failed_per_s}``."""
        return {
            "started_per_s": round(self.started, 2),
            "ended_per_s": round(self.ended, 2),
            "failed_per_s": round(self.failed, 2),
        }


class Looks:
    """The looks so far; bounded by ``RATES_OVER_MS`` and ``FAILURES_KEPT``.

    Attributes:
        facts: of the newest look.
        workers: of the newest look.
        cursor: of the change feed at the newest look.
    """

    def __init__(self) -> None:
        self.facts = FleetFacts()
        self.workers: tuple[WorkerEntry, ...] = ()
        self.cursor: ChangeCursor | None = None
        self._counts: deque[tuple[int, dict[str, int]]] = deque()
        self._failures: dict[str, ProcessRecord] = {}

    @property
    def failures(self) -> tuple[ProcessRecord, ...]:
        """Failed and abandoned processes that were met, newest end first."""
        return tuple(sorted(self._failures.values(), key=lambda row: (row.updated_at_ms, row.id), reverse=True))

    @property
    def rates(self) -> Rates | None:
        """Over the last looks; None before the second one."""
        if len(self._counts) < 2:
            return None
        (begin_ms, first), (end_ms, last) = self._counts[0], self._counts[-1]
        seconds = (end_ms - begin_ms) / 1_000
        if seconds <= 0:
            return None
        started = sum(last.values()) - sum(first.values())
        ended = sum(last.get(state, 0) - first.get(state, 0) for state in _ENDED)
        failed = last.get("failed", 0) - first.get("failed", 0)
        return Rates(*(max(0, count) / seconds for count in (started, ended, failed)))

    def take(self, facts: FleetFacts, workers: Sequence[WorkerEntry], failures: Iterable[ProcessRecord]) -> None:
        """Add a look; ``failures`` are those that are new since the one before."""
        self.facts, self.workers = facts, tuple(workers)
        self._counts.append((facts.server_time_ms, facts.processes))
        while len(self._counts) > 2 and facts.server_time_ms - self._counts[0][0] > RATES_OVER_MS:
            self._counts.popleft()
        self._failures.update((row.id, row) for row in failures)
        for row in self.failures[FAILURES_KEPT:]:
            del self._failures[row.id]

    def to_json_value(self) -> dict[str, Any]:
        """The look as JSON: the facts, ``workers``, ``rates`` (null at first), ``failures`` newest first."""
        rates = self.rates
        return {
            **asdict(self.facts),
            "workers": [entry.model_dump(mode="json", by_alias=True) for entry in self.workers],
            "rates": None if rates is None else rates.to_json_value(),
            "failures": [ProcessView(row).to_json_value() for row in self.failures],
        }


def pressing_queues(facts: FleetFacts) -> list[str]:
    """Queues, those that wait longest first, then the fullest, then by name."""
    names = facts.ready.keys() | facts.delayed.keys() | facts.leases_by_queue.keys()
    busy = {
        name: (facts.oldest_ready_ms.get(name, -1), facts.ready.get(name, 0), facts.leases_by_queue.get(name, 0))
        for name in names
    }
    return sorted(names, key=lambda name: (*(-part for part in busy[name]), name))
