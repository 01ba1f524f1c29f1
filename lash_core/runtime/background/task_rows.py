"""Writes the changes of a host's tasks into their rows (``docs/contracts/background_tasks.md`` 4)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from lash_core.errors import LashError, OutcomeUnknownError
from lash_core.runtime.background.moved_rows import SWAPS_MAX, always_changing, has_left, is_same
from lash_core.runtime.background.scope_keys import session_of
from lash_core.runtime.background.task_table import TaskChange, TaskEntry, TaskTable
from lash_core.store.background_task_store import (
    BackgroundTaskRow,
    BackgroundTaskStore,
    StoredTask,
    TaskBirth,
    TasksChanged,
    TasksOfNoSession,
    TaskSwap,
)

_log = logging.getLogger(__name__)

Written = list[tuple[TaskEntry, StoredTask | None]]
"""Entries with their rows; None = the store keeps nothing of it."""


class TasksLostError(LashError):
    """Another runtime has taken tasks over; nothing was written."""

    code = "background_tasks_lost"

    def __init__(self, entries: Sequence[TaskEntry]) -> None:
        super().__init__("another runtime has taken these background tasks over")
        self.entries = tuple(entries)


class TaskRows:
    """The rows of one host's tasks.

    Args:
        store: keeps them.
        table: what the host knows, before the changes.
        generation_of: of the session's lease that the runtime with this scope had last.
    """

    def __init__(self, store: BackgroundTaskStore, table: TaskTable, generation_of: Callable[[str], int]) -> None:
        self._store = store
        self._table = table
        self._generation_of = generation_of

    async def write(self, changes: Sequence[TaskChange]) -> Written:
        """Write changes of one session, or moves from one to another, all or none.

        Raises:
            TasksLostError. BackgroundTaskError: too many rows. Store errors.
        """
        stored = [change for change in changes if self._is_stored(change)]
        if not stored:
            return []
        from_session = session_of(stored[0].entry.scope_key)
        to_session = session_of(stored[0].scope_key)
        if from_session == to_session:
            try:
                await self._leave_behind(stored)
            except TasksLostError:
                raise
            except (LashError, OSError):
                _log.warning("background tasks may still be listed where they came from", exc_info=True)
            return await self._written(to_session, stored, self._swaps)
        await self._leave_behind(stored)
        return await self._moved(from_session, to_session, stored)

    # -- inside ----------------------------------------------------------------------------------------

    def _is_stored(self, change: TaskChange) -> bool:
        """A task that was begun for a session that is not stored stays in memory."""
        return change.entry.revision > 0 or not self._table.has(change.entry)

    async def _moved(self, from_session: str, to_session: str, changes: Sequence[TaskChange]) -> Written:
        """Three writes, for the rows are in two partitions: say so, put them there, take them here.

        Whoever finds rows that say so looks whether they are there, and who finds them there whether they left here
        (``moved_rows``): a crash in between loses no task and leaves none twice. An adopter that looked before they
        were there has taken them over here: what was put there is taken away again.
        """
        await self._written(from_session, changes, self._marks)
        try:
            written = await self._written(to_session, changes, self._arrivals)
        except OutcomeUnknownError:
            raise
        except LashError:
            await self._written(from_session, changes, self._unmarks)
            raise
        try:
            await self._depart(from_session, changes)
        except TasksLostError:
            await self._retreat(to_session, changes, written)
            raise
        except (LashError, OSError):
            _log.warning("moved background tasks are still listed in session %s", from_session, exc_info=True)
            for change in changes:
                change.entry.moved_from = change.entry.scope_key
        return written

    async def _leave_behind(self, changes: Sequence[TaskChange]) -> None:
        """Tasks that came here by a move whose last write nobody answered: see to it that they left.

        Raises:
            TasksLostError: somebody had taken them over where they were. Store errors.
        """
        lost: list[TaskEntry] = []
        for entry in dict.fromkeys(change.entry for change in changes):
            if entry.moved_from is None or not self._table.has(entry):
                continue
            if await has_left(self._store, entry.record, entry.moved_from, entry.scope_key):
                entry.moved_from = None
            else:
                drop = TaskSwap(entry.scope_key, entry.record.id, entry.revision, None)
                await self._store.swap_background_tasks(session_of(entry.scope_key), [drop])
                lost.append(entry)
        if lost:
            raise TasksLostError(lost)

    async def _depart(self, session_id: str, changes: Sequence[TaskChange]) -> None:
        """Take rows away that have arrived.

        Raises:
            TasksLostError: somebody had taken them over before they arrived.
        """
        left = [change.entry for change in changes]
        for _ in range(SWAPS_MAX):
            takes = [TaskSwap(e.scope_key, e.record.id, e.revision, None, must_be_there=True) for e in left]
            if not isinstance(await self._store.swap_background_tasks(session_id, takes), TasksChanged):
                return
            tasks = await self._store.read_background_tasks(session_id)
            ours = {(task.scope_key, task.row.record.id): task.revision for task in tasks}
            gone = [entry for entry in left if (entry.scope_key, entry.record.id) not in ours]
            if any(is_same(entry.record, task.row.record) for entry in gone for task in tasks):
                raise TasksLostError(gone)
            # Those of which there is no trace were taken away by who saw that they had arrived.
            left = [entry for entry in left if entry not in gone]
            for entry in left:
                entry.revision = ours[entry.scope_key, entry.record.id]
            if not left:
                return
        raise always_changing(session_id)

    async def _retreat(self, session_id: str, changes: Sequence[TaskChange], written: Written) -> None:
        revisions = {entry.record.id: task.revision for entry, task in written if task is not None}
        drops = [
            TaskSwap(change.scope_key, change.entry.record.id, revisions[change.entry.record.id], None)
            for change in changes
            if change.entry.record.id in revisions
        ]
        try:
            answer = await self._store.swap_background_tasks(session_id, drops)
        except (LashError, OSError):
            _log.warning("background tasks that were taken over stay in session %s too", session_id, exc_info=True)
        else:
            if isinstance(answer, TasksChanged):
                _log.warning("background tasks that were taken over are in session %s too", session_id)

    async def _written(
        self, session_id: str, changes: Sequence[TaskChange], swaps: Callable[[TaskChange], list[TaskSwap]]
    ) -> Written:
        for _ in range(SWAPS_MAX):
            wanted = [swaps(change) for change in changes]
            flat = [swap for of_change in wanted for swap in of_change]
            answer = await self._store.swap_background_tasks(session_id, flat)
            if isinstance(answer, TasksChanged):
                await self._look_again(session_id, changes)
                continue
            written: Written = []
            rows = iter(() if isinstance(answer, TasksOfNoSession) else answer.tasks)
            for change, of_change in zip(changes, wanted, strict=True):
                # The row that a task has now is that of its first swap; the others take away what is in its place.
                tasks = [next(rows, None) for _ in of_change]
                written.append((change.entry, tasks[0]))
                if tasks[0] is not None and session_of(change.entry.scope_key) == session_id:
                    change.entry.revision = tasks[0].revision
            return written
        raise always_changing(session_id)

    async def _look_again(self, session_id: str, changes: Sequence[TaskChange]) -> None:
        """Take the revisions over of rows that this host wrote itself and did not hear of.

        Raises:
            TasksLostError: some are not this host's any more.
        """
        tasks = await self._store.read_background_tasks(session_id)
        there = {(task.scope_key, task.row.record.id): task.revision for task in tasks}
        lost: list[TaskEntry] = []
        for change in changes:
            entry = change.entry
            if session_of(entry.scope_key) == session_id:
                revision = there.get((entry.scope_key, entry.record.id), 0)
                if self._table.has(entry) and entry.revision and not revision:
                    lost.append(entry)
                entry.revision = revision
            in_place = self._table.get(change.scope_key, entry.record.id)
            if in_place is not None and in_place is not entry and session_of(change.scope_key) == session_id:
                in_place.revision = there.get((change.scope_key, entry.record.id), 0)
        if lost:
            raise TasksLostError(lost)
        # An earlier try to move them here of which nobody said that it was done.
        earlier = [
            TaskSwap(task.scope_key, task.row.record.id, task.revision, None)
            for task in tasks
            for change in changes
            if change.scope_key == task.scope_key
            and change.entry.scope_key == task.row.moved_from
            and is_same(change.entry.record, task.row.record)
        ]
        if earlier:
            await self._store.swap_background_tasks(session_id, earlier)

    # -- swaps of one change ---------------------------------------------------------------------------

    def _row(self, change: TaskChange, moving_to: str | None = None) -> BackgroundTaskRow:
        entry = change.entry
        comes = session_of(change.scope_key) != session_of(entry.scope_key)
        return BackgroundTaskRow(
            record=change.record or entry.record,
            managed=entry.managed,
            generation=self._generation_of(change.scope_key),
            moving_to=moving_to,
            moved_from=entry.scope_key if comes else entry.moved_from,
        )

    def _swaps(self, change: TaskChange) -> list[TaskSwap]:
        entry, task_id = change.entry, change.entry.record.id
        if change.record is None:
            return [TaskSwap(entry.scope_key, task_id, entry.revision, None)]
        if change.scope_key != entry.scope_key:
            return [*self._arrivals(change), TaskSwap(entry.scope_key, task_id, entry.revision, None)]
        created = TaskBirth.KEPT if self._table.has(entry) else TaskBirth.NOW
        return [TaskSwap(entry.scope_key, task_id, entry.revision, self._row(change), created, _ended_us(change))]

    def _marks(self, change: TaskChange) -> list[TaskSwap]:
        return [self._stays(change, change.scope_key)]

    def _unmarks(self, change: TaskChange) -> list[TaskSwap]:
        return [self._stays(change, None)]

    def _stays(self, change: TaskChange, moving_to: str | None) -> TaskSwap:
        entry = change.entry
        here = TaskChange(entry, entry.record, entry.scope_key)
        row = self._row(here, moving_to)
        return TaskSwap(entry.scope_key, entry.record.id, entry.revision, row, completed_us=_ended_us(here))

    def _arrivals(self, change: TaskChange) -> list[TaskSwap]:
        entry = change.entry
        in_place = self._table.get(change.scope_key, entry.record.id)
        revision = 0 if in_place is None else in_place.revision
        created_us = entry.record.created_at * 1_000
        return [TaskSwap(change.scope_key, entry.record.id, revision, self._row(change), created_us, _ended_us(change))]


def _ended_us(change: TaskChange) -> int | None:
    """When an ended task that is only moved ended; one that ends now does so by the store's clock."""
    ended_ms = change.entry.record.completed_at
    return None if ended_ms is None or change.record is None else ended_ms * 1_000
