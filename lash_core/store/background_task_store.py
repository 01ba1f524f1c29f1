"""Rows of background tasks that outlive the program that has them (``docs/contracts/background_tasks.md`` 4).

The rules of tasks are the host's. The store keeps rows by session, scope and id, and swaps several of one session at
once for others, if none of them changed since they were read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import BackgroundTaskRecord
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json

ROWS_MAX = 4_000
"""Rows of one session: live and ended ones of all its runtimes."""
ROW_BYTES_MAX = 65_536
"""Of one row: a summary has 16 KB at most, ids and names the rest."""
RECORD_VERSION = 1


class BackgroundTaskRow(Model):
    """What is stored of a task. Its times are the store's: those in ``record`` are not looked at.

    Attributes:
        record: the task.
        managed: it runs in the program that has its scope; else its work runs elsewhere.
        generation: of the session's execution lease that its runtime had last; 0 = none yet.
        moving_to: scope key in another session that the task is being moved to.
        moved_from: scope key in another session that it came from, until the row there is known to be gone.
    """

    record: BackgroundTaskRecord
    managed: bool
    generation: int = 0
    moving_to: str | None = None
    moved_from: str | None = None


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A row as it is.

    Attributes:
        scope_key: who has it, ``<runtime scope id>:<session id>``.
        row: the task, with the store's times.
        revision: rises with each swap; µs since the epoch, by the store's clock.
        created_us: when it began, as precisely.
    """

    scope_key: str
    row: BackgroundTaskRow
    revision: int
    created_us: int


class TaskBirth(StrEnum):
    """When a swapped task began: now, or when the row that is there says."""

    NOW = "now"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class TaskSwap:
    """One row in the place of another.

    Attributes:
        scope_key: whose.
        task_id: which.
        revision: of the row that is there; 0 = there is none.
        row: what takes its place; None = nothing.
        created: when the task began; a number is µs, of one that comes from elsewhere.
        completed_us: of an ended one that comes from elsewhere; None = it ends now, or has not ended.
        must_be_there: nothing takes the place of a row that is there; else one that is gone already is as asked.
    """

    scope_key: str
    task_id: str
    revision: int
    row: BackgroundTaskRow | None
    created: TaskBirth | int = TaskBirth.KEPT
    completed_us: int | None = None
    must_be_there: bool = False


@dataclass(frozen=True, slots=True)
class TasksSwapped:
    """All rows are as asked: the new ones, in the order of the swaps; None where one went."""

    tasks: tuple[StoredTask | None, ...]


@dataclass(frozen=True, slots=True)
class TasksChanged:
    """Somebody changed one of them; nothing was written. Read again."""


@dataclass(frozen=True, slots=True)
class TasksOfNoSession:
    """The store has no such session, so it keeps nothing of it; nothing was written."""


class BackgroundTaskStore(Protocol):
    """Rows of background tasks. Deletion of a session takes its rows along."""

    async def read_background_tasks(self, session_id: str) -> tuple[StoredTask, ...]:
        """All rows of a session, oldest first.

        Raises:
            CorruptRecordError, NewerRecordError: a row cannot be decoded.
        """
        ...

    async def swap_background_tasks(
        self, session_id: str, swaps: Sequence[TaskSwap]
    ) -> TasksSwapped | TasksChanged | TasksOfNoSession:
        """Put rows in the place of those that were read. All or none; atomic.

        A lost reply is asked for again inside: the swap counts once.

        Raises:
            BackgroundTaskError: the session would have more than 4,000 rows, or a row more than 64 KB.
            OutcomeUnknownError: the store did not answer.
        """
        ...


def encode_row(row: BackgroundTaskRow) -> str:
    """The row as JSON.

    Raises:
        BackgroundTaskError: it is over 64 KB.
    """
    text = canonical_json({"v": RECORD_VERSION, **row.to_json_value()})
    size = len(text.encode())
    if size > ROW_BYTES_MAX:
        raise BackgroundTaskError(
            f"the record of background task `{row.record.id}` is {size} bytes; the limit is {ROW_BYTES_MAX}",
            field="record",
            value=size,
            limit=ROW_BYTES_MAX,
        )
    return text


def decode_row(text: str, *, key: str, created_us: int, revision: int, completed_us: int) -> BackgroundTaskRow:
    """The row of its JSON, with the store's times in its record.

    Raises:
        NewerRecordError: a newer release wrote it. CorruptRecordError: it is none.
    """
    try:
        facts = json.loads(text)
        version = facts.pop("v", None)
        row = BackgroundTaskRow.model_validate(facts) if version == RECORD_VERSION else None
    except Exception as error:
        raise CorruptRecordError(f"a background task cannot be decoded: {type(error).__name__}", key=key) from error
    if row is None:
        raise NewerRecordError(f"a background task has record version {version}", key=key)
    return with_times(row, created_us=created_us, revision=revision, completed_us=completed_us)


def with_times(row: BackgroundTaskRow, *, created_us: int, revision: int, completed_us: int) -> BackgroundTaskRow:
    """The row with times of the store; ``completed_us`` 0 = it has not ended."""
    times = {
        "created_at": created_us // 1_000,
        "updated_at": revision // 1_000,
        "completed_at": completed_us // 1_000 or None,
    }
    if completed_us:
        # What ended does not change: a later swap only moves it.
        times["updated_at"] = times["completed_at"]
    return row.model_copy(update={"record": row.record.model_copy(update=times)})


def too_many_rows(session_id: str) -> BackgroundTaskError:
    """The refusal of a row too many."""
    return BackgroundTaskError(
        f"session `{session_id}` would have more than {ROWS_MAX} background tasks; that is the limit",
        field="session_id",
        value=session_id,
        limit=ROWS_MAX,
    )
