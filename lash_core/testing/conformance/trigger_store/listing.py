"""Listings, and what goes with a session (``docs/contracts/triggers.md`` 3)."""

from __future__ import annotations

from lash_core.errors import InvalidCursorError
from lash_core.model.trigger import TriggerOwnerScope, TriggerSubscription
from lash_core.model.trigger_command import TriggerCreated
from lash_core.store.trigger_store import TriggerFilter
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.trigger_store.arrange import (
    TriggerStores,
    apply,
    current,
    deleted,
    occurred,
    register,
    registered,
    scheduled,
    source,
    unique,
    waiting_ids,
)


def _session() -> TriggerOwnerScope:
    return TriggerOwnerScope.session(unique("session"))


async def _all(stores: TriggerStores, wanted: TriggerFilter, limit: int) -> list[TriggerSubscription]:
    found: list[TriggerSubscription] = []
    cursor: str | None = None
    while True:
        page = await stores.triggers.list_trigger_subscriptions(wanted, cursor, limit)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def pages_bring_everything_once(stores: TriggerStores) -> None:
    """Whatever the size of a page."""
    owner = _session()
    made = [await registered(stores, owner=owner) for _ in range(5)]

    for limit in (1, 2, 5, 100):
        found = await _all(stores, TriggerFilter(owner_scope=owner), limit)
        assert sorted(one.subscription_id for one in made) == sorted(one.subscription_id for one in found), limit


async def a_listing_without_a_filter_has_every_owner(stores: TriggerStores) -> None:
    """Sessions, host, and platform."""
    owners = [_session(), TriggerOwnerScope.host(), TriggerOwnerScope.platform()]
    made = {(await registered(stores, owner=owner)).subscription_id for owner in owners}

    found = {one.subscription_id for one in await _all(stores, TriggerFilter(), 50)}

    assert made <= found


async def deleted_ones_are_shown_when_asked_for(stores: TriggerStores) -> None:
    """Not otherwise."""
    owner = _session()
    live = await registered(stores, owner=owner)
    gone = await deleted(stores, await registered(stores, owner=owner))

    assert [live] == await _all(stores, TriggerFilter(owner_scope=owner), 10)
    both = await _all(stores, TriggerFilter(owner_scope=owner, include_tombstoned=True), 10)
    assert {live.subscription_id, gone.subscription_id} == {one.subscription_id for one in both}


async def a_foreign_cursor_is_refused(stores: TriggerStores) -> None:
    """Rather than a page of something."""
    with refused(InvalidCursorError):
        await stores.triggers.list_trigger_subscriptions(None, "elsewhere")


async def a_deleted_session_takes_its_own_with_it(stores: TriggerStores) -> None:
    """Live, paused and deleted ones alike; those of others stay; the call is safe to repeat."""
    at, owner = source(), _session()
    mine = [await registered(stores, at, owner=owner) for _ in range(3)]
    await deleted(stores, mine[0])
    host = await registered(stores, at)
    other = await registered(stores, at, owner=_session())

    assert 3 == await stores.triggers.delete_session_subscriptions(owner.session_id or "")
    assert 0 == await stores.triggers.delete_session_subscriptions(owner.session_id or "")

    assert [] == await _all(stores, TriggerFilter(owner_scope=owner, include_tombstoned=True), 10)
    ingested = await occurred(stores, at)
    delivered = {delivery.subscription_id for delivery in ingested.deliveries}
    assert {host.subscription_id, other.subscription_id} == delivered
    assert host == await current(stores, host)


async def what_a_session_had_reserved_stays(stores: TriggerStores) -> None:
    """A reservation is a promise that was made before."""
    at, owner = source(), _session()
    await registered(stores, at, owner=owner)
    ingested = await occurred(stores, at)

    await stores.triggers.delete_session_subscriptions(owner.session_id or "")

    assert {ingested.deliveries[0].process_id} <= await waiting_ids(stores)


async def a_session_that_comes_back_starts_anew(stores: TriggerStores) -> None:
    """Its keys are free; the incarnation is higher."""
    owner = _session()
    first = await registered(stores, owner=owner)
    await stores.triggers.delete_session_subscriptions(owner.session_id or "")

    again = await apply(stores, register(first.subscription_key, first.definition, owner))

    assert isinstance(again, TriggerCreated)
    assert again.subscription.incarnation > first.incarnation


async def a_schedule_of_the_host_survives_sessions(stores: TriggerStores) -> None:
    """Its next tick stays."""
    mine = await scheduled(stores)

    await stores.triggers.delete_session_subscriptions(unique("session"))

    assert (None,) != await stores.triggers.schedule_due_ms([mine.subscription_id])
