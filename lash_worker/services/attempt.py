"""One attempt's way from start fact to outcome: timeouts, and what a store failure in between means (decision 29)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from lash_core.clock import own_time_ms
from lash_core.errors import (
    LeaseLostError,
    OutcomeUnknownError,
    StoreBehindError,
    StoreRefusedError,
    StoreUnreachableError,
)
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.facts import ProcessStarted
from lash_worker.services.process_deadline import time_left_ms
from lash_worker.services.process_run import ProcessRun
from lash_worker.services.worker_context import WorkerContext

RETRY_DELAY_MS = 50
RETRY_DELAY_MAX_MS = 2_000
GIVE_BACK_DELAY_MS = 1_000
"""A row whose run met a broken store waits this long before the next worker tries."""

INFRASTRUCTURE = (StoreUnreachableError, OutcomeUnknownError, StoreRefusedError, OSError)
"""What a later try may cure; OSError has ConnectionError and TimeoutError below it."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class RunsProcesses(Protocol):
    """What the executor needs of a worker."""

    async def run_held_process(self, run: ProcessRun) -> AnyAwaitOutput:
        """Run a process under the lease of ``run``; boundary errors and store failures are raised."""
        ...


class GiveBackError(Exception):
    """The store failed for too long: give the lease back, so that another worker tries."""


async def attempt_process(run: ProcessRun, context: WorkerContext, worker: RunsProcesses) -> AnyAwaitOutput:
    """Run a process once and return its outcome.

    Raises:
        GiveBackError: the store failed until the lease was at risk.
        LeaseLostError, StoreBehindError: a fenced write was refused.
    """
    owner_bound = run.record.disposition is RecoveryDisposition.OWNER_BOUND
    if owner_bound and run.record.first_started is None:
        await _with_patience(run, context, lambda: write_start(run, context))
    timer = await _start_timer(run, context) if run.record.timeout_ms else None
    run.started = True
    try:
        # Started owner-bound work is never repeated, not even after a store failure inside the run.
        if owner_bound:
            output = await _try(run, worker)
        else:
            output = await _with_patience(run, context, lambda: _try(run, worker))
    except (GiveBackError, LeaseLostError, StoreBehindError, asyncio.CancelledError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a run raises is its outcome
        _log.warning("process %s failed to run: %s", run.process_id, error, extra=run.held.log_fields)
        output = ProcessAwaitOutput.failure("execution", "process_recovery_failed", str(error))
    finally:
        if timer is not None:
            timer.cancel()
    if run.timed_out and output.state == "cancelled":
        return timeout_output(run)
    return output


async def _try(run: ProcessRun, worker: RunsProcesses) -> AnyAwaitOutput:
    run.begin_try()
    return await worker.run_held_process(run)


async def _start_timer(run: ProcessRun, context: WorkerContext) -> asyncio.TimerHandle | None:
    left_ms = await _with_patience(run, context, lambda: time_left_ms(run.record, context))
    if left_ms is None:
        return None
    run.deadline_ms = own_time_ms() + left_ms
    if left_ms <= 0:
        # It was over while nobody ran it; what its function does about it, it does as on any timeout.
        run.time_out()
        return None
    return asyncio.get_running_loop().call_later(left_ms / 1_000, run.time_out)


async def write_start(run: ProcessRun, context: WorkerContext) -> None:
    """Record the start of owner-bound work before its function is called; after it nobody runs it again."""
    started = ProcessStarted(owner=context.identity, started_at_ms=context.clock.now_ms())
    await context.registry.record_first_started(run.process_id, started, lease=run.held.require())
    context.metrics.fenced_starts.inc()


def timeout_output(run: ProcessRun) -> AnyAwaitOutput:
    """The outcome of a process that ran longer than it may."""
    text = f"process `{run.process_id}` ran longer than {run.record.timeout_ms} ms"
    return ProcessAwaitOutput.failure("timeout", "process_timeout", text)


async def _with_patience(run: ProcessRun, context: WorkerContext, step: Callable[[], Awaitable[_T]]) -> _T:
    """Repeat a step while only the store or the network fails, for one TTL and while the lease has margin."""
    give_up_at_ms: float | None = None
    delay_ms = RETRY_DELAY_MS
    while True:
        try:
            return await step()
        except INFRASTRUCTURE as error:
            context.metrics.redis_errors.inc()
            now = own_time_ms()
            give_up_at_ms = give_up_at_ms or now + context.timings.ttl_ms
            if run.held.lost:
                raise LeaseLostError(run.process_id, run.held.lost_reason) from error
            if now >= give_up_at_ms or run.held.at_risk:
                raise GiveBackError(str(error)) from error
            _log.warning("process %s waits for the store: %s", run.process_id, error, extra=run.held.log_fields)
        await asyncio.sleep(delay_ms / 1_000)
        delay_ms = min(delay_ms * 2, RETRY_DELAY_MAX_MS)
