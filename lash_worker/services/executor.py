"""Runs claimed rows: decides on the row read under its lease, one asyncio task a run, outcome to the completer."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from lash_core.clock import own_time_ms
from lash_core.errors import LashError, LeaseLostError, StoreBehindError
from lash_core.model.await_output import (
    FailureOutput,
    ProcessAwaitOutput,
)
from lash_core.model.completion import POISON_CODE
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.facts import CancelRequest
from lash_core.model.lease import ClaimedProcess, ProcessLease, ReleaseReason, Renewed, takeover_backoff_ms
from lash_core.model.owner import LeaseOwnerIdentity, is_provably_dead
from lash_core.model.record import ProcessRecord
from lash_core.runtime.held_run_waits import RunEndedError
from lash_worker.recovery import (
    AlreadyTerminal,
    Circumstances,
    CompleteAbandoned,
    Decision,
    Decline,
    Poison,
    Postpone,
    ReleaseUntilEvent,
    Run,
    decide,
)
from lash_worker.services.attempt import GIVE_BACK_DELAY_MS, GiveBackError, RunsProcesses, attempt_process
from lash_worker.services.completer import Completer
from lash_worker.services.lease_keeper import LeaseKeeper
from lash_worker.services.parker import Parker, resting_max
from lash_worker.services.process_run import ProcessRun
from lash_worker.services.releaser import Releaser
from lash_worker.services.run_endings import RunEndings
from lash_worker.services.run_retries import retry_delay_ms, write_retry
from lash_worker.services.slots import Slots
from lash_worker.services.worker_context import WorkerContext

DECLINES_REMEMBERED_MAX = 10_000
"""Rows whose declines are counted for their growing delay; a forgotten one starts again at 1 s."""
STILL_ENDING_DELAY_MS = 1_000
"""Wait for a row whose earlier attempt on this worker has not ended yet: a thread cannot be stopped from outside."""

_log = logging.getLogger(__name__)


class Executor:
    """The table of held rows and the tasks that run them. Everything that claims hands its rows to ``take``."""

    def __init__(
        self,
        context: WorkerContext,
        worker: RunsProcesses,
        slots: Slots,
        keeper: LeaseKeeper,
        completer: Completer,
        releaser: Releaser,
    ) -> None:
        self._context = context
        self._worker = worker
        self._slots = slots
        self._keeper = keeper
        self._releaser = releaser
        self._declines: OrderedDict[str, int] = OrderedDict()
        settings = context.settings
        self.parker = Parker(settings.park_after_ms, resting_max(settings.concurrency), ProcessRun.park)
        self.runs: dict[str, ProcessRun] = {}
        self._endings = RunEndings(context, keeper, completer, releaser, self.parker, self.runs)
        self.on_declined: Callable[[int, float], None] | None = None
        """Told of rows left to other workers: partition, and when the row is due again by the server's clock."""
        self.on_marks: Callable[[str, Renewed], None] | None = None
        """Told of cancel and signal marks that a renewal handed back: the way in for lost notices."""

    def take(
        self, claimed: Sequence[ClaimedProcess], sent_at_ms: float, dead_owner: LeaseOwnerIdentity | None = None
    ) -> None:
        """Decide about freshly leased rows and start those that are to run.

        Args:
            claimed: rows as read under their leases; each has a reserved slot, given back when it is done with.
            sent_at_ms: ``own_time_ms()`` before the claim was sent.
            dead_owner: the holder they were taken from by proof of its death.
        """
        if not claimed:
            return
        self._context.clock.observe(claimed[0].lease.claimed_at_epoch_ms, sent_at_ms)
        common = Circumstances(
            now_ms=self._context.clock.now_ms(),
            dead_owner=dead_owner,
            taken_over=dead_owner is not None,
            poison_deaths_max=self._context.settings.poison_deaths_max,
        )
        for item in claimed:
            held = self.runs.get(item.record.id)
            if held is not None and held.held.lease.lease_token == item.lease.lease_token:
                # The claim entered a lease again that a run of this worker holds.
                self._slots.release()
            elif held is not None:
                self._give_back(item.lease, sent_at_ms, "declined", STILL_ENDING_DELAY_MS, "earlier attempt is ending")
            else:
                self._take_one(item, sent_at_ms, common)

    def hand_back(self, claimed: Sequence[ClaimedProcess], sent_at_ms: float) -> None:
        """Give rows back that were claimed and not looked at; each has a reserved slot."""
        for item in claimed:
            self._give_back(item.lease, sent_at_ms, "yielded", None, "drain")

    def hand_on(self, claimed: ClaimedProcess, sent_at_ms: float, dead_owner: LeaseOwnerIdentity) -> None:
        """Settle a row taken from a dead owner while no slot is free: what needs a run goes to whoever has room."""
        if claimed.record.id in self.runs:
            return
        common = Circumstances(
            now_ms=self._context.clock.now_ms(),
            dead_owner=dead_owner,
            poison_deaths_max=self._context.settings.poison_deaths_max,
        )
        self._slots.force()
        if isinstance(decide(claimed.record, self._context.known, common), CompleteAbandoned | Poison):
            self.take([claimed], sent_at_ms, dead_owner)
        else:
            delay_ms = takeover_backoff_ms(claimed.record.deaths)
            self._give_back(claimed.lease, sent_at_ms, "declined", delay_ms, "taken from a dead owner, no free slot")

    def _take_one(self, item: ClaimedProcess, sent_at_ms: float, common: Circumstances) -> None:
        record = item.record
        self._context.metrics.of_kind(record.identity.kind).claimed.inc()
        decision = decide(record, self._context.known, self._circumstances(record, common))
        if self._settled_by_release(item, sent_at_ms, decision):
            return
        if record.deaths and not common.taken_over:
            self._context.metrics.taken_over_expired.inc()
        run = ProcessRun(record, sent_at_ms, self._context, self._slots)
        run.on_rest, run.on_resume = self.parker.rested, self.parker.went_on
        run.held = self._keeper.hold(item.lease, sent_at_ms, partial(self._lost, run), partial(self._marked, run))
        self.runs[record.id] = run
        match decision:
            case CompleteAbandoned(evidence):
                self._endings.submit(run, ProcessAwaitOutput.abandoned(evidence))
            case Poison(deaths):
                run.task = asyncio.create_task(self._poison(run, deaths))
            case _:
                self._observe_start(item)
                run.task = asyncio.create_task(self._run(run))

    def _circumstances(self, record: ProcessRecord, common: Circumstances) -> Circumstances:
        if self._context.known.is_isolated(record):
            held = sum(self._context.known.is_isolated(run.record) for run in self.runs.values())
            common = replace(common, isolated_held=held)
        started = record.first_started
        if (
            started is not None
            and common.dead_owner is None
            and record.disposition is RecoveryDisposition.OWNER_BOUND
            and is_provably_dead(started.owner, self._context.identity, self._context.process_table)
        ):
            return replace(common, dead_owner=started.owner)
        declines = self._declines.get(record.id)
        return common if declines is None else replace(common, declines=declines)

    def _settled_by_release(self, item: ClaimedProcess, sent_at_ms: float, decision: Decision) -> bool:
        match decision:
            case AlreadyTerminal():
                self._give_back(item.lease, sent_at_ms, "released", None, "terminal")
            case ReleaseUntilEvent(detail):
                self._give_back(item.lease, sent_at_ms, "declined", -1, detail)
            case Postpone(delay_ms):
                self._give_back(item.lease, sent_at_ms, "declined", delay_ms, f"{item.record.deaths} deaths in a row")
            case Decline(delay_ms, detail):
                self._context.metrics.of_kind(item.record.identity.kind).declined.inc()
                self._declines[item.record.id] = self._declines.pop(item.record.id, 0) + 1
                if len(self._declines) > DECLINES_REMEMBERED_MAX:
                    self._declines.popitem(last=False)
                if self.on_declined is not None:
                    self.on_declined(item.partition, self._context.clock.precise_ms() + delay_ms)
                self._give_back(item.lease, sent_at_ms, "declined", delay_ms, detail)
            case Run() | CompleteAbandoned() | Poison():
                return False
        return True

    def _give_back(self, lease: ProcessLease, sent_at_ms: float, kind: str, due_in_ms: int | None, detail: str) -> None:
        reason = ReleaseReason.model_validate({"kind": kind, "due_in_ms": due_in_ms, "detail": detail})
        self._releaser.give_back(lease, reason, sent_at_ms + self._context.timings.ttl_ms * 3 / 4)
        self._slots.release()

    def _observe_start(self, item: ClaimedProcess) -> None:
        record, lease = item.record, item.lease
        if record.attempt and not record.deaths and item.due_at_ms is not None:
            # Parked, retried or handed over: due when its time came, or when what it waits for did.
            self._context.metrics.timer_lateness.observe(max(0, lease.claimed_at_epoch_ms - item.due_at_ms) / 1_000)
        elif record.attempt == 0:
            due_ms = record.due_at_ms or record.created_at_ms
            waited_seconds = max(0, lease.claimed_at_epoch_ms - due_ms) / 1_000
            self._context.metrics.queue_seconds.observe(waited_seconds)
            if record.due_at_ms is not None:
                self._context.metrics.timer_lateness.observe(waited_seconds)

    # -- a run --------------------------------------------------------------------------------------

    async def _run(self, run: ProcessRun) -> None:
        # Cancel recorded before this attempt, even before a crash: it counts from sequence 0.
        if run.record.cancel_request is not None:
            self.fire_cancel(run, run.record.cancel_request)
        try:
            output = await attempt_process(run, self._context, self._worker)
        except (asyncio.CancelledError, RunEndedError):
            self._endings.stopped(run)
            return
        except GiveBackError as error:
            self._endings.release_run(run, "released", GIVE_BACK_DELAY_MS, f"store failure: {error}")
            return
        except (LeaseLostError, StoreBehindError) as error:
            self._context.metrics.fenced_refused.inc()
            self._keeper.report_loss(run.held, "behind" if isinstance(error, StoreBehindError) else "fenced")
            self._endings.ended(run)
            return
        except BaseException:
            self._endings.ended(run)
            raise
        if run.stop_cause is not None and (output.state == "cancelled" or run.result_is_void):
            self._endings.stopped(run)
            return
        self._context.metrics.run_seconds.observe((own_time_ms() - run.started_at_ms) / 1_000)
        # What the function left behind must not write after its outcome.
        failed_keys = run.close()
        try:
            if run.seen_write is not None:
                # The receipt is fenced: after the outcome it would be refused.
                await asyncio.wait([run.seen_write])
            delay_ms = retry_delay_ms(run.record, output, cancelled=run.cancellation.cancelled and not run.timed_out)
            if delay_ms is not None and isinstance(output, FailureOutput):
                self._endings.retried(run, await write_retry(run, self._context, output, delay_ms, failed_keys))
                return
        except asyncio.CancelledError:
            self._endings.stopped(run)
            return
        self._endings.submit(run, output)

    async def _poison(self, run: ProcessRun, deaths: int) -> None:
        evidence: list[dict[str, object]] = []
        try:
            entries = await self._context.registry.audit_entries(run.process_id)
            evidence = [entry.to_json_value() for entry in entries if entry.kind in ("death", "reclaim", "takeover")]
        except (LashError, OSError) as error:
            evidence = [{"unreadable": str(error)}]
        text = f"process `{run.process_id}` ended its worker {deaths} times in a row without progress"
        self._endings.submit(
            run,
            ProcessAwaitOutput.failure(
                "resource_limit", POISON_CODE, text, {"deaths": deaths, "evidence": evidence[-deaths:]}
            ),
        )

    def _lost(self, run: ProcessRun, reason: str) -> None:
        _log.warning(
            "process %s: lease lost (%s); its result is dropped",
            run.process_id,
            reason,
            extra={**run.held.log_fields, "reason": reason},
        )
        # Tell code in a thread, which no task cancel can reach.
        run.cancellation.cancel("lease lost")
        run.end("lost")

    # -- cancel and signal --------------------------------------------------------------------------------

    def _marked(self, run: ProcessRun, renewed: Renewed) -> None:
        if self.on_marks is not None:
            self.on_marks(run.process_id, renewed)

    def stimulate(self, process_id: str) -> None:
        """Something happened to a held row: its run looks when a wait could end by it."""
        run = self.runs.get(process_id)
        if run is not None and run.waits is not None:
            run.waits.stimulus()

    def stimulate_all(self) -> None:
        """Notices may have been missed."""
        for run in list(self.runs.values()):
            if run.waits is not None:
                run.waits.stimulus()

    def fire_cancel(self, run: ProcessRun, request: CancelRequest | None) -> None:
        """Fire a run's token and write the receipt; a second call changes nothing."""
        if run.cancel_known:
            return
        run.cancel_known = True
        run.cancellation.cancel(request.reason if request is not None else None)
        if request is None or request.seen_at_ms is None:
            run.seen_write = asyncio.create_task(self._mark_seen(run))

    async def _mark_seen(self, run: ProcessRun) -> None:
        try:
            await self._context.registry.mark_cancel_seen(run.held.require())
        except (LashError, OSError) as error:
            _log.info("cancel receipt of %s was not written: %s", run.process_id, error, extra=run.held.log_fields)
        else:
            self._context.metrics.fenced_cancels_seen.inc()

    # -- drain ---------------------------------------------------------------------------------------------

    def park_all(self) -> None:
        """Park what rests now, and from now on whatever begins to rest: any peer goes on with it when it is due."""
        self.parker.hurry()

    def yield_all(self) -> None:
        """End every run without an outcome: rerunnable work goes to a peer, started owner-bound work is abandoned."""
        for run in list(self.runs.values()):
            run.end("yield")

    def release_remaining(self) -> int:
        """Give back what did not react to ``yield_all``: code in threads. Its result is refused by the fence."""
        remaining = list(self.runs.values())
        for run in remaining:
            if run.stop_cause in ("yield", "park"):
                self._endings.stopped(run)
        return len(remaining)
