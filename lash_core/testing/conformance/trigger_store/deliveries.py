"""What becomes of deliveries, and how long they are kept (``docs/contracts/triggers.md`` 2, 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.model.trigger_occurrence import DeliverySettlement, IngestedOccurrence, TriggerDelivery
from lash_core.testing.conformance.stores import elapse
from lash_core.testing.conformance.trigger_store.arrange import (
    TriggerStores,
    occurred,
    registered,
    source,
    unique,
    waiting_ids,
)


async def _reserved(stores: TriggerStores, count: int = 1) -> IngestedOccurrence:
    at = source()
    for _ in range(count):
        await registered(stores, at)
    return await occurred(stores, at, {"n": 1})


async def _settle(stores: TriggerStores, *settlements: DeliverySettlement) -> None:
    await stores.triggers.settle_deliveries(settlements)


async def _now(stores: TriggerStores, ingested: IngestedOccurrence) -> Sequence[TriggerDelivery]:
    found = await stores.triggers.get_occurrence(ingested.occurrence.occurrence_id)
    assert found is not None
    return found.deliveries


async def a_started_one_waits_no_more(stores: TriggerStores) -> None:
    """And is answered as started; doing it twice is the same."""
    ingested = await _reserved(stores)
    started = DeliverySettlement.of(ingested.deliveries[0], "started")

    await _settle(stores, started)
    await _settle(stores, started)

    assert ingested.deliveries[0].process_id not in await waiting_ids(stores)
    assert ["started"] == [one.state for one in await _now(stores, ingested)]


async def a_failed_one_keeps_its_reason(stores: TriggerStores) -> None:
    """It waits no more, and can be found."""
    ingested = await _reserved(stores)
    delivery = ingested.deliveries[0]

    await _settle(stores, DeliverySettlement.of(delivery, "failed", reason="no such pointer"))

    assert delivery.process_id not in await waiting_ids(stores)
    assert [("failed", "no such pointer")] == [(one.state, one.reason) for one in await _now(stores, ingested)]
    failed = {one.process_id: one.reason for one in await stores.triggers.failed_deliveries(1_000)}
    assert "no such pointer" == failed[delivery.process_id]


async def started_stands_over_failed(stores: TriggerStores) -> None:
    """A start that comes late counts, a failure that comes late does not."""
    first, second = await _reserved(stores), await _reserved(stores)

    await _settle(stores, DeliverySettlement.of(first.deliveries[0], "failed", reason="x"))
    await _settle(stores, DeliverySettlement.of(first.deliveries[0], "started"))
    await _settle(stores, DeliverySettlement.of(second.deliveries[0], "started"))
    await _settle(stores, DeliverySettlement.of(second.deliveries[0], "failed", reason="x"))

    assert [("started", None)] == [(one.state, one.reason) for one in await _now(stores, first)]
    assert [("started", None)] == [(one.state, one.reason) for one in await _now(stores, second)]


async def one_that_was_put_off_stays_away_until_its_time(stores: TriggerStores) -> None:
    """By the server's clock."""
    ingested = await _reserved(stores)
    process_id = ingested.deliveries[0].process_id

    await _settle(stores, DeliverySettlement.of(ingested.deliveries[0], "put_off", delay_ms=1_000))

    assert process_id not in await waiting_ids(stores)
    await elapse(stores, 1_100)
    assert process_id in await waiting_ids(stores)


async def young_ones_are_left_to_their_caller(stores: TriggerStores) -> None:
    """``min_age_ms`` by the server's clock; the answer has snapshot, occurrence and age."""
    ingested = await _reserved(stores)
    delivery = ingested.deliveries[0]

    assert delivery.process_id not in await waiting_ids(stores, min_age_ms=1_000)
    await elapse(stores, 1_100)
    found = await stores.triggers.unstarted_deliveries(min_age_ms=1_000, limit=1_000)
    mine = [item for item in found if item.delivery.process_id == delivery.process_id]
    assert [ingested.occurrence] == [item.occurrence for item in mine]
    assert [delivery.subscription] == [item.delivery.subscription for item in mine]
    assert mine[0].age_ms >= 1_000


async def the_worklist_is_bounded(stores: TriggerStores) -> None:
    """Longest first, as many as asked for."""
    await _reserved(stores, 3)

    assert 2 == len(await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=2))


async def unknown_deliveries_are_ignored(stores: TriggerStores) -> None:
    """Of an occurrence or a subscription that is not there."""
    ingested = await _reserved(stores)
    strange = DeliverySettlement.of(ingested.deliveries[0], "started").model_copy(
        update={"subscription_id": f"trigger-subscription:v1:sha256:{'0' * 64}"}
    )

    await _settle(stores, strange, strange.model_copy(update={"occurrence_id": "no-id"}))

    assert ["waiting"] == [one.state for one in await _now(stores, ingested)]


async def many_are_settled_at_once(stores: TriggerStores) -> None:
    """Each as it says."""
    ingested = await _reserved(stores, 3)
    first, second, third = ingested.deliveries

    await _settle(
        stores,
        DeliverySettlement.of(first, "started"),
        DeliverySettlement.of(second, "failed", reason="why"),
        DeliverySettlement.of(third, "put_off", delay_ms=60_000),
    )

    assert ["started", "failed", "waiting"] == [one.state for one in await _now(stores, ingested)]


async def what_is_dropped_is_settled(stores: TriggerStores) -> None:
    """A delivery that waits stays; an occurrence goes with its last delivery."""
    ingested = await _reserved(stores, 2)
    pairs = [(one.occurrence_id, one.subscription_id) for one in ingested.deliveries]

    assert 0 == await stores.triggers.drop_deliveries(pairs)
    await _settle(stores, DeliverySettlement.of(ingested.deliveries[0], "started"))
    assert 1 == await stores.triggers.drop_deliveries(pairs)
    assert [pairs[1][1]] == [one.subscription_id for one in await _now(stores, ingested)]
    await _settle(stores, DeliverySettlement.of(ingested.deliveries[1], "failed", reason="x"))
    assert 1 == await stores.triggers.drop_deliveries(pairs)

    assert await stores.triggers.get_occurrence(ingested.occurrence.occurrence_id) is None
    assert 0 == await stores.triggers.drop_deliveries([*pairs, ("no-id", "no-id")])


async def old_occurrences_are_pruned_when_nothing_of_them_waits(stores: TriggerStores) -> None:
    """Recorded before the cutoff; those without any delivery too."""
    settled, waiting, empty = await _reserved(stores), await _reserved(stores), await occurred(stores, source())
    await _settle(stores, DeliverySettlement.of(settled.deliveries[0], "started"))
    await elapse(stores, 50)
    late = await occurred(stores, source(), None, unique("k"))

    await stores.triggers.prune_occurrences(late.occurrence.recorded_at_ms)

    ids = [one.occurrence.occurrence_id for one in (settled, waiting, empty, late)]
    found = [await stores.triggers.get_occurrence(one) is not None for one in ids]
    assert [False, True, False, True] == found
