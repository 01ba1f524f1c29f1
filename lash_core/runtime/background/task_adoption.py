"""What becomes of rows whose runtime went away (decision 4; ``docs/contracts/background_tasks.md`` 4). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lash_core.model import background_task_rules as rules
from lash_core.model.background_task import BackgroundTaskOutcome, BackgroundTaskState
from lash_core.runtime.background.scope_keys import runtime_scope_of
from lash_core.store.background_task_store import BackgroundTaskRow, StoredTask, TaskSwap

LOST_SUMMARY = "the runtime that ran it is gone"

_SETTLED: dict[str, None] = {"moving_to": None, "moved_from": None}
"""Of a row that is adopted: moves that were cut off were finished before (``moved_rows``)."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """The swaps that take rows over.

    Attributes:
        swaps: first the new rows, then what goes.
        adopted: the rows as they were, in the order of their new rows, which are the first swaps.
        dropped: rows that give way to one of the same id.
    """

    swaps: tuple[TaskSwap, ...]
    adopted: tuple[StoredTask, ...]
    dropped: tuple[StoredTask, ...]


def plan_adoption(
    tasks: Sequence[StoredTask],
    scope_key: str,
    generation: int,
    *,
    runs_on: Callable[[StoredTask], bool],
    now_ms: int,
) -> Adoption:
    """How the holder of a session's lease takes over rows of older generations.

    Its own rows get its generation. External ones come as they are; managed ones come as failed, unless ``runs_on``:
    their runtime left them to this very program, in which they still run. Where two rows have one id, a live one of
    the adopter's own stays, else the newest counts, and the other goes.
    """
    mine = {task.row.record.id: task for task in tasks if task.scope_key == scope_key}
    others = [task for task in tasks if task.scope_key != scope_key and task.row.generation < generation]
    chosen: dict[str, StoredTask] = {}
    for task in sorted(others, key=lambda task: (not task.row.record.state.is_terminal, task.revision)):
        chosen[task.row.record.id] = task
    for task_id in tuple(chosen):
        own = mine.get(task_id)
        if own is not None and (not own.row.record.state.is_terminal or chosen[task_id].row.record.state.is_terminal):
            del chosen[task_id]
    adopted = tuple(sorted(chosen.values(), key=lambda task: task.created_us))
    owned = tuple(t for t in mine.values() if t.row.generation < generation and t.row.record.id not in chosen)
    puts = [
        TaskSwap(
            scope_key,
            task.row.record.id,
            mine[task.row.record.id].revision if task.row.record.id in mine else 0,
            _adopted(task, scope_key, generation, runs_on=runs_on(task), now_ms=now_ms),
            created=task.created_us,
            completed_us=_ended_us(task),
        )
        for task in adopted
    ]
    puts += [
        TaskSwap(
            scope_key,
            task.row.record.id,
            task.revision,
            task.row.model_copy(update={"generation": generation, "moved_from": None}),
            completed_us=_ended_us(task),
        )
        for task in owned
    ]
    # What is gone meanwhile went to somebody else: it is not to be had twice.
    drops = [TaskSwap(task.scope_key, task.row.record.id, task.revision, None, must_be_there=True) for task in others]
    dropped = tuple(task for task in others if chosen.get(task.row.record.id) is not task)
    return Adoption((*puts, *drops), adopted, dropped)


def _adopted(task: StoredTask, scope_key: str, generation: int, *, runs_on: bool, now_ms: int) -> BackgroundTaskRow:
    row, record = task.row, task.row.record
    if row.managed and not record.state.is_terminal and not runs_on:
        evidence = {
            "owner": runtime_scope_of(task.scope_key),
            "owner_generation": row.generation,
            "adopter": runtime_scope_of(scope_key),
            "adopter_generation": generation,
            "last_state": record.state.value,
        }
        outcome = BackgroundTaskOutcome(summary=LOST_SUMMARY, code=rules.TASK_OWNER_LOST, evidence=evidence)
        record = rules.ended(record, BackgroundTaskState.FAILED, outcome, now_ms)
    return row.model_copy(update={"record": record, "generation": generation, **_SETTLED})


def _ended_us(task: StoredTask) -> int | None:
    ended_ms = task.row.record.completed_at
    return None if ended_ms is None else ended_ms * 1_000
