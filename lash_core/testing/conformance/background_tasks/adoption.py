"""Rows whose runtime is gone are taken over (decision 4; ``docs/contracts/background_tasks.md`` 4)."""

from __future__ import annotations

import asyncio

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskRecord,
    BackgroundTaskState,
    BackgroundTaskUpdate,
    ClosePolicy,
)
from lash_core.model.turn_input import TurnInput
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.background.local_host import LocalBackgroundTaskHost
from lash_core.store.background_task_store import TaskSwap
from lash_core.testing.conformance.background_tasks.arrange import (
    BackgroundStores,
    Hosted,
    Work,
    on_host,
    spec,
    task_scene,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.waiting import eventually


def _host(stores: BackgroundStores) -> DurableBackgroundTaskHost:
    """A host as another program has it."""
    return DurableBackgroundTaskHost(stores.background_tasks)


def _lost(record: BackgroundTaskRecord) -> bool:
    return record.failure is not None and record.failure.code == "task_owner_lost"


async def the_next_holder_of_the_lease_takes_rows_over(stores: BackgroundStores) -> None:
    """External ones go on, managed ones have failed, once and with evidence; hidden ones leave no trace."""
    async with on_host(_host(stores), stores) as dead, on_host(_host(stores), stores, dead.session_id) as heir:
        await dead.host.adopt(dead.scope_key, 5)
        work = Work()
        managed = await dead.host.spawn_managed(dead.scope_key, spec("m"), work)
        await work.begun.wait()
        external = await dead.host.register_external(dead.scope_key, spec("x"))
        await dead.host.spawn_hidden(dead.scope_key, "hidden", Work())
        heard = heir.listen()
        taken = await heir.host.adopt(heir.scope_key, 6)
        assert taken == await heir.host.list_managed(heir.scope_key)
        assert {"m", "x"} == {record.id for record in taken}
        lost, alive = await heir.record("m"), await heir.record("x")
        assert BackgroundTaskState.FAILED is lost.state
        assert _lost(lost)
        assert managed.created_at == lost.created_at
        assert lost.failure is not None
        evidence = lost.failure.evidence
        assert (5, 6) == (evidence["owner_generation"], evidence["adopter_generation"])
        assert dead.scope_key == f"{evidence['owner']}:{dead.session_id}"
        assert (BackgroundTaskState.RUNNING, external.created_at) == (alive.state, alive.created_at)
        assert {"failed", "registered"} == {(await anext(heard.events)).type for _ in range(2)}
        assert () == await heir.host.adopt(heir.scope_key, 6)
        assert 1 == work.runs
        assert {heir.scope_key} == {task.scope_key for task in await heir.rows()}


async def an_external_row_is_fed_by_its_new_owner(stores: BackgroundStores) -> None:
    """Update, cancel, complete: as if it had been registered there."""
    async with on_host(_host(stores), stores) as dead, on_host(_host(stores), stores, dead.session_id) as heir:
        await dead.host.register_external(dead.scope_key, spec())
        await heir.host.adopt(heir.scope_key, 1)
        await heir.host.update(heir.scope_key, "task", BackgroundTaskUpdate(state=BackgroundTaskState.WAITING))
        done = BackgroundTaskCompletion(BackgroundTaskState.COMPLETED, "fine")
        assert BackgroundTaskState.COMPLETED is (await heir.host.complete(heir.scope_key, "task", done)).state
        (row,) = await heir.rows()
        assert BackgroundTaskState.COMPLETED is row.row.record.state


async def a_former_owner_that_lives_learns_that_it_lost_its_tasks(stores: BackgroundStores) -> None:
    """What it writes is refused and its work cancelled; the record stays as the new owner has it."""
    async with on_host(_host(stores), stores) as old, on_host(_host(stores), stores, old.session_id) as heir:
        await old.host.adopt(old.scope_key, 5)
        work = Work()
        await old.host.spawn_managed(old.scope_key, spec("m"), work)
        await work.begun.wait()
        await old.host.register_external(old.scope_key, spec("x"))
        heard = old.listen()
        await heir.host.adopt(heir.scope_key, 6)
        with refused(BackgroundTaskError, "unknown background task `x`"):
            await old.host.update(old.scope_key, "x", BackgroundTaskUpdate(progress=1))
        with refused(BackgroundTaskError, "unknown background task `m`"):
            await old.host.request_cancel(old.scope_key, "m", None)
        await asyncio.wait_for(work.stopped.wait(), 15)
        assert () == await old.host.list_managed(old.scope_key)
        assert ["failed", "failed"] == [(await anext(heard.events)).type for _ in range(2)]
        assert _lost(await heir.record("m"))
        assert BackgroundTaskState.RUNNING is await heir.state("x")


async def what_changes_nothing_of_unknown_tasks_changes_nothing_of_lost_ones(stores: BackgroundStores) -> None:
    """Their former owner is told by no error, calls no callback, and closes its scope to the end."""
    async with on_host(_host(stores), stores) as old, on_host(_host(stores), stores, old.session_id) as heir:
        calls: list[str] = []
        for task_id in "abcd":
            await old.host.register_external(old.scope_key, spec(task_id), lambda: calls.append("called"))
        work = Work()
        await old.host.spawn_managed(old.scope_key, spec("m"), work, close_policy=ClosePolicy.CANCEL)
        await work.begun.wait()
        heard = old.listen()
        await heir.host.adopt(heir.scope_key, 6)
        await old.host.cancel_managed(old.scope_key, "a")
        await old.host.mark_terminal(old.scope_key, "b", BackgroundTaskState.COMPLETED)
        await old.host.mark_live(old.scope_key, "c", BackgroundTaskState.WAITING)
        await old.host.unregister_external(old.scope_key, "d")
        await old.host.close_scope(old.scope_key)
        assert ["failed"] * 4 == [event.type async for event in heard.events]
        assert work.stopped.is_set()
        assert [] == calls
        live = [record.id for record in await heir.host.list_managed(heir.scope_key) if not record.state.is_terminal]
        assert ["a", "b", "c", "d"] == live
        assert BackgroundTaskState.RUNNING is await heir.state("c")


async def the_end_of_lost_work_changes_nothing(stores: BackgroundStores) -> None:
    """A managed task that was declared lost may still end where it runs."""
    async with on_host(_host(stores), stores) as old, on_host(_host(stores), stores, old.session_id) as heir:
        work = Work()
        await old.host.spawn_managed(old.scope_key, spec(), work)
        await work.begun.wait()
        await heir.host.adopt(heir.scope_key, 6)
        work.end.set()
        heard = old.listen()
        assert ["failed"] == await heard.kinds_until("failed")
        assert _lost(await heir.record())
        (row,) = await heir.rows()
        assert _lost(row.row.record)


async def rows_of_the_same_or_a_newer_generation_stay(stores: BackgroundStores) -> None:
    """Two live runtimes do not see each other's tasks: an older lease takes nothing."""
    async with on_host(_host(stores), stores) as new, on_host(_host(stores), stores, new.session_id) as old:
        await new.host.adopt(new.scope_key, 7)
        await new.host.register_external(new.scope_key, spec())
        assert () == await old.host.adopt(old.scope_key, 7)
        assert () == await old.host.adopt(old.scope_key, 6)
        assert () == await old.host.list_managed(old.scope_key)
        assert BackgroundTaskState.RUNNING is await new.state()


async def only_rows_of_older_generations_are_taken(stores: BackgroundStores) -> None:
    """Of two other runtimes one had an older lease, one a newer: the newer keeps what it has."""
    async with (
        on_host(_host(stores), stores) as old,
        on_host(_host(stores), stores, old.session_id) as new,
        on_host(_host(stores), stores, old.session_id) as between,
    ):
        await old.host.adopt(old.scope_key, 3)
        await old.host.register_external(old.scope_key, spec("old"))
        await new.host.adopt(new.scope_key, 3)
        await new.host.adopt(new.scope_key, 9)
        await new.host.register_external(new.scope_key, spec("new"))
        late = await old.host.register_external(old.scope_key, spec("late"))
        assert ["late"] == [record.id for record in await between.host.adopt(between.scope_key, 5)]
        assert late.created_at == (await between.record("late")).created_at
        assert {"old", "new"} == {record.id for record in await new.host.list_managed(new.scope_key)}
        assert BackgroundTaskState.RUNNING is await new.state("new")


async def a_live_runtime_of_the_same_program_may_lose_its_tasks(stores: BackgroundStores) -> None:
    """Only what a runtime left when it was closed goes on; one that has an old lease loses its work."""
    host = _host(stores)
    async with on_host(host, stores) as old:
        heir, work = Hosted(host, stores, old.session_id, f"heir-{old.scope_key}"), Work()
        await host.adopt(old.scope_key, 1)
        await host.spawn_managed(old.scope_key, spec("m"), work)
        await work.begun.wait()
        await host.adopt(heir.scope_key, 2)
        assert _lost(await heir.record("m"))
        await asyncio.wait_for(work.stopped.wait(), 15)
        assert () == await host.list_managed(old.scope_key)
        assert _lost(await heir.record("m"))


async def a_runtime_keeps_its_own_rows_over_its_leases(stores: BackgroundStores) -> None:
    """They get its newest generation, so who holds an older one takes nothing."""
    async with on_host(_host(stores), stores) as on, on_host(_host(stores), stores, on.session_id) as late:
        work = Work()
        await on.host.spawn_managed(on.scope_key, spec(), work)
        for generation in (1, 2, 5):
            assert () == await on.host.adopt(on.scope_key, generation)
        assert () == await late.host.adopt(late.scope_key, 4)
        assert BackgroundTaskState.RUNNING is await on.state()
        work.end.set()
        await on.reaches(BackgroundTaskState.COMPLETED)


async def an_id_of_the_adopter_stays_its_own(stores: BackgroundStores) -> None:
    """A live task of its own hides the row that comes; an ended one gives way."""
    async with on_host(_host(stores), stores) as dead, on_host(_host(stores), stores, dead.session_id) as heir:
        for task_id in ("live", "ended"):
            await dead.host.register_external(dead.scope_key, spec(task_id, producer="dead"))
            await heir.host.register_external(heir.scope_key, spec(task_id, producer="heir"))
        await heir.host.mark_terminal(heir.scope_key, "ended", BackgroundTaskState.COMPLETED)
        await heir.host.adopt(heir.scope_key, 3)
        assert ("heir", "dead") == ((await heir.record("live")).producer, (await heir.record("ended")).producer)
        assert BackgroundTaskState.RUNNING is await heir.state("ended")
        assert 2 == len(await heir.rows())
        await heir.host.mark_terminal(heir.scope_key, "ended", BackgroundTaskState.COMPLETED)
        await heir.host.mark_terminal(heir.scope_key, "live", BackgroundTaskState.COMPLETED)


async def kept_tasks_go_on_with_the_next_runtime_of_their_program(stores: BackgroundStores) -> None:
    """A runtime that was closed left them to its host: they are not lost, they still run here."""
    for host in (LocalBackgroundTaskHost(), _host(stores)):
        async with on_host(host, stores) as left:
            heir = Hosted(host, stores, left.session_id, f"heir-{left.scope_key}")
            work, calls = Work(), list[str]()
            await host.spawn_managed(left.scope_key, spec("m"), work)
            await work.begun.wait()
            await host.register_external(left.scope_key, spec("x"), lambda calls=calls: calls.append("called"))
            await host.close_scope(left.scope_key)
            assert 2 == len(await host.adopt(heir.scope_key, 9))
            assert BackgroundTaskState.RUNNING is await heir.state("m")
            assert () == await host.list_managed(left.scope_key)
            work.end.set()
            await heir.reaches(BackgroundTaskState.COMPLETED, "m")
            await host.cancel_managed(heir.scope_key, "x")
            assert ["called"] == calls


async def what_kept_work_begins_later_is_kept_too(stores: BackgroundStores) -> None:
    """It has the capability of a runtime that was closed: neither it nor what it begins is lost (ADR 0252)."""
    for host in (LocalBackgroundTaskHost(), _host(stores)):
        scene = task_scene(stores, host)
        runtime = await scene.runtime()
        tasks, session_id, work, later = runtime.background_tasks, scene.session_id, Work(), Work()
        await runtime.stream_turn(TurnInput.text("hi"))
        await tasks.spawn_managed_task(session_id, spec("kept"), work)
        events = tasks.subscribe_background_tasks(session_id)
        runtime.close()
        assert [] == [event async for event in events]
        await tasks.spawn_managed_task(session_id, spec("later"), later)
        await tasks.register_background_task(session_id, spec("outside"))
        heir = await scene.runtime()
        await heir.stream_turn(TurnInput.text("and now?"))
        found = await heir.background_tasks.list_background_tasks(session_id)
        assert {"kept", "later", "outside"} == {record.id for record in found}
        assert {BackgroundTaskState.RUNNING} == {record.state for record in found}
        heir.close()
        await host.close()


async def a_task_that_ended_while_nobody_had_it_is_found_ended(stores: BackgroundStores) -> None:
    """Its end was stored under the scope that was left."""
    async with on_host(_host(stores), stores) as left, on_host(_host(stores), stores, left.session_id) as heir:
        work = Work(answer="12 pages")
        await left.host.spawn_managed(left.scope_key, spec(), work)
        await left.host.close_scope(left.scope_key)
        work.end.set()

        async def has_ended() -> bool:
            (row,) = await left.rows()
            return row.row.record.state is BackgroundTaskState.COMPLETED

        await eventually(has_ended)
        await heir.host.adopt(heir.scope_key, 2)
        record = await heir.record()
        assert record.result is not None
        assert "12 pages" == record.result.summary


async def a_runtime_takes_rows_over_when_it_has_the_lease(stores: BackgroundStores) -> None:
    """Its turn does it, before anything of the session runs; a runtime that takes no lease sees nothing."""
    dead, host = _host(stores), _host(stores)
    first, scene = task_scene(stores, dead), task_scene(stores, host)
    scene.session_id = first.session_id
    runtime = await first.runtime()
    work = Work()
    await runtime.stream_turn(TurnInput.text("hi"))
    await runtime.background_tasks.spawn_managed_task(runtime.session_id, spec("m"), work)
    await runtime.background_tasks.register_background_task(runtime.session_id, spec("x"))
    next_one = await scene.runtime()
    assert () == await next_one.background_tasks.list_background_tasks(scene.session_id)
    await next_one.stream_turn(TurnInput.text("and now?"))
    records = {record.id: record for record in await next_one.background_tasks.list_background_tasks(scene.session_id)}
    assert {"m", "x"} == records.keys()
    assert _lost(records["m"])
    assert BackgroundTaskState.RUNNING is records["x"].state
    for one in (runtime, next_one):
        one.close()
    for one in (dead, host):
        await one.close()


async def a_move_that_was_cut_off_is_finished_by_who_adopts(stores: BackgroundStores) -> None:
    """A task that arrived is not listed twice; one that did not is where it was."""
    async with on_host(_host(stores), stores) as dead, on_host(_host(stores), stores, dead.session_id) as heir:
        store, successor = stores.background_tasks, await dead.another_session()
        to_scope = dead.sibling(successor)
        await dead.host.register_external(dead.scope_key, spec("arrived"))
        await dead.host.register_external(dead.scope_key, spec("left"))
        before = await dead.rows()
        await dead.host.transfer_managed(dead.scope_key, to_scope, ["arrived", "left"])
        # As if the program had died before it took the rows away here, and before one of them was put there.

        marked = [task.row.model_copy(update={"moving_to": to_scope}) for task in before]
        await store.swap_background_tasks(
            dead.session_id,
            [
                TaskSwap(dead.scope_key, task.row.record.id, 0, row, task.created_us)
                for task, row in zip(before, marked, strict=True)
            ],
        )
        there = {task.row.record.id: task for task in await dead.rows(successor)}
        left = there["left"]
        await store.swap_background_tasks(successor, [TaskSwap(to_scope, "left", left.revision, None)])
        await heir.host.adopt(heir.scope_key, 2)
        assert ["left"] == [record.id for record in await heir.host.list_managed(heir.scope_key)]
        assert ["arrived"] == [task.row.record.id for task in await heir.rows(successor)]
