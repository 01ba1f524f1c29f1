"""What the in-memory trigger store knows, and the moves that its operations are made of. One lock guards all of it."""

from __future__ import annotations

import heapq
import math
import threading
from dataclasses import dataclass, field

from lash_core.clock import Clock
from lash_core.memory_store.detach import detached
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.limits import Limits
from lash_core.model.trigger import TriggerSubscription
from lash_core.model.trigger_command import AnyTriggerResult
from lash_core.model.trigger_limits import TriggerLimits
from lash_core.model.trigger_occurrence import (
    DeliveryState,
    ReservationStatus,
    TriggerDelivery,
    TriggerOccurrence,
    trigger_process_id,
)
from lash_core.store.trigger_bounds import TRIM_MAX, too_many_bytes, too_many_waiting


@dataclass(slots=True)
class StoredDelivery:
    """A delivery. ``waits_until_ms`` None: settled."""

    snapshot: TriggerSubscription
    waits_until_ms: int | None
    reason: str | None = None

    @property
    def state(self) -> DeliveryState:
        """Where it stands."""
        if self.waits_until_ms is not None:
            return "waiting"
        return "started" if self.reason is None else "failed"


@dataclass(slots=True)
class StoredOccurrence:
    """An occurrence with its deliveries by subscription id."""

    occurrence: TriggerOccurrence
    size: int
    deliveries: dict[str, StoredDelivery] = field(default_factory=dict[str, StoredDelivery])

    @property
    def is_settled(self) -> bool:
        """True when no delivery waits."""
        return all(delivery.waits_until_ms is None for delivery in self.deliveries.values())

    def delivery(self, subscription_id: str, status: ReservationStatus = "already_reserved") -> TriggerDelivery:
        """One delivery as it is answered."""
        stored = self.deliveries[subscription_id]
        occurrence_id = self.occurrence.occurrence_id
        return TriggerDelivery(
            occurrence_id=occurrence_id,
            subscription_id=subscription_id,
            subscription=detached(stored.snapshot),
            process_id=trigger_process_id(occurrence_id, subscription_id, stored.snapshot.incarnation),
            reservation_status=status,
            state=stored.state,
            reason=stored.reason,
            reserved_at_ms=self.occurrence.recorded_at_ms,
        )


@dataclass(slots=True)
class Receipt:
    """The answer of one operation."""

    request_hash: str
    at_ms: int
    result: AnyTriggerResult
    size: int


class TriggerState:
    """Subscriptions, due times, occurrences and receipts of one program."""

    def __init__(self, clock: Clock, payload_limits: Limits) -> None:
        self.clock = clock
        self.payload_limits = payload_limits
        self.lock = threading.RLock()
        self.subscriptions: dict[str, TriggerSubscription] = {}
        self.due: dict[str, int] = {}
        self.occurrences: dict[str, StoredOccurrence] = {}
        self.receipts: dict[tuple[str, str], Receipt] = {}
        self.receipt_bytes = 0
        self.waiting = 0
        self.occurrence_bytes = 0
        self._settled: list[tuple[int, str]] = []
        self._last_incarnation = 0

    def next_incarnation(self) -> int:
        """Above every earlier one, by the clock: over prune too."""
        self._last_incarnation = max(self._last_incarnation + 1, self.clock.now_us())
        return self._last_incarnation

    def matching(self, source_type: str, source_key: str) -> list[TriggerSubscription]:
        """Live subscriptions of a source, by id."""
        return [
            subscription
            for _, subscription in sorted(self.subscriptions.items())
            if subscription.is_live
            and (subscription.definition.source_type, subscription.definition.source_key) == (source_type, source_key)
        ]

    def reserve(
        self, occurrence: TriggerOccurrence, snapshots: list[TriggerSubscription], limits: TriggerLimits
    ) -> StoredOccurrence:
        """Store an occurrence and reserve its deliveries.

        Raises:
            LimitExceededError: too much waits to be started.
        """
        size = len(canonical_json_bytes(occurrence.to_plain_value()))
        size += sum(len(canonical_json_bytes(snapshot.to_plain_value())) for snapshot in snapshots)
        self._make_room(size, len(snapshots), limits)
        now_ms = self.clock.now_ms()
        stored = StoredOccurrence(occurrence.model_copy(update={"recorded_at_ms": now_ms}), size)
        for snapshot in snapshots:
            stored.deliveries[snapshot.subscription_id] = StoredDelivery(snapshot, waits_until_ms=now_ms)
        self.occurrences[occurrence.occurrence_id] = stored
        self.occurrence_bytes += size
        self.waiting += len(snapshots)
        self.note_settled(stored)
        return stored

    def settle(self, stored: StoredOccurrence, delivery: StoredDelivery, reason: str | None) -> None:
        """End a delivery as started (no reason) or failed."""
        delivery.reason = reason
        if delivery.waits_until_ms is not None:
            delivery.waits_until_ms = None
            self.waiting -= 1
            self.note_settled(stored)

    def note_settled(self, stored: StoredOccurrence) -> None:
        """An occurrence whose deliveries are all settled may be trimmed."""
        if stored.is_settled:
            heapq.heappush(self._settled, (stored.occurrence.recorded_at_ms, stored.occurrence.occurrence_id))

    def forget(self, occurrence_id: str) -> None:
        """Drop an occurrence with its deliveries."""
        stored = self.occurrences.pop(occurrence_id)
        self.occurrence_bytes -= stored.size

    def oldest_settled(self, before_ms: float = math.inf) -> str | None:
        """The settled occurrence that was recorded first, when that was before ``before_ms``."""
        while self._settled:
            recorded_ms, occurrence_id = self._settled[0]
            stored = self.occurrences.get(occurrence_id)
            if stored is not None and stored.is_settled and stored.occurrence.recorded_at_ms == recorded_ms:
                return occurrence_id if recorded_ms < before_ms else None
            heapq.heappop(self._settled)
        return None

    def _make_room(self, size: int, deliveries: int, limits: TriggerLimits) -> None:
        if self.waiting + deliveries > limits.unstarted_max:
            raise too_many_waiting(limits.unstarted_max)
        for _ in range(TRIM_MAX):
            full = len(self.occurrences) >= limits.occurrences_max
            oldest = self.oldest_settled()
            if oldest is None or not (full or self.occurrence_bytes + size > limits.occurrence_bytes_max):
                break
            self.forget(oldest)
        if self.occurrence_bytes + size > limits.unstarted_bytes_max:
            raise too_many_bytes(limits.unstarted_bytes_max)
