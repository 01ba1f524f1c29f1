"""Bounds (``docs/contracts/triggers.md`` 6), for stores that can be given others with ``with_limits``."""

from __future__ import annotations

from typing import Any

from lash_core.errors import LimitExceededError
from lash_core.model.trigger import TriggerOwnerScope
from lash_core.model.trigger_command import EnableTrigger, TriggerUnchanged
from lash_core.model.trigger_limits import TriggerLimits
from lash_core.model.trigger_occurrence import DeliverySettlement, TriggerOccurrence
from lash_core.store.trigger_store import TriggerFilter, TriggerStore
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import elapse
from lash_core.testing.conformance.trigger_store.arrange import (
    TriggerStores,
    definition,
    disabled,
    named,
    occurred,
    register,
    registered,
    source,
    unique,
    waiting_ids,
)


def _limited(stores: TriggerStores, **limits: Any) -> TriggerStore | None:
    with_limits = getattr(stores.triggers, "with_limits", None)
    return None if with_limits is None else with_limits(TriggerLimits(**limits))


async def _count(stores: TriggerStores) -> int:
    total, cursor = 0, None
    while True:
        page = await stores.triggers.list_trigger_subscriptions(TriggerFilter(include_tombstoned=True), cursor, 500)
        total, cursor = total + len(page.items), page.next_cursor
        if cursor is None:
            return total


async def too_many_subscriptions_are_refused(stores: TriggerStores) -> None:
    """The refusal is no receipt: when there is room again the same operation succeeds."""
    mine = await registered(stores)
    full = _limited(stores, subscriptions_max=await _count(stores))
    if full is None:
        return
    command = register(unique("t"), definition(source()))

    with refused(LimitExceededError, "triggers"):
        await full.apply_trigger_command(command)

    known = await full.apply_trigger_command(register(mine.subscription_key, mine.definition))
    assert TriggerUnchanged(subscription=mine) == known
    assert "created" == (await stores.triggers.apply_trigger_command(command)).type


async def too_many_live_ones_of_a_source_are_refused(stores: TriggerStores) -> None:
    """Registered or enabled; a paused one does not count."""
    at = source()
    full = _limited(stores, source_subscriptions_max=2)
    if full is None:
        return
    first, _ = await registered(stores, at), await registered(stores, at)

    with refused(LimitExceededError, at[1]):
        await full.apply_trigger_command(register(unique("t"), definition(at)))

    off = await disabled(stores, first)
    assert "created" == (await full.apply_trigger_command(register(unique("t"), definition(at)))).type
    with refused(LimitExceededError, at[1]):
        await full.apply_trigger_command(EnableTrigger(**named(off)))


async def the_oldest_settled_occurrences_make_room(stores: TriggerStores) -> None:
    """What waits stays."""
    at = source()
    await registered(stores, at)
    waiting = await occurred(stores, at)
    settled = await occurred(stores, at)
    await stores.triggers.settle_deliveries([DeliverySettlement.of(settled.deliveries[0], "started")])
    await elapse(stores, 50)
    full = _limited(stores, occurrences_max=1)
    if full is None:
        return

    for _ in range(100):
        await full.ingest_occurrence(TriggerOccurrence("webhook", unique("nobody"), unique("k")))
        if await stores.triggers.get_occurrence(settled.occurrence.occurrence_id) is None:
            break

    assert await stores.triggers.get_occurrence(settled.occurrence.occurrence_id) is None
    assert await stores.triggers.get_occurrence(waiting.occurrence.occurrence_id) is not None


async def too_much_that_waits_is_refused(stores: TriggerStores) -> None:
    """Nothing is written; the same occurrence is taken in when there is room."""
    at = source()
    await registered(stores, at)
    await occurred(stores, at)
    full = _limited(stores, unstarted_max=len(await waiting_ids(stores)) or 1)
    if full is None:
        return
    occurrence = TriggerOccurrence(at[0], at[1], unique("k"))

    with refused(LimitExceededError, "wait to be started"):
        await full.ingest_occurrence(occurrence)

    assert await stores.triggers.get_occurrence(occurrence.occurrence_id) is None
    assert not (await stores.triggers.ingest_occurrence(occurrence)).replayed


async def no_room_is_no_delivery(stores: TriggerStores) -> None:
    """Whoever asks for none, or for fewer, gets none; nothing is forgotten."""
    at = source()
    await registered(stores, at)
    waiting, over = await occurred(stores, at), await occurred(stores, at)
    await stores.triggers.settle_deliveries(
        [DeliverySettlement.of(over.deliveries[0], "failed", reason="no such kind")]
    )

    for limit in (0, -1):
        assert () == await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=limit)
        assert () == await stores.triggers.failed_deliveries(limit)
        assert () == await stores.triggers.due_schedules(limit)
        assert 0 == await stores.triggers.prune_occurrences(2**53, limit)
    for one in (waiting, over):
        assert await stores.triggers.get_occurrence(one.occurrence.occurrence_id) is not None


async def receipts_are_bounded(stores: TriggerStores) -> None:
    """The newest are known, the oldest make room."""
    full = _limited(stores, receipts_max=3)
    if full is None:
        return
    owner = TriggerOwnerScope.session(unique("session"))
    commands = [register(unique("t"), definition(source()), owner) for _ in range(40)]
    results: list[Any] = []
    for command in commands:
        results.append(await full.apply_trigger_command(command))
        await elapse(stores, 1)

    assert results[-1] == await full.apply_trigger_command(commands[-1])
    assert "unchanged" == (await full.apply_trigger_command(commands[0])).type
