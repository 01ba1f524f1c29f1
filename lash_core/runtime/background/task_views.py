"""The stored background tasks of a session, as anybody sees them (``docs/contracts/background_tasks.md`` 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lash_core.errors import InvalidArgumentError
from lash_core.model.background_task import BackgroundTaskRecord
from lash_core.runtime.background.scope_keys import runtime_scope_of, session_of
from lash_core.store.background_task_store import ROWS_MAX, BackgroundTaskStore, StoredTask


@dataclass(frozen=True, slots=True)
class SessionTaskView:
    """A stored task.

    Attributes:
        record: as it was written last.
        managed: it runs in the program that has it; else its work runs elsewhere.
        owner: the runtime scope that has it.
        generation: of the session's lease that the owner had last; 0 = none yet.
        moving_to: the session that it is being moved to.
    """

    record: BackgroundTaskRecord
    managed: bool
    owner: str
    generation: int
    moving_to: str | None

    @classmethod
    def of_row(cls, task: StoredTask) -> SessionTaskView:
        """The view of a row."""
        row, owner = task.row, runtime_scope_of(task.scope_key)
        return cls(row.record, row.managed, owner, row.generation, session_of(row.moving_to) if row.moving_to else None)

    def to_json_value(self) -> dict[str, Any]:
        """What a view shows; ``waiting`` reads ``idle``."""
        record = self.record
        return {
            "id": record.id,
            "kind": record.kind.value,
            "state": record.state.shown,
            "producer": record.producer,
            "managed": self.managed,
            "parent_task_id": record.parent_task_id,
            "child_session_id": record.child_session_id,
            "cancel_policy": record.cancel_policy.value,
            "close_policy": record.close_policy.value,
            "created_at_ms": record.created_at,
            "updated_at_ms": record.updated_at,
            "completed_at_ms": record.completed_at,
            "result": None if record.result is None else record.result.to_json_value(),
            "failure": None if record.failure is None else record.failure.to_json_value(),
            "owner": self.owner,
            "generation": self.generation,
            "moving_to": self.moving_to,
        }


@dataclass(frozen=True, slots=True)
class SessionTasksView:
    """A session's newest stored tasks, newest first; ``total`` is how many it has, of those that were asked for."""

    session_id: str
    tasks: tuple[SessionTaskView, ...]
    total: int

    def to_json_value(self) -> dict[str, Any]:
        """``{session_id, total, items}``."""
        items = [task.to_json_value() for task in self.tasks]
        return {"session_id": self.session_id, "total": self.total, "items": items}


async def session_tasks(
    store: BackgroundTaskStore, session_id: str, *, live_only: bool = False, limit: int = 50
) -> SessionTasksView:
    """Managed and external tasks of a session as they are stored, of all its runtimes, newest first. Reads only.

    Args:
        store: keeps the rows.
        session_id: the session; one that is not there has none.
        live_only: without those that ended.
        limit: tasks at most, 0 to ``ROWS_MAX``.

    Raises:
        InvalidArgumentError: the limit. CorruptRecordError, NewerRecordError.
    """
    if not 0 <= limit <= ROWS_MAX:
        text = f"limit is {limit}; it must be 0 to {ROWS_MAX}"
        raise InvalidArgumentError(text, field="limit", value=limit, limit=ROWS_MAX)
    rows = await store.read_background_tasks(session_id)
    found = [task for task in reversed(rows) if not (live_only and task.row.record.state.is_terminal)]
    return SessionTasksView(session_id, tuple(map(SessionTaskView.of_row, found[:limit])), len(found))
