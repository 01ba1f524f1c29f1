"""Gives leases back before a terminal event: declined, postponed, yielded. In batches, like outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from lash_core.clock import own_time_ms
from lash_core.errors import LashError, OutcomeUnknownError, StoreRefusedError, StoreUnreachableError
from lash_core.metrics import WorkerMetrics
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease, ReleaseReason
from lash_core.store.process_batches import LeasedRelease
from lash_core.store.process_registry import ProcessRegistry
from lash_worker.services.service import Service

BATCH_MAX = 1_000
RETRY_DELAY_MS = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Release:
    lease: ProcessLease
    reason: ReleaseReason
    until_ms: float
    first_started: ProcessStarted | None


class Releaser(Service):
    """Sends what is queued, one call after the other.

    A release that fails until its lease is over is dropped: the expiry does the same, later.
    """

    name = "releaser"

    def __init__(self, registry: ProcessRegistry, metrics: WorkerMetrics) -> None:
        super().__init__(metrics.service_crashed)
        self._registry = registry
        self._metrics = metrics
        self._queue: deque[_Release] = deque()
        self._waiting = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def give_back(
        self,
        lease: ProcessLease,
        reason: ReleaseReason,
        until_ms: float,
        first_started: ProcessStarted | None = None,
    ) -> None:
        """Release a lease as soon as possible; ``until_ms`` is its local deadline in own time."""
        self._queue.append(_Release(lease, reason, until_ms, first_started))
        self._empty.clear()
        self._waiting.set()

    async def flushed(self, within_ms: float) -> bool:
        """Wait until everything was sent or given up; False when that took longer."""
        try:
            async with asyncio.timeout(within_ms / 1_000):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Send what is queued, as long as somebody queues."""
        while not self.is_stopping:
            if not self._queue:
                self._waiting.clear()
                self._empty.set()
                await self._waiting.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
            failed = await self._send([item for item in batch if own_time_ms() < item.until_ms])
            if failed:
                self._queue.extend(failed)
                await self.pause(RETRY_DELAY_MS)

    async def _send(self, batch: list[_Release]) -> list[_Release]:
        if not batch:
            return []
        try:
            outcomes = await self._registry.release_process_leases(
                [LeasedRelease(item.lease, item.reason, item.first_started) for item in batch]
            )
        except (LashError, OSError) as error:
            self._metrics.redis_errors.inc()
            _log.warning("%d leases could not be given back yet: %s", len(batch), error)
            return batch
        failed: list[_Release] = []
        for item, outcome in zip(batch, outcomes, strict=True):
            match outcome.error:
                case None:
                    pass
                case StoreUnreachableError() | StoreRefusedError() | OutcomeUnknownError():
                    failed.append(item)
                case error:
                    # Lost, pruned or ended meanwhile: somebody else decides about the row now.
                    _log.info("lease of %s was gone before its release: %s", item.lease.process_id, error)
        return failed
