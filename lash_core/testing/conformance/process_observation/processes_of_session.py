"""``processes_of_session``: what a session has handles on and what wakes it (``docs/contracts/observation.md`` 7)."""

from __future__ import annotations

from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.scope import SessionScope
from lash_core.testing.conformance.process_observation.arrange import ids, observed
from lash_core.testing.conformance.process_registry.arrange import completed, registered, registration, scope, unique
from lash_core.testing.conformance.stores import ConformanceStores, elapse

PLAIN = ProcessHandleDescriptor()


async def a_session_without_processes_has_none(stores: ConformanceStores) -> None:
    """Nor has one that never was."""
    page = await observed(stores).processes_of_session(unique("session"))

    assert ((), 0) == (page.processes, page.total)


async def newest_come_first(stores: ConformanceStores) -> None:
    """By creation; the bound leaves the oldest out and says how many there are."""
    mine = scope()
    made: list[str] = []
    for _ in range(4):
        record = await registered(stores)
        await stores.process_registry.grant_handle(mine, record.id, PLAIN)
        made.append(record.id)
        await elapse(stores, 5)

    everything = await observed(stores).processes_of_session(mine.session_id)
    newest = await observed(stores).processes_of_session(mine.session_id, limit=2)
    none = await observed(stores).processes_of_session(mine.session_id, limit=0)

    assert (made[::-1], 4) == (ids(everything), everything.total)
    assert (made[:1:-1], 4) == (ids(newest), newest.total)
    assert ([], 4) == (ids(none), none.total)


async def every_scope_of_the_session_counts(stores: ConformanceStores) -> None:
    """A process that the session and its frames hold is one, with the grants of all; another session's is none."""
    session_id = unique("session")
    root, frame, other = scope(session_id), scope(session_id, "f1"), scope()
    shared, of_frame, theirs = [await registered(stores) for _ in range(3)]
    grant = stores.process_registry.grant_handle
    await grant(root, shared.id, ProcessHandleDescriptor(label="r"))
    await grant(frame, shared.id, ProcessHandleDescriptor(label="f"))
    await grant(frame, of_frame.id, PLAIN)
    await grant(other, theirs.id, PLAIN)
    await grant(other, shared.id, PLAIN)

    page = await observed(stores).processes_of_session(session_id)

    found = {one.record.id: {held.scope_id: held.descriptor.label for held in one.grants} for one in page.processes}
    assert {shared.id: {root.scope_id: "r", frame.scope_id: "f"}, of_frame.id: {frame.scope_id: None}} == found
    assert not any(one.wakes for one in page.processes)


async def what_wakes_the_session_is_its_own_too(stores: ConformanceStores) -> None:
    """Without a handle; a process that does both is one."""
    session_id = unique("session")
    woken = scope(session_id, "f1")
    waking = await registered(stores, registration(wake_target=woken))
    both = await registered(stores, registration(wake_target=scope(session_id)))
    await stores.process_registry.grant_handle(woken, both.id, PLAIN)
    await registered(stores, registration(wake_target=scope()))

    page = await observed(stores).processes_of_session(session_id)

    assert {waking.id: (True, 0), both.id: (True, 1)} == {
        one.record.id: (one.wakes, len(one.grants)) for one in page.processes
    }
    assert 2 == page.total


async def ended_ones_are_there_unless_only_live_ones_are_wanted(stores: ConformanceStores) -> None:
    """The row is the row as it is."""
    mine = scope()
    live = await registered(stores)
    ended = await completed(stores)
    for record in (live, ended):
        await stores.process_registry.grant_handle(mine, record.id, PLAIN)

    everything = await observed(stores).processes_of_session(mine.session_id)
    alive = await observed(stores).processes_of_session(mine.session_id, live_only=True)

    assert {live.id, ended.id} == set(ids(everything))
    assert ended in [one.record for one in everything.processes]
    assert ([live.id], 1) == (ids(alive), alive.total)


async def revoked_and_moved_handles_are_gone(stores: ConformanceStores) -> None:
    """They are where they are now."""
    first, second = scope(), scope()
    revoked, moved = await registered(stores), await registered(stores)
    for record in (revoked, moved):
        await stores.process_registry.grant_handle(first, record.id, PLAIN)
    await stores.process_registry.revoke_handle(first, revoked.id)
    await stores.process_registry.transfer_handles(first, second, [moved.id])

    assert [] == ids(await observed(stores).processes_of_session(first.session_id))
    assert [moved.id] == ids(await observed(stores).processes_of_session(second.session_id))


async def a_deleted_session_has_none(stores: ConformanceStores) -> None:
    """Neither by handle nor by wake."""
    session_id = unique("session")
    held = await registered(stores)
    await stores.process_registry.grant_handle(SessionScope(session_id=session_id), held.id, PLAIN)
    await registered(stores, registration(wake_target=scope(session_id)))

    await stores.process_registry.delete_session_process_state(session_id)

    assert [] == ids(await observed(stores).processes_of_session(session_id))


async def a_pruned_process_is_gone(stores: ConformanceStores) -> None:
    """With its handle and its wake."""
    session_id = unique("session")
    record = await completed(stores, registration(wake_target=scope(session_id)))
    await stores.process_registry.grant_handle(scope(session_id), record.id, PLAIN)
    await elapse(stores, 5)

    await stores.process_registry.prune_terminal_processes(record.updated_at_ms + 1)

    page = await observed(stores).processes_of_session(session_id)
    assert ([], 0) == (ids(page), page.total)
