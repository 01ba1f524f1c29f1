"""Cancelling: the record first, the callback once (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

import asyncio

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import BackgroundTaskState, CancelPolicy, ClosePolicy
from lash_core.testing.conformance.background_tasks.arrange import Hosted, Work, on_each_host, spec
from lash_core.testing.conformance.expectations import refused

_CANCELLED = BackgroundTaskState.CANCELLED


@on_each_host
async def asking_to_stop_is_told_twice(on: Hosted) -> None:
    """First that the state changed, then why."""
    with refused(BackgroundTaskError, "unknown background task `task`"):
        await on.host.request_cancel(on.scope_key, "task", None)
    await on.host.register_external(on.scope_key, spec())
    heard = on.listen()
    record = await on.host.request_cancel(on.scope_key, "task", "too slow")
    assert BackgroundTaskState.CANCEL_REQUESTED is record.state
    events = await heard.until("cancel_requested")
    assert ["state_changed", "cancel_requested"] == [event.type for event in events]
    assert "too slow" == events[-1].reason  # type: ignore[union-attr]


@on_each_host
async def a_cancelled_managed_task_stops(on: Hosted) -> None:
    """Its record and its event say cancelled, and stay so."""
    heard, work = on.listen(), Work()
    await on.host.spawn_managed(on.scope_key, spec(), work)
    await work.begun.wait()
    await on.host.cancel_managed(on.scope_key, "task")
    assert _CANCELLED is await on.state()
    await asyncio.wait_for(work.stopped.wait(), 15)
    events = await heard.until("cancelled")
    assert ["registered", "cancelled"] == [event.type for event in events]
    assert await on.record() == events[-1].record  # type: ignore[union-attr]
    await on.host.cancel_managed(on.scope_key, "nobody")


@on_each_host
async def a_callback_is_called_once_by_many_cancels(on: Hosted) -> None:
    """While it runs the task is cancelled already; the event comes when it has answered, once."""
    calls, release = 0, asyncio.Event()
    called = asyncio.Event()

    async def stop() -> None:
        nonlocal calls
        calls += 1
        called.set()
        await release.wait()

    await on.host.register_external(on.scope_key, spec(), stop)
    heard = on.listen()
    cancels = [asyncio.create_task(on.host.cancel_managed(on.scope_key, "task")) for _ in range(5)]
    await asyncio.wait_for(called.wait(), 15)
    assert _CANCELLED is await on.state()
    release.set()
    await asyncio.gather(*cancels)
    await on.host.cancel_managed(on.scope_key, "task")
    assert 1 == calls
    await on.host.register_external(on.scope_key, spec("next"))
    assert ["cancelled", "registered"] == await heard.kinds_until("registered")


@on_each_host
async def a_callback_that_fails_leaves_the_task_cancelled(on: Hosted) -> None:
    """The event comes all the same."""

    async def stop() -> None:
        raise OSError("unreachable")

    heard = on.listen()
    await on.host.register_external(on.scope_key, spec(), stop)
    await on.host.cancel_managed(on.scope_key, "task")
    assert ["registered", "cancelled"] == await heard.kinds_until("cancelled")
    assert _CANCELLED is await on.state()


@on_each_host
async def an_ended_task_calls_nobody(on: Hosted) -> None:
    """Its callback is forgotten with its end."""
    calls: list[str] = []
    await on.host.register_external(on.scope_key, spec(), lambda: calls.append("called"))
    await on.host.mark_terminal(on.scope_key, "task", BackgroundTaskState.COMPLETED)
    await on.host.cancel_managed(on.scope_key, "task")
    assert [] == calls
    assert BackgroundTaskState.COMPLETED is await on.state()


@on_each_host
async def work_that_others_stop_is_not_cancelled_here(on: Hosted) -> None:
    """Under the policy ``external`` only the record ends; what still runs ends by itself and changes nothing."""
    work = Work()
    await on.host.spawn_managed(on.scope_key, spec(), work, cancel_policy=CancelPolicy.EXTERNAL)
    await work.begun.wait()
    await on.host.cancel_managed(on.scope_key, "task")
    work.end.set()
    await asyncio.sleep(0)
    assert not work.stopped.is_set()
    assert _CANCELLED is await on.state()


@on_each_host
async def a_task_that_cancels_itself_is_cancelled(on: Hosted) -> None:
    """A cancel that comes out of the work is its end."""

    async def gives_up() -> None:
        raise asyncio.CancelledError

    heard = on.listen()
    await on.host.spawn_managed(on.scope_key, spec(), gives_up)
    assert ["registered", "cancelled"] == await heard.kinds_until("cancelled")


@on_each_host
async def a_closed_scope_cancels_by_policy(on: Hosted) -> None:
    """``cancel`` stops with the scope, ``keep`` and ``transfer`` go on; hidden tasks stop; twice is once."""
    works = {policy: Work() for policy in ClosePolicy}
    for policy, work in works.items():
        await on.host.spawn_managed(on.scope_key, spec(policy.value), work, close_policy=policy)
        await work.begun.wait()
    hidden = Work()
    await on.host.spawn_hidden(on.scope_key, "hidden", hidden)
    await hidden.begun.wait()
    await on.host.close_scope(on.scope_key)
    await on.host.close_scope(on.scope_key)
    assert works[ClosePolicy.CANCEL].stopped.is_set()
    assert hidden.stopped.is_set()
    assert not works[ClosePolicy.KEEP].stopped.is_set()
    assert not works[ClosePolicy.TRANSFER].stopped.is_set()
    assert BackgroundTaskState.RUNNING is await on.state("keep")


@on_each_host
async def who_stops_waiting_does_not_stop_the_callback(on: Hosted) -> None:
    """Nobody calls it again, so it is called to its end, and the event comes then."""
    called, release = asyncio.Event(), asyncio.Event()
    answered: list[str] = []

    async def stop() -> None:
        called.set()
        await release.wait()
        answered.append("stopped")

    heard = on.listen()
    await on.host.register_external(on.scope_key, spec(), stop)
    cancel = asyncio.create_task(on.host.cancel_managed(on.scope_key, "task"))
    await asyncio.wait_for(called.wait(), 15)
    cancel.cancel()
    await asyncio.wait({cancel})
    await on.host.register_external(on.scope_key, spec("next"))
    release.set()
    assert ["registered", "registered", "cancelled"] == await heard.kinds_until("cancelled")
    assert ["stopped"] == answered
