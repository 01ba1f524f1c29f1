"""How attempts end: an outcome, a release, a retry, a loss. Each attempt ends once, and its slot is free then."""

from __future__ import annotations

import logging
import math
from functools import partial

from lash_core.clock import own_time_ms
from lash_core.model.await_output import (
    AbandonEvidence,
    AbandonWriter,
    AnyAwaitOutput,
    FailureOutput,
    ProcessAwaitOutput,
)
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.fast_build import fast_build
from lash_core.model.lease import ReleaseReason
from lash_worker.services.completer import Completer, Completion, Verdict
from lash_worker.services.lease_keeper import LeaseKeeper
from lash_worker.services.parker import Parker
from lash_worker.services.process_run import ProcessRun
from lash_worker.services.releaser import Releaser
from lash_worker.services.run_retries import RetryVerdict
from lash_worker.services.worker_context import WorkerContext

_log = logging.getLogger(__name__)


class RunEndings:
    """Ends attempts of one worker.

    Args:
        runs: the table of held rows, process id to run; a run that ended is taken out.
    """

    def __init__(
        self,
        context: WorkerContext,
        keeper: LeaseKeeper,
        completer: Completer,
        releaser: Releaser,
        parker: Parker,
        runs: dict[str, ProcessRun],
    ) -> None:
        self._context = context
        self._keeper = keeper
        self._completer = completer
        self._releaser = releaser
        self._parker = parker
        self._runs = runs

    def stopped(self, run: ProcessRun) -> None:
        """The task was cancelled. By the worker itself: nothing is recorded of what the run did."""
        match run.stop_cause:
            case "lost":
                self.ended(run)
            case "yield" if run.started and run.record.disposition is RecoveryDisposition.OWNER_BOUND:
                owner = run.record.first_started.owner if run.record.first_started else self._context.identity
                evidence = AbandonEvidence(
                    writer=AbandonWriter.OWNER_DRAIN, owner=owner, epoch_ms=self._context.clock.now_ms()
                )
                self.submit(run, ProcessAwaitOutput.abandoned(evidence))
            case "yield":
                self.release_run(run, "yielded", None, "drain")
            case "park":
                self._release_parked(run)
            case None if run.cancellation.cancelled and not run.timed_out:
                self.submit(run, ProcessAwaitOutput.cancelled(run.cancellation.reason or "cancelled"))
            case None:
                # The event loop is closing; the lease runs out or the next start of this host proves the death.
                self.ended(run)

    def submit(self, run: ProcessRun, output: AnyAwaitOutput) -> None:
        """Write an outcome; the attempt ends when it is written or cannot be any more."""
        if run.settled:
            return
        run.settled = True
        started = run.unrecorded_start()
        self._completer.submit(Completion(run.held, output, started, partial(self._completed, run)))

    def _completed(self, run: ProcessRun, completion: Completion, verdict: Verdict, reason: str) -> None:
        match verdict:
            case "written":
                outcome = completion.output.state
                self._context.metrics.of_kind(run.record.identity.kind).finished[outcome].inc()
                if isinstance(completion.output, FailureOutput):
                    failure = completion.output
                    text = f"{failure.class_.value} / {failure.code}: {failure.message}"
                    _log.warning("process %s failed: %s", run.process_id, text, extra=run.held.log_fields)
            case "lost":
                if reason != "deadline":
                    self._context.metrics.fenced_refused.inc()
                self._keeper.report_loss(run.held, reason)
            case "elsewhere":
                self._releaser.give_back(run.held.lease, ReleaseReason(), run.held.deadline_ms)
            case "stuck":
                pass
        self.ended(run)

    def release_run(self, run: ProcessRun, kind: str, due_in_ms: int | None, detail: str) -> None:
        """Give the lease back without an outcome."""
        if run.settled:
            return
        run.settled = True
        if not run.held.lost:
            reason = ReleaseReason.model_validate({"kind": kind, "due_in_ms": due_in_ms, "detail": detail[:200]})
            self._releaser.give_back(run.held.lease, reason, run.held.deadline_ms)
        self.ended(run)

    def _release_parked(self, run: ProcessRun) -> None:
        """Out of memory; the lease goes with what the run waits for and what it had seen (docs/adr/0091)."""
        if run.settled:
            return
        run.settled = True
        if not run.held.lost:
            until_ms = run.parked_until_ms
            due_in_ms = -1 if until_ms is None else max(0, math.ceil(until_ms - own_time_ms()))
            facts = {"kind": "parked", "due_in_ms": due_in_ms, "marks_seen": run.park_marks, "detail": run.park_detail}
            reason = fast_build(ReleaseReason, facts)
            self._releaser.give_back(run.held.lease, reason, run.held.deadline_ms, run.unrecorded_start())
            self._context.metrics.parked.inc()
        self.ended(run)

    def retried(self, run: ProcessRun, verdict: RetryVerdict) -> None:
        """The row was given back for another try, or could not be."""
        run.settled = True
        match verdict:
            case "written":
                self._context.metrics.of_kind(run.record.identity.kind).retried.inc()
                _log.info(
                    "process %s failed and runs again (retry %d)",
                    run.process_id,
                    run.record.retries + 1,
                    extra=run.held.log_fields,
                )
            case "lost":
                self._context.metrics.fenced_refused.inc()
                self._keeper.report_loss(run.held, run.held.lost_reason or "fenced")
            case "behind":
                self._context.metrics.fenced_refused.inc()
                self._keeper.report_loss(run.held, "behind")
            case "elsewhere":
                self._releaser.give_back(run.held.lease, ReleaseReason(), run.held.deadline_ms)
        self.ended(run)

    def ended(self, run: ProcessRun) -> None:
        """Forget an attempt whose lease is given back or gone; its id may be claimed again at once."""
        self._keeper.drop(run.held)
        if self._runs.get(run.process_id) is run:
            del self._runs[run.process_id]
            if run.is_resting:
                self._parker.went_on(run)
            run.leave()
        run.let_go()
