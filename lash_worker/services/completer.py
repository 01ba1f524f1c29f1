"""Writes outcomes: one fenced call for everything that is ready, the next one while the first is under way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lash_core.errors import (
    AlreadyTerminalError,
    InvalidArgumentError,
    LashError,
    LeaseLostError,
    OutcomeUnknownError,
    ReplayKeyConflictError,
    StoreBehindError,
    StoreRefusedError,
    StoreUnreachableError,
)
from lash_core.metrics import WorkerMetrics
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.facts import ProcessStarted
from lash_core.store.process_batches import LeasedCompletion
from lash_core.store.process_registry import ProcessRegistry
from lash_worker.services.held_lease import HeldLease
from lash_worker.services.service import Service

CALLS_MAX = 4
"""Calls under way at once: a slow node of a cluster must not hold up the others."""
OVERLAP_AFTER_SECONDS = 0.02
"""Only a call that takes longer than this is overlapped; until then outcomes gather for the next one."""
BATCH_MAX = 1_000
TURNS_FOR_READS = 3
"""Turns of the loop that outcomes wait for, so that a claim's read goes out first: it takes the server
a tenth of the time and the next rows depend on it. An idle loop turns in microseconds."""
RETRY_DELAY_SECONDS = 0.05
RETRY_DELAY_MAX_SECONDS = 1.0

Verdict = Literal["written", "lost", "elsewhere", "stuck"]
"""``elsewhere``: the row ended by another writer. ``stuck``: the store will never take it; only the expiry helps."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Completion:
    """An outcome on its way. ``on_done`` is called once with the verdict and the reason of a loss."""

    held: HeldLease
    output: AnyAwaitOutput
    first_started: ProcessStarted | None
    on_done: Callable[[Completion, Verdict, str], None]


class Completer(Service):
    """Sends outcomes at once when no call is under way, else with the next call (natural batching).

    A call whose outcome is unknown or whose store is away is repeated until the lease's local deadline; after it
    nothing is sent (DESIGN 3.3 rules 8 and 9).
    """

    name = "completer"

    def __init__(self, registry: ProcessRegistry, metrics: WorkerMetrics) -> None:
        super().__init__(metrics.service_crashed)
        self._registry = registry
        self._metrics = metrics
        self._queue: deque[Completion] = deque()
        self._waiting = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()

    def submit(self, completion: Completion) -> None:
        """Write this outcome as soon as possible."""
        self._queue.append(completion)
        self._waiting.set()

    async def run(self) -> None:
        """Send what is queued, as long as somebody queues."""
        while not self.is_stopping:
            await self._waiting.wait()
            for _ in range(TURNS_FOR_READS):
                await asyncio.sleep(0)
            if self._calls:
                await asyncio.wait(
                    self._calls,
                    timeout=OVERLAP_AFTER_SECONDS if len(self._calls) < CALLS_MAX else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            self._send_next()

    def _send_next(self) -> None:
        # Not in the loop above: its locals would keep the last batch and its runs until the next one.
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
        if not self._queue:
            self._waiting.clear()
        if batch:
            call = asyncio.create_task(self._send(batch))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def stop(self) -> None:
        """Stop; calls under way are given up. The executor waits for its outcomes before it stops this."""
        await super().stop()
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _send(self, batch: list[Completion]) -> None:
        delay = RETRY_DELAY_SECONDS
        while batch:
            live: list[Completion] = []
            for item in batch:
                if item.held.lost:
                    item.on_done(item, "lost", item.held.lost_reason)
                else:
                    live.append(item)
            errors = await self._call(live) if live else []
            batch = [item for item, error in zip(live, errors, strict=True) if self._must_repeat(item, error)]
            if batch:
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_DELAY_MAX_SECONDS)

    async def _call(self, live: list[Completion]) -> list[Exception | None]:
        try:
            outcomes = await self._registry.complete_processes_with_lease(
                [LeasedCompletion(item.held.lease, item.output, item.first_started) for item in live]
            )
        except (LashError, OSError, TimeoutError) as error:
            self._metrics.redis_errors.inc()
            _log.warning("%d outcomes could not be written yet: %s", len(live), error)
            return [error] * len(live)
        except Exception as error:  # noqa: BLE001 - every outcome must be answered for
            _log.exception("writing %d outcomes failed", len(live))
            return [error] * len(live)
        return [outcome.error for outcome in outcomes]

    def _must_repeat(self, item: Completion, error: Exception | None) -> bool:
        match error:
            case None:
                self._metrics.fenced_completions.inc()
                item.on_done(item, "written", "")
            case LeaseLostError():
                item.on_done(item, "lost", "fenced")
            case StoreBehindError():
                item.on_done(item, "lost", "behind")
            case AlreadyTerminalError() | ReplayKeyConflictError():
                item.on_done(item, "elsewhere", "")
            case OutcomeUnknownError() | StoreUnreachableError() | StoreRefusedError() | OSError() | TimeoutError():
                return True
            case InvalidArgumentError() if item.output.state == "completed":
                item.output = refused_result(error)
                return True
            case _:
                _log.error(
                    "process %s: its outcome cannot be written: %s",
                    item.held.process_id,
                    error,
                    extra=item.held.log_fields,
                )
                item.on_done(item, "stuck", "stuck")
        return False


def refused_result(error: InvalidArgumentError) -> AnyAwaitOutput:
    """The outcome of a process whose result the store does not take: too large, or not canonical JSON."""
    raw = {"field": error.field, "limit": error.limit}
    return ProcessAwaitOutput.failure("invalid_request", "process_result_invalid", error.message, raw)
