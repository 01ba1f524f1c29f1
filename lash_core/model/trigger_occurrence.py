"""Occurrences of a source, and the deliveries that they reserve (``docs/contracts/triggers.md`` 2). Pure."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json_bytes, check_json, sha256_hex
from lash_core.model.limits import Limits
from lash_core.model.scope import CausalRef
from lash_core.model.trigger import TriggerSubscription
from lash_core.model.trigger_schedule import SCHEDULE_SOURCE_TYPE
from lash_core.model.trigger_source import check_source, check_source_text

OCCURRENCE_ID_PREFIX = "trigger:"
TRIGGER_PROCESS_PREFIX = "process:trigger:"
"""Start of the id of every process that a trigger starts."""

REASON_CHARACTERS_MAX = 500
"""Of the reason that a failed delivery keeps."""


class TriggerOccurrence(Model):
    """Something that happened at a source. The first three name it; the payload belongs to that name for good.

    Attributes:
        recorded_at_ms: when the store took it in, ms by the server's clock; 0 before that.
    """

    source_type: str = Field(kw_only=False)
    source_key: str = Field(kw_only=False)
    idempotency_key: str = Field(kw_only=False)
    payload: JsonValue = Field(default=None, kw_only=False)
    recorded_at_ms: int = 0

    @classmethod
    def tick(cls, subscription_id: str, tick_ms: int) -> TriggerOccurrence:
        """The occurrence of a schedule's tick: its time is its key, so that it exists once."""
        return cls(SCHEDULE_SOURCE_TYPE, subscription_id, str(tick_ms), {"scheduled_at_ms": tick_ms})

    @property
    def occurrence_id(self) -> str:
        """``trigger:<hex SHA-256 of source type, source key, idempotency key>``."""
        return f"{OCCURRENCE_ID_PREFIX}{sha256_hex([self.source_type, self.source_key, self.idempotency_key])}"

    def validated(self) -> Self:
        """Return self when names and payload are legal.

        Raises:
            InvalidArgumentError: naming the field. InvalidJsonError: the payload is not JSON.
        """
        check_source(self.source_type, self.source_key)
        check_source_text(self.idempotency_key, field="idempotency_key", subject="idempotency key")
        check_json(self.payload, field="payload")
        return self

    def check_size(self, limits: Limits) -> Self:
        """Return self when the payload fits. Raises: LimitExceededError."""
        limits.check_payload_size(len(canonical_json_bytes(self.payload)), field="payload")
        return self


ReservationStatus = Literal["reserved", "already_reserved"]
DeliveryState = Literal["waiting", "started", "failed"]


class TriggerDelivery(Model):
    """One occurrence for one subscription, as it was when the occurrence came.

    Attributes:
        subscription: the snapshot; None when what is stored cannot be read by this release.
        reservation_status: ``reserved`` by this call, or ``already_reserved`` by an earlier one.
        state: ``waiting`` for its start, ``started``, or ``failed`` for good with ``reason``.
        reserved_at_ms: ms by the server's clock.
    """

    occurrence_id: str
    subscription_id: str
    subscription: TriggerSubscription | None = None
    process_id: str
    reservation_status: ReservationStatus = "already_reserved"
    state: DeliveryState = "waiting"
    reason: str | None = None
    reserved_at_ms: int = 0

    @property
    def caused_by(self) -> CausalRef:
        """What the started process says of its cause."""
        snapshot = self.subscription
        return CausalRef.trigger_occurrence(
            self.occurrence_id,
            self.subscription_id,
            None if snapshot is None else snapshot.incarnation,
            None if snapshot is None else snapshot.revision,
        )


def trigger_process_id(occurrence_id: str, subscription_id: str, incarnation: int) -> str:
    """``process:trigger:<hex SHA-256>``: one process for an occurrence and one life of a subscription."""
    return f"{TRIGGER_PROCESS_PREFIX}{sha256_hex([occurrence_id, subscription_id, incarnation])}"


class IngestedOccurrence(Model):
    """What taking in an occurrence did: the stored one, its deliveries by subscription id, and whether it was new."""

    occurrence: TriggerOccurrence
    deliveries: tuple[TriggerDelivery, ...]
    replayed: bool


class DeliverySettlement(Model):
    """What became of one delivery: started, failed for good, or put off.

    Attributes:
        reason: of a failure.
        delay_ms: how long it stays out of ``unstarted_deliveries``, when it was put off.
    """

    occurrence_id: str
    subscription_id: str
    outcome: Literal["started", "failed", "put_off"]
    reason: str = ""
    delay_ms: int = Field(default=0, ge=0)

    @classmethod
    def of(
        cls,
        delivery: TriggerDelivery,
        outcome: Literal["started", "failed", "put_off"],
        *,
        reason: str = "",
        delay_ms: int = 0,
    ) -> DeliverySettlement:
        """The settlement of this delivery."""
        return cls(
            occurrence_id=delivery.occurrence_id,
            subscription_id=delivery.subscription_id,
            outcome=outcome,
            reason=reason[:REASON_CHARACTERS_MAX],
            delay_ms=delay_ms,
        )


class ScheduleTick(Model):
    """One tick of a schedule to emit, and what must still be true of the subscription.

    Attributes:
        due_ms: what the store has as the next tick now; None leaves it alone (backfill).
        next_due_ms: what it is to have afterwards.
    """

    subscription_id: str
    incarnation: int
    revision: int
    tick_ms: int
    due_ms: int | None = None
    next_due_ms: int | None = None

    @property
    def occurrence(self) -> TriggerOccurrence:
        """The tick's occurrence."""
        return TriggerOccurrence.tick(self.subscription_id, self.tick_ms)


class DueSchedule(Model):
    """A live schedule whose next tick has come; ``now_ms`` is the server's time of the look."""

    subscription: TriggerSubscription
    due_ms: int
    now_ms: int


TickOutcome = Literal["fired", "exists", "stale", "early"]


class FiredTick(Model):
    """Answer of a tick.

    ``fired``: reserved now. ``exists``: reserved before. ``stale``: another worker was faster, or the trigger has
    changed; nothing was written. ``early``: the server's clock is not there yet.
    """

    outcome: TickOutcome
    delivery: TriggerDelivery | None = None
