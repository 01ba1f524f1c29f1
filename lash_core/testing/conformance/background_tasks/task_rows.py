"""Rows of background tasks in their store (``docs/contracts/background_tasks.md`` 4)."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from lash_core.model import background_task_rules as rules
from lash_core.model.background_task import (
    BackgroundTaskOutcome,
    BackgroundTaskRecord,
    BackgroundTaskState,
    CancelPolicy,
    ClosePolicy,
)
from lash_core.store.background_task_store import (
    BackgroundTaskRow,
    StoredTask,
    TaskBirth,
    TasksChanged,
    TasksOfNoSession,
    TasksSwapped,
    TaskSwap,
)
from lash_core.testing.conformance.background_tasks.arrange import BackgroundStores, spec
from lash_core.testing.conformance.expectations import spoil
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import factory_of, opened
from lash_core.testing.conformance.stores import elapse


def _record(session_id: str, task_id: str = "task") -> BackgroundTaskRecord:
    state, policies = BackgroundTaskState.RUNNING, (CancelPolicy.COOPERATIVE, ClosePolicy.KEEP)
    return rules.new_record(spec(task_id), session_id, state, 1, cancel_policy=policies[0], close_policy=policies[1])


def _new(session_id: str, task_id: str = "task", **facts: Any) -> TaskSwap:
    row = BackgroundTaskRow(record=_record(session_id, task_id), managed=True, **facts)
    return TaskSwap(f"scope:{session_id}", task_id, 0, row, TaskBirth.NOW)


async def _put(stores: BackgroundStores, session_id: str, task_id: str = "task") -> StoredTask:
    answer = await stores.background_tasks.swap_background_tasks(session_id, [_new(session_id, task_id)])
    assert isinstance(answer, TasksSwapped)
    (task,) = answer.tasks
    assert task is not None
    return task


def _ended(task: StoredTask) -> TaskSwap:
    record = rules.ended(task.row.record, BackgroundTaskState.COMPLETED, None, 2)
    row = task.row.model_copy(update={"record": record})
    return TaskSwap(task.scope_key, record.id, task.revision, row)


async def a_row_reads_back_as_it_was_written(stores: BackgroundStores) -> None:
    """With the store's times, whatever the writer's were."""
    session_id = (await opened(stores)).session_id
    task = await _put(stores, session_id, "täsk #1/ü")
    assert (task,) == await stores.background_tasks.read_background_tasks(session_id)
    assert (f"scope:{session_id}", True, 0) == (task.scope_key, task.row.managed, task.row.generation)
    assert task.created_us == task.revision
    assert task.created_us // 1_000 == task.row.record.created_at == task.row.record.updated_at
    assert task.row.record.created_at > 1
    await elapse(stores, 5)
    answer = await stores.background_tasks.swap_background_tasks(session_id, [_ended(task)])
    assert isinstance(answer, TasksSwapped)
    (ended,) = answer.tasks
    assert ended is not None
    assert ended.revision > task.revision
    assert ended.created_us == task.created_us
    assert ended.row.record.completed_at == ended.row.record.updated_at == ended.revision // 1_000
    assert (ended,) == await stores.background_tasks.read_background_tasks(session_id)


async def a_row_is_swapped_by_who_read_it_as_it_is(stores: BackgroundStores) -> None:
    """All or none: one row that changed refuses all."""
    session_id = (await opened(stores)).session_id
    store = stores.background_tasks
    first, second = await _put(stores, session_id, "a"), await _put(stores, session_id, "b")
    assert isinstance(await store.swap_background_tasks(session_id, [_ended(first)]), TasksSwapped)
    before = await store.read_background_tasks(session_id)
    for swaps in (
        [_ended(second), _ended(first)],
        [_ended(second), _new(session_id, "a")],
        [TaskSwap(second.scope_key, "b", second.revision, None), TaskSwap(first.scope_key, "a", first.revision, None)],
        [_new(session_id, "c"), TaskSwap("other:s", "d", 7, second.row)],
    ):
        assert TasksChanged() == await store.swap_background_tasks(session_id, swaps)
        assert before == await store.read_background_tasks(session_id)


async def a_row_is_the_stores_own(stores: BackgroundStores) -> None:
    """Who changes what was given or answered changes nothing stored."""
    session_id, evidence = (await opened(stores)).session_id, {"list": [1, {"deep": 2}]}
    outcome = BackgroundTaskOutcome(evidence=copy.deepcopy(evidence))
    record = _record(session_id).model_copy(update={"result": outcome})
    swap = TaskSwap("scope", "task", 0, BackgroundTaskRow(record=record, managed=True), TaskBirth.NOW)
    spoil(await stores.background_tasks.swap_background_tasks(session_id, [swap]))
    spoil(swap)
    spoil(await stores.background_tasks.read_background_tasks(session_id))

    (task,) = await stores.background_tasks.read_background_tasks(session_id)

    assert task.row.record.result is not None
    assert evidence == task.row.record.result.evidence


async def one_of_many_swaps_of_a_row_wins(stores: BackgroundStores) -> None:
    """The others are told that it changed."""
    session_id = (await opened(stores)).session_id
    task = await _put(stores, session_id)
    swaps = [stores.background_tasks.swap_background_tasks(session_id, [_ended(task)]) for _ in range(8)]
    answers = await asyncio.gather(*swaps)
    assert 1 == sum(isinstance(answer, TasksSwapped) for answer in answers)
    assert 7 == sum(isinstance(answer, TasksChanged) for answer in answers)


async def scopes_share_no_rows(stores: BackgroundStores) -> None:
    """Two runtimes may have a task of one id."""
    session_id = (await opened(stores)).session_id
    task = await _put(stores, session_id)
    other = TaskSwap(f"other:{session_id}", "task", 0, task.row, TaskBirth.NOW)
    assert isinstance(await stores.background_tasks.swap_background_tasks(session_id, [other]), TasksSwapped)
    assert 2 == len(await stores.background_tasks.read_background_tasks(session_id))


async def what_goes_is_gone_and_going_twice_is_going(stores: BackgroundStores) -> None:
    """A drop of what is not there is done."""
    session_id = (await opened(stores)).session_id
    task = await _put(stores, session_id)
    drop = TaskSwap(task.scope_key, "task", task.revision, None)
    for _ in range(2):
        assert TasksSwapped((None,)) == await stores.background_tasks.swap_background_tasks(session_id, [drop])
        assert () == await stores.background_tasks.read_background_tasks(session_id)


async def what_must_be_there_is_taken_once(stores: BackgroundStores) -> None:
    """Who comes later is told that it changed, and nothing else of the swap is done."""
    session_id = (await opened(stores)).session_id
    task = await _put(stores, session_id)
    take = TaskSwap(task.scope_key, "task", task.revision, None, must_be_there=True)
    assert TasksSwapped((None,)) == await stores.background_tasks.swap_background_tasks(session_id, [take])
    swaps = [_new(session_id, "other"), take]
    assert TasksChanged() == await stores.background_tasks.swap_background_tasks(session_id, swaps)
    assert () == await stores.background_tasks.read_background_tasks(session_id)


async def a_session_that_is_not_there_keeps_nothing(stores: BackgroundStores) -> None:
    """Deletion takes the rows along, and whoever writes after it is told."""
    assert TasksOfNoSession() == await stores.background_tasks.swap_background_tasks("no", [_new(unique("session"))])
    session_id = (await opened(stores)).session_id
    task = await _put(stores, session_id)
    await factory_of(stores).delete_session(session_id)
    assert () == await stores.background_tasks.read_background_tasks(session_id)
    assert TasksOfNoSession() == await stores.background_tasks.swap_background_tasks(session_id, [_ended(task)])
    assert () == await stores.background_tasks.read_background_tasks(session_id)
