"""Who listens to tasks hears what (``docs/contracts/background_tasks.md`` 7)."""

from __future__ import annotations

from lash_core.model.background_task import (
    BackgroundTaskFilter,
    BackgroundTaskKind,
    BackgroundTaskState,
    BackgroundTaskUpdate,
)
from lash_core.testing.conformance.background_tasks.arrange import ANY, Hosted, on_each_host, spec

EVENTS_KEPT = 256


@on_each_host
async def the_event_that_ends_a_task_comes_whatever_the_filter_says_of_ended_ones(on: Hosted) -> None:
    """Decision 27."""
    heard = on.listen(BackgroundTaskFilter())
    for state in (BackgroundTaskState.COMPLETED, BackgroundTaskState.FAILED, BackgroundTaskState.CANCELLED):
        await on.host.register_external(on.scope_key, spec())
        await on.host.mark_terminal(on.scope_key, "task", state)
    kinds = await heard.kinds_until("cancelled")
    assert ["registered", "completed", "registered", "failed", "registered", "cancelled"] == kinds


@on_each_host
async def kind_and_session_are_asked_of_events_with_a_record(on: Hosted) -> None:
    """Events that carry an id alone pass always."""
    monitors = on.listen(BackgroundTaskFilter(kind=BackgroundTaskKind.MONITOR))
    elsewhere = on.listen(BackgroundTaskFilter(session_id="another"))
    await on.host.register_external(on.scope_key, spec("a"))
    await on.host.update(on.scope_key, "a", BackgroundTaskUpdate(progress=1))
    await on.host.mark_terminal(on.scope_key, "a", BackgroundTaskState.COMPLETED)
    await on.host.register_external(on.scope_key, spec("b", kind=BackgroundTaskKind.MONITOR))
    await on.host.request_cancel(on.scope_key, "b", None)
    assert ["progress", "state_changed", "registered"] == await monitors.kinds_until("registered")
    expected = ["progress", "state_changed", "state_changed", "cancel_requested"]
    assert expected == await elsewhere.kinds_until("cancel_requested")


@on_each_host
async def a_listener_hears_what_comes_and_only_of_its_scope(on: Hosted) -> None:
    """Neither what was before, nor another runtime's tasks."""
    await on.host.register_external(on.scope_key, spec("before"))
    heard, other = on.listen(), on.listen(scope_key=f"another-{on.scope_key}")
    await on.host.register_external(on.scope_key, spec("after"))
    (event,) = await heard.until("registered")
    assert "after" == event.record.id  # type: ignore[union-attr]
    await on.host.register_external(f"another-{on.scope_key}", spec("mine"))
    (event,) = await other.until("registered")
    assert "mine" == event.record.id  # type: ignore[union-attr]


@on_each_host
async def a_slow_listener_loses_the_oldest_events_silently(on: Hosted) -> None:
    """256 wait for it, and nobody waits for it."""
    heard = on.listen(ANY)
    await on.host.register_external(on.scope_key, spec())
    for number in range(EVENTS_KEPT):
        await on.host.update(on.scope_key, "task", BackgroundTaskUpdate(progress=number))
    await on.host.mark_terminal(on.scope_key, "task", BackgroundTaskState.COMPLETED)
    events = await heard.until("completed")
    assert EVENTS_KEPT == len(events)
    assert EVENTS_KEPT - 1 == [event.progress for event in events if event.type == "progress"][-1]


@on_each_host
async def a_closed_scope_ends_its_listeners(on: Hosted) -> None:
    """What they did not read yet is read first."""
    events = on.host.subscribe(on.scope_key, ANY)
    await on.host.register_external(on.scope_key, spec())
    await on.host.close_scope(on.scope_key)
    assert ["registered"] == [event.type async for event in events]
