"""The capability of a runtime with a host (``docs/contracts/background_tasks.md`` 2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.errors.session import UnknownManagedSessionError
from lash_core.model.background_task import (
    BackgroundTaskFilter,
    BackgroundTaskKind,
    BackgroundTaskState,
    ClosePolicy,
)
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.session.child_starts import CreateSessionRequest
from lash_core.testing.conformance.background_tasks.arrange import (
    BackgroundStores,
    TaskScene,
    Work,
    spec,
    task_scene,
)
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.lifecycle.arrange import said
from lash_core.testing.conformance.session_scene import factory_of
from lash_core.testing.waiting import eventually


@asynccontextmanager
async def _opened(stores: BackgroundStores) -> AsyncGenerator[tuple[LashRuntime, TaskScene]]:
    host = DurableBackgroundTaskHost(stores.background_tasks)
    scene = task_scene(stores, host)
    runtime = await scene.runtime()
    try:
        yield runtime, scene
    finally:
        runtime.close()
        await host.close()


async def a_task_is_of_a_session_that_the_runtime_has(stores: BackgroundStores) -> None:
    """Its own, or a child that is open; any other is unknown, and its work not begun."""
    async with _opened(stores) as (runtime, _):
        tasks, work = runtime.background_tasks, Work()
        for spawn in (
            tasks.spawn_hidden_task("nobody", "index", work),
            tasks.spawn_managed_task("nobody", spec(), work),
            tasks.register_background_task("nobody", spec()),
        ):
            with refused(UnknownManagedSessionError, "unknown session `nobody`"):
                await spawn
        assert 0 == work.runs
        child = await runtime.create_session(CreateSessionRequest())
        await tasks.spawn_managed_task(child.session_id, spec(), work)
        assert () == await tasks.list_background_tasks(runtime.session_id)
        assert 1 == len(await tasks.list_background_tasks(child.session_id))
        # The child's own capability manages the same tasks.
        assert 1 == len(await child.runtime.background_tasks.list_background_tasks(child.session_id))


async def awaiting_the_work_reads_what_it_appended(stores: BackgroundStores) -> None:
    """After something was spawned for the current session the next look is at the store; once."""
    async with _opened(stores) as (runtime, scene):
        tasks = runtime.background_tasks
        await runtime.append_session_nodes(said("first"))

        async def appends() -> None:
            other = await TaskScene(stores, scene.session_id, scene.provider, policy=scene.policy).runtime()
            await other.append_session_nodes(said("second"))
            other.close()

        await tasks.spawn_hidden_task(runtime.session_id, "append", appends)
        assert tasks.sync_needed
        assert await runtime.await_background_work()
        assert not tasks.sync_needed
        assert "second" == runtime.read_view().messages[-1].text
        assert not await runtime.await_background_work()
        child = await runtime.create_session(CreateSessionRequest())
        await tasks.spawn_hidden_task(child.session_id, "index", Work())
        assert not tasks.sync_needed


async def a_cancelled_task_is_answered_as_it_is_then(stores: BackgroundStores) -> None:
    """Asked by the host, then cancelled; one that had ended is answered unchanged, an unknown one is an error."""
    async with _opened(stores) as (runtime, _):
        tasks, session_id, work = runtime.background_tasks, runtime.session_id, Work()
        with refused(BackgroundTaskError, "unknown background task `task`"):
            await tasks.cancel_background_task(session_id, "task")
        await tasks.spawn_managed_task(session_id, spec(), work)
        await work.begun.wait()
        events = tasks.subscribe_background_tasks(session_id)
        record = await tasks.cancel_background_task(session_id, "task")
        assert BackgroundTaskState.CANCELLED is record.state
        told = [await anext(events) for _ in range(3)]
        assert ["state_changed", "cancel_requested", "cancelled"] == [event.type for event in told]
        assert "requested by host" == told[1].reason  # type: ignore[union-attr]
        assert record == await tasks.cancel_background_task(session_id, "task")
        await tasks.register_background_task(session_id, spec("next"))
        assert "registered" == (await anext(events)).type


async def all_live_tasks_are_cancelled(stores: BackgroundStores) -> None:
    """The answer is what was cancelled; monitors are among them."""
    async with _opened(stores) as (runtime, _):
        tasks, session_id = runtime.background_tasks, runtime.session_id
        await tasks.register_background_task(session_id, spec("ended"))
        await tasks.complete_background_task(session_id, "ended", BackgroundTaskState.COMPLETED)
        await tasks.register_background_task(session_id, spec("a"))
        await tasks.spawn_managed_task(session_id, spec("monitor:m", kind=BackgroundTaskKind.MONITOR), Work())
        cancelled = await tasks.cancel_all_background_tasks(session_id)
        assert {"a", "monitor:m"} == {record.id for record in cancelled}
        assert {BackgroundTaskState.CANCELLED} == {record.state for record in cancelled}
        assert () == await tasks.list_background_tasks(session_id, BackgroundTaskFilter())
        assert 3 == len(await tasks.list_background_tasks(session_id))


async def handles_are_visible_while_they_live(stores: BackgroundStores) -> None:
    """Tasks as well as handles; the first that is not is named."""
    async with _opened(stores) as (runtime, _):
        tasks, session_id, work = runtime.background_tasks, runtime.session_id, Work()
        await tasks.register_background_task(session_id, spec("a"))
        handle = runtime.async_handles.start(lambda _handle: work(), tool_name="search")
        await tasks.validate_async_handles_visible(session_id, ["a", handle.id])
        await tasks.complete_background_task(session_id, "a", BackgroundTaskState.COMPLETED)
        with refused(BackgroundTaskError, "async handle `a` is not live or visible in this session"):
            await tasks.validate_async_handles_visible(session_id, [handle.id, "a", "b"])
        work.end.set()
        await eventually(lambda: not handle.is_live)
        with refused(BackgroundTaskError, f"async handle `{handle.id}` is not live or visible in this session"):
            await tasks.validate_async_handles_visible(session_id, [handle.id])


async def handles_and_tasks_move_together_or_not_at_all(stores: BackgroundStores) -> None:
    """A conflict of either stops both (decision 15)."""
    async with _opened(stores) as (runtime, _):
        tasks, here, work = runtime.background_tasks, runtime.session_id, Work()
        child = await runtime.create_session(CreateSessionRequest())
        there = child.session_id
        handle = runtime.async_handles.start(lambda _handle: work(), tool_name="search")
        await tasks.register_background_task(here, spec("a"))
        await tasks.register_background_task(there, spec("a"))
        with refused(BackgroundTaskError, "async handle `unknown` is not live or visible"):
            await tasks.transfer_async_handles(here, there, [handle.id, "unknown"])
        with refused(BackgroundTaskError, "background task `a` already exists in successor session"):
            await tasks.transfer_async_handles(here, there, [handle.id, "a"])
        assert handle.id in runtime.async_handles
        await tasks.unregister_background_task(there, "a")
        await tasks.transfer_async_handles(here, there, [handle.id, "a"])
        assert handle.id not in runtime.async_handles
        assert handle.id in child.runtime.async_handles
        assert () == await tasks.list_background_tasks(here)
        assert ["a"] == [record.id for record in await tasks.list_background_tasks(there)]
        await tasks.validate_async_handles_visible(there, [handle.id, "a"])


async def what_is_not_kept_is_cancelled_but_monitors(stores: BackgroundStores) -> None:
    """Handles and tasks alike (decision 16)."""
    async with _opened(stores) as (runtime, _):
        tasks, session_id = runtime.background_tasks, runtime.session_id
        kept = runtime.async_handles.start(lambda _handle: Work()(), tool_name="search")
        dropped = runtime.async_handles.start(lambda _handle: Work()(), tool_name="search")
        for task_id in ("a", "b"):
            await tasks.register_background_task(session_id, spec(task_id))
        monitor = spec("monitor:m", kind=BackgroundTaskKind.MONITOR)
        await tasks.spawn_managed_task(session_id, monitor, Work())
        cancelled = await tasks.cancel_unreferenced_async_handles(session_id, [kept.id, "a"])
        assert ["b"] == [record.id for record in cancelled]
        assert (True, False) == (kept.is_live, dropped.is_live)
        live = await tasks.list_background_tasks(session_id, BackgroundTaskFilter())
        assert ["a", "monitor:m"] == [record.id for record in live]


async def tasks_of_a_closed_child_follow_their_policy(stores: BackgroundStores) -> None:
    """Cancelled, left as they are, or given to the parent."""
    async with _opened(stores) as (runtime, _):
        tasks = runtime.background_tasks
        child = await runtime.create_session(CreateSessionRequest())
        works = {policy: Work() for policy in ClosePolicy}
        for policy, work in works.items():
            about = spec(policy.value)
            await tasks.spawn_managed_task(child.session_id, about, work, close_policy=policy)
            await work.begun.wait()
        await runtime.close_session(child.session_id)
        assert works[ClosePolicy.CANCEL].stopped.is_set()
        assert not works[ClosePolicy.KEEP].stopped.is_set()
        assert ["transfer"] == [record.id for record in await tasks.list_background_tasks(runtime.session_id)]
        works[ClosePolicy.TRANSFER].end.set()

        async def has_ended() -> bool:
            (record,) = await tasks.list_background_tasks(runtime.session_id)
            return record.state is BackgroundTaskState.COMPLETED

        await eventually(has_ended)


async def parking_awaits_hidden_tasks(stores: BackgroundStores) -> None:
    """They may still have something to store."""
    async with _opened(stores) as (runtime, _):
        ended: list[str] = []

        async def index() -> None:
            ended.append("index")

        await runtime.background_tasks.spawn_hidden_task(runtime.session_id, "index", index)
        await runtime.park()
        assert ["index"] == ended


async def tasks_of_a_deleted_session_end_in_memory(stores: BackgroundStores) -> None:
    """A runtime that lives on sees how its work ended; the store keeps nothing of it."""
    async with _opened(stores) as (runtime, scene):
        tasks, session_id, work = runtime.background_tasks, runtime.session_id, Work(answer="12 pages")
        await runtime.append_session_nodes(said("first"))
        await tasks.spawn_managed_task(session_id, spec("m"), work)
        await tasks.register_background_task(session_id, spec("x"))
        await factory_of(stores).delete_session(scene.session_id)
        work.end.set()
        await tasks.complete_background_task(session_id, "x", BackgroundTaskState.CANCELLED)

        async def have_ended() -> bool:
            records = await tasks.list_background_tasks(session_id)
            return [BackgroundTaskState.COMPLETED, BackgroundTaskState.CANCELLED] == [one.state for one in records]

        await eventually(have_ended)
        assert () == await stores.background_tasks.read_background_tasks(session_id)
