"""One attempt at one process, from its claim to the end of its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from lash_core.clock import own_time_ms
from lash_core.model.facts import ProcessStarted
from lash_core.model.fast_build import fast_build
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.held_run_waits import HeldRunWaits
from lash_core.runtime.run_waits import ParkPoint
from lash_core.store.effect_host import RunScopedEffects
from lash_worker.services.held_lease import HeldLease
from lash_worker.services.slots import Slots
from lash_worker.services.worker_context import WorkerContext

StopCause = Literal["lost", "yield", "park"]
"""Why the worker itself ended a run: its lease is gone, a drain hands it over, or it waits too long to stay in memory.
Its result is dropped."""

DETAIL_CHARACTERS_MAX = 200
"""Of what a parked run says that it waits for: an audit entry is small."""
RISK_LOOK_SECONDS = 0.05
"""How often an effect that waits for a renewal looks whether it came."""


class ProcessRun:
    """A held row and the task that runs it.

    It is the run's ``EffectRun`` and ``RunPlace`` too: what the journal and the waits ask of the attempt.
    """

    __slots__ = (
        "cancel_known",
        "cancellation",
        "context",
        "deadline_ms",
        "effects",
        "held",
        "is_resting",
        "may_park",
        "on_rest",
        "on_resume",
        "park_detail",
        "park_marks",
        "parked_until_ms",
        "process_id",
        "record",
        "seen_write",
        "settled",
        "slots",
        "start",
        "started",
        "started_at_ms",
        "stop_cause",
        "task",
        "timed_out",
        "tries",
        "waits",
    )

    def __init__(self, record: ProcessRecord, started_at_ms: float, context: WorkerContext, slots: Slots) -> None:
        self.record = record
        self.process_id = record.id
        self.context = context
        self.slots = slots
        self.held: HeldLease
        self.cancellation = CancellationToken()
        self.task: asyncio.Task[None] | None = None
        self.seen_write: asyncio.Task[None] | None = None
        self.started_at_ms = started_at_ms
        self.started = False
        """True once the function may have been called."""
        self.start: ProcessStarted | None = record.first_started
        self.tries = 0
        self.deadline_ms: float | None = None
        """When the process's own time is over, in own time; None without a timeout."""
        self.cancel_known = False
        self.timed_out = False
        self.stop_cause: StopCause | None = None
        self.settled = False
        """True once an outcome or a release is on its way: there is only one of them."""
        self.effects: RunScopedEffects | None = None
        """The journaled effects of the present try; None where the host journals nothing."""
        self.waits: HeldRunWaits | None = None
        self.is_resting = False
        self.may_park = False
        self.on_rest: Callable[[ProcessRun], None] | None = None
        self.on_resume: Callable[[ProcessRun], None] | None = None
        self.parked_until_ms: float | None = None
        """Of a parked run: when the first of its waits is over, in own time; None when only an event ends them."""
        self.park_marks: str | None = None
        self.park_detail = ""
        """What a parked run waits for, for people."""

    # -- a try --------------------------------------------------------------------------------------

    def begin_try(self) -> HeldRunWaits:
        """Fresh waits for a try at the function; what is left of the try before is refused from now on."""
        self._refuse()
        self.tries += 1
        self.waits = HeldRunWaits(self.record, self.held, self.context.registry, self)
        if self.stop_cause is not None:
            self.waits.close()
        return self.waits

    def end(self, cause: StopCause) -> None:
        """End the run without an outcome; the first cause stays, but a loss overrides the others."""
        if self.stop_cause is None or cause == "lost":
            self.stop_cause = cause
        if self.task is not None and not self.task.done():
            self.task.cancel()
        self._refuse()

    def park(self, point: ParkPoint) -> None:
        """End the run here; whoever claims the row goes on by replay."""
        ends = [] if point.due_in_ms is None else [own_time_ms() + point.due_in_ms]
        if self.deadline_ms is not None:
            ends.append(self.deadline_ms)
        self.parked_until_ms = min(ends, default=None)
        self.park_marks = point.marks_seen
        self.park_detail = point.waits_for[:DETAIL_CHARACTERS_MAX]
        self.end("park")

    def close(self) -> tuple[str, ...]:
        """The function is over: what it left behind may neither wait nor write.

        Returns:
            The replay keys of its recorded failures, for a retry of the whole process.
        """
        failed_keys = () if self.effects is None else self.effects.failed_keys()
        self._refuse()
        return failed_keys

    def let_go(self) -> None:
        """The attempt is over: hold nothing that holds this run.

        Waits, task and callbacks refer back to the run. Left to the garbage collector, a hundred thousand parked runs
        would be three hundred megabytes before it comes round to them.
        """
        self._refuse()
        self.waits = None
        self.task = None
        self.on_rest = self.on_resume = None
        self.held.forget()

    def _refuse(self) -> None:
        if self.waits is not None:
            self.waits.close()
        if self.effects is not None:
            self.effects.refuse()
            self.effects = None

    @property
    def result_is_void(self) -> bool:
        """True when the function was told by a refusal that the run ends here: what it returns is no outcome."""
        return self.stop_cause is not None and self.waits is not None and self.waits.refused

    def time_out(self) -> None:
        """The process's own time is over: like a cancel, but it ends as failed."""
        # A cancel that came first keeps its reason, and the run ends as cancelled.
        self.timed_out = self.cancellation.cancel("timeout")

    # -- EffectRun ----------------------------------------------------------------------------------

    @property
    def is_fresh(self) -> bool:
        """True when no entry of its journal can exist: nobody ran or wrote to the row before, this run included."""
        record = self.record
        return self.tries <= 1 and record.attempt == 0 and record.fenced_writes == 0

    def require(self) -> ProcessLease:
        """The lease, for a fenced write. Raises: LeaseLostError once it is lost."""
        return self.held.require()

    async def ready_for_effects(self) -> None:
        """Return when a new effect may start: the run has a slot, and renewals are on time.

        Raises:
            LeaseLostError: the lease is lost. asyncio.CancelledError: the run ends here.
        """
        while self.held.at_risk:
            self.held.require()
            await asyncio.sleep(RISK_LOOK_SECONDS)
        if self.waits is not None:
            await self.waits.ready()
        self.held.require()

    def working(self) -> AbstractContextManager[None]:
        """Around an effect and its records. Raises: asyncio.CancelledError: the run ends here."""
        return nullcontext() if self.waits is None else self.waits.working()

    def unrecorded_start(self) -> ProcessStarted | None:
        """The start fact as long as the row, as it was claimed, has none."""
        if self.record.first_started is not None or not self.started:
            return None
        if self.start is None:
            ran_ms = max(0, int(own_time_ms() - self.started_at_ms))
            facts = {"owner": self.context.identity, "started_at_ms": self.context.clock.now_ms() - ran_ms}
            self.start = fast_build(ProcessStarted, facts)
        return self.start

    # -- RunPlace -----------------------------------------------------------------------------------

    def rest(self) -> None:
        """Give the slot back; the run stays in memory."""
        self.is_resting = True
        self.slots.rest()
        if self.on_rest is not None:
            self.on_rest(self)

    def resume_now(self, *, force: bool = False) -> bool:
        """Take a slot again if none of it has to be waited for; with ``force`` beyond the bound."""
        if not self.slots.resume_now(force=force):
            return False
        self._resumed()
        return True

    async def resume(self) -> None:
        """Take a slot again. A cancelled call takes none."""
        if self.on_resume is not None:
            # It goes on as soon as it can: it is not parked in the meantime.
            self.on_resume(self)
        await self.slots.resume()
        self._resumed()

    def leave(self) -> None:
        """Give the place back for good, whichever it has."""
        if self.is_resting:
            self.is_resting = False
            self.slots.leave()
        else:
            self.slots.release()

    def _resumed(self) -> None:
        self.is_resting = False
        if self.on_resume is not None:
            self.on_resume(self)
