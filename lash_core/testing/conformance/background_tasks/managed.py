"""Managed tasks: named, run here (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

import asyncio
import inspect

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import BackgroundTaskKind, BackgroundTaskState, CancelPolicy, ClosePolicy
from lash_core.testing.conformance.background_tasks.arrange import Hosted, Work, on_each_host, spec
from lash_core.testing.conformance.expectations import refused


@on_each_host
async def a_managed_task_runs_at_once_and_its_record_says_so(on: Hosted) -> None:
    """Record and event are there when the call returns."""
    heard, work = on.listen(), Work()
    about = spec("t", kind=BackgroundTaskKind.SUBAGENT, producer="tests", child_session_id="c", parent_task_id="p")
    record = await on.host.spawn_managed(on.scope_key, about, work)
    assert (BackgroundTaskState.RUNNING, "t", "tests") == (record.state, record.id, record.producer)
    assert (BackgroundTaskKind.SUBAGENT, "c", "p") == (record.kind, record.child_session_id, record.parent_task_id)
    assert on.session_id == record.scope.session_id
    assert (CancelPolicy.COOPERATIVE, ClosePolicy.KEEP) == (record.cancel_policy, record.close_policy)
    assert record.completed_at is None
    assert record == await on.record("t")
    (registered,) = await heard.until("registered")
    assert record == registered.record  # type: ignore[union-attr]
    await asyncio.wait_for(work.begun.wait(), 15)


@on_each_host
async def a_task_that_ends_is_completed_and_says_so(on: Hosted) -> None:
    """Its text is its summary; the end is an event."""
    heard, work = on.listen(), Work(answer="12 pages")
    await on.host.spawn_managed(on.scope_key, spec(), work)
    work.end.set()
    assert ["registered", "completed"] == await heard.kinds_until("completed")
    record = await on.record()
    assert BackgroundTaskState.COMPLETED is record.state
    assert record.result is not None
    assert "12 pages" == record.result.summary
    assert record.failure is None
    assert record.completed_at == record.updated_at


@on_each_host
async def a_task_that_raises_has_failed_and_says_why(on: Hosted) -> None:
    """The failure names the exception."""
    heard, work = on.listen(), Work(error=ValueError("no such page"))
    await on.host.spawn_managed(on.scope_key, spec(), work)
    work.end.set()
    assert ["registered", "failed"] == await heard.kinds_until("failed")
    record = await on.record()
    assert record.failure is not None
    assert "ValueError: no such page" == record.failure.summary
    assert record.result is None


@on_each_host
async def a_live_id_is_refused_and_an_ended_one_used_again(on: Hosted) -> None:
    """A second task of the id is not started while the first one runs."""
    first, second = Work(), Work()
    await on.host.spawn_managed(on.scope_key, spec(), first)
    with refused(BackgroundTaskError, "managed session task `task` is already running"):
        await on.host.spawn_managed(on.scope_key, spec(), second)
    assert 0 == second.runs
    first.end.set()
    await on.reaches(BackgroundTaskState.COMPLETED)
    again = await on.host.spawn_managed(on.scope_key, spec(), second)
    assert BackgroundTaskState.RUNNING is again.state
    assert again.completed_at is None
    assert 1 == len(await on.host.list_managed(on.scope_key))


@on_each_host
async def an_id_that_cannot_be_kept_is_refused(on: Hosted) -> None:
    """Nothing is started, nothing stored."""
    for task_id in ("", "a" * 201, "a\nb", " a"):
        work = Work()
        with refused(BackgroundTaskError, "background task id"):
            await on.host.spawn_managed(on.scope_key, spec(task_id), work)
        assert 0 == work.runs
    assert () == await on.host.list_managed(on.scope_key)
    assert () == await on.rows()


@on_each_host
async def the_end_of_the_first_counts_also_when_its_id_is_used_again(on: Hosted) -> None:
    """Work that goes on after its record ended does not end the task that has its id now."""
    stubborn, second, release = asyncio.Event(), Work(), asyncio.Event()

    async def first() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stubborn.set()
            await release.wait()

    await on.host.spawn_managed(on.scope_key, spec(), first)
    await asyncio.sleep(0)
    await on.host.cancel_managed(on.scope_key, "task")
    await asyncio.wait_for(stubborn.wait(), 15)
    await on.host.spawn_managed(on.scope_key, spec(), second)
    release.set()
    await second.begun.wait()
    assert BackgroundTaskState.RUNNING is await on.state()


@on_each_host
async def runtimes_of_one_session_do_not_see_each_others_tasks(on: Hosted) -> None:
    """They have scopes of their own: neither lists, finds, cancels or awaits the other's."""
    other, work = f"another-{on.scope_key}", Work()
    await on.host.spawn_managed(on.scope_key, spec(), work)
    await work.begun.wait()
    assert () == await on.host.list_managed(other)
    assert await on.host.get_managed(other, "task") is None
    await on.host.cancel_managed(other, "task")
    with refused(BackgroundTaskError, "unknown background task `task`"):
        await on.host.request_cancel(other, "task", None)
    assert BackgroundTaskState.RUNNING is await on.state()
    mine = Work()
    await on.host.spawn_managed(other, spec(), mine)
    assert 1 == len(await on.host.list_managed(other))


@on_each_host
async def a_task_ends_also_when_its_text_cannot_be_stored(on: Hosted) -> None:
    """What is no Unicode is replaced, of a value as of an error; an error without a text is named."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    works = {
        "value": (Work(answer="page \ud800"), "page \\ud800"),
        "error": (Work(error=ValueError("page \ud800")), "ValueError: page \\ud800"),
        "mute": (Work(error=MuteError()), "MuteError: (its text cannot be made: RuntimeError)"),
    }
    for task_id, (work, text) in works.items():
        await on.host.spawn_managed(on.scope_key, spec(task_id), work)
        work.end.set()
        await on.reaches(BackgroundTaskState.COMPLETED if task_id == "value" else BackgroundTaskState.FAILED, task_id)
        record = await on.record(task_id)
        outcome = record.result or record.failure
        assert outcome is not None
        assert text == outcome.summary


@on_each_host
async def work_that_is_cancelled_before_it_began_is_let_go_of(on: Hosted) -> None:
    """A coroutine that was not stepped yet is closed: nobody will await it."""
    work = Work()()
    await on.host.spawn_managed(on.scope_key, spec(), work)
    await on.host.cancel_managed(on.scope_key, "task")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert inspect.CORO_CLOSED == inspect.getcoroutinestate(work)
    assert BackgroundTaskState.CANCELLED is await on.state()
