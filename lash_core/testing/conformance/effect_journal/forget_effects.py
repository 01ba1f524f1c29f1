"""``forget_effects``: journals of scopes that have no row go by age."""

from __future__ import annotations

from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.testing.conformance.effect_journal.arrange import claimed_effect, completed, ended, operation, waiting
from lash_core.testing.conformance.effect_journal.arrange import journal_of as journal_of_process
from lash_core.testing.conformance.effect_journal.arrange import recorded as recorded_in_process
from lash_core.testing.conformance.process_registry.arrange import running
from lash_core.testing.conformance.stores import EffectStores, elapse

ALL = 1_000_000


async def what_is_touched_stays(stores: EffectStores) -> None:
    """Forgotten is what nobody wrote to for that long; the rest, and every process, keeps its journal."""
    journal, old, kept, renewed = stores.effect_journal, operation(), operation(), operation()
    row, lease = await running(stores)
    await recorded_in_process(stores, lease, completed("k", 1))
    for scope in (old, renewed):
        claim = await claimed_effect(stores, scope, waiting("k", None))
    await elapse(stores, 1_000)
    await claimed_effect(stores, kept, waiting("k", None))
    await journal.finalize_effect(renewed, ended("k"), claim.token)

    assert 1 <= await journal.forget_effects(500, ALL)

    assert None is await journal.find_effect(old, "k")
    assert all([await journal.find_effect(scope, "k") for scope in (kept, renewed)])
    assert {"k"} == set(await journal_of_process(stores, row.id))


async def the_limit_bounds_a_call(stores: EffectStores) -> None:
    """As many scopes as are asked for, the rest with the next call; a repeat finds nothing."""
    await stores.effect_journal.forget_effects(0, ALL)
    scopes = [operation() for _ in range(5)]
    for scope in scopes:
        await claimed_effect(stores, scope, waiting("k", None))
    await elapse(stores, 1_000)

    counts = [await stores.effect_journal.forget_effects(500, 2) for _ in range(4)]

    assert [2, 2, 1, 0] == counts
    assert not any([await stores.effect_journal.find_effect(scope, "k") for scope in scopes])


async def promises_of_an_operation_go_with_it(stores: EffectStores) -> None:
    """Nobody waits for them any more; promises of a younger one stay."""
    old, kept = operation(), operation()
    keys = [AwaitEventKey.mint(scope, WaitIdentity.custom("c"), b"secret") for scope in (old, kept)]
    await stores.promises.resolve_promise(keys[0], Resolution.ok(1))
    await elapse(stores, 1_000)
    await stores.promises.resolve_promise(keys[1], Resolution.ok(2))

    await stores.effect_journal.forget_effects(500, ALL)

    assert [None, Resolution.ok(2)] == [await stores.promises.peek_promise(key) for key in keys]
