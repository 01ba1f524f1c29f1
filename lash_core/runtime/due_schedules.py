"""What a worker does about a schedule whose tick has come: emit what its policy says, and move it on."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lash_core.model.trigger_occurrence import DueSchedule, ScheduleTick
from lash_core.runtime.schedule import next_tick, ticks_to_emit
from lash_core.runtime.trigger_router import TriggerRouter

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DueReport:
    """How many ticks this call emitted, and how late the newest of them was, in ms."""

    fired: int = 0
    late_ms: int = 0


async def run_due_schedule(router: TriggerRouter, due: DueSchedule) -> DueReport:
    """Emit the ticks of one due schedule, oldest first, each with its own step of the schedule.

    Any number of workers may do this at once: each tick is one compare-and-set, and who loses one stops. A crash
    between two ticks leaves the schedule at the next one.

    Raises:
        LashError: the store; the schedule stays where it is. InvalidScheduleError: it cannot be read on this machine.
    """
    subscription = due.subscription
    schedule = subscription.definition.schedule
    if schedule is None:
        return DueReport()
    ticks = ticks_to_emit(schedule, due.due_ms, due.now_ms)
    name = subscription.subscription_key
    if not ticks:
        if await router.store.move_schedule(_step(due, 0, due.due_ms, next_tick(schedule, due.now_ms))):
            _log.warning("trigger %s: its missed ticks are too late to run", name, extra={"trigger": name})
        return DueReport()
    fired, place = 0, due.due_ms
    for number, tick_ms in enumerate(ticks):
        following = ticks[number + 1] if number + 1 < len(ticks) else next_tick(schedule, tick_ms)
        report = await router.fire(_step(due, tick_ms, place, following))
        if report.outcome in ("stale", "early"):
            break
        fired += report.outcome == "fired"
        if report.delivery is not None and report.delivery.status == "failed":
            _log.warning(
                "trigger %s: a tick could not be started: %s", name, report.delivery.reason, extra={"trigger": name}
            )
        if following is None:
            break
        place = following
    return DueReport(fired, max(0, due.now_ms - ticks[-1]))


def _step(due: DueSchedule, tick_ms: int, place_ms: int, next_ms: int | None) -> ScheduleTick:
    subscription = due.subscription
    return ScheduleTick(
        subscription_id=subscription.subscription_id,
        incarnation=subscription.incarnation,
        revision=subscription.revision,
        tick_ms=tick_ms,
        due_ms=place_ms,
        next_due_ms=next_ms,
    )
