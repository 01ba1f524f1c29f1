"""What the store keeps of triggers is its own: who changes what was given or answered changes nothing stored."""

from __future__ import annotations

import copy
from typing import Any

from lash_core.model.trigger_occurrence import TriggerOccurrence
from lash_core.testing.conformance.expectations import spoil
from lash_core.testing.conformance.trigger_store.arrange import (
    TriggerStores,
    apply,
    created,
    definition,
    disabled,
    enabled,
    register,
    source,
    unique,
)

FACTS: dict[str, Any] = {"list": [1, {"deep": 2}]}


async def a_subscription_is_the_stores_own(stores: TriggerStores) -> None:
    """As registered, read, listed, and answered by its receipt."""
    key, at, operation_id = unique("t"), source(), unique("op")

    def command() -> Any:
        return register(key, definition(at, copy.deepcopy(FACTS)), operation_id=operation_id)

    given = command()
    answered = created(await apply(stores, given))
    spoil(answered)
    spoil(given)
    spoil(await stores.triggers.get_trigger_subscription(answered.subscription_id))
    spoil(await stores.triggers.list_trigger_subscriptions(limit=1_000))
    spoil(await apply(stores, command()))

    found = await stores.triggers.get_trigger_subscription(answered.subscription_id)

    assert found is not None
    assert FACTS == found.definition.target.params
    assert FACTS == created(await apply(stores, command())).definition.target.params
    again = await enabled(stores, await disabled(stores, found))
    assert FACTS == again.definition.target.params


async def an_occurrence_is_the_stores_own(stores: TriggerStores) -> None:
    """As told, read, and waiting for its start, with the subscription that its delivery remembers."""
    at = source()
    await apply(stores, register(unique("t"), definition(at, copy.deepcopy(FACTS))))
    given = TriggerOccurrence(at[0], at[1], unique("k"), copy.deepcopy(FACTS))
    spoil(await stores.triggers.ingest_occurrence(given))
    spoil(given)
    spoil(await stores.triggers.get_occurrence(given.occurrence_id))
    spoil(await stores.triggers.unstarted_deliveries(min_age_ms=0, limit=1_000))

    found = await stores.triggers.get_occurrence(given.occurrence_id)

    assert found is not None
    assert FACTS == found.occurrence.payload
    assert [FACTS] == [one.subscription.definition.target.params for one in found.deliveries if one.subscription]
