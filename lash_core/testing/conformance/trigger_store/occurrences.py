"""Occurrences and what they reserve (``docs/contracts/triggers.md`` 2)."""

from __future__ import annotations

import asyncio

from lash_core.errors import InvalidArgumentError, LimitExceededError, OccurrenceConflictError
from lash_core.model.trigger_command import ReviveTrigger
from lash_core.model.trigger_occurrence import TriggerOccurrence, trigger_process_id
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.trigger_store.arrange import (
    TriggerStores,
    apply,
    current,
    definition,
    deleted,
    disabled,
    named,
    occurred,
    redefined,
    registered,
    source,
    unique,
    updated,
    waiting_ids,
)


async def each_live_match_gets_one_delivery(stores: TriggerStores) -> None:
    """With the subscription as it is now, a process id of its own, and the state waiting."""
    at = source()
    first, second = await registered(stores, at), await registered(stores, at)
    await registered(stores)

    ingested = await occurred(stores, at, {"n": 1})

    assert not ingested.replayed
    assert ingested.occurrence.recorded_at_ms > 0
    assert {"n": 1} == ingested.occurrence.payload
    by_id = {delivery.subscription_id: delivery for delivery in ingested.deliveries}
    assert {first.subscription_id, second.subscription_id} == set(by_id)
    for subscription in (first, second):
        delivery = by_id[subscription.subscription_id]
        assert subscription == delivery.subscription
        assert ("reserved", "waiting") == (delivery.reservation_status, delivery.state)
        occurrence_id = ingested.occurrence.occurrence_id
        expected = trigger_process_id(occurrence_id, subscription.subscription_id, subscription.incarnation)
        assert expected == delivery.process_id
        assert delivery.process_id.startswith("process:trigger:")
    assert {delivery.process_id for delivery in ingested.deliveries} <= await waiting_ids(stores)


async def ids_are_made_of_the_names(stores: TriggerStores) -> None:
    """The same names anywhere have the same id; the payload is not in it."""
    at, key = source(), unique("k")

    ingested = await occurred(stores, at, {"x": 1}, key)

    assert TriggerOccurrence(at[0], at[1], key).occurrence_id == ingested.occurrence.occurrence_id
    assert ingested.occurrence.occurrence_id.startswith("trigger:")
    assert ingested.occurrence.occurrence_id != TriggerOccurrence(at[0], f"{at[1]}{key[:1]}", key[1:]).occurrence_id


async def a_replay_answers_with_what_is_stored(stores: TriggerStores) -> None:
    """Same occurrence, same process ids, already reserved; no second delivery."""
    at, key = source(), unique("k")
    await registered(stores, at)
    first = await occurred(stores, at, {"n": [1, None, "ü"]}, key)

    again = await occurred(stores, at, {"n": [1, None, "ü"]}, key)

    assert (True, first.occurrence) == (again.replayed, again.occurrence)
    assert [item.process_id for item in first.deliveries] == [item.process_id for item in again.deliveries]
    assert ["already_reserved"] == [item.reservation_status for item in again.deliveries]
    assert first.deliveries[0].subscription == again.deliveries[0].subscription


async def a_replay_looks_at_no_subscription(stores: TriggerStores) -> None:
    """The snapshot is of the revision at that time; who came later gets nothing of it."""
    at, key = source(), unique("k")
    before = await registered(stores, at)
    await occurred(stores, at, None, key)
    await redefined(stores, before, definition(at, {"changed": True}))
    await registered(stores, at)

    again = await occurred(stores, at, None, key)

    assert [before] == [delivery.subscription for delivery in again.deliveries]


async def paused_deleted_and_moved_ones_get_nothing(stores: TriggerStores) -> None:
    """Only live subscriptions of the source as it is now."""
    at = source()
    await disabled(stores, await registered(stores, at))
    await deleted(stores, await registered(stores, at))
    moved = await registered(stores, at)
    there = source()
    await redefined(stores, moved, definition(there))

    assert () == (await occurred(stores, at)).deliveries
    assert [moved.subscription_id] == [item.subscription_id for item in (await occurred(stores, there)).deliveries]


async def a_revived_one_gets_deliveries_again(stores: TriggerStores) -> None:
    """Under its new incarnation, hence under other process ids."""
    at, key = source(), unique("k")
    first = await registered(stores, at)
    gone = await deleted(stores, first)
    back = updated(await apply(stores, ReviveTrigger(**named(gone), definition=definition(at))))

    ingested = await occurred(stores, at, None, key)

    assert [back] == [delivery.subscription for delivery in ingested.deliveries]
    old = trigger_process_id(ingested.occurrence.occurrence_id, first.subscription_id, first.incarnation)
    assert old != ingested.deliveries[0].process_id


async def sources_do_not_run_into_each_other(stores: TriggerStores) -> None:
    """Type and key are two names, however they are cut."""
    mark = unique("x")
    await registered(stores, ("a", f"b:{mark}"))

    assert () == (await occurred(stores, ("a.b", mark))).deliveries
    assert 1 == len((await occurred(stores, ("a", f"b:{mark}"))).deliveries)


async def another_payload_under_the_same_key_is_an_error(stores: TriggerStores) -> None:
    """Rather than dropped without a word."""
    at, key = source(), unique("k")
    await occurred(stores, at, {"n": 1}, key)

    with refused(OccurrenceConflictError, key):
        await occurred(stores, at, {"n": 2}, key)


async def of_racing_calls_one_reserves(stores: TriggerStores) -> None:
    """Ten senders of one occurrence: one reservation, and all get its ids."""
    at, key = source(), unique("k")
    await registered(stores, at)

    results = await asyncio.gather(*(occurred(stores, at, 7, key) for _ in range(10)))

    assert 1 == sum(not result.replayed for result in results)
    assert 1 == len({result.deliveries[0].process_id for result in results})


async def what_is_not_legal_is_refused(stores: TriggerStores) -> None:
    """Names, payload, and ticks, which only schedules make."""
    for occurrence, field in (
        (TriggerOccurrence("web hook", "k", "i"), "source_type"),
        (TriggerOccurrence("webhook", "\n", "i"), "source_key"),
        (TriggerOccurrence("webhook", "k", ""), "idempotency_key"),
        (TriggerOccurrence("webhook", "k", "x" * 513), "idempotency_key"),
        (TriggerOccurrence("webhook", "k", "i", {"a": float("inf")}), "payload.a"),
        (TriggerOccurrence("schedule", "k", "1"), "source_type"),
    ):
        with refused(InvalidArgumentError) as refusal:
            await stores.triggers.ingest_occurrence(occurrence)
        assert field == refusal.error.field, occurrence


async def a_payload_over_the_limit_is_refused(stores: TriggerStores) -> None:
    """256 KB; the refusal names it."""
    with refused(LimitExceededError, "payload") as refusal:
        await occurred(stores, source(), "x" * (256 * 1024))

    assert 256 * 1024 == refusal.error.limit


async def a_stored_occurrence_can_be_read(stores: TriggerStores) -> None:
    """With what became of its deliveries; an unknown one is None."""
    at = source()
    subscription = await registered(stores, at)
    ingested = await occurred(stores, at, {"n": 1})

    found = await stores.triggers.get_occurrence(ingested.occurrence.occurrence_id)

    assert found is not None
    assert ingested.occurrence == found.occurrence
    assert [("waiting", subscription)] == [(one.state, one.subscription) for one in found.deliveries]
    assert await stores.triggers.get_occurrence(TriggerOccurrence(at[0], at[1], "other").occurrence_id) is None
    assert await stores.triggers.get_occurrence("no-id") is None
    assert subscription == await current(stores, subscription)
