"""``BackgroundTaskStore`` in memory: rows are gone with the program."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence

from lash_core.clock import Clock
from lash_core.store.background_task_store import (
    ROWS_MAX,
    StoredTask,
    TaskBirth,
    TasksChanged,
    TasksOfNoSession,
    TasksSwapped,
    TaskSwap,
    encode_row,
    too_many_rows,
    with_times,
)


class MemoryBackgroundTaskStore:
    """Rows of background tasks by session.

    Args:
        clock: the stores' clock.
        exists: says whether a session does.
    """

    def __init__(self, clock: Clock, exists: Callable[[str], bool]) -> None:
        self._clock = clock
        self._exists = exists
        self._lock = threading.Lock()
        self._sessions: dict[str, dict[tuple[str, str], StoredTask]] = {}

    async def read_background_tasks(self, session_id: str) -> tuple[StoredTask, ...]:
        """See ``BackgroundTaskStore.read_background_tasks``."""
        with self._lock:
            tasks = copy.deepcopy(tuple(self._sessions.get(session_id, {}).values()))
        return tuple(sorted(tasks, key=lambda task: (task.created_us, task.scope_key, task.row.record.id)))

    async def swap_background_tasks(
        self, session_id: str, swaps: Sequence[TaskSwap]
    ) -> TasksSwapped | TasksChanged | TasksOfNoSession:
        """See ``BackgroundTaskStore.swap_background_tasks``."""
        for swap in swaps:
            if swap.row is not None:
                encode_row(swap.row)
        puts = any(swap.row is not None for swap in swaps)
        if puts and not self._exists(session_id):
            return TasksOfNoSession()
        with self._lock:
            rows = dict(self._sessions.get(session_id, {}))
            for swap in swaps:
                there = rows.get((swap.scope_key, swap.task_id))
                gone = there is None and swap.row is None and not swap.must_be_there
                if not gone and (0 if there is None else there.revision) != swap.revision:
                    return TasksChanged()
            tasks = tuple(self._swapped(rows, swap) for swap in swaps)
            if len(rows) > ROWS_MAX and puts:
                raise too_many_rows(session_id)
            self._sessions[session_id] = rows
            if not rows:
                del self._sessions[session_id]
        return TasksSwapped(copy.deepcopy(tasks))

    def forget_session(self, session_id: str) -> None:
        """The session is deleted."""
        with self._lock:
            self._sessions.pop(session_id, None)

    def _swapped(self, rows: dict[tuple[str, str], StoredTask], swap: TaskSwap) -> StoredTask | None:
        name = (swap.scope_key, swap.task_id)
        there = rows.pop(name, None)
        if swap.row is None:
            return None
        now_us = self._clock.now_us()
        revision = max(now_us, 0 if there is None else there.revision + 1)
        created_us = now_us
        if isinstance(swap.created, int):
            created_us = swap.created
        elif swap.created is TaskBirth.KEPT and there is not None:
            created_us = there.created_us
        completed_us = 0
        if swap.row.record.state.is_terminal:
            completed_us = revision if swap.completed_us is None else swap.completed_us
        row = with_times(copy.deepcopy(swap.row), created_us=created_us, revision=revision, completed_us=completed_us)
        task = rows[name] = StoredTask(swap.scope_key, row, revision, created_us)
        return task
