"""``client.triggers``: make, list, pause and delete triggers, emit occurrences, make up for ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lash_core.client_enqueue import KindResolver, as_json, new_process_id
from lash_core.client_trigger_changes import TriggerChanges, changed_meanwhile
from lash_core.client_trigger_options import parse_source
from lash_core.client_trigger_starts import TriggerStarts
from lash_core.errors import InvalidArgumentError, TriggerPausedError
from lash_core.model.limits import Limits
from lash_core.model.trigger import TriggerOwnerScope, TriggerSubscription
from lash_core.model.trigger_occurrence import ScheduleTick, TriggerOccurrence
from lash_core.runtime.schedule import ticks_between
from lash_core.runtime.trigger_router import DeliveryReport, EmitReport, TriggerRouter
from lash_core.store.client_stores import ClientStores
from lash_core.store.trigger_store import TriggerFilter, TriggerPage

BACKFILL_MAX = 1_000
"""Ticks of one backfill: a night of a minute's schedule; each is a process."""


@dataclass(frozen=True, slots=True)
class TriggerView:
    """A trigger with its next tick (ms by the server's clock; None: no schedule, paused, or at its end)."""

    subscription: TriggerSubscription
    next_tick_ms: int | None


@dataclass(frozen=True, slots=True)
class BackfilledTick:
    """One tick of a backfill. ``planned``: a dry run. ``exists``: that tick was emitted before."""

    tick_ms: int
    status: Literal["planned", "started", "exists", "failed"]
    process_id: str | None = None
    reason: str | None = None


class TriggerClient(TriggerChanges):
    """Triggers of one namespace. A trigger is named by its name (the host's, else an app's) or its subscription id.

    Args:
        stores: with triggers and a process registry.
        kinds: finds manifests.
        limits: the payload limit, checked before anything is sent.
    """

    def __init__(self, stores: ClientStores, kinds: KindResolver, limits: Limits | None = None) -> None:
        super().__init__(stores.triggers, TriggerStarts(kinds, limits))
        self.router = TriggerRouter(stores.triggers, stores.process_registry, self._starts)

    async def get(self, name: str) -> TriggerView:
        """A trigger by name or subscription id. Raises: UnknownTriggerError."""
        found = await self.find(name)
        due = (await self._store.schedule_due_ms([found.subscription_id]))[0]
        return TriggerView(found, due)

    async def list(
        self,
        *,
        owner: TriggerOwnerScope | None = None,
        include_deleted: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> TriggerPage:
        """A bounded page of triggers in no stated order. Raises: InvalidCursorError, InvalidArgumentError."""
        if not 1 <= limit <= 1_000:
            raise InvalidArgumentError(f"limit is {limit}; it must be 1 to 1000", field="limit", value=limit)
        return await self._store.list_trigger_subscriptions(TriggerFilter(owner, include_deleted), cursor, limit)

    async def emit(self, source: str, payload: Any = None, *, idempotency_key: str | None = None) -> EmitReport:
        """Say that something happened at a source; every live trigger of it starts a process.

        Args:
            source: ``TYPE:KEY``.
            payload: any JSON value, pydantic model or dataclass.
            idempotency_key: with the same one the same occurrence is found again; a fresh one by default.

        Raises:
            InvalidArgumentError, LimitExceededError. OccurrenceConflictError: the key has another payload.
        """
        source_type, source_key = parse_source(source)
        occurrence = TriggerOccurrence(source_type, source_key, idempotency_key or new_process_id(), as_json(payload))
        return await self.router.emit(occurrence)

    async def backfill(
        self, name: str, from_ms: int, until_ms: int, *, dry_run: bool = False, limit: int = BACKFILL_MAX
    ) -> tuple[BackfilledTick, ...]:
        """Emit the ticks of a schedule in ``from_ms <= tick < until_ms`` that were not emitted yet, oldest first.

        Safe to repeat: a tick has one process. Ticks of the future are left out.

        Raises:
            UnknownTriggerError. TriggerPausedError: paused or deleted. InvalidArgumentError: no schedule, an empty
            span, or more than ``limit`` ticks (1,000 at most); nothing was started.
        """
        found = await self.find(name)
        ticks = await self._ticks(found, from_ms, until_ms, limit)
        if dry_run:
            return tuple(BackfilledTick(tick_ms, "planned") for tick_ms in ticks)
        if not found.is_live:
            raise TriggerPausedError(name)
        done: list[BackfilledTick] = []
        for tick_ms in ticks:
            tick = ScheduleTick(
                subscription_id=found.subscription_id,
                incarnation=found.incarnation,
                revision=found.revision,
                tick_ms=tick_ms,
            )
            report = await self.router.fire(tick)
            if report.outcome == "stale":
                raise changed_meanwhile(name, found.revision)
            done.append(_backfilled(tick_ms, report.delivery))
        return tuple(done)

    async def _ticks(self, found: TriggerSubscription, from_ms: int, until_ms: int, limit: int) -> tuple[int, ...]:
        schedule = found.definition.schedule
        if schedule is None:
            raise InvalidArgumentError(
                f"trigger `{found.subscription_key}` has no schedule to make up for",
                field="name",
                value=found.subscription_key,
            )
        if from_ms >= until_ms:
            raise InvalidArgumentError("the span from - to is empty", field="from", value=from_ms, limit=until_ms)
        if not 1 <= limit <= BACKFILL_MAX:
            raise InvalidArgumentError(
                f"limit is {limit}; it must be 1 to {BACKFILL_MAX}", field="limit", value=limit, limit=BACKFILL_MAX
            )
        _, now_ms = await self._store.next_schedule_ms()
        ticks = ticks_between(schedule, from_ms, min(until_ms, now_ms), limit + 1)
        if len(ticks) > limit:
            raise InvalidArgumentError(
                f"the span has over {limit} ticks; make up for a shorter one", field="limit", value=limit, limit=limit
            )
        return ticks


def _backfilled(tick_ms: int, delivery: DeliveryReport | None) -> BackfilledTick:
    if delivery is None:
        # Known, and its delivery has gone with its process.
        return BackfilledTick(tick_ms, "exists")
    status: Literal["started", "exists", "failed"] = (
        "exists" if delivery.status == "already_reserved" else delivery.status
    )
    return BackfilledTick(tick_ms, status, delivery.process_id, delivery.reason)
