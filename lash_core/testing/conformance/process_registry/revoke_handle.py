"""``revoke_handle``: contract 2.3."""

from __future__ import annotations

from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.testing.conformance.process_registry.arrange import registered, scope, unique
from lash_core.testing.conformance.stores import ConformanceStores

PLAIN = ProcessHandleDescriptor()


async def takes_one_handle_away(stores: ConformanceStores) -> None:
    """Only the named pair goes."""
    one, two = await registered(stores), await registered(stores)
    mine, theirs = scope(), scope()
    for target, record in ((mine, one), (mine, two), (theirs, one)):
        await stores.process_registry.grant_handle(target, record.id, PLAIN)

    await stores.process_registry.revoke_handle(mine, one.id)

    assert not await stores.process_registry.has_handle(mine, one.id)
    assert await stores.process_registry.has_handle(mine, two.id)
    assert await stores.process_registry.has_handle(theirs, one.id)
    left = await stores.process_registry.handles_for_process(one.id)
    assert [theirs.scope_id] == [grant.scope_id for grant in left]


async def a_missing_handle_is_success(stores: ConformanceStores) -> None:
    """Revoking twice, or what was never granted, or of an unknown process, is fine."""
    record = await registered(stores)
    target = scope()
    await stores.process_registry.grant_handle(target, record.id, PLAIN)

    await stores.process_registry.revoke_handle(target, record.id)
    await stores.process_registry.revoke_handle(target, record.id)
    await stores.process_registry.revoke_handle(scope(), record.id)
    await stores.process_registry.revoke_handle(target, unique("absent"))

    assert () == await stores.process_registry.handles_for_process(record.id)
