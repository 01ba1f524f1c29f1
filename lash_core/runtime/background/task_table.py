"""The tasks that one program runs or feeds, by scope and id. In memory; changes are decided in ``local_host``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from lash_core.model.background_task import BackgroundTaskRecord
from lash_core.runtime.background.task_host import TaskCancelCallback

ENDED_KEPT_MAX = 200
"""Ended records of one scope that are kept; the oldest go first."""
LIVE_TASKS_MAX = 1_000
"""Live tasks of one scope."""


@dataclass(slots=True, eq=False)
class TaskEntry:
    """One task. The same entry while it moves between scopes, so that its end finds it wherever it is.

    Attributes:
        scope_key: where it is now.
        record: as it was last.
        managed: it runs here; else its work runs elsewhere.
        run: the work, of a managed one; taken by the first cancel.
        cancel: the callback; taken by the first cancel.
        revision: of the stored row; 0 = not stored.
        moved_from: scope in another session whose row may still be there: nobody answered when it was taken away.
    """

    scope_key: str
    record: BackgroundTaskRecord
    managed: bool
    run: asyncio.Task[None] | None = None
    cancel: TaskCancelCallback | None = None
    revision: int = 0
    moved_from: str | None = None


@dataclass(frozen=True, slots=True)
class TaskChange:
    """One step of a task: ``record`` is what it becomes, in ``scope_key``; None = it is forgotten."""

    entry: TaskEntry
    record: BackgroundTaskRecord | None
    scope_key: str


@dataclass(slots=True)
class TaskTable:
    """Entries by scope and id, in the order in which they began."""

    _by_scope: dict[str, dict[str, TaskEntry]] = field(default_factory=dict[str, dict[str, TaskEntry]])

    def get(self, scope_key: str, task_id: str) -> TaskEntry | None:
        """One entry, ended or not."""
        return self._by_scope.get(scope_key, {}).get(task_id)

    def has(self, entry: TaskEntry) -> bool:
        """True while the entry is the one of its id: another task may have taken the id of an ended one."""
        return self.get(entry.scope_key, entry.record.id) is entry

    def entries(self, scope_key: str) -> tuple[TaskEntry, ...]:
        """All of a scope, oldest first."""
        return tuple(sorted(self._by_scope.get(scope_key, {}).values(), key=lambda entry: entry.record.created_at))

    def live(self, scope_key: str) -> tuple[TaskEntry, ...]:
        """Those of a scope that have not ended, oldest first."""
        return tuple(entry for entry in self.entries(scope_key) if not entry.record.state.is_terminal)

    def apply(self, change: TaskChange) -> None:
        """Take a step over. An entry that comes anew, or to another scope, takes the place of what has its id there."""
        entry = change.entry
        if self.has(entry) and (change.record is None or change.scope_key != entry.scope_key):
            self._remove(entry)
        if change.record is None:
            return
        entry.record, entry.scope_key = change.record, change.scope_key
        if not self.has(entry):
            of_scope = self._by_scope.setdefault(change.scope_key, {})
            # An id that is used again begins anew: at the end of the order.
            of_scope.pop(change.record.id, None)
            of_scope[change.record.id] = entry

    def surplus(self, scope_key: str) -> tuple[TaskEntry, ...]:
        """Ended entries of a scope that are too many, oldest end first."""
        over = [entry for entry in self.entries(scope_key) if entry.record.state.is_terminal]
        over.sort(key=lambda entry: entry.record.completed_at or 0)
        return tuple(over[: max(0, len(over) - ENDED_KEPT_MAX)])

    def _remove(self, entry: TaskEntry) -> None:
        of_scope = self._by_scope[entry.scope_key]
        del of_scope[entry.record.id]
        if not of_scope:
            del self._by_scope[entry.scope_key]
