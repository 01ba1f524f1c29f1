"""Occurrences, deliveries and schedules in memory (``docs/contracts/triggers.md`` 2 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import InvalidArgumentError, OccurrenceConflictError
from lash_core.memory_store.detach import detached
from lash_core.memory_store.trigger_state import StoredOccurrence, TriggerState
from lash_core.model.canonical_json import canonical_json
from lash_core.model.trigger import TriggerSubscription
from lash_core.model.trigger_limits import TriggerLimits
from lash_core.model.trigger_occurrence import (
    DeliverySettlement,
    DueSchedule,
    FiredTick,
    IngestedOccurrence,
    ReservationStatus,
    ScheduleTick,
    TriggerDelivery,
    TriggerOccurrence,
)
from lash_core.model.trigger_schedule import SCHEDULE_SOURCE_TYPE
from lash_core.store.trigger_store import WaitingDelivery


class TriggerOccurrences:
    """What happens at sources, and what follows from it."""

    def __init__(self, state: TriggerState, limits: TriggerLimits) -> None:
        self._state = state
        self.limits = limits

    async def ingest_occurrence(self, occurrence: TriggerOccurrence) -> IngestedOccurrence:
        """Store an occurrence and reserve its deliveries, or answer with what is stored."""
        checked = occurrence.validated().check_size(self._state.payload_limits)
        if checked.source_type == SCHEDULE_SOURCE_TYPE:
            raise InvalidArgumentError(
                "ticks come from schedules; use a backfill to make some up", field="source_type", value="schedule"
            )
        with self._state.lock:
            stored = self._state.occurrences.get(checked.occurrence_id)
            if stored is not None:
                if canonical_json(stored.occurrence.payload) != canonical_json(checked.payload):
                    raise OccurrenceConflictError(checked.source_type, checked.source_key, checked.idempotency_key)
                return _answer(stored, replayed=True)
            matching = self._state.matching(checked.source_type, checked.source_key)
            stored = self._state.reserve(detached(checked), matching, self.limits)
            return _answer(stored, replayed=False)

    async def get_occurrence(self, occurrence_id: str) -> IngestedOccurrence | None:
        """A stored occurrence, or None."""
        with self._state.lock:
            stored = self._state.occurrences.get(occurrence_id)
            return None if stored is None else _answer(stored, replayed=True)

    async def unstarted_deliveries(self, *, min_age_ms: int, limit: int) -> tuple[WaitingDelivery, ...]:
        """Deliveries that wait for their start, longest first."""
        with self._state.lock:
            now_ms = self._state.clock.now_ms()
            found = [
                (delivery.waits_until_ms, key, stored)
                for stored in self._state.occurrences.values()
                for key, delivery in stored.deliveries.items()
                if delivery.waits_until_ms is not None and delivery.waits_until_ms <= now_ms - min_age_ms
            ]
            found.sort(key=lambda item: item[:2])
            return tuple(
                WaitingDelivery(
                    stored.delivery(key), detached(stored.occurrence), now_ms - stored.occurrence.recorded_at_ms
                )
                for _, key, stored in found[: max(limit, 0)]
            )

    async def failed_deliveries(self, limit: int = 50) -> tuple[TriggerDelivery, ...]:
        """Deliveries that failed for good."""
        with self._state.lock:
            found = [
                stored.delivery(key)
                for stored in self._state.occurrences.values()
                for key, delivery in stored.deliveries.items()
                if delivery.reason is not None and delivery.waits_until_ms is None
            ]
        return tuple(found[: max(limit, 0)])

    async def settle_deliveries(self, settlements: Sequence[DeliverySettlement]) -> None:
        """Record what became of deliveries."""
        with self._state.lock:
            now_ms = self._state.clock.now_ms()
            for settlement in settlements:
                stored = self._state.occurrences.get(settlement.occurrence_id)
                delivery = None if stored is None else stored.deliveries.get(settlement.subscription_id)
                if stored is None or delivery is None:
                    continue
                if settlement.outcome == "started":
                    self._state.settle(stored, delivery, None)
                elif delivery.waits_until_ms is not None and settlement.outcome == "failed":
                    self._state.settle(stored, delivery, settlement.reason)
                elif delivery.waits_until_ms is not None:
                    delivery.waits_until_ms = now_ms + settlement.delay_ms

    async def drop_deliveries(self, occurrence_subscriptions: Sequence[tuple[str, str]]) -> int:
        """Forget settled deliveries; returns how many."""
        dropped = 0
        with self._state.lock:
            for occurrence_id, subscription_id in occurrence_subscriptions:
                stored = self._state.occurrences.get(occurrence_id)
                delivery = None if stored is None else stored.deliveries.get(subscription_id)
                if stored is None or delivery is None or delivery.waits_until_ms is not None:
                    continue
                del stored.deliveries[subscription_id]
                dropped += 1
                if not stored.deliveries:
                    self._state.forget(occurrence_id)
        return dropped

    async def prune_occurrences(self, cutoff_ms: int, limit: int = 1_000) -> int:
        """Forget settled occurrences recorded before the cutoff; returns how many."""
        with self._state.lock:
            for pruned in range(limit):
                oldest = self._state.oldest_settled(before_ms=cutoff_ms)
                if oldest is None:
                    return pruned
                self._state.forget(oldest)
        return max(limit, 0)

    # -- schedules ------------------------------------------------------------------------------------------------

    async def due_schedules(self, limit: int = 100) -> tuple[DueSchedule, ...]:
        """Live schedules whose next tick has come, longest first."""
        with self._state.lock:
            now_ms = self._state.clock.now_ms()
            due = sorted((due_ms, key) for key, due_ms in self._state.due.items() if due_ms <= now_ms)
            return tuple(
                DueSchedule(subscription=detached(self._state.subscriptions[key]), due_ms=due_ms, now_ms=now_ms)
                for due_ms, key in due[: max(limit, 0)]
            )

    async def next_schedule_ms(self) -> tuple[int | None, int]:
        """The earliest next tick, and the time."""
        with self._state.lock:
            return min(self._state.due.values(), default=None), self._state.clock.now_ms()

    async def schedule_due_ms(self, subscription_ids: Sequence[str]) -> tuple[int | None, ...]:
        """The next tick of each."""
        with self._state.lock:
            return tuple(self._state.due.get(key) for key in subscription_ids)

    async def fire_tick(self, tick: ScheduleTick) -> FiredTick:
        """Emit one tick to its own subscription and move the schedule on."""
        with self._state.lock:
            subscription = self._unchanged(tick)
            if subscription is None:
                return FiredTick(outcome="stale")
            if tick.tick_ms > self._state.clock.now_ms():
                return FiredTick(outcome="early")
            occurrence = tick.occurrence
            stored = self._state.occurrences.get(occurrence.occurrence_id)
            status: ReservationStatus = "already_reserved"
            if stored is None:
                stored, status = self._state.reserve(occurrence, [subscription], self.limits), "reserved"
            self._move(tick)
            delivery = None
            if tick.subscription_id in stored.deliveries:
                delivery = stored.delivery(tick.subscription_id, status)
            return FiredTick(outcome="fired" if status == "reserved" else "exists", delivery=delivery)

    async def move_schedule(self, tick: ScheduleTick) -> bool:
        """Move a schedule on without a tick."""
        with self._state.lock:
            if self._unchanged(tick) is None:
                return False
            self._move(tick)
            return True

    def _unchanged(self, tick: ScheduleTick) -> TriggerSubscription | None:
        found = self._state.subscriptions.get(tick.subscription_id)
        if found is None or not found.is_live:
            return None
        same = (found.incarnation, found.revision) == (tick.incarnation, tick.revision)
        in_place = tick.due_ms is None or self._state.due.get(tick.subscription_id) == tick.due_ms
        return found if same and in_place else None

    def _move(self, tick: ScheduleTick) -> None:
        if tick.due_ms is None:
            return
        if tick.next_due_ms is None:
            self._state.due.pop(tick.subscription_id, None)
        else:
            self._state.due[tick.subscription_id] = tick.next_due_ms


def _answer(stored: StoredOccurrence, *, replayed: bool) -> IngestedOccurrence:
    status: ReservationStatus = "already_reserved" if replayed else "reserved"
    deliveries = tuple(stored.delivery(key, status) for key in sorted(stored.deliveries))
    return IngestedOccurrence(occurrence=detached(stored.occurrence), deliveries=deliveries, replayed=replayed)
