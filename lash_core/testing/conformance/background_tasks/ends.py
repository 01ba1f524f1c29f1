"""How tasks end: once, and the first to end them wins (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

import asyncio

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import BackgroundTaskCompletion, BackgroundTaskOutcome, BackgroundTaskState
from lash_core.testing.conformance.background_tasks.arrange import Hosted, Work, on_each_host, spec
from lash_core.testing.conformance.expectations import refused

_COMPLETED, _FAILED = BackgroundTaskState.COMPLETED, BackgroundTaskState.FAILED
_CANCELLED = BackgroundTaskState.CANCELLED


@on_each_host
async def a_completion_must_be_terminal(on: Hosted) -> None:
    """Which is looked at before the task is looked for."""
    with refused(BackgroundTaskError, "background task completion must use a terminal state"):
        await on.host.complete(on.scope_key, "nobody", BackgroundTaskCompletion(BackgroundTaskState.WAITING))
    with refused(BackgroundTaskError, "unknown background task `nobody`"):
        await on.host.complete(on.scope_key, "nobody", BackgroundTaskCompletion(_COMPLETED))


@on_each_host
async def a_summary_is_the_failure_of_what_failed_else_the_result(on: Hosted) -> None:
    """The end carries its time, and its event is that of its state."""
    heard = on.listen()
    for state, event in ((_COMPLETED, "completed"), (_FAILED, "failed"), (_CANCELLED, "cancelled")):
        await on.host.register_external(on.scope_key, spec())
        record = await on.host.complete(on.scope_key, "task", BackgroundTaskCompletion(state, "so it went"))
        outcome = BackgroundTaskOutcome("so it went")
        expected = (None, outcome) if state is _FAILED else (outcome, None)
        assert expected == (record.result, record.failure)
        assert record.completed_at == record.updated_at
        assert record.completed_at is not None
        assert record == await on.record()
        events = await heard.until(event)
        assert ["registered", event] == [one.type for one in events]
        assert record == events[-1].record  # type: ignore[union-attr]


@on_each_host
async def the_first_end_stays(on: Hosted) -> None:
    """Whoever comes later is refused, or changes nothing, and nobody is told of it."""
    await on.host.register_external(on.scope_key, spec())
    await on.host.complete(on.scope_key, "task", BackgroundTaskCompletion(_FAILED, "broken"))
    first, heard = await on.record(), on.listen()
    with refused(BackgroundTaskError, "task"):
        await on.host.complete(on.scope_key, "task", BackgroundTaskCompletion(_COMPLETED, "fine"))
    await on.host.mark_terminal(on.scope_key, "task", _COMPLETED)
    await on.host.cancel_managed(on.scope_key, "task")
    with refused(BackgroundTaskError, "task"):
        await on.host.request_cancel(on.scope_key, "task", None)
    assert first == await on.record()
    await on.host.register_external(on.scope_key, spec("next"))
    assert ["registered"] == await heard.kinds_until("registered")


@on_each_host
async def mark_terminal_ends_live_tasks_alone(on: Hosted) -> None:
    """Other states and unknown ids change nothing."""
    await on.host.mark_terminal(on.scope_key, "nobody", _COMPLETED)
    await on.host.register_external(on.scope_key, spec())
    for state in (BackgroundTaskState.RUNNING, BackgroundTaskState.WAITING, BackgroundTaskState.CANCEL_REQUESTED):
        await on.host.mark_terminal(on.scope_key, "task", state)
    assert BackgroundTaskState.RUNNING is await on.state()
    heard = on.listen()
    await on.host.mark_terminal(on.scope_key, "task", _COMPLETED)
    assert ["completed"] == await heard.kinds_until("completed")
    assert (await on.record()).completed_at is not None


@on_each_host
async def one_of_many_ends_wins(on: Hosted) -> None:
    """Ends at once: one is the record's, and one event is told."""
    heard = on.listen()
    await on.host.register_external(on.scope_key, spec())
    states = [_COMPLETED, _FAILED, _CANCELLED] * 4
    ends = [on.host.complete(on.scope_key, "task", BackgroundTaskCompletion(state)) for state in states]
    answers = await asyncio.gather(*ends, return_exceptions=True)
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert 1 == len(won)
    assert all(isinstance(a, BackgroundTaskError) for a in answers if isinstance(a, BaseException))
    assert won[0] == await on.record()
    await on.host.register_external(on.scope_key, spec("next"))
    events = [*await heard.until("registered"), *await heard.until("registered")]
    assert 3 == len(events)


@on_each_host
async def an_end_from_outside_is_kept_when_the_work_ends(on: Hosted) -> None:
    """A cancel that won stays cancelled, and so does any other end of work that runs here."""
    work = Work(answer="too late")
    await on.host.spawn_managed(on.scope_key, spec(), work)
    await work.begun.wait()
    await on.host.complete(on.scope_key, "task", BackgroundTaskCompletion(_FAILED, "given up"))
    first = await on.record()
    work.end.set()
    other = Work()
    await on.host.spawn_managed(on.scope_key, spec("other"), other)
    other.end.set()
    await on.reaches(_COMPLETED, "other")
    assert first == await on.record()


@on_each_host
async def a_task_that_was_asked_to_stop_may_end_well(on: Hosted) -> None:
    """Asking is no end."""
    work = Work()
    await on.host.spawn_managed(on.scope_key, spec(), work)
    await work.begun.wait()
    await on.host.request_cancel(on.scope_key, "task", None)
    assert BackgroundTaskState.CANCEL_REQUESTED is await on.state()
    assert not work.stopped.is_set()
    work.end.set()
    await on.reaches(_COMPLETED)


@on_each_host
async def ended_records_have_a_bound(on: Hosted) -> None:
    """The newest 200 of a scope are kept; live ones are not counted."""
    await on.host.register_external(on.scope_key, spec("live"))
    for number in range(205):
        await on.host.register_external(on.scope_key, spec(f"t{number}"))
        await on.host.mark_terminal(on.scope_key, f"t{number}", _COMPLETED)
    kept = {record.id for record in await on.host.list_managed(on.scope_key)}
    assert len(kept) in {201, 202}
    assert {"live", "t204", "t100"} <= kept
    assert "t0" not in kept
