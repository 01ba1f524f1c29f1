"""Subscriptions and occurrences for the cases: each with its own names, so cases never meet."""

from __future__ import annotations

import secrets
from typing import Any, Protocol

from lash_core.model.base import JsonValue
from lash_core.model.trigger import TriggerDefinition, TriggerOwnerScope, TriggerSubscription, TriggerTarget
from lash_core.model.trigger_command import (
    AnyTriggerCommand,
    AnyTriggerResult,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    RegisterTrigger,
    TriggerConflict,
    TriggerCreated,
    TriggersPruned,
    TriggerUpdated,
    UpdateTrigger,
)
from lash_core.model.trigger_occurrence import IngestedOccurrence, ScheduleTick, TriggerOccurrence
from lash_core.model.trigger_schedule import TriggerSchedule
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.trigger_store import TriggerStore

HOST = TriggerOwnerScope.host()
HOUR_MS = 3_600_000


class TriggerStores(Protocol):
    """Stores with triggers. ``advance_clock(ms)`` is optional."""

    @property
    def process_registry(self) -> ProcessRegistry:
        """Rows."""
        ...

    @property
    def triggers(self) -> TriggerStore:
        """The store under test."""
        ...


def unique(word: str) -> str:
    """A name that no other case uses."""
    return f"{word}-{secrets.token_hex(6)}"


def source() -> tuple[str, str]:
    """A source of the case's own."""
    return "webhook", unique("src")


def definition(at: tuple[str, str], params: JsonValue = None) -> TriggerDefinition:
    """Starts the kind ``job`` for occurrences of that source."""
    return TriggerDefinition(at[0], at[1], TriggerTarget("job", params=params))


def register(
    key: str, wanted: TriggerDefinition, owner: TriggerOwnerScope = HOST, operation_id: str | None = None
) -> RegisterTrigger:
    """A registration."""
    return RegisterTrigger(
        operation_id=operation_id or unique("op"), owner_scope=owner, subscription_key=key, definition=wanted
    )


async def apply(stores: TriggerStores, command: AnyTriggerCommand) -> AnyTriggerResult:
    """Carry it out."""
    return await stores.triggers.apply_trigger_command(command)


async def registered(
    stores: TriggerStores, at: tuple[str, str] | None = None, *, owner: TriggerOwnerScope = HOST, params: Any = None
) -> TriggerSubscription:
    """A live subscription."""
    return created(await apply(stores, register(unique("t"), definition(at or source(), params), owner)))


async def scheduled(stores: TriggerStores, schedule: TriggerSchedule | None = None) -> TriggerSubscription:
    """A live schedule; hourly unless told otherwise."""
    key = unique("s")
    every_hour = schedule or TriggerSchedule(interval_ms=HOUR_MS)
    wanted = TriggerDefinition.scheduled(HOST, key, every_hour, TriggerTarget("job"))
    return created(await apply(stores, register(key, wanted)))


def created(result: AnyTriggerResult) -> TriggerSubscription:
    """The subscription of a ``TriggerCreated``."""
    assert isinstance(result, TriggerCreated), result
    return result.subscription


def updated(result: AnyTriggerResult) -> TriggerSubscription:
    """The subscription of a ``TriggerUpdated``."""
    assert isinstance(result, TriggerUpdated), result
    return result.subscription


def refused_for(result: AnyTriggerResult) -> TriggerConflict:
    """The conflict."""
    assert isinstance(result, TriggerConflict), result
    return result


def pruned(result: AnyTriggerResult) -> TriggersPruned:
    """The answer of a prune."""
    assert isinstance(result, TriggersPruned), result
    return result


def named(subscription: TriggerSubscription, **others: Any) -> dict[str, Any]:
    """What every command about a subscription says: operation, owner, key, and the revision seen; or others."""
    return {
        "operation_id": unique("op"),
        "owner_scope": subscription.owner_scope,
        "subscription_key": subscription.subscription_key,
        "expected_revision": subscription.revision,
        **others,
    }


async def disabled(stores: TriggerStores, subscription: TriggerSubscription) -> TriggerSubscription:
    """Pause it."""
    return updated(await apply(stores, DisableTrigger(**named(subscription))))


async def enabled(stores: TriggerStores, subscription: TriggerSubscription) -> TriggerSubscription:
    """Resume it."""
    return updated(await apply(stores, EnableTrigger(**named(subscription))))


async def deleted(stores: TriggerStores, subscription: TriggerSubscription) -> TriggerSubscription:
    """Leave a tombstone."""
    return updated(await apply(stores, DeleteTrigger(**named(subscription))))


async def redefined(
    stores: TriggerStores, subscription: TriggerSubscription, wanted: TriggerDefinition
) -> TriggerSubscription:
    """Give it another definition."""
    return updated(await apply(stores, UpdateTrigger(**named(subscription), definition=wanted)))


async def current(stores: TriggerStores, subscription: TriggerSubscription) -> TriggerSubscription:
    """It as it is now."""
    found = await stores.triggers.get_trigger_subscription(subscription.subscription_id)
    assert found is not None
    return found


async def occurred(
    stores: TriggerStores, at: tuple[str, str], payload: JsonValue = None, key: str | None = None
) -> IngestedOccurrence:
    """Something happens at a source."""
    return await stores.triggers.ingest_occurrence(TriggerOccurrence(at[0], at[1], key or unique("k"), payload))


async def waiting_ids(stores: TriggerStores, *, min_age_ms: int = 0) -> set[str]:
    """Process ids of what waits to be started."""
    found = await stores.triggers.unstarted_deliveries(min_age_ms=min_age_ms, limit=1_000)
    return {item.delivery.process_id for item in found}


async def due_ms(stores: TriggerStores, subscription: TriggerSubscription) -> int | None:
    """The next tick of a schedule."""
    return (await stores.triggers.schedule_due_ms([subscription.subscription_id]))[0]


def tick(
    subscription: TriggerSubscription, tick_ms: int, *, due: int | None = None, following: int | None = None
) -> ScheduleTick:
    """One tick of a schedule as the subscription was seen."""
    return ScheduleTick(
        subscription_id=subscription.subscription_id,
        incarnation=subscription.incarnation,
        revision=subscription.revision,
        tick_ms=tick_ms,
        due_ms=due,
        next_due_ms=following,
    )
