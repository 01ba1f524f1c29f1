"""What background tasks refuse (``docs/contracts/background_tasks.md`` 2, 3). Nothing changed."""

from __future__ import annotations

from lash_core.errors.process import PluginSessionError


class BackgroundTaskError(PluginSessionError):
    """A background task cannot be started, changed, moved or listed as asked."""

    code = "background_task"


class UnknownBackgroundTaskError(BackgroundTaskError):
    """The scope has no such task; one of another scope is none of its own (decision 18)."""

    code = "unknown_background_task"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"unknown background task `{task_id}`", field="task_id", value=task_id)
        self.task_id = task_id


class BackgroundTaskEndedError(BackgroundTaskError):
    """The task has ended: its record stays as it is (decision 18)."""

    code = "background_task_ended"

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(
            f"background task `{task_id}` has ended as {state}; an ended task does not change",
            field="task_id",
            value=task_id,
        )
        self.task_id = task_id
        self.state = state
