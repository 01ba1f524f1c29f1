"""``has_handle``: contract 2.3."""

from __future__ import annotations

from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.testing.conformance.process_registry.arrange import completed, registration, scope, unique
from lash_core.testing.conformance.stores import ConformanceStores


async def needs_a_grant_and_a_row(stores: ConformanceStores) -> None:
    """False without a grant, true with one, false again once the row is pruned."""
    kind = unique("kind")
    target = scope()
    ended = await completed(stores, registration(identity=ProcessIdentity(kind=kind)))

    assert not await stores.process_registry.has_handle(target, ended.id)

    await stores.process_registry.grant_handle(target, ended.id, ProcessHandleDescriptor())

    assert await stores.process_registry.has_handle(target, ended.id)

    await stores.process_registry.prune_terminal_processes(
        ended.updated_at_ms + 1, ProcessFilter(status="any", identity_kind=kind)
    )

    assert not await stores.process_registry.has_handle(target, ended.id)
    assert () == await stores.process_registry.list_handles(target)


async def an_unknown_process_has_none(stores: ConformanceStores) -> None:
    """No row, no handle, no error."""
    assert not await stores.process_registry.has_handle(scope(), unique("absent"))
