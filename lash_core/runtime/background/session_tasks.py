"""What the tools of a session do with its tasks: start, await, cancel and list them.

``docs/contracts/background_tasks.md`` 5. A handle names an entry of the session's table, else a task that the host
keeps.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lash_core.errors.async_handle import UnknownAsyncHandleError
from lash_core.model.async_handle import AsyncHandleNamespace, parse_async_handle
from lash_core.model.background_task import BackgroundTaskRecord, BackgroundTaskState
from lash_core.model.base import JsonValue
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolSuccess
from lash_core.runtime.background.async_handle import CANCELLED_TEXT, AsyncToolHandle
from lash_core.runtime.background.handle_await import (
    MONITOR_POLL_MS,
    ReportProgress,
    StillRunning,
    await_async_handle,
    wait_within,
)
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.tool_tasks import AsyncTaskWork
from lash_core.runtime.turns.tool_attempt import failure_of

if TYPE_CHECKING:
    from lash_core.runtime.background.capability import BackgroundTaskCapability
    from lash_core.runtime.lash_runtime import LashRuntime

TASKS_LISTED_MAX = 100
"""The newest tasks that a model is told of at once."""


class SessionTasks:
    """The tasks of a runtime's current session. Belongs to its event loop.

    Args:
        runtime: whose session it is.
    """

    __slots__ = ("_runtime",)

    def __init__(self, runtime: LashRuntime) -> None:
        self._runtime = runtime

    @property
    def background(self) -> BackgroundTaskCapability:
        """The session's background tasks, for code of the app: a tool may register work that runs elsewhere."""
        return self._runtime.background_tasks

    def start(self, work: AsyncTaskWork, *, tool_name: str, handle_id: str) -> dict[str, JsonValue]:
        """See ``StartsTasks``; a task that ended under this id is not started again."""
        known = self._runtime.async_handles.find(handle_id)
        if known is None:
            known = self._runtime.async_handles.start(work, tool_name=tool_name, handle_id=handle_id)
        return known.value

    async def wait(
        self,
        handle: JsonValue,
        *,
        report: ReportProgress | None = None,
        cancellation: CancellationToken | None = None,
        timeout_ms: int | None = None,
    ) -> AnyToolOutput | StillRunning:
        """Wait until a task ends; see ``await_async_handle``. Of a task that the host keeps no progress is told.

        Raises:
            InvalidAsyncHandleError, UnknownAsyncHandleError. Store errors.
        """
        handle_id = parse_async_handle(handle)
        if handle_id in self._runtime.async_handles:
            return await await_async_handle(
                self._runtime.async_handles, handle, report=report, cancellation=cancellation, timeout_ms=timeout_ms
            )
        given_up = await wait_within(self._until_ended(handle_id), cancellation, timeout_ms)
        return _outcome_of(await self._record(handle_id)) if given_up is None else StillRunning(handle_id, given_up)

    async def cancel(self, handle: JsonValue, reason: str | None = None) -> str:
        """Cancel a task and answer its state then; one that has ended stays as it is.

        Raises:
            InvalidAsyncHandleError, UnknownAsyncHandleError. Store errors.
        """
        handle_id = parse_async_handle(handle)
        entry = self._runtime.async_handles.find(handle_id)
        if entry is not None and entry.metadata.namespace is AsyncHandleNamespace.TOOL:
            await entry.cancel(reason)
            return entry.state.value
        await self._record(handle_id)
        tasks = self._runtime.background_tasks
        return (await tasks.cancel_background_task(self._runtime.session_id, handle_id)).state.shown

    async def list(self) -> tuple[dict[str, Any], ...]:
        """Handles, tasks of the host, and monitors that the host configures: the last ``TASKS_LISTED_MAX``."""
        runtime = self._runtime
        found = {handle.id: _shown_handle(handle) for handle in runtime.async_handles.handles()}
        if runtime.background_tasks.host is not None:
            for record in await runtime.background_tasks.list_background_tasks(runtime.session_id):
                found[record.id] = _shown_record(record)
        for monitor in runtime.monitors.list():
            if monitor.task_id not in found:
                found[monitor.task_id] = {"id": monitor.task_id, "kind": "monitor", "state": monitor.state.value}
        return tuple(found.values())[-TASKS_LISTED_MAX:]

    async def _until_ended(self, handle_id: str) -> None:
        """Its end is the host's to write, maybe in another program: it is looked at, as monitors are."""
        while True:
            record = await self._record(handle_id)
            if record.state.is_terminal:
                return
            await asyncio.sleep(MONITOR_POLL_MS / 1_000)

    async def _record(self, handle_id: str) -> BackgroundTaskRecord:
        tasks = self._runtime.background_tasks
        record = None
        if tasks.host is not None:
            record = await tasks.host.get_managed(tasks.background_scope_key(self._runtime.session_id), handle_id)
        if record is None:
            raise UnknownAsyncHandleError(handle_id)
        return record


def _outcome_of(record: BackgroundTaskRecord) -> AnyToolOutput:
    match record.state:
        case BackgroundTaskState.CANCELLED:
            return ToolCancelled(CANCELLED_TEXT)
        case BackgroundTaskState.FAILED:
            failure = record.failure
            code = "background_task_failed" if failure is None or failure.code is None else failure.code
            text = "the task failed" if failure is None or failure.summary is None else failure.summary
            return failure_of("execution", code, text)
        case _:
            return ToolSuccess(_shown_record(record))


def _shown_handle(handle: AsyncToolHandle) -> dict[str, Any]:
    kind = "monitor" if handle.metadata.namespace is AsyncHandleNamespace.MONITOR else "task"
    return {"id": handle.id, "kind": kind, "tool": handle.metadata.tool_name, "state": handle.state.value}


def _shown_record(record: BackgroundTaskRecord) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": record.id, "kind": record.kind.value, "state": record.state.shown}
    outcome = record.failure or record.result
    if outcome is not None and outcome.summary is not None:
        shown["summary"] = outcome.summary
    return shown
