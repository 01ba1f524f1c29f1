"""What the loops of one worker share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lash_core.clock import own_time_ms
from lash_core.metrics import WorkerMetrics
from lash_core.model.lease import LeaseTimings
from lash_core.model.owner import LeaseOwnerIdentity, ProcessTable
from lash_core.store.process_registry import ProcessRegistry
from lash_worker.recovery import KnownWork
from lash_worker.worker_settings import WorkerSettings


class ServerClock:
    """The store's time as this worker can tell it: never used to decide about a lease, only to measure and to sign."""

    def __init__(self) -> None:
        self._offset_ms: float | None = None

    def observe(self, server_ms: int, sent_at_ms: float) -> None:
        """Learn from an answer that carries the server's time to a request sent at own time ``sent_at_ms``."""
        self._offset_ms = server_ms - (sent_at_ms + own_time_ms()) / 2

    def now_ms(self) -> int:
        """The store's time; the machine's until the first answer."""
        if self._offset_ms is None:
            return time.time_ns() // 1_000_000
        return int(own_time_ms() + self._offset_ms)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """One worker's identity, store, settings and measures.

    Attributes:
        registry: the rows; its calls belong to the main loop.
        identity: the worker's configured identity; each attempt's incarnation is made from it (decision 3).
        known: what the worker can run.
        process_table: proves deaths of this host's processes.
    """

    registry: ProcessRegistry
    identity: LeaseOwnerIdentity
    settings: WorkerSettings
    timings: LeaseTimings
    metrics: WorkerMetrics
    known: KnownWork
    process_table: ProcessTable
    clock: ServerClock = field(default_factory=ServerClock)
