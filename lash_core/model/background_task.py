"""Background tasks of a session: their records, events and answers (``docs/contracts/background_tasks.md`` 1). Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model

MONITOR_PREFIX = "monitor:"


class BackgroundTaskKind(StrEnum):
    """What a task is for."""

    MONITOR = "monitor"
    SUBAGENT = "subagent"
    OBSERVER = "observer"
    OTHER = "other"


class BackgroundTaskState(StrEnum):
    """Where a task stands. ``waiting`` is shown as ``idle`` in status JSON."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Completed, failed or cancelled: nothing changes any more."""
        return self in _TERMINAL

    @property
    def shown(self) -> str:
        """The word in status JSON."""
        return "idle" if self is BackgroundTaskState.WAITING else self.value


_TERMINAL = frozenset({BackgroundTaskState.COMPLETED, BackgroundTaskState.FAILED, BackgroundTaskState.CANCELLED})


class CancelPolicy(StrEnum):
    """How a task is cancelled."""

    COOPERATIVE = "cooperative"
    ABORT_LOCAL = "abort_local"
    EXTERNAL = "external"


class ClosePolicy(StrEnum):
    """What becomes of a task when its session is closed."""

    KEEP = "keep"
    CANCEL = "cancel"
    TRANSFER = "transfer"


BackgroundTaskCancelPolicy = CancelPolicy
BackgroundTaskClosePolicy = ClosePolicy
"""The policies beside the other names of tasks."""


class BackgroundTaskScope(Model):
    """Whose task it is, as others may see it; the key inside is ``<runtime scope id>:<session id>``."""

    session_id: str = Field(kw_only=False)


class BackgroundTaskAttempt(Model):
    """Which attempt this is."""

    attempt: int = Field(default=1, ge=1)
    max_attempts: int | None = None
    idempotency_key: str | None = None


class BackgroundTaskOutcome(Model):
    """What a task left behind. ``code`` and ``evidence`` are given where the host ended it (``task_owner_lost``)."""

    summary: str | None = Field(default=None, kw_only=False)
    code: str | None = None
    evidence: JsonValue = None


class BackgroundTaskRegistration(Model):
    """What a task is, as its producer says."""

    id: str = Field(kw_only=False)
    kind: BackgroundTaskKind = Field(default=BackgroundTaskKind.OTHER, kw_only=False)
    producer: str = Field(default="host", kw_only=False)
    child_session_id: str | None = None
    parent_task_id: str | None = None


class BackgroundTaskRecord(Model):
    """A managed or external task. Times are ms since the epoch, by the store's clock where there is a store."""

    id: str
    kind: BackgroundTaskKind
    producer: str
    scope: BackgroundTaskScope
    parent_task_id: str | None = None
    child_session_id: str | None = None
    state: BackgroundTaskState
    cancel_policy: CancelPolicy = CancelPolicy.COOPERATIVE
    close_policy: ClosePolicy = ClosePolicy.KEEP
    attempt: BackgroundTaskAttempt = Field(default_factory=BackgroundTaskAttempt)
    result: BackgroundTaskOutcome | None = None
    failure: BackgroundTaskOutcome | None = None
    created_at: int
    updated_at: int
    completed_at: int | None = None

    def status_json(self) -> dict[str, Any]:
        """The record as status views show it: ``waiting`` reads ``idle``."""
        return {**self.to_json_value(), "state": self.state.shown}


class BackgroundTaskFilter(Model):
    """Which tasks. Without ``include_terminal`` listings leave terminal records out (decision 27)."""

    session_id: str | None = None
    kind: BackgroundTaskKind | None = None
    include_terminal: bool = False


class BackgroundTaskUpdate(Model):
    """A change of a live task; the progress event comes first."""

    state: BackgroundTaskState | None = None
    progress: JsonValue = None


class BackgroundTaskCompletion(Model):
    """The end of a task; ``state`` must be terminal."""

    state: BackgroundTaskState = Field(kw_only=False)
    summary: str | None = Field(default=None, kw_only=False)


class TaskRegistered(Model):
    """It is known."""

    type: Literal["registered"] = "registered"
    record: BackgroundTaskRecord = Field(kw_only=False)


class TaskStateChanged(Model):
    """Its state is this now."""

    type: Literal["state_changed"] = "state_changed"
    task_id: str = Field(kw_only=False)
    state: BackgroundTaskState = Field(kw_only=False)


class TaskProgress(Model):
    """It said something."""

    type: Literal["progress"] = "progress"
    task_id: str = Field(kw_only=False)
    progress: JsonValue = Field(default=None, kw_only=False)


class TaskCompleted(Model):
    """It ended well."""

    type: Literal["completed"] = "completed"
    record: BackgroundTaskRecord = Field(kw_only=False)


class TaskFailed(Model):
    """It failed."""

    type: Literal["failed"] = "failed"
    record: BackgroundTaskRecord = Field(kw_only=False)


class TaskCancelRequested(Model):
    """Somebody asked it to stop."""

    type: Literal["cancel_requested"] = "cancel_requested"
    task_id: str = Field(kw_only=False)
    reason: str | None = Field(default=None, kw_only=False)


class TaskCancelled(Model):
    """It was cancelled."""

    type: Literal["cancelled"] = "cancelled"
    record: BackgroundTaskRecord = Field(kw_only=False)


class TaskTransferred(Model):
    """It is another session's now."""

    type: Literal["transferred"] = "transferred"
    task_id: str = Field(kw_only=False)
    scope: BackgroundTaskScope = Field(kw_only=False)


BackgroundTaskEvent = Annotated[
    TaskRegistered
    | TaskStateChanged
    | TaskProgress
    | TaskCompleted
    | TaskFailed
    | TaskCancelRequested
    | TaskCancelled
    | TaskTransferred,
    Field(discriminator="type"),
]
