"""``transfer_handles``: contract 2.3; all or nothing."""

from __future__ import annotations

from lash_core.errors import HandleNotGrantedError
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import registered, scope, unique
from lash_core.testing.conformance.stores import ConformanceStores

JOB = ProcessHandleDescriptor(kind="job", label="moves")


async def moves_handles_with_their_descriptors(stores: ConformanceStores) -> None:
    """Gone at the source, there at the target, descriptor unchanged; other grants stay."""
    records = [await registered(stores) for _ in range(3)]
    source, target = scope(), scope()
    for record in records:
        await stores.process_registry.grant_handle(source, record.id, JOB)

    await stores.process_registry.transfer_handles(source, target, [records[0].id, records[1].id])

    kept = await stores.process_registry.list_handles(source)
    moved = await stores.process_registry.list_handles(target)
    assert [records[2].id] == [row.id for _, row in kept]
    assert sorted([records[0].id, records[1].id]) == [row.id for _, row in moved]
    assert [JOB, JOB] == [grant.descriptor for grant, _ in moved]
    for record in records[:2]:
        grants = await stores.process_registry.handles_for_process(record.id)
        assert [target.scope_id] == [grant.scope_id for grant in grants]


async def an_existing_grant_at_the_target_is_overwritten(stores: ConformanceStores) -> None:
    """The travelling descriptor wins."""
    record = await registered(stores)
    source, target = scope(), scope()
    await stores.process_registry.grant_handle(target, record.id, ProcessHandleDescriptor(label="old"))
    await stores.process_registry.grant_handle(source, record.id, JOB)

    await stores.process_registry.transfer_handles(source, target, [record.id])

    moved = await stores.process_registry.list_handles(target)
    assert [JOB] == [grant.descriptor for grant, _ in moved]


async def one_missing_grant_moves_nothing(stores: ConformanceStores) -> None:
    """The error names the process and the session, and every grant stays where it was."""
    granted, missing = await registered(stores), await registered(stores)
    source, target = scope(), scope()
    await stores.process_registry.grant_handle(source, granted.id, JOB)

    text = f"process handle `{missing.id}` is not granted to session `{source.session_id}`"
    with refused(HandleNotGrantedError, text):
        await stores.process_registry.transfer_handles(source, target, [granted.id, missing.id])

    assert await stores.process_registry.has_handle(source, granted.id)
    assert not await stores.process_registry.has_handle(target, granted.id)
    assert () == await stores.process_registry.list_handles(target)


async def an_unknown_process_is_not_granted(stores: ConformanceStores) -> None:
    """Without a row there is no grant to move."""
    process_id = unique("absent")

    with refused(HandleNotGrantedError, "is not granted to session"):
        await stores.process_registry.transfer_handles(scope(), scope(), [process_id])


async def a_transfer_to_the_same_scope_keeps_the_handle(stores: ConformanceStores) -> None:
    """Source and target may be one scope."""
    record = await registered(stores)
    target = scope()
    await stores.process_registry.grant_handle(target, record.id, JOB)

    await stores.process_registry.transfer_handles(target, target, [record.id])

    assert await stores.process_registry.has_handle(target, record.id)


async def frames_of_one_session_are_different_places(stores: ConformanceStores) -> None:
    """A handle can move from a session to one of its frames."""
    record = await registered(stores)
    session = scope()
    frame = session.model_copy(update={"agent_frame_id": "f1"})
    await stores.process_registry.grant_handle(session, record.id, JOB)

    await stores.process_registry.transfer_handles(session, frame, [record.id])

    assert not await stores.process_registry.has_handle(session, record.id)
    assert await stores.process_registry.has_handle(frame, record.id)


async def no_ids_move_nothing(stores: ConformanceStores) -> None:
    """An empty transfer is success."""
    await stores.process_registry.transfer_handles(scope(), scope(), [])
