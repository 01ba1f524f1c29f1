"""Subscriptions, occurrences, deliveries, schedules of a namespace (``docs/contracts/triggers.md``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lash_core.model.disposition import DurabilityTier
from lash_core.model.trigger import TriggerOwnerScope, TriggerSubscription
from lash_core.model.trigger_command import AnyTriggerCommand, AnyTriggerResult
from lash_core.model.trigger_occurrence import (
    DeliverySettlement,
    DueSchedule,
    FiredTick,
    IngestedOccurrence,
    ScheduleTick,
    TriggerDelivery,
    TriggerOccurrence,
)


@dataclass(frozen=True, slots=True)
class TriggerFilter:
    """Which subscriptions a listing shows; None means any. ``include_tombstoned``: deleted ones too."""

    owner_scope: TriggerOwnerScope | None = None
    include_tombstoned: bool = False


@dataclass(frozen=True, slots=True)
class TriggerPage:
    """A bounded page of subscriptions in no stated order; ``next_cursor`` is None at the end.

    A page may have fewer items than its limit, even none, and still have a cursor.
    """

    items: tuple[TriggerSubscription, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class WaitingDelivery:
    """A reserved delivery that nobody has started, with its occurrence; ``age_ms`` by the server's clock.

    ``occurrence`` None: what is stored cannot be read by this release.
    """

    delivery: TriggerDelivery
    occurrence: TriggerOccurrence | None
    age_ms: int


@runtime_checkable
class TriggerStore(Protocol):
    """All triggers of a namespace. Every verb is one atomic unit, bounded, and safe to repeat as it says."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    # -- subscriptions -----------------------------------------------------------------------------------

    async def apply_trigger_command(self, command: AnyTriggerCommand) -> AnyTriggerResult:
        """Carry out a mutation and keep its answer, conflicts too, as the receipt of its operation id.

        Atomic. Safe to repeat: the same command of the same owner gets the answer that it got first, word for word,
        whatever has happened since, until the receipt is pruned. An error is not kept.

        Raises:
            InvalidArgumentError: the command is not legal. LimitExceededError: a bound was reached.
            TriggerOperationConflictError: the operation id belongs to another mutation of this owner.
        """
        ...

    async def get_trigger_subscription(self, subscription_id: str) -> TriggerSubscription | None:
        """One subscription, deleted ones too; None when unknown.

        Raises: CorruptRecordError: what is stored cannot be read.
        """
        ...

    async def list_trigger_subscriptions(
        self, filter: TriggerFilter | None = None, cursor: str | None = None, limit: int = 100
    ) -> TriggerPage:
        """A page; what cannot be read is left out. Raises: InvalidCursorError."""
        ...

    async def delete_session_subscriptions(self, session_id: str) -> int:
        """Remove everything that a session owns, without tombstones; returns how many.

        Deliveries that are reserved already stay. Safe to repeat; atomic for 200 at a time.
        """
        ...

    async def prune_mutation_receipts(self, cutoff_ms: int) -> int:
        """Forget receipts that are older than the cutoff (ms by the server's clock); returns how many."""
        ...

    # -- occurrences and deliveries ----------------------------------------------------------------------

    async def ingest_occurrence(self, occurrence: TriggerOccurrence) -> IngestedOccurrence:
        """Store an occurrence and reserve one delivery per live matching subscription, with it as it is now.

        Atomic, safe to repeat: the same occurrence again answers with what is stored, ``already_reserved``, and looks
        at no subscription. A matching row that cannot be read is skipped.

        Raises:
            InvalidArgumentError: a name is not legal, or the source type is the schedules' own.
            OccurrenceConflictError: the same names with another payload. LimitExceededError: a bound was reached.
        """
        ...

    async def get_occurrence(self, occurrence_id: str) -> IngestedOccurrence | None:
        """A stored occurrence and what became of its deliveries; None when unknown, or trimmed."""
        ...

    async def unstarted_deliveries(self, *, min_age_ms: int, limit: int) -> tuple[WaitingDelivery, ...]:
        """Reserved deliveries that wait for their start for at least ``min_age_ms``, longest first.

        The worklist of recovery. One that was put off stays away until its time.
        """
        ...

    async def failed_deliveries(self, limit: int = 50) -> tuple[TriggerDelivery, ...]:
        """Deliveries that failed for good, in no stated order: for people. O(limit)."""
        ...

    async def settle_deliveries(self, settlements: Sequence[DeliverySettlement]) -> None:
        """Record what became of deliveries. Safe to repeat; unknown ones are ignored.

        ``started`` stands for good, also after a failure; ``failed`` and ``put_off`` count only for one that waits.
        """
        ...

    async def drop_deliveries(self, occurrence_subscriptions: Sequence[tuple[str, str]]) -> int:
        """Forget settled deliveries (occurrence id, subscription id) whose processes were pruned; returns how many.

        An occurrence that has lost its last delivery goes with it. Unstarted ones stay. Safe to repeat.
        """
        ...

    async def prune_occurrences(self, cutoff_ms: int, limit: int = 1_000) -> int:
        """Forget settled occurrences recorded before the cutoff, with their deliveries; returns how many."""
        ...

    # -- schedules -------------------------------------------------------------------------------------------

    async def due_schedules(self, limit: int = 100) -> tuple[DueSchedule, ...]:
        """Live schedules whose next tick has come, the latest first in line being the one that waits longest."""
        ...

    async def next_schedule_ms(self) -> tuple[int | None, int]:
        """The earliest next tick of all live schedules, or None; and the server's time."""
        ...

    async def schedule_due_ms(self, subscription_ids: Sequence[str]) -> tuple[int | None, ...]:
        """The next tick of each; None for what has none."""
        ...

    async def fire_tick(self, tick: ScheduleTick) -> FiredTick:
        """Emit one tick to its own subscription, if that is live and unchanged, and move the schedule on.

        Atomic. Safe to repeat: a tick exists once, by its time, and a schedule that has moved on answers ``stale``.

        Raises: LimitExceededError: a bound was reached; the schedule stays where it is.
        """
        ...

    async def move_schedule(self, tick: ScheduleTick) -> bool:
        """Move a schedule on without a tick, if it is live and unchanged; False otherwise. Atomic."""
        ...
