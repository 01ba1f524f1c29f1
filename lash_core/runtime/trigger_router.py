"""From occurrences to processes: emit, recovery of what was reserved, ticks (``docs/contracts/triggers.md`` 5).

A reservation is its own outbox: it is written with the occurrence and stays until its process is started. A process has
one id for an occurrence and one life of a subscription, so starting it again finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lash_core.errors import (
    CorruptRecordError,
    InvalidArgumentError,
    LashError,
    RegistrationConflictError,
    SelectorError,
)
from lash_core.model.registration import ProcessRegistration
from lash_core.model.trigger_occurrence import (
    DeliverySettlement,
    ScheduleTick,
    TickOutcome,
    TriggerDelivery,
    TriggerOccurrence,
)
from lash_core.store.process_batches import RegisterOutcome
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.trigger_store import TriggerStore

RETRY_MS_MIN = 2_000
RETRY_MS_MAX = 600_000
"""A delivery that cannot be started is tried again after its own age, within these bounds: 2, 4, 8 … s, then every 10
minutes."""

GIVE_UP_MS = 7 * 24 * 3_600_000
"""A kind that nobody has declared for a week is not coming with the next deploy."""

PlanStart = Callable[[TriggerDelivery, TriggerOccurrence], Awaitable[ProcessRegistration]]
"""Makes the registration of a delivery from its snapshot; raises a ``LashError`` when there is none."""

_HOPELESS = (SelectorError, InvalidArgumentError, CorruptRecordError)
"""Errors that the same snapshot and the same payload get every time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What emit did for one delivery.

    ``started``: its process was started by this call. ``already_reserved``: an earlier call took care of it.
    ``failed``: not started, for this reason; with ``will_retry`` recovery tries again.
    """

    subscription_id: str
    process_id: str
    status: Literal["started", "already_reserved", "failed"]
    reason: str | None = None
    will_retry: bool = False


@dataclass(frozen=True, slots=True)
class EmitReport:
    """An occurrence as it is stored, whether it was known before, and what became of each delivery."""

    occurrence: TriggerOccurrence
    replayed: bool
    deliveries: tuple[DeliveryReport, ...]


@dataclass(frozen=True, slots=True)
class TickReport:
    """What became of a tick, and of its delivery when there is one."""

    outcome: TickOutcome
    delivery: DeliveryReport | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """A delivery to start. ``age_ms`` None: it was reserved just now."""

    delivery: TriggerDelivery
    occurrence: TriggerOccurrence | None
    age_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Verdict:
    """How a start went; ``error`` None: the process is there."""

    error: LashError | OSError | None = None
    hopeless: bool = False


class TriggerRouter:
    """Starts what occurrences reserve.

    Args:
        store: the triggers.
        registry: where processes are started.
        start: makes the registration of a delivery.
    """

    def __init__(self, store: TriggerStore, registry: ProcessRegistry, start: PlanStart) -> None:
        self._store = store
        self._registry = registry
        self._plan = start

    @property
    def store(self) -> TriggerStore:
        """The triggers."""
        return self._store

    async def emit(self, occurrence: TriggerOccurrence) -> EmitReport:
        """Take in an occurrence and start its deliveries. Safe to repeat: the same one starts nothing twice.

        A delivery that cannot be started is reported and does not concern the others. Again, an emit also tries what
        had failed or was left waiting.

        Raises:
            InvalidArgumentError, LimitExceededError, OccurrenceConflictError: nothing was taken in.
            StoreUnreachableError, OutcomeUnknownError: repeat with the same idempotency key.
        """
        ingested = await self._store.ingest_occurrence(occurrence)
        tasks = [_Task(one, ingested.occurrence) for one in ingested.deliveries if one.state != "started"]
        reports = {report.subscription_id: report for report in await self._start(tasks)}
        deliveries = tuple(reports.get(one.subscription_id) or _known(one) for one in ingested.deliveries)
        return EmitReport(ingested.occurrence, ingested.replayed, deliveries)

    async def fire(self, tick: ScheduleTick) -> TickReport:
        """Emit one tick of a schedule and start its process. Safe to repeat, by any number of workers.

        Raises: as ``emit``.
        """
        fired = await self._store.fire_tick(tick)
        delivery = fired.delivery
        if delivery is None:
            return TickReport(fired.outcome)
        if delivery.state == "started":
            return TickReport(fired.outcome, _known(delivery))
        return TickReport(fired.outcome, (await self._start([_Task(delivery, tick.occurrence)]))[0])

    async def recover(self, *, min_age_ms: int = RETRY_MS_MIN, limit: int = 200) -> int:
        """Start reserved deliveries that were left waiting; returns how many are started now.

        One that fails is put off, or given up when it cannot succeed, and does not hold up the others.

        Args:
            min_age_ms: younger ones are still the business of the call that reserved them.
            limit: deliveries at most.

        Raises:
            LashError: the triggers cannot be read.
        """
        waiting = await self._store.unstarted_deliveries(min_age_ms=min_age_ms, limit=limit)
        reports = await self._start([_Task(one.delivery, one.occurrence, one.age_ms) for one in waiting])
        for report in reports:
            if report.status == "failed" and not report.will_retry:
                _log.warning(
                    "a trigger's delivery is given up: %s",
                    report.reason,
                    extra={"action": "recover_deliveries", "process_id": report.process_id},
                )
        return sum(report.status == "started" for report in reports)

    # -- inside -----------------------------------------------------------------------------------------------------

    async def _start(self, tasks: Sequence[_Task]) -> list[DeliveryReport]:
        """Start the processes of these deliveries and settle them; one report each, in order."""
        if not tasks:
            return []
        verdicts: dict[int, _Verdict] = {}
        planned: dict[int, ProcessRegistration] = {}
        for index, task in enumerate(tasks):
            try:
                planned[index] = await self._registration(task)
            except (LashError, OSError) as error:
                verdicts[index] = _verdict(error)
        verdicts |= await self._register(planned, tasks)
        settlements: list[DeliverySettlement] = []
        reports: list[DeliveryReport] = []
        for index, task in enumerate(tasks):
            settlement, report = _conclude(task, verdicts[index])
            settlements.append(settlement)
            reports.append(report)
        try:
            await self._store.settle_deliveries(settlements)
        except (LashError, OSError) as error:
            # They stay reserved: recovery finds the processes that are there and settles them then.
            _log.warning("deliveries could not be settled; recovery does it: %s", error)
        return reports

    async def _registration(self, task: _Task) -> ProcessRegistration:
        if task.delivery.subscription is None or task.occurrence is None:
            raise LashError("what was reserved cannot be read by this release")
        return await self._plan(task.delivery, task.occurrence)

    async def _register(self, planned: dict[int, ProcessRegistration], tasks: Sequence[_Task]) -> dict[int, _Verdict]:
        if not planned:
            return {}
        try:
            outcomes = await self._registry.register_processes(tuple(planned.values()))
        except (LashError, OSError) as error:
            return dict.fromkeys(planned, _verdict(error))
        verdicts: dict[int, _Verdict] = {}
        for index, outcome in zip(planned, outcomes, strict=True):
            verdicts[index] = await self._judge(outcome, tasks[index].delivery)
        return verdicts

    async def _judge(self, outcome: RegisterOutcome, delivery: TriggerDelivery) -> _Verdict:
        if outcome.error is None:
            return _Verdict()
        if not isinstance(outcome.error, RegistrationConflictError):
            return _verdict(outcome.error)
        # The manifest may have changed between a start whose settlement was lost and this one: it is still that start.
        try:
            row = await self._registry.get_process(outcome.process_id)
        except (LashError, OSError) as error:
            return _verdict(error)
        if row is not None and row.provenance.caused_by == delivery.caused_by:
            return _Verdict()
        return _Verdict(outcome.error, hopeless=True)


def _verdict(error: LashError | OSError) -> _Verdict:
    return _Verdict(error, hopeless=isinstance(error, _HOPELESS))


def _known(delivery: TriggerDelivery) -> DeliveryReport:
    return DeliveryReport(delivery.subscription_id, delivery.process_id, "already_reserved")


def _conclude(task: _Task, verdict: _Verdict) -> tuple[DeliverySettlement, DeliveryReport]:
    delivery = task.delivery
    if verdict.error is None:
        report = DeliveryReport(delivery.subscription_id, delivery.process_id, "started")
        return DeliverySettlement.of(delivery, "started"), report
    reason = f"{getattr(verdict.error, 'code', 'os_error')}: {verdict.error}"
    will_retry = not verdict.hopeless and task.age_ms < GIVE_UP_MS
    report = DeliveryReport(delivery.subscription_id, delivery.process_id, "failed", reason, will_retry)
    if not will_retry:
        return DeliverySettlement.of(delivery, "failed", reason=reason), report
    delay_ms = min(max(task.age_ms, RETRY_MS_MIN), RETRY_MS_MAX)
    return DeliverySettlement.of(delivery, "put_off", delay_ms=delay_ms), report
