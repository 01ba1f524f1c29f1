"""How records of background tasks change (``docs/contracts/background_tasks.md`` 1, 3). Pure: times are passed in."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskEvent,
    BackgroundTaskFilter,
    BackgroundTaskOutcome,
    BackgroundTaskRecord,
    BackgroundTaskRegistration,
    BackgroundTaskScope,
    BackgroundTaskState,
    CancelPolicy,
    ClosePolicy,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskRegistered,
)
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json_bytes

TASK_ID_BYTES_MAX = 200
"""As other ids: the id is a part of a stored field."""
SUMMARY_BYTES_MAX = 16_384
"""A summary is a line for people; what is larger belongs into an artifact."""
PROGRESS_BYTES_MAX = 65_536
"""256 of them may wait for a slow subscriber: 16 MB."""
TASK_OWNER_LOST = "task_owner_lost"
"""The code of a managed task whose process is gone (decision 4)."""

LIVE_STATES = frozenset({BackgroundTaskState.RUNNING, BackgroundTaskState.WAITING})
"""What ``mark_live`` may set."""


WordT = TypeVar("WordT", bound=StrEnum)


def word_of(words: type[WordT], word: WordT | str, field: str) -> WordT:
    """One of a field's words, also given as text.

    Raises:
        BackgroundTaskError: it is none of them.
    """
    try:
        return words(word)
    except ValueError:
        raise BackgroundTaskError(
            f"`{word}` is no {field} of a background task; there are {', '.join(words)}", field=field, value=word
        ) from None


def check_registration(spec: BackgroundTaskRegistration) -> None:
    """Refuse an id that cannot be kept, and names that are too long or no text.

    Raises:
        BackgroundTaskError: over 200 bytes; lone surrogates; an id that is empty, with control characters or white
            space at its ends.
    """
    for field in ("producer", "parent_task_id", "child_session_id"):
        said = getattr(spec, field) or ""
        _check_text(said, field)
        if len(said.encode()) > TASK_ID_BYTES_MAX:
            raise BackgroundTaskError(
                f"{field} of background task has more than {TASK_ID_BYTES_MAX} bytes",
                field=field,
                value=said,
                limit=TASK_ID_BYTES_MAX,
            )
    size = len(spec.id.encode(errors="surrogatepass"))
    if not spec.id or size > TASK_ID_BYTES_MAX or not spec.id.isprintable() or spec.id != spec.id.strip():
        raise BackgroundTaskError(
            f"background task id must be 1 to {TASK_ID_BYTES_MAX} bytes of printable text without white space at its "
            f"ends: {spec.id[:TASK_ID_BYTES_MAX]!r}",
            field="id",
            value=spec.id,
            limit=TASK_ID_BYTES_MAX,
        )


def check_progress(progress: JsonValue) -> None:
    """Refuse progress that is no JSON or too large to be kept for slow subscribers.

    Raises:
        BackgroundTaskError: over 64 KB. InvalidArgumentError: no JSON.
    """
    size = len(canonical_json_bytes(progress))
    if size > PROGRESS_BYTES_MAX:
        raise BackgroundTaskError(
            f"progress of a background task is {size} bytes; the limit is {PROGRESS_BYTES_MAX}",
            field="progress",
            value=size,
            limit=PROGRESS_BYTES_MAX,
        )


def check_completion(completion: BackgroundTaskCompletion) -> None:
    """Refuse an end that is none. Asked before the task is looked for.

    Raises:
        BackgroundTaskError: ``background task completion must use a terminal state``; a summary over 16 KB, or with
            lone surrogates.
    """
    if not completion.state.is_terminal:
        raise BackgroundTaskError(
            f"background task completion must use a terminal state, not `{completion.state.value}`",
            field="state",
            value=completion.state.value,
        )
    _check_text(completion.summary or "", "summary")
    size = len((completion.summary or "").encode())
    if size > SUMMARY_BYTES_MAX:
        raise BackgroundTaskError(
            f"summary of a background task is {size} bytes; the limit is {SUMMARY_BYTES_MAX}",
            field="summary",
            value=size,
            limit=SUMMARY_BYTES_MAX,
        )


def _check_text(said: str, field: str) -> None:
    try:
        said.encode()
    except UnicodeEncodeError:
        raise BackgroundTaskError(
            f"{field} of background task is no text: it has a lone surrogate", field=field, value=ascii(said)
        ) from None


def new_record(
    spec: BackgroundTaskRegistration,
    session_id: str,
    state: BackgroundTaskState,
    now_ms: int,
    *,
    cancel_policy: CancelPolicy,
    close_policy: ClosePolicy,
) -> BackgroundTaskRecord:
    """The record of a task that begins. Raises: BackgroundTaskError: a word that is no policy."""
    return BackgroundTaskRecord(
        id=spec.id,
        kind=spec.kind,
        producer=spec.producer,
        scope=BackgroundTaskScope(session_id),
        parent_task_id=spec.parent_task_id,
        child_session_id=spec.child_session_id,
        state=state,
        cancel_policy=word_of(CancelPolicy, cancel_policy, "cancel_policy"),
        close_policy=word_of(ClosePolicy, close_policy, "close_policy"),
        created_at=now_ms,
        updated_at=now_ms,
    )


def in_state(record: BackgroundTaskRecord, state: BackgroundTaskState, now_ms: int) -> BackgroundTaskRecord:
    """A live record in another live state."""
    return record.model_copy(update={"state": state, "updated_at": now_ms})


def ended(
    record: BackgroundTaskRecord, state: BackgroundTaskState, outcome: BackgroundTaskOutcome | None, now_ms: int
) -> BackgroundTaskRecord:
    """A live record at its end: the outcome is the failure of a failed one, else the result."""
    side = "failure" if state is BackgroundTaskState.FAILED else "result"
    return record.model_copy(update={"state": state, side: outcome, "updated_at": now_ms, "completed_at": now_ms})


def moved(record: BackgroundTaskRecord, session_id: str, now_ms: int) -> BackgroundTaskRecord:
    """A record in another session."""
    return record.model_copy(update={"scope": BackgroundTaskScope(session_id), "updated_at": now_ms})


def end_event(record: BackgroundTaskRecord) -> BackgroundTaskEvent:
    """The event that ends a task."""
    match record.state:
        case BackgroundTaskState.COMPLETED:
            return TaskCompleted(record)
        case BackgroundTaskState.FAILED:
            return TaskFailed(record)
        case _:
            return TaskCancelled(record)


def listed(record: BackgroundTaskRecord, filter: BackgroundTaskFilter) -> bool:
    """True when a listing with this filter shows the record."""
    return _fits(record, filter) and (filter.include_terminal or not record.state.is_terminal)


def told(event: BackgroundTaskEvent, filter: BackgroundTaskFilter) -> bool:
    """True when a subscription with this filter gets the event: ends too, whatever it says of them (decision 27).

    Events that carry no record pass always.
    """
    if isinstance(event, TaskRegistered | TaskCompleted | TaskFailed | TaskCancelled):
        return _fits(event.record, filter)
    return True


def _fits(record: BackgroundTaskRecord, filter: BackgroundTaskFilter) -> bool:
    return filter.session_id in {None, record.scope.session_id} and filter.kind in {None, record.kind}
