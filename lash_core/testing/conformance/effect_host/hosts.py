"""What a host says of itself, and the scopes it serves (contract 5.2, 1.13)."""

from __future__ import annotations

from typing import Any

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import Accepted, WaitIdentity
from lash_core.model.disposition import DurabilityTier
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.journal.effects import JournaledEffectHost
from lash_core.testing.conformance.await_events.arrange import OK, scopes, turn
from lash_core.testing.conformance.effect_host.arrange import host_of, run_of
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import EffectHostStores


class _Tiered:
    """A store that reports another tier."""

    def __init__(self, store: Any, tier: DurabilityTier) -> None:
        self._store = store
        self._tier = tier

    def durability_tier(self) -> DurabilityTier:
        return self._tier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def the_tier_is_honest(stores: EffectHostStores) -> None:
    """Durable only when journal and promises both are: what one of them forgets, the host does not promise."""
    durable, inline = DurabilityTier.DURABLE, DurabilityTier.INLINE
    host = host_of(stores)
    tiers = {stores.effect_journal.durability_tier(), stores.promises.durability_tier()}
    assert (durable if tiers == {durable} else inline) is host.durability_tier()

    for journal, promises, wanted in (
        (durable, durable, durable),
        (durable, inline, inline),
        (inline, durable, inline),
        (inline, inline, inline),
    ):
        made: Any = JournaledEffectHost(
            _Tiered(stores.effect_journal, journal),  # type: ignore[arg-type]
            _Tiered(stores.promises, promises),  # type: ignore[arg-type]
        )
        assert wanted is made.durability_tier()
        assert journal is made.scoped(turn()).durability_tier()


async def every_scope_has_a_controller(stores: EffectHostStores) -> None:
    """Also a static one, which a worker needs; it knows its scope."""
    host = host_of(stores)
    for scope in await scopes(stores):
        static = host.scoped_static(scope)
        assert static is not None
        for controller in (host.scoped(scope), static):
            assert (scope, scope.id) == (controller.scope, controller.scope_id)


async def a_blank_scope_has_none(stores: EffectHostStores) -> None:
    """Whatever part of it is blank."""
    host = host_of(stores)
    blank = (
        ExecutionScope.process(" "),
        ExecutionScope.turn("", "t"),
        ExecutionScope.turn("s", " "),
        ExecutionScope.queue_drain(" ", "d"),
        ExecutionScope.session_delete(""),
        ExecutionScope.runtime_operation(""),
    )

    for scope in blank:
        for make in (host.scoped, host.scoped_static):
            with refused(RuntimeFailure, "missing_execution_scope_id", scope.kind):
                make(scope)


async def host_and_controllers_share_their_promises(stores: EffectHostStores) -> None:
    """A key of one is good with the others, a run's controller included."""
    host = host_of(stores)
    run, effects = await run_of(stores)
    scope, wait = ExecutionScope.process(run.process_id), WaitIdentity.custom(unique("wait"))
    doors = (host, host.scoped(turn()), effects)
    keys = [await door.await_event_key(scope, wait) for door in doors]
    assert 1 == len(set(keys))
    assert [None] * 3 == [await door.peek_await_event(keys[0]) for door in doors]

    assert Accepted() == await doors[1].resolve_await_event(keys[0], OK)

    assert [OK] * 3 == [await door.peek_await_event(keys[0]) for door in doors]
    assert OK == await doors[2].await_events.peek(keys[0])


async def a_run_has_the_scope_of_its_process(stores: EffectHostStores) -> None:
    """And the journal's tier."""
    run, effects = await run_of(stores)

    assert (ExecutionScope.process(run.process_id), run.process_id) == (effects.scope, effects.scope_id)
