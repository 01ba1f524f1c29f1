"""What the loops of one worker share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from lash_core.clock import own_time_ms
from lash_core.metrics import WorkerMetrics
from lash_core.model.lease import LeaseTimings
from lash_core.model.owner import LeaseOwnerIdentity, ProcessTable
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.process_run_waits import ProcessRunWaits
from lash_worker.recovery import KnownWork
from lash_worker.worker_settings import WorkerSettings

DRIFT = 0.0002
"""How much two clocks may drift apart: 0.2 ms a second, four times what hardware does."""


class WorkerRegistry(ProcessRegistry, ProcessRunWaits, Protocol):
    """The rows, and what waiting runs ask of them."""


class ServerClock:
    """The store's time as this worker can tell it: never used to decide about a lease, only to measure, sign and wake.

    Each answer bounds the difference of the two clocks: the server's time was read after the request left and before
    the answer came. The bounds of several answers together are tighter than any of them; the estimate is their middle.
    """

    def __init__(self) -> None:
        self._least_ms = 0.0
        self._most_ms = 0.0
        self._learned_at_ms: float | None = None

    def observe(self, server_ms: int, sent_at_ms: float) -> None:
        """Learn from an answer that carries the server's time to a request sent at own time ``sent_at_ms``."""
        now_ms = own_time_ms()
        # The server's time is cut to whole milliseconds.
        least, most = server_ms - now_ms, server_ms + 1 - sent_at_ms
        if self._learned_at_ms is not None:
            drift_ms = (now_ms - self._learned_at_ms) * DRIFT
            old_least, old_most = self._least_ms - drift_ms, self._most_ms + drift_ms
            if max(least, old_least) <= min(most, old_most):
                least, most = max(least, old_least), min(most, old_most)
            # Else one of the clocks was set: what was known before is worth nothing.
        self._least_ms, self._most_ms, self._learned_at_ms = least, most, now_ms

    @property
    def is_set(self) -> bool:
        """True once an answer came."""
        return self._learned_at_ms is not None

    def now_ms(self) -> int:
        """The store's time; the machine's until the first answer."""
        return int(self.precise_ms())

    def precise_ms(self) -> float:
        """``now_ms`` with its fraction."""
        if self._learned_at_ms is None:
            return time.time_ns() / 1_000_000
        return own_time_ms() + (self._least_ms + self._most_ms) / 2


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """One worker's identity, store, settings and measures.

    Attributes:
        registry: the rows; its calls belong to the main loop.
        identity: the worker's configured identity; each attempt's incarnation is made from it (decision 3).
        known: what the worker can run.
        process_table: proves deaths of this host's processes.
    """

    registry: WorkerRegistry
    identity: LeaseOwnerIdentity
    settings: WorkerSettings
    timings: LeaseTimings
    metrics: WorkerMetrics
    known: KnownWork
    process_table: ProcessTable
    clock: ServerClock = field(default_factory=ServerClock)
