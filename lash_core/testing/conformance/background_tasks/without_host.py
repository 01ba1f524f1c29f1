"""The capability of a runtime without a host (``docs/contracts/background_tasks.md`` 2)."""

from __future__ import annotations

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.errors.session import UnknownManagedSessionError
from lash_core.model.background_task import BackgroundTaskState
from lash_core.testing.conformance.background_tasks.arrange import BackgroundStores, Work, spec, task_scene
from lash_core.testing.conformance.expectations import refused


async def what_needs_a_host_says_so(stores: BackgroundStores) -> None:
    """Each verb in its words; nothing is started."""
    runtime = await task_scene(stores, None).runtime()
    tasks, session_id, work = runtime.background_tasks, runtime.session_id, Work()
    registry = "background task registry is unavailable in this runtime"
    with refused(BackgroundTaskError, "background tasks are unavailable in this runtime"):
        await tasks.spawn_hidden_task(session_id, "index", work)
    with refused(BackgroundTaskError, "managed background tasks are unavailable in this runtime"):
        await tasks.spawn_managed_task(session_id, spec(), work)
    with refused(BackgroundTaskError, registry):
        await tasks.register_background_task(session_id, spec())
    with refused(BackgroundTaskError, registry):
        await tasks.list_background_tasks(session_id)
    with refused(BackgroundTaskError, registry):
        await tasks.cancel_background_task(session_id, "task")
    with refused(BackgroundTaskError, registry):
        await tasks.cancel_all_background_tasks(session_id)
    with refused(BackgroundTaskError, registry):
        await tasks.cancel_unreferenced_async_handles(session_id, [])
    assert 0 == work.runs
    assert not tasks.sync_needed
    runtime.close()


async def what_only_waits_or_forgets_has_nothing_to_do(stores: BackgroundStores) -> None:
    """No error, no effect."""
    runtime = await task_scene(stores, None).runtime()
    tasks, session_id = runtime.background_tasks, runtime.session_id
    await tasks.await_hidden_tasks(session_id)
    await tasks.cancel_managed_task(session_id, "task")
    await tasks.unregister_background_task(session_id, "task")
    await tasks.complete_background_task(session_id, "task", BackgroundTaskState.COMPLETED)
    await tasks.transition_background_task_live_state(session_id, "task", BackgroundTaskState.WAITING)
    await tasks.validate_async_handles_visible(session_id, [])
    await tasks.transfer_async_handles(session_id, "another", [])
    assert () == await tasks.adopt_background_tasks(1)
    assert not await runtime.await_background_work()
    runtime.close()


async def an_unknown_session_is_told_first(stores: BackgroundStores) -> None:
    """Before the host is looked for."""
    runtime = await task_scene(stores, None).runtime()
    with refused(UnknownManagedSessionError, "unknown session `nobody`"):
        await runtime.background_tasks.spawn_hidden_task("nobody", "index", Work())
    with refused(UnknownManagedSessionError, "unknown session `nobody`"):
        await runtime.background_tasks.spawn_managed_task("nobody", spec(), Work())
    runtime.close()
