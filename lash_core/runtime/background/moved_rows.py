"""Moves between sessions that were cut off: whose the task is (ADR 0276; ``docs/contracts/background_tasks.md`` 4).

The row that a task left decides, as long as it is there. It says where the task goes: then the task is where it has
arrived, and the row may be taken away. It says nothing, or is somebody else's: then the task is that one's, and what
has arrived elsewhere counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import BackgroundTaskRecord
from lash_core.runtime.background.scope_keys import session_of
from lash_core.store.background_task_store import BackgroundTaskStore, StoredTask, TasksChanged, TaskSwap

SWAPS_MAX = 8
"""Tries to write rows that others change meanwhile: only an adoption does, and it takes them away."""


def always_changing(session_id: str) -> BackgroundTaskError:
    """The refusal after ``SWAPS_MAX`` tries."""
    return BackgroundTaskError(
        f"the background tasks of session `{session_id}` change all the time; try again",
        field="session_id",
        value=session_id,
    )


async def settle_moves(store: BackgroundTaskStore, session_id: str, tasks: Sequence[StoredTask]) -> bool:
    """Finish the moves of which a session's rows tell. Safe to repeat.

    Args:
        store: keeps the rows.
        session_id: the session.
        tasks: its rows.

    Returns:
        True when rows of it went: those of tasks that are another session's. Read again.
    """
    gone = [task for task in tasks if await _is_elsewhere(store, task)]
    if gone:
        drops = [TaskSwap(task.scope_key, task.row.record.id, task.revision, None) for task in gone]
        await store.swap_background_tasks(session_id, drops)
    return bool(gone)


async def has_left(store: BackgroundTaskStore, record: BackgroundTaskRecord, moved_from: str, scope_key: str) -> bool:
    """See to it that a task which arrived in ``scope_key`` has left ``moved_from``. False: somebody has it there."""
    session_id = session_of(moved_from)
    for _ in range(SWAPS_MAX):
        rows = [task for task in await store.read_background_tasks(session_id) if is_same(task.row.record, record)]
        leaving = [task for task in rows if task.scope_key == moved_from and task.row.moving_to == scope_key]
        if not leaving:
            return not rows
        drops = [TaskSwap(moved_from, record.id, task.revision, None, must_be_there=True) for task in leaving]
        if not isinstance(await store.swap_background_tasks(session_id, drops), TasksChanged):
            return True
    raise always_changing(session_id)


def is_same(one: BackgroundTaskRecord, other: BackgroundTaskRecord) -> bool:
    """True for records of one task in two sessions: its id, and when it began."""
    return (one.id, one.created_at) == (other.id, other.created_at)


async def _is_elsewhere(store: BackgroundTaskStore, task: StoredTask) -> bool:
    row = task.row
    if row.moving_to is not None:
        there = await store.read_background_tasks(session_of(row.moving_to))
        return any(is_same(other.row.record, row.record) for other in there)
    return row.moved_from is not None and not await has_left(store, row.record, row.moved_from, task.scope_key)
