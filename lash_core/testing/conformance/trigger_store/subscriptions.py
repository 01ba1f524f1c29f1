"""Registering, changing, deleting, reviving (``docs/contracts/triggers.md`` 3)."""

from __future__ import annotations

import asyncio

from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.model.scope import ProcessOriginator, SessionScope
from lash_core.model.trigger import TriggerDefinition, TriggerOwnerScope, TriggerTarget, subscription_id
from lash_core.model.trigger_command import (
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    RegisterTrigger,
    ReviveTrigger,
    TriggerCreated,
    TriggerUnchanged,
    TriggerUpdated,
    UpdateTrigger,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.trigger_store.arrange import (
    HOST,
    TriggerStores,
    apply,
    created,
    current,
    definition,
    deleted,
    disabled,
    enabled,
    named,
    redefined,
    refused_for,
    register,
    registered,
    source,
    unique,
    updated,
)


async def a_registration_is_stored(stores: TriggerStores) -> None:
    """Revision 1, live, under the id that owner and key have."""
    key, wanted = unique("t"), definition(source(), {"n": 1})
    command = RegisterTrigger(
        operation_id=unique("op"),
        owner_scope=HOST,
        subscription_key=key,
        definition=wanted,
        wake_target=SessionScope("s1", "f1"),
        originator=ProcessOriginator.host("nightly"),
    )

    stored = created(await apply(stores, command))

    assert subscription_id(HOST, key) == stored.subscription_id
    assert stored.subscription_id.startswith("trigger-subscription:v1:sha256:")
    assert (1, True, False) == (stored.revision, stored.enabled, stored.tombstoned)
    assert (wanted, command.definition_hash) == (stored.definition, stored.definition_hash)
    assert (command.wake_target, command.originator) == (stored.wake_target, stored.originator)
    assert stored.created_at_ms == stored.updated_at_ms > 0
    assert stored == await stores.triggers.get_trigger_subscription(stored.subscription_id)


async def an_unknown_id_has_no_subscription(stores: TriggerStores) -> None:
    """None, also for a text that is no id at all."""
    assert await stores.triggers.get_trigger_subscription(subscription_id(HOST, unique("t"))) is None
    assert await stores.triggers.get_trigger_subscription("no-id") is None


async def the_same_registration_changes_nothing(stores: TriggerStores) -> None:
    """Unchanged, same revision and incarnation, by any number of operations."""
    first = await registered(stores)

    again = await apply(stores, register(first.subscription_key, first.definition))

    assert TriggerUnchanged(subscription=first) == again
    assert first == await current(stores, first)


async def another_definition_is_a_conflict_and_never_an_upsert(stores: TriggerStores) -> None:
    """The answer says what is there and what was given."""
    first = await registered(stores)
    command = register(first.subscription_key, definition(source()))

    conflict = refused_for(await apply(stores, command))

    assert ("definition", 1, first.incarnation) == (
        conflict.reason,
        conflict.existing_revision,
        conflict.existing_incarnation,
    )
    assert (first.definition_hash, command.definition_hash) == (
        conflict.existing_definition_hash,
        conflict.given_definition_hash,
    )
    assert first == await current(stores, first)


async def the_wake_target_belongs_to_the_definition(stores: TriggerStores) -> None:
    """Another session to wake is another registration."""
    first = await registered(stores)
    command = register(first.subscription_key, first.definition).model_copy(update={"wake_target": SessionScope("s")})

    assert "definition" == refused_for(await apply(stores, command)).reason


async def keys_belong_to_their_owner(stores: TriggerStores) -> None:
    """Host, platform and sessions have the same key without meeting."""
    key, wanted = unique("t"), definition(source())
    owners = [HOST, TriggerOwnerScope.platform(), TriggerOwnerScope.session("a"), TriggerOwnerScope.session("b")]

    stored = [created(await apply(stores, register(key, wanted, owner))) for owner in owners]

    assert len(owners) == len({one.subscription_id for one in stored})


async def an_update_needs_the_revision_that_is_there(stores: TriggerStores) -> None:
    """Compare and set: who saw an older revision changes nothing."""
    first = await registered(stores)
    second = await redefined(stores, first, definition(source()))

    assert (2, first.incarnation, first.created_at_ms) == (second.revision, second.incarnation, second.created_at_ms)
    stale = UpdateTrigger(**named(first), definition=definition(source()))
    conflict = refused_for(await apply(stores, stale))
    assert ("revision", 2, 1) == (conflict.reason, conflict.existing_revision, conflict.expected_revision)
    assert second == await current(stores, second)


async def an_update_to_the_same_changes_nothing(stores: TriggerStores) -> None:
    """The revision stays."""
    first = await registered(stores)

    result = await apply(stores, UpdateTrigger(**named(first), definition=first.definition))

    assert TriggerUnchanged(subscription=first) == result


async def disabling_and_enabling_count_revisions(stores: TriggerStores) -> None:
    """Each real change is one; doing it twice is none."""
    first = await registered(stores)
    off = await disabled(stores, first)

    assert (2, False) == (off.revision, off.enabled)
    assert TriggerUnchanged(subscription=off) == await apply(stores, DisableTrigger(**named(off)))
    on = await enabled(stores, off)
    assert (3, True, first.incarnation) == (on.revision, on.enabled, on.incarnation)
    assert TriggerUnchanged(subscription=on) == await apply(stores, EnableTrigger(**named(on)))


async def registering_a_disabled_key_leaves_it_disabled(stores: TriggerStores) -> None:
    """A deploy does not undo what an operator did."""
    off = await disabled(stores, await registered(stores))

    again = await apply(stores, register(off.subscription_key, off.definition))

    assert TriggerUnchanged(subscription=off) == again


async def a_deleted_key_stays_taken(stores: TriggerStores) -> None:
    """A tombstone: readable, never live, and no registration or change gets past it."""
    gone = await deleted(stores, await registered(stores))

    assert (2, False, True) == (gone.revision, gone.enabled, gone.tombstoned)
    assert gone == await current(stores, gone)
    for command in (
        register(gone.subscription_key, gone.definition),
        UpdateTrigger(**named(gone), definition=definition(source())),
        EnableTrigger(**named(gone)),
        DisableTrigger(**named(gone)),
        DeleteTrigger(**named(gone)),
    ):
        assert "deleted" == refused_for(await apply(stores, command)).reason, command.type


async def a_revival_is_a_new_life_whose_revision_goes_on(stores: TriggerStores) -> None:
    """Same id, higher incarnation; delete was 2, so the revival is 3; live again, with the definition it brings."""
    first = await registered(stores)
    gone = await deleted(stores, first)
    wanted = definition(source(), {"second": "life"})

    back = updated(await apply(stores, ReviveTrigger(**named(gone), definition=wanted)))

    assert (first.subscription_id, 3, True, False) == (
        back.subscription_id,
        back.revision,
        back.enabled,
        back.tombstoned,
    )
    assert back.incarnation > first.incarnation
    assert wanted == back.definition


async def only_what_is_deleted_is_revived(stores: TriggerStores) -> None:
    """A live key has nothing to revive, an old revision is refused first."""
    first = await registered(stores)
    gone = await deleted(stores, await registered(stores))
    stale = named(gone, expected_revision=1)

    live = refused_for(await apply(stores, ReviveTrigger(**named(first), definition=first.definition)))
    old = refused_for(await apply(stores, ReviveTrigger(**stale, definition=gone.definition)))

    assert ("not_deleted", "revision") == (live.reason, old.reason)


async def an_unknown_key_is_a_conflict_of_its_own(stores: TriggerStores) -> None:
    """Nothing is there to compare with."""
    known = await registered(stores)
    unknown = named(known, subscription_key=unique("t"))

    conflict = refused_for(await apply(stores, DeleteTrigger(**unknown)))

    assert ("unknown", None) == (conflict.reason, conflict.existing_revision)


async def of_racing_changes_one_wins(stores: TriggerStores) -> None:
    """Ten updates of one revision: one is written, nine see the new revision."""
    first = await registered(stores)
    commands = [UpdateTrigger(**named(first), definition=definition(source())) for _ in range(10)]

    results = await asyncio.gather(*(apply(stores, command) for command in commands))

    assert 1 == sum(isinstance(result, TriggerUpdated) for result in results)
    assert 2 == (await current(stores, first)).revision


async def of_racing_registrations_one_creates(stores: TriggerStores) -> None:
    """Ten workers that start at once make one trigger."""
    key, wanted = unique("t"), definition(source())

    results = await asyncio.gather(*(apply(stores, register(key, wanted)) for _ in range(10)))

    assert 1 == sum(isinstance(result, TriggerCreated) for result in results)
    assert 9 == sum(isinstance(result, TriggerUnchanged) for result in results)


async def what_is_not_legal_is_refused(stores: TriggerStores) -> None:
    """Names, sources, templates; the error names the field and nothing is written."""
    good = definition(source())
    for key, wanted, field in (
        ("", good, "subscription_key"),
        ("lash.internal/x", good, "subscription_key"),
        ("k#1", good, "subscription_key"),
        (unique("t"), TriggerDefinition("web hook", "k", good.target), "source_type"),
        (unique("t"), TriggerDefinition("webhook", "", good.target), "source_key"),
        (unique("t"), TriggerDefinition("schedule", "k", good.target), "source_type"),
        (unique("t"), TriggerDefinition("webhook", "k", TriggerTarget("")), "kind"),
        (unique("t"), definition(source(), {"a": {"$payload": "no pointer"}}), "params.a"),
        (unique("t"), definition(source(), [{"$payload": "/a", "b": 1}]), "params[0]"),
        (unique("t"), definition(source(), {"a": float("nan")}), "params.a"),
    ):
        with refused(InvalidArgumentError) as refusal:
            await apply(stores, register(key, wanted))
        assert field == refusal.error.field, (key, wanted)


async def a_definition_over_the_payload_limit_is_refused(stores: TriggerStores) -> None:
    """The refusal names the limit."""
    with refused(LimitExceededError, "definition") as refusal:
        await apply(stores, register(unique("t"), definition(source(), "x" * (256 * 1024))))

    assert 256 * 1024 == refusal.error.limit
