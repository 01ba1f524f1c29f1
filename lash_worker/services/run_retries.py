"""Retries of a whole process: whether a failure runs again, when, and the write that says so (docs/adr/0113)."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from lash_core.errors import (
    AlreadyTerminalError,
    LashError,
    LeaseLostError,
    OutcomeUnknownError,
    StoreBehindError,
    StoreRefusedError,
    StoreUnreachableError,
)
from lash_core.model.await_output import AnyAwaitOutput, FailureOutput
from lash_core.model.completion import POISON_CODE
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import RetryPolicy
from lash_worker.services.process_run import ProcessRun
from lash_worker.services.worker_context import WorkerContext

NOT_RETRIED = frozenset(
    {"process_params_invalid", "process_result_invalid", "process_engine_missing", "process_journal_full", POISON_CODE}
)
"""Codes that the next try would end with as well: they depend on the row and the program alone."""
MISMATCH_SUFFIX = "_effect_replay_hash_conflict"
"""A changed program on an old journal: recorded successes stay over a retry, so it would meet them again."""
DETAIL_CHARS_MAX = 200
RETRY_DELAY_SECONDS = 0.1
RETRY_DELAY_MAX_SECONDS = 1.0

RetryVerdict = Literal["written", "lost", "behind", "elsewhere"]

_log = logging.getLogger(__name__)


def retry_delay_ms(record: ProcessRecord, output: AnyAwaitOutput, *, cancelled: bool) -> int | None:
    """After how long a process that ended like this runs again; None when its outcome stands.

    Its policy counts attempts, the first one included; the wait doubles from ``backoff_ms`` to ``backoff_max_ms``.
    Started owner-bound work is never repeated, and a failure on the way of a cancel stands.
    """
    policy = record.retry_policy
    if policy is None or cancelled or not isinstance(output, FailureOutput):
        return None
    if record.disposition is not RecoveryDisposition.RERUNNABLE or record.retries + 1 >= policy.attempts_max:
        return None
    if output.code in NOT_RETRIED or output.code.endswith(MISMATCH_SUFFIX):
        return None
    return backoff_ms(policy, record.retries)


def backoff_ms(policy: RetryPolicy | None, retries: int) -> int:
    """The wait before the next try after ``retries`` earlier ones."""
    return 0 if policy is None else min(policy.backoff_ms << min(retries, 40), policy.backoff_max_ms)


async def write_retry(
    run: ProcessRun, context: WorkerContext, output: FailureOutput, delay_ms: int, drop: tuple[str, ...]
) -> RetryVerdict:
    """Give the row back for its next try; repeated while only the store or the network fails and the lease lives."""
    detail = f"{output.class_.value} / {output.code}: {output.message}"[:DETAIL_CHARS_MAX]
    delay = RETRY_DELAY_SECONDS
    while not run.held.lost:
        try:
            await context.registry.retry_process(run.held.require(), delay_ms=delay_ms, drop=drop, detail=detail)
        except LeaseLostError:
            return "lost"
        except StoreBehindError:
            return "behind"
        except AlreadyTerminalError:
            return "elsewhere"
        except (StoreUnreachableError, OutcomeUnknownError, StoreRefusedError, OSError) as error:
            context.metrics.redis_errors.inc()
            _log.warning("process %s: its retry cannot be written yet: %s", run.process_id, error)
        except LashError:
            # Pruned or unreadable meanwhile: nobody can run it again.
            _log.exception("process %s: its retry was refused", run.process_id, extra=run.held.log_fields)
            return "elsewhere"
        else:
            return "written"
        await asyncio.sleep(delay)
        delay = min(delay * 2, RETRY_DELAY_MAX_SECONDS)
    return "lost"
