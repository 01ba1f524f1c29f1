"""Receipts of mutations: the first answer stands (``docs/contracts/triggers.md`` 3)."""

from __future__ import annotations

from lash_core.errors import TriggerOperationConflictError
from lash_core.model.trigger import TriggerOwnerScope
from lash_core.model.trigger_command import PruneTriggers, TriggerUnchanged, UpdateTrigger
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import elapse
from lash_core.testing.conformance.trigger_store.arrange import (
    HOST,
    TriggerStores,
    apply,
    created,
    current,
    definition,
    deleted,
    named,
    pruned,
    redefined,
    refused_for,
    register,
    registered,
    source,
    unique,
)


async def a_success_is_replayed_word_for_word(stores: TriggerStores) -> None:
    """Also after the subscription has changed and gone: the retry gets what the first call got."""
    command = register(unique("t"), definition(source()))
    first = await apply(stores, command)
    changed = await redefined(stores, created(first), definition(source()))
    await deleted(stores, changed)

    assert first == await apply(stores, command)


async def a_conflict_is_replayed_too(stores: TriggerStores) -> None:
    """Even when the same command would succeed now."""
    first = await registered(stores)
    second = await redefined(stores, first, definition(source()))
    stale = UpdateTrigger(**named(first, expected_revision=3), definition=first.definition)
    conflict = refused_for(await apply(stores, stale))
    third = await redefined(stores, second, definition(source()))

    assert 3 == third.revision
    assert conflict == await apply(stores, stale)
    assert third == await current(stores, third)


async def an_operation_id_means_one_mutation(stores: TriggerStores) -> None:
    """Another command under it is an error that changes nothing."""
    operation = unique("op")
    first = created(await apply(stores, register(unique("t"), definition(source()), operation_id=operation)))
    other = register(unique("t"), definition(source()), operation_id=operation)

    with refused(TriggerOperationConflictError, operation):
        await apply(stores, other)

    assert await stores.triggers.get_trigger_subscription(other.subscription_id) is None
    assert first == await current(stores, first)


async def operation_ids_are_per_owner(stores: TriggerStores) -> None:
    """Two owners use the same one without meeting."""
    operation, key, wanted = unique("op"), unique("t"), definition(source())

    host = created(await apply(stores, register(key, wanted, HOST, operation)))
    session = created(await apply(stores, register(key, wanted, TriggerOwnerScope.session("s"), operation)))

    assert host.subscription_id != session.subscription_id


async def old_receipts_are_forgotten(stores: TriggerStores) -> None:
    """Of before the cutoff only; a forgotten operation is carried out anew."""
    command = register(unique("t"), definition(source()))
    first = created(await apply(stores, command))
    await elapse(stores, 50)
    late = register(unique("t"), definition(source()))
    kept = await apply(stores, late)

    assert await stores.triggers.prune_mutation_receipts(first.created_at_ms) >= 0
    assert created(await apply(stores, command)) == first
    assert 1 <= await stores.triggers.prune_mutation_receipts(created(kept).created_at_ms)

    assert TriggerUnchanged(subscription=first) == await apply(stores, command)
    assert kept == await apply(stores, late)


async def only_deleted_keys_are_pruned(stores: TriggerStores) -> None:
    """Live ones stay and are named, unknown ones are passed over; the answer is a receipt as well."""
    live, gone, unknown = await registered(stores), await registered(stores), unique("t")
    await deleted(stores, gone)
    keys = (live.subscription_key, gone.subscription_key, unknown)
    command = PruneTriggers(operation_id=unique("op"), owner_scope=HOST, subscription_keys=keys)

    answer = pruned(await apply(stores, command))

    assert ((gone.subscription_key,), (live.subscription_key,)) == (answer.pruned_keys, answer.kept_keys)
    assert await stores.triggers.get_trigger_subscription(gone.subscription_id) is None
    assert live == await current(stores, live)
    assert answer == await apply(stores, command)


async def a_pruned_key_begins_anew(stores: TriggerStores) -> None:
    """Revision 1 under a higher incarnation, so that nothing of the former life can be taken for it."""
    first = await registered(stores)
    await deleted(stores, first)
    keys = (first.subscription_key,)
    await apply(stores, PruneTriggers(operation_id=unique("op"), owner_scope=HOST, subscription_keys=keys))

    again = created(await apply(stores, register(first.subscription_key, first.definition)))

    assert (1, first.subscription_id) == (again.revision, again.subscription_id)
    assert again.incarnation > first.incarnation
