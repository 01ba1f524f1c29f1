"""``list_handles`` and ``list_live_handles``: contract 2.3."""

from __future__ import annotations

from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.testing.conformance.process_registry.arrange import completed, registered, scope
from lash_core.testing.conformance.stores import ConformanceStores

PLAIN = ProcessHandleDescriptor()


async def lists_grants_with_their_rows_by_process_id(stores: ConformanceStores) -> None:
    """Terminal rows are listed; ``list_live_handles`` leaves them out."""
    target = scope()
    live = [await registered(stores) for _ in range(3)]
    ended = await completed(stores)
    for record in (*live, ended):
        await stores.process_registry.grant_handle(target, record.id, PLAIN)

    everything = await stores.process_registry.list_handles(target)
    alive = await stores.process_registry.list_live_handles(target)

    assert sorted([*(record.id for record in live), ended.id]) == [row.id for _, row in everything]
    assert sorted(record.id for record in live) == [row.id for _, row in alive]
    assert all(grant.process_id == row.id for grant, row in everything)
    assert [ended] == [row for _, row in everything if row.is_terminal]


async def other_scopes_are_not_listed(stores: ConformanceStores) -> None:
    """A frame's list is not its session's."""
    record = await registered(stores)
    session = scope()
    frame = session.model_copy(update={"agent_frame_id": "f1"})
    await stores.process_registry.grant_handle(frame, record.id, PLAIN)

    assert () == await stores.process_registry.list_handles(session)
    assert 1 == len(await stores.process_registry.list_handles(frame))


async def a_scope_without_grants_is_empty(stores: ConformanceStores) -> None:
    """An unknown scope is no error."""
    assert () == await stores.process_registry.list_handles(scope())
    assert () == await stores.process_registry.list_live_handles(scope())
