"""How long a process may still run: its timeout counts from its first start, over parks and crashes (docs/adr/0114)."""

from __future__ import annotations

from lash_core.model.record import ProcessRecord
from lash_worker.services.run_retries import backoff_ms
from lash_worker.services.worker_context import WorkerContext


async def time_left_ms(record: ProcessRecord, context: WorkerContext) -> int | None:
    """Until the deadline of a process, at most its timeout, maybe negative; None when it has none.

    A retry of the whole process begins its time anew, when it is due: the audit list knows when it was asked for.

    Raises:
        LashError: the audit list could not be read.
    """
    timeout_ms = record.timeout_ms
    if not timeout_ms:
        return None
    if record.retries:
        begun_ms = await _retried_at_ms(record, context)
    else:
        begun_ms = None if record.first_started is None else record.first_started.started_at_ms
    return timeout_ms if begun_ms is None else min(timeout_ms, begun_ms + timeout_ms - context.clock.now_ms())


async def _retried_at_ms(record: ProcessRecord, context: WorkerContext) -> int | None:
    for entry in reversed(await context.registry.audit_entries(record.id)):
        if entry.kind == "retry":
            return entry.at_ms + backoff_ms(record.retry_policy, record.retries - 1)
    return None
