"""External tasks: their work runs elsewhere, their record is fed (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

from typing import Any

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskFilter,
    BackgroundTaskKind,
    BackgroundTaskState,
    BackgroundTaskUpdate,
    CancelPolicy,
    ClosePolicy,
)
from lash_core.testing.conformance.background_tasks.arrange import ANY, Hosted, Work, on_each_host, spec
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import elapse


@on_each_host
async def a_registered_task_runs_or_is_pending(on: Hosted) -> None:
    """``register_external`` notes one that runs, ``register`` one that is to."""
    heard = on.listen()
    running = await on.host.register_external(on.scope_key, spec("a"))
    pending = await on.host.register(
        on.scope_key, spec("b"), cancel_policy=CancelPolicy.EXTERNAL, close_policy=ClosePolicy.CANCEL
    )
    assert (BackgroundTaskState.RUNNING, BackgroundTaskState.PENDING) == (running.state, pending.state)
    assert (CancelPolicy.EXTERNAL, ClosePolicy.CANCEL) == (pending.cancel_policy, pending.close_policy)
    events = [*await heard.until("registered"), *await heard.until("registered")]
    assert [running, pending] == [event.record for event in events]  # type: ignore[union-attr]


@on_each_host
async def a_live_id_is_registered_already(on: Hosted) -> None:
    """In both ways; an ended one may be used again, and unregistering frees it silently."""
    await on.host.register_external(on.scope_key, spec())
    with refused(BackgroundTaskError, "background task `task` is already registered"):
        await on.host.register_external(on.scope_key, spec())
    with refused(BackgroundTaskError, "background task `task` is already registered"):
        await on.host.register(on.scope_key, spec())
    heard = on.listen()
    await on.host.unregister_external(on.scope_key, "task")
    assert await on.host.get_managed(on.scope_key, "task") is None
    await on.host.unregister_external(on.scope_key, "task")
    await on.host.register_external(on.scope_key, spec())
    assert ["registered"] == await heard.kinds_until("registered")
    await on.host.mark_terminal(on.scope_key, "task", BackgroundTaskState.COMPLETED)
    await on.host.register_external(on.scope_key, spec())
    assert BackgroundTaskState.RUNNING is await on.state()


@on_each_host
async def an_update_says_progress_first_then_the_state(on: Hosted) -> None:
    """Also when the state stays as it is."""
    heard = on.listen()
    await on.host.register(on.scope_key, spec())
    await on.host.update(on.scope_key, "task", BackgroundTaskUpdate(progress={"pages": 3}))
    record = await on.host.update(
        on.scope_key, "task", BackgroundTaskUpdate(state=BackgroundTaskState.WAITING, progress=4)
    )
    assert BackgroundTaskState.WAITING is record.state
    assert "idle" == record.status_json()["state"]
    events = [*await heard.until("state_changed"), *await heard.until("state_changed")]
    assert ["registered", "progress", "state_changed", "progress", "state_changed"] == [e.type for e in events]
    assert [{"pages": 3}, 4] == [e.progress for e in events if e.type == "progress"]
    states = [event.state for event in events if event.type == "state_changed"]
    assert [BackgroundTaskState.PENDING, BackgroundTaskState.WAITING] == states


@on_each_host
async def an_unknown_or_ended_task_is_not_updated(on: Hosted) -> None:
    """Nothing is told either."""
    with refused(BackgroundTaskError, "unknown background task `task`"):
        await on.host.update(on.scope_key, "task", BackgroundTaskUpdate(state=BackgroundTaskState.RUNNING))
    await on.host.register_external(on.scope_key, spec())
    await on.host.mark_terminal(on.scope_key, "task", BackgroundTaskState.FAILED)
    ended, heard = await on.record(), on.listen()
    with refused(BackgroundTaskError, "task"):
        await on.host.update(on.scope_key, "task", BackgroundTaskUpdate(state=BackgroundTaskState.RUNNING))
    with refused(BackgroundTaskError, "task"):
        await on.host.update(on.scope_key, "task", BackgroundTaskUpdate(progress=1))
    assert ended == await on.record()
    await on.host.register_external(on.scope_key, spec("next"))
    assert ["registered"] == await heard.kinds_until("registered")


@on_each_host
async def progress_that_is_too_large_is_refused(on: Hosted) -> None:
    """The state of the same update does not change either."""
    await on.host.register(on.scope_key, spec())
    large = BackgroundTaskUpdate(state=BackgroundTaskState.RUNNING, progress="a" * 70_000)
    with refused(BackgroundTaskError, "65536"):
        await on.host.update(on.scope_key, "task", large)
    assert BackgroundTaskState.PENDING is await on.state()


@on_each_host
async def mark_live_knows_two_states_and_no_way_back(on: Hosted) -> None:
    """Running and waiting, of a live task; any other call changes nothing and tells nothing."""
    heard = on.listen()
    await on.host.mark_live(on.scope_key, "task", BackgroundTaskState.WAITING)
    await on.host.register_external(on.scope_key, spec())
    await on.host.mark_live(on.scope_key, "task", BackgroundTaskState.WAITING)
    for state in (BackgroundTaskState.PENDING, BackgroundTaskState.CANCEL_REQUESTED, BackgroundTaskState.COMPLETED):
        await on.host.mark_live(on.scope_key, "task", state)
    assert BackgroundTaskState.WAITING is await on.state()
    await on.host.mark_terminal(on.scope_key, "task", BackgroundTaskState.COMPLETED)
    await on.host.mark_live(on.scope_key, "task", BackgroundTaskState.RUNNING)
    assert BackgroundTaskState.COMPLETED is await on.state()
    assert ["registered", "state_changed", "completed"] == await heard.kinds_until("completed")


@on_each_host
async def lists_are_of_one_scope_oldest_first(on: Hosted) -> None:
    """The whole list has ended tasks, the filtered one only when it is asked for them."""
    for number, kind in enumerate((BackgroundTaskKind.OTHER, BackgroundTaskKind.OBSERVER, BackgroundTaskKind.OTHER)):
        await on.host.register_external(on.scope_key, spec(f"t{9 - number}", kind=kind))
        await elapse(on.stores, 2)
    await on.host.mark_terminal(on.scope_key, "t8", BackgroundTaskState.COMPLETED)
    await on.host.register_external(on.sibling("another"), spec("elsewhere"))

    async def listed(filter: BackgroundTaskFilter, scope_key: str = on.scope_key) -> list[str]:
        return [record.id for record in await on.host.list(scope_key, filter)]

    assert ["t9", "t8", "t7"] == [record.id for record in await on.host.list_managed(on.scope_key)]
    assert ["t9", "t7"] == await listed(BackgroundTaskFilter())
    assert ["t9", "t8", "t7"] == await listed(ANY)
    assert [] == await listed(BackgroundTaskFilter(kind=BackgroundTaskKind.OBSERVER))
    assert ["t8"] == await listed(BackgroundTaskFilter(kind=BackgroundTaskKind.OBSERVER, include_terminal=True))
    assert ["t9", "t7"] == await listed(BackgroundTaskFilter(session_id=on.session_id))
    assert [] == await listed(BackgroundTaskFilter(session_id="another"))


@on_each_host
async def words_may_be_given_as_text(on: Hosted) -> None:
    """The record has the state and the policies; a word that is none is refused, and nothing changes."""
    await on.host.register_external(on.scope_key, spec())
    word: Any
    for word in ("asleep", "", 3):
        with refused(BackgroundTaskError, "is no state"):
            await on.host.mark_live(on.scope_key, "task", word)
        with refused(BackgroundTaskError, "is no state"):
            await on.host.mark_terminal(on.scope_key, "task", word)
        with refused(BackgroundTaskError, "is no cancel_policy", "cooperative"):
            await on.host.register(on.scope_key, spec("next"), cancel_policy=word)
        with refused(BackgroundTaskError, "is no close_policy", "keep"):
            await on.host.spawn_managed(on.scope_key, spec("next"), Work(), close_policy=word)
    assert ["task"] == [record.id for record in await on.host.list_managed(on.scope_key)]
    word = "external"
    assert CancelPolicy.EXTERNAL is (await on.host.register(on.scope_key, spec("b"), cancel_policy=word)).cancel_policy
    for verb, word in ((on.host.mark_live, "waiting"), (on.host.mark_terminal, "failed")):
        await verb(on.scope_key, "task", word)
        assert BackgroundTaskState(word) is await on.state()


@on_each_host
async def text_that_cannot_be_stored_is_refused(on: Hosted) -> None:
    """In names as in a summary, by every host alike."""
    for field in ("producer", "parent_task_id", "child_session_id"):
        with refused(BackgroundTaskError, field, "lone surrogate"):
            await on.host.register_external(on.scope_key, spec(**{field: "\ud800"}))
    assert () == await on.host.list_managed(on.scope_key)
    await on.host.register_external(on.scope_key, spec())
    with refused(BackgroundTaskError, "summary", "lone surrogate"):
        await on.host.complete(on.scope_key, "task", BackgroundTaskCompletion(BackgroundTaskState.COMPLETED, "\ud800"))
    assert BackgroundTaskState.RUNNING is await on.state()
