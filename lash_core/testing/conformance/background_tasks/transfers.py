"""Tasks move between the sessions of a runtime: all or none (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import BackgroundTaskScope, BackgroundTaskState
from lash_core.testing.conformance.background_tasks.arrange import Hosted, Work, is_durable, on_each_host, spec
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import elapse


@on_each_host
async def a_moved_task_goes_on_and_ends_in_its_new_session(on: Hosted) -> None:
    """Record, list and end are the successor's; the old scope knows it no more."""
    successor, work = await on.another_session(), Work()
    to_scope = on.sibling(successor)
    heard = on.listen()
    began = await on.host.spawn_managed(on.scope_key, spec(), work)
    await elapse(on.stores, 3)
    await on.host.transfer_managed(on.scope_key, to_scope, ["task", "unknown", "task"])
    assert () == await on.host.list_managed(on.scope_key)
    (moved,) = await on.host.list_managed(to_scope)
    assert BackgroundTaskScope(successor) == moved.scope
    assert (BackgroundTaskState.RUNNING, began.created_at) == (moved.state, moved.created_at)
    assert ["registered", "transferred"] == await heard.kinds_until("transferred")
    work.end.set()
    await on.reaches(BackgroundTaskState.COMPLETED, scope_key=to_scope)
    if is_durable(on):
        assert () == await on.rows()
        (row,) = await on.rows(successor)
        assert (to_scope, BackgroundTaskState.COMPLETED) == (row.scope_key, row.row.record.state)


@on_each_host
async def a_live_task_of_the_id_in_the_successor_stops_all(on: Hosted) -> None:
    """Nothing moves, and nobody is told."""
    to_scope = on.sibling(await on.another_session())
    for task_id in ("a", "b"):
        await on.host.register_external(on.scope_key, spec(task_id))
    await on.host.register_external(to_scope, spec("b"))
    heard = on.listen()
    with refused(BackgroundTaskError, "background task `b` already exists in successor session"):
        await on.host.transfer_managed(on.scope_key, to_scope, ["a", "b"])
    assert ["a", "b"] == [record.id for record in await on.host.list_managed(on.scope_key)]
    assert ["b"] == [record.id for record in await on.host.list_managed(to_scope)]
    await on.host.register_external(on.scope_key, spec("next"))
    assert ["registered"] == await heard.kinds_until("registered")


@on_each_host
async def an_ended_task_in_the_successor_gives_way(on: Hosted) -> None:
    """The one that comes takes its place."""
    to_scope = on.sibling(await on.another_session())
    await on.host.register_external(on.scope_key, spec())
    await on.host.register_external(to_scope, spec())
    await on.host.mark_terminal(to_scope, "task", BackgroundTaskState.FAILED)
    await on.host.transfer_managed(on.scope_key, to_scope, ["task"])
    assert BackgroundTaskState.RUNNING is await on.state(scope_key=to_scope)
    await on.host.mark_terminal(to_scope, "task", BackgroundTaskState.COMPLETED)
    assert BackgroundTaskState.COMPLETED is await on.state(scope_key=to_scope)


@on_each_host
async def the_same_scope_and_no_ids_change_nothing(on: Hosted) -> None:
    """And tell nothing."""
    await on.host.register_external(on.scope_key, spec())
    heard = on.listen()
    await on.host.transfer_managed(on.scope_key, on.scope_key, ["task"])
    await on.host.transfer_managed(on.scope_key, on.sibling("another"), [])
    await on.host.unregister_external(on.scope_key, "task")
    await on.host.register_external(on.scope_key, spec())
    assert ["registered"] == await heard.kinds_until("registered")


@on_each_host
async def one_task_is_given_to_another_session(on: Hosted) -> None:
    """An unknown one is an error; scope and time of change are new."""
    successor = BackgroundTaskScope(await on.another_session())
    with refused(BackgroundTaskError, "unknown background task `task`"):
        await on.host.transfer(on.scope_key, "task", successor)
    before = await on.host.register_external(on.scope_key, spec())
    await elapse(on.stores, 5)
    moved = await on.host.transfer(on.scope_key, "task", successor)
    assert successor == moved.scope
    assert moved.updated_at >= before.updated_at
    assert await on.host.get_managed(on.scope_key, "task") is None


@on_each_host
async def a_moved_callback_is_called_from_its_new_session(on: Hosted) -> None:
    """Once, as ever."""
    calls: list[str] = []
    to_scope = on.sibling(await on.another_session())
    await on.host.register_external(on.scope_key, spec(), lambda: calls.append("called"))
    await on.host.transfer_managed(on.scope_key, to_scope, ["task"])
    await on.host.cancel_managed(on.scope_key, "task")
    assert [] == calls
    await on.host.cancel_managed(to_scope, "task")
    assert ["called"] == calls
