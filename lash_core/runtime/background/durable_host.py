"""Background tasks whose managed and external records outlive their program (decision 4).

``docs/contracts/background_tasks.md`` 4. What runs, runs here as with ``LocalBackgroundTaskHost``, and what a runtime
sees is what this program knows; each change is in the store before anybody is told of it. A row belongs to a runtime's
scope. Whoever has the session's lease takes over rows of older generations; the store then refuses what the former
owner still writes, and its work is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.clock import Clock
from lash_core.errors.background_task import UnknownBackgroundTaskError
from lash_core.model import background_task_rules as rules
from lash_core.model.background_task import (
    BackgroundTaskOutcome,
    BackgroundTaskRecord,
    BackgroundTaskState,
    TaskFailed,
    TaskRegistered,
)
from lash_core.runtime.background.local_host import LocalBackgroundTaskHost
from lash_core.runtime.background.moved_rows import SWAPS_MAX, always_changing, settle_moves
from lash_core.runtime.background.scope_keys import session_of
from lash_core.runtime.background.task_adoption import LOST_SUMMARY, plan_adoption
from lash_core.runtime.background.task_keeping import cancel_run
from lash_core.runtime.background.task_rows import TaskRows, TasksLostError
from lash_core.runtime.background.task_table import TaskChange, TaskEntry
from lash_core.store.background_task_store import (
    BackgroundTaskStore,
    StoredTask,
    TasksChanged,
    TasksSwapped,
)


class DurableBackgroundTaskHost(LocalBackgroundTaskHost):
    """``BackgroundTaskHost`` over a store. Hidden tasks leave no trace; a session without a store has none either.

    Args:
        store: keeps the rows.
        clock: for what is not stored.
    """

    def __init__(self, store: BackgroundTaskStore, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._store = store
        self._generations: dict[str, int] = {}
        self._rows = TaskRows(store, self._table, lambda scope_key: self._generations.get(scope_key, 0))

    async def adopt(self, scope_key: str, generation: int) -> tuple[BackgroundTaskRecord, ...]:
        """See ``BackgroundTaskHost.adopt``. One round trip when there is nothing to take over. Safe to repeat."""
        session_id = session_of(scope_key)
        self._left.discard(scope_key)
        self._generations[scope_key] = max(generation, self._generations.get(scope_key, 0))
        for _ in range(SWAPS_MAX):
            tasks = await self._store.read_background_tasks(session_id)
            if not any(task.row.generation < generation for task in tasks):
                return ()
            if await settle_moves(self._store, session_id, tasks):
                continue
            async with self._locked(scope_key, *(task.scope_key for task in tasks)):
                adopted = await self._adopt(scope_key, generation, tasks)
            if adopted is not None:
                return adopted
        raise always_changing(session_id)

    # -- changes ---------------------------------------------------------------------------------------

    async def _save(self, changes: Sequence[TaskChange]) -> None:
        """Write changes, all or none, then make them here.

        Raises:
            UnknownBackgroundTaskError: another runtime has taken the task over; here it is cancelled. Store errors.
        """
        try:
            written = await self._rows.write(changes)
        except TasksLostError as error:
            for entry in error.entries:
                self._lose(entry)
            raise UnknownBackgroundTaskError(error.entries[0].record.id) from error
        for change in changes:
            self._table.apply(change)
        for entry, task in written:
            entry.revision = 0 if task is None else task.revision
            if task is not None:
                entry.record = task.row.record

    def _lose(self, entry: TaskEntry) -> None:
        """A task that is another runtime's now: what runs of it here is cancelled."""
        scope_key = entry.scope_key
        outcome = BackgroundTaskOutcome(summary=LOST_SUMMARY, code=rules.TASK_OWNER_LOST)
        record = rules.ended(entry.record, BackgroundTaskState.FAILED, outcome, self._clock.now_ms())
        self._table.apply(TaskChange(entry, None, scope_key))
        run, entry.run, entry.cancel = entry.run, None, None
        if not entry.record.state.is_terminal:
            self._publish(scope_key, TaskFailed(record))
        cancel_run(run)

    async def _end_exited(
        self, entry: TaskEntry, state: BackgroundTaskState, outcome: BackgroundTaskOutcome | None
    ) -> None:
        await super()._end_exited(entry, state, outcome)
        if entry.scope_key in self._left:
            self._leave(entry.scope_key)

    def _leave(self, scope_key: str) -> None:
        """What the store knows as well is not kept here; what runs or can be cancelled only here is."""
        for entry in self._table.entries(scope_key):
            is_ours = not entry.record.state.is_terminal and (entry.run is not None or entry.cancel is not None)
            if entry.revision and not is_ours:
                self._table.apply(TaskChange(entry, None, scope_key))
        super()._leave(scope_key)
        if scope_key not in self._left:
            self._generations.pop(scope_key, None)

    # -- adoption --------------------------------------------------------------------------------------

    async def _adopt(
        self, scope_key: str, generation: int, tasks: Sequence[StoredTask]
    ) -> tuple[BackgroundTaskRecord, ...] | None:
        """Take rows over, in the store and then here; None: they changed meanwhile."""
        plan = plan_adoption(tasks, scope_key, generation, runs_on=self._left_running, now_ms=self._clock.now_ms())
        answer = await self._store.swap_background_tasks(session_of(scope_key), plan.swaps)
        if not isinstance(answer, TasksSwapped):
            # A session that is gone has no rows to take over.
            return None if isinstance(answer, TasksChanged) else ()
        rows = [task for task in answer.tasks if task is not None]
        records = [self._arrive(was, task) for was, task in zip(plan.adopted, rows, strict=False)]
        for task in rows[len(plan.adopted) :]:
            entry = self._table.get(scope_key, task.row.record.id)
            if entry is not None:
                entry.revision = task.revision
        for task in plan.dropped:
            if (entry := self._table.get(task.scope_key, task.row.record.id)) is not None:
                self._lose(entry)
        for left in {task.scope_key for task in plan.adopted}:
            if left in self._left:
                self._leave(left)
        return tuple(records)

    def _left_running(self, task: StoredTask) -> bool:
        """True when a runtime left the task to this program, and it still runs."""
        entry = self._table.get(task.scope_key, task.row.record.id)
        return task.scope_key in self._left and entry is not None and entry.run is not None and not entry.run.done()

    def _arrive(self, was: StoredTask, task: StoredTask) -> BackgroundTaskRecord:
        record = task.row.record
        entry = self._table.get(was.scope_key, record.id)
        if entry is None:
            entry = TaskEntry(task.scope_key, record, task.row.managed)
        self._table.apply(TaskChange(entry, record, task.scope_key))
        entry.revision = task.revision
        if was.row.record.state.is_terminal:
            return record
        if not record.state.is_terminal:
            self._publish(task.scope_key, TaskRegistered(record))
            return record
        run, entry.run, entry.cancel = entry.run, None, None
        for told in (was.scope_key, task.scope_key):
            self._publish(told, TaskFailed(record))
        cancel_run(run)
        return record
