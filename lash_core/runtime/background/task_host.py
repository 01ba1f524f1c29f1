"""Who runs and keeps background tasks (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskEvent,
    BackgroundTaskFilter,
    BackgroundTaskRecord,
    BackgroundTaskRegistration,
    BackgroundTaskScope,
    BackgroundTaskState,
    BackgroundTaskUpdate,
    CancelPolicy,
    ClosePolicy,
)

BackgroundTask = Callable[[], Awaitable[object]] | Awaitable[object]
"""The work of a hidden or managed task: called once, awaited to its end; or what is awaited, as it is."""

TaskCancelCallback = Callable[[], Awaitable[None] | None]
"""Stops work that runs elsewhere: called at most once, also when several cancel at once."""

PluginSessionTask = BackgroundTask
LocalBackgroundTaskCancel = TaskCancelCallback
"""The same, as plugins know them."""

NO_MANAGED_TASKS = "managed background tasks are unavailable in this runtime"
"""The refusal to start a named task, a monitor among them, where nobody runs tasks."""


@runtime_checkable
class BackgroundTaskHost(Protocol):
    """Tasks of any number of scopes. A scope key is ``<runtime scope id>:<session id>``.

    One host may serve many runtimes; two runtimes of one session do not see each other's tasks.
    """

    # -- hidden: anonymous, awaited at barriers --------------------------------------------------------

    async def spawn_hidden(self, scope_key: str, label: str, task: BackgroundTask) -> None:
        """Start a task at once; what it raises surfaces at ``await_hidden``."""
        ...

    async def await_hidden(self, scope_key: str) -> None:
        """Await all hidden tasks in spawn order, and those that they spawn, until none is left.

        Raises:
            PluginSessionError: the first error, after all of them were awaited.
        """
        ...

    # -- managed: named, run here ----------------------------------------------------------------------

    async def spawn_managed(
        self,
        scope_key: str,
        spec: BackgroundTaskRegistration,
        task: BackgroundTask,
        *,
        cancel_policy: CancelPolicy = CancelPolicy.COOPERATIVE,
        close_policy: ClosePolicy = ClosePolicy.KEEP,
    ) -> BackgroundTaskRecord:
        """Start a named task, ``running``.

        Raises:
            PluginSessionError: ``managed session task `<id>` is already running``.
        """
        ...

    async def cancel_managed(self, scope_key: str, task_id: str) -> None:
        """Cancel a task: its callback once, then ``cancelled``. An unknown or terminal one changes nothing."""
        ...

    # -- external: run elsewhere -----------------------------------------------------------------------

    async def register_external(
        self, scope_key: str, spec: BackgroundTaskRegistration, cancel: TaskCancelCallback | None = None
    ) -> BackgroundTaskRecord:
        """Note a task that runs elsewhere, ``running``.

        Raises:
            PluginSessionError: ``background task `<id>` is already registered``.
        """
        ...

    async def register(
        self,
        scope_key: str,
        spec: BackgroundTaskRegistration,
        *,
        cancel_policy: CancelPolicy = CancelPolicy.COOPERATIVE,
        close_policy: ClosePolicy = ClosePolicy.KEEP,
        cancel: TaskCancelCallback | None = None,
    ) -> BackgroundTaskRecord:
        """As ``register_external``, ``pending``."""
        ...

    async def unregister_external(self, scope_key: str, task_id: str) -> None:
        """Forget a task, silently."""
        ...

    # -- both ------------------------------------------------------------------------------------------

    async def update(self, scope_key: str, task_id: str, update: BackgroundTaskUpdate) -> BackgroundTaskRecord:
        """Change a live task.

        Raises:
            PluginSessionError: ``unknown background task `<id>```; it is terminal.
        """
        ...

    async def complete(
        self, scope_key: str, task_id: str, completion: BackgroundTaskCompletion
    ) -> BackgroundTaskRecord:
        """End a task. The first to end it wins.

        Raises:
            PluginSessionError: ``background task completion must use a terminal state``; unknown; terminal already.
        """
        ...

    async def request_cancel(self, scope_key: str, task_id: str, reason: str | None) -> BackgroundTaskRecord:
        """Ask a task to stop. Raises: PluginSessionError: unknown, or terminal."""
        ...

    async def mark_terminal(self, scope_key: str, task_id: str, state: BackgroundTaskState) -> None:
        """End a task if it is known and live; any other call changes nothing."""
        ...

    async def mark_live(self, scope_key: str, task_id: str, state: BackgroundTaskState) -> None:
        """Set ``running`` or ``waiting`` of a live task; any other call changes nothing."""
        ...

    async def get_managed(self, scope_key: str, task_id: str) -> BackgroundTaskRecord | None:
        """One record, terminal or not."""
        ...

    async def list_managed(self, scope_key: str) -> tuple[BackgroundTaskRecord, ...]:
        """All records of the scope, terminal ones too, oldest first."""
        ...

    async def list(self, scope_key: str, filter: BackgroundTaskFilter) -> tuple[BackgroundTaskRecord, ...]:
        """The scope's records that pass the filter, oldest first (decision 18)."""
        ...

    async def transfer_managed(self, from_scope: str, to_scope: str, task_ids: Sequence[str]) -> None:
        """Move tasks, all or none: unknown ones are left out, a terminal one in the target gives way.

        Raises:
            PluginSessionError: ``background task `<id>` already exists in successor session``.
        """
        ...

    async def transfer(self, scope_key: str, task_id: str, scope: BackgroundTaskScope) -> BackgroundTaskRecord:
        """Give one task to another session of the same runtime. Raises: PluginSessionError: unknown."""
        ...

    def subscribe(self, scope_key: str, filter: BackgroundTaskFilter) -> AsyncIterator[BackgroundTaskEvent]:
        """Events of the scope from now on: 256 are kept for a slow reader, who is not told of what it missed."""
        ...

    async def adopt(self, scope_key: str, generation: int) -> tuple[BackgroundTaskRecord, ...]:
        """Take over the session's rows of older generations (decision 4); the records that ended or moved.

        Called by the runtime that holds the session's execution lease of this generation. External rows go on here;
        managed rows end as failed, ``task_owner_lost``, once and with evidence, and never run again.
        """
        ...

    async def close(self) -> None:
        """The program ends: what runs here is cancelled, whatever its policy. May be called twice.

        Rows stay as they are: whoever adopts them says that their owner was lost.
        """
        ...

    def leave_scope(self, scope_key: str) -> None:
        """The runtime goes away, now: what goes on is whose runtime adopts it. ``close_scope`` follows."""
        ...

    async def close_scope(self, scope_key: str) -> None:
        """The runtime goes away: tasks are cancelled or go on, by their close policy. May be called twice.

        What goes on is handed to the session's next runtime of this program, when that has the session's lease.
        """
        ...
