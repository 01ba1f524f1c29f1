"""The background tasks of a runtime's sessions, as its host and its tools manage them.

``docs/contracts/background_tasks.md`` 2. Who runs and keeps tasks is ``BackgroundTaskHost``; without one the registry
is unavailable, and what only waits for or forgets tasks has nothing to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from lash_core.errors import LashError
from lash_core.errors.async_handle import UnknownMonitorError
from lash_core.errors.background_task import BackgroundTaskError, UnknownBackgroundTaskError
from lash_core.errors.session import UnknownManagedSessionError
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskEvent,
    BackgroundTaskFilter,
    BackgroundTaskKind,
    BackgroundTaskRecord,
    BackgroundTaskRegistration,
    BackgroundTaskState,
    BackgroundTaskUpdate,
    CancelPolicy,
    ClosePolicy,
)
from lash_core.model.monitor import monitor_id_of
from lash_core.runtime.background.async_handles import (
    cancel_unreferenced_session_async_handles,
    check_session_async_handle_transfer,
    live_session_async_handle_ids,
    transfer_session_async_handles,
)
from lash_core.runtime.background.hidden_tasks import discard_work
from lash_core.runtime.background.runtime_scopes import RuntimeScopes
from lash_core.runtime.background.task_host import (
    NO_MANAGED_TASKS,
    BackgroundTask,
    BackgroundTaskHost,
    TaskCancelCallback,
)

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

NO_TASKS = "background tasks are unavailable in this runtime"
REQUESTED_BY_HOST = "requested by host"


class BackgroundTaskCapability(RuntimeScopes):
    """Tasks of one runtime: of its session and of the children that it manages. ``runtime.background_tasks``.

    Args:
        runtime: whose tasks they are.

    Attributes:
        sync_needed: something was spawned for the current session since the runtime last awaited its background work:
            the history may have grown in the store.
    """

    def __init__(self, runtime: LashRuntime) -> None:
        super().__init__(runtime)
        self.sync_needed = False

    # -- hidden ----------------------------------------------------------------------------------------

    async def spawn_hidden_task(self, session_id: str, label: str, task: BackgroundTask) -> None:
        """Start plumbing at once; what it raises surfaces where hidden tasks are awaited.

        Raises:
            UnknownManagedSessionError: ``unknown session``.
            BackgroundTaskError: ``background tasks are unavailable in this runtime``.
        """
        host = self._spawning(session_id, NO_TASKS, task)
        await host.spawn_hidden(self.background_scope_key(session_id), label, task)

    async def await_hidden_tasks(self, session_id: str) -> None:
        """Await the session's hidden tasks, and those that they spawn, until none is left; without a host at once.

        Raises:
            PluginSessionError: the first error, after all of them ended.
        """
        if self.host is not None:
            await self.host.await_hidden(self.background_scope_key(session_id))

    # -- managed ---------------------------------------------------------------------------------------

    async def spawn_managed_task(
        self,
        session_id: str,
        spec: BackgroundTaskRegistration,
        task: BackgroundTask,
        *,
        cancel_policy: CancelPolicy = CancelPolicy.COOPERATIVE,
        close_policy: ClosePolicy = ClosePolicy.KEEP,
    ) -> BackgroundTaskRecord:
        """Start a named task in this program. The id of a task that has ended may be used again.

        Raises:
            UnknownManagedSessionError: ``unknown session``.
            BackgroundTaskError: ``managed background tasks are unavailable …``; ``… is already running``.
        """
        host = self._spawning(session_id, NO_MANAGED_TASKS, task)
        scope_key = self.background_scope_key(session_id)
        record = await host.spawn_managed(scope_key, spec, task, cancel_policy=cancel_policy, close_policy=close_policy)
        self._leave_what_came_late(scope_key)
        return record

    async def cancel_managed_task(self, session_id: str, task_id: str) -> None:
        """Cancel a task; one that is unknown or has ended stays as it is. Without a host nothing happens."""
        if self.host is not None:
            await self.host.cancel_managed(self.background_scope_key(session_id), task_id)

    # -- external --------------------------------------------------------------------------------------

    async def register_background_task(
        self, session_id: str, spec: BackgroundTaskRegistration, cancel: TaskCancelCallback | None = None
    ) -> BackgroundTaskRecord:
        """Note a task whose work runs elsewhere.

        Args:
            session_id: whose task it is.
            spec: what it is.
            cancel: stops the work; called at most once.

        Raises:
            UnknownManagedSessionError: ``unknown session``.
            BackgroundTaskError: ``background task registry is unavailable …``; ``… is already registered``.
        """
        if self._runtime_of(session_id) is None:
            raise UnknownManagedSessionError(session_id)
        scope_key = self.background_scope_key(session_id)
        record = await self._registry().register_external(scope_key, spec, cancel)
        self._leave_what_came_late(scope_key)
        return record

    async def unregister_background_task(self, session_id: str, task_id: str) -> None:
        """Forget a task that runs elsewhere, silently."""
        if self.host is not None:
            await self.host.unregister_external(self.background_scope_key(session_id), task_id)

    async def update_background_task(
        self, session_id: str, task_id: str, update: BackgroundTaskUpdate
    ) -> BackgroundTaskRecord:
        """Change a live task. Raises: BackgroundTaskError: no registry; unknown; it has ended."""
        return await self._registry().update(self.background_scope_key(session_id), task_id, update)

    async def complete_background_task(
        self, session_id: str, task_id: str, state: BackgroundTaskState | BackgroundTaskCompletion
    ) -> None:
        """End a task, with a word about it or without.

        A plain state changes nothing where there is no host or no live task, or where it is not terminal; a completion
        is refused then: BackgroundTaskError.
        """
        if self.host is None:
            return
        scope_key = self.background_scope_key(session_id)
        if isinstance(state, BackgroundTaskCompletion):
            await self.host.complete(scope_key, task_id, state)
        else:
            await self.host.mark_terminal(scope_key, task_id, state)

    async def transition_background_task_live_state(
        self, session_id: str, task_id: str, state: BackgroundTaskState
    ) -> None:
        """Say that a live task runs or waits; any other call changes nothing."""
        if self.host is not None:
            await self.host.mark_live(self.background_scope_key(session_id), task_id, state)

    # -- all that are listed ---------------------------------------------------------------------------

    async def list_background_tasks(
        self, session_id: str, filter: BackgroundTaskFilter | None = None
    ) -> tuple[BackgroundTaskRecord, ...]:
        """Managed and external tasks, oldest first; those that have ended too, unless a filter says otherwise.

        Raises:
            BackgroundTaskError: ``background task registry is unavailable …``.
        """
        host, scope_key = self._registry(), self.background_scope_key(session_id)
        return await (host.list_managed(scope_key) if filter is None else host.list(scope_key, filter))

    def subscribe_background_tasks(
        self, session_id: str, filter: BackgroundTaskFilter | None = None
    ) -> AsyncIterator[BackgroundTaskEvent]:
        """Events of the session's tasks from now on. Raises: BackgroundTaskError: no registry."""
        return self._registry().subscribe(self.background_scope_key(session_id), filter or BackgroundTaskFilter())

    async def cancel_background_task(self, session_id: str, task_id: str) -> BackgroundTaskRecord:
        """Cancel a task and answer its record; one that has ended is answered as it is.

        Raises:
            BackgroundTaskError: ``background task registry is unavailable …``; ``unknown background task``.
        """
        host, scope_key = self._registry(), self.background_scope_key(session_id)
        task = await host.get_managed(scope_key, task_id)
        if task is None:
            raise UnknownBackgroundTaskError(task_id)
        if task.state.is_terminal:
            return task
        with contextlib.suppress(LashError):
            # Best effort: it may end by itself just now.
            await host.request_cancel(scope_key, task_id, REQUESTED_BY_HOST)
        if task.kind is BackgroundTaskKind.MONITOR:
            await self.stop_monitor(session_id, monitor_id_of(task_id))
        await host.cancel_managed(scope_key, task_id)
        await host.mark_terminal(scope_key, task_id, BackgroundTaskState.CANCELLED)
        return await host.get_managed(scope_key, task_id) or task

    async def cancel_all_background_tasks(self, session_id: str) -> tuple[BackgroundTaskRecord, ...]:
        """Cancel every task that has not ended, and answer their records.

        Raises:
            BackgroundTaskError: ``background task registry is unavailable …``.
        """
        return await self._cancel_all(session_id, frozenset(), monitors=True)

    async def stop_monitor(self, session_id: str, monitor_id: str) -> None:
        """Stop a monitor of this runtime; one that does not run, or that is unknown, stays as it is."""
        runtime = self._runtime_of(session_id)
        if runtime is not None:
            # Unknown is a row of that kind that a host registered itself: its own callback stops what it stands for.
            with contextlib.suppress(UnknownMonitorError):
                await runtime.monitors.stop(monitor_id)

    # -- async handles ---------------------------------------------------------------------------------

    async def validate_async_handles_visible(self, session_id: str, handle_ids: Sequence[str]) -> None:
        """Refuse ids that are neither a live async handle nor a live task of the session.

        Raises:
            BackgroundTaskError: ``async handle `<id>` is not live or visible in this session``.
        """
        if not handle_ids:
            return
        handles = self._async_handles(session_id)
        visible: set[str] = set() if handles is None else set(live_session_async_handle_ids(handles))
        if self.host is not None:
            tasks = await self.host.list_managed(self.background_scope_key(session_id))
            visible.update(task.id for task in tasks if not task.state.is_terminal)
        for handle_id in handle_ids:
            if handle_id not in visible:
                raise BackgroundTaskError(
                    f"async handle `{handle_id}` is not live or visible in this session",
                    field="handle_ids",
                    value=handle_id,
                )

    async def transfer_async_handles(self, from_session_id: str, to_session_id: str, handle_ids: Sequence[str]) -> None:
        """Move handles and tasks to another session of this runtime, all or none (decision 15).

        Raises:
            BackgroundTaskError: one is not live or visible; ``… already exists in successor session``.
            AsyncHandleConflictError: ``… already exists in successor``.
        """
        if not handle_ids:
            return
        await self.validate_async_handles_visible(from_session_id, handle_ids)
        handles_from, handles_to = self._async_handles(from_session_id), self._async_handles(to_session_id)
        if handles_from is not None and handles_to is not None:
            check_session_async_handle_transfer(handles_from, handles_to, handle_ids)
        from_key, to_key = self.background_scope_key(from_session_id), self.background_scope_key(to_session_id)
        if self.host is not None:
            await self.host.transfer_managed(from_key, to_key, handle_ids)
        if handles_from is None or handles_to is None:
            return
        try:
            transfer_session_async_handles(handles_from, handles_to, handle_ids)
        except LashError:
            # Somebody took an id in the successor while the tasks were moved: they go back.
            if self.host is not None:
                await self.host.transfer_managed(to_key, from_key, handle_ids)
            raise

    async def cancel_unreferenced_async_handles(
        self, session_id: str, keep_handle_ids: Sequence[str]
    ) -> tuple[BackgroundTaskRecord, ...]:
        """Cancel handles and tasks that are not kept, and answer the records; monitors survive (decision 16).

        Raises:
            BackgroundTaskError: ``background task registry is unavailable …``: nothing was cancelled.
        """
        self._registry()
        keep = frozenset(keep_handle_ids)
        handles = self._async_handles(session_id)
        if handles is not None:
            await cancel_unreferenced_session_async_handles(handles, keep)
        return await self._cancel_all(session_id, keep, monitors=False)

    # -- inside ----------------------------------------------------------------------------------------

    def _spawning(self, session_id: str, refusal: str, task: BackgroundTask) -> BackgroundTaskHost:
        if self._runtime_of(session_id) is None:
            discard_work(task)
            raise UnknownManagedSessionError(session_id)
        if self.host is None:
            discard_work(task)
            raise BackgroundTaskError(refusal, field="background_task_host")
        if session_id == self._runtime.session_id:
            self.sync_needed = True
        return self.host

    async def _cancel_all(
        self, session_id: str, keep: frozenset[str], *, monitors: bool
    ) -> tuple[BackgroundTaskRecord, ...]:
        cancelled: list[BackgroundTaskRecord] = []
        for task in await self.list_background_tasks(session_id, BackgroundTaskFilter()):
            if task.id in keep or (task.kind is BackgroundTaskKind.MONITOR and not monitors):
                continue
            try:
                cancelled.append(await self.cancel_background_task(session_id, task.id))
            except UnknownBackgroundTaskError:
                # It was unregistered in between.
                continue
        return tuple(cancelled)
