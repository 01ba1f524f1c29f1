"""Tools by which a model awaits, cancels and lists tasks (``docs/contracts/background_tasks.md`` 5).

An app turns them on with ``BackgroundTaskToolsFactory`` among its plugins; nothing here starts a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from typing_extensions import override

from lash_core.errors import LashError, NotAvailableError
from lash_core.errors.async_handle import InvalidAsyncHandleError, UnknownAsyncHandleError
from lash_core.model.async_handle import async_handle_value
from lash_core.model.base import JsonValue
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.runtime.background.handle_await import StillRunning
from lash_core.runtime.background.session_tasks import SessionTasks
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.tool_tasks import tasks_of
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.runtime.turns.tool_attempt import ARGS_INVALID, failure_of

AWAIT_TASK, CANCEL_TASK, LIST_TASKS = "await_task", "cancel_task", "list_tasks"
AWAIT_TIMEOUT_MS_MAX = 600_000
"""A model that wants to wait longer asks again: a turn is not held for ever by a number that a model chose."""

_HANDLE: dict[str, JsonValue] = {
    "type": "object",
    "description": "The handle, exactly as a tool answered it.",
    "properties": {"__handle__": {"type": "string"}, "id": {"type": "string"}, "tool": {"type": "string"}},
    "required": ["__handle__", "id"],
}


class BackgroundTaskToolsFactory(PluginFactory):
    """Gives sessions ``await_task``, ``cancel_task`` and ``list_tasks``."""

    plugin_id = "background_task_tools"

    def __init__(self) -> None:
        self._tools = (await_task_tool(), cancel_task_tool(), list_tasks_tool())

    @override
    def build(self, session_id: str) -> SessionPlugin:
        """The plugin of one session."""
        del session_id
        return _TaskTools(self._tools)

    @override
    def tool_names(self) -> frozenset[str]:
        """The same in every session."""
        return frozenset(tool.manifest.name for tool in self._tools)


class _TaskTools(SessionPlugin):
    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools

    @override
    def tools(self) -> Sequence[Tool]:
        return self._tools


def await_task_tool() -> Tool:
    """Waits for a task; its progress is streamed as the call's. The turn's cancel ends the wait and not the task."""
    timeout: JsonValue = {
        "type": "integer",
        "minimum": 0,
        "maximum": AWAIT_TIMEOUT_MS_MAX,
        "description": f"Longest wait in ms; {AWAIT_TIMEOUT_MS_MAX} by default. The task goes on after it.",
    }
    return _tool(
        AWAIT_TASK,
        "Wait until a task that runs beside this conversation has ended, and get its result.",
        {"handle": _HANDLE, "timeout_ms": timeout},
        ["handle"],
        _await_task,
    )


def cancel_task_tool() -> Tool:
    """Cancels a task or stops a monitor."""
    return _tool(
        CANCEL_TASK, "Cancel a task whose result is not needed any more.", {"handle": _HANDLE}, ["handle"], _cancel_task
    )


def list_tasks_tool() -> Tool:
    """Lists the session's tasks and monitors."""
    return _tool(LIST_TASKS, "List the tasks that run, or ran, beside this conversation.", {}, [], _list_tasks)


async def _await_task(context: ToolContext, args: dict[str, Any]) -> AnyToolOutput:
    timeout_ms = args.get("timeout_ms", AWAIT_TIMEOUT_MS_MAX)
    if type(timeout_ms) is not int or not 0 <= timeout_ms <= AWAIT_TIMEOUT_MS_MAX:
        return failure_of(
            "invalid_request", ARGS_INVALID, f"`timeout_ms` must be a whole number of 0 to {AWAIT_TIMEOUT_MS_MAX}"
        )
    tasks = _tasks_of(context)
    ended = await tasks.wait(
        args.get("handle"), report=context.progress, cancellation=context.cancellation, timeout_ms=timeout_ms
    )
    match ended:
        case StillRunning() if context.cancelled:
            return ToolCancelled(context.cancellation.reason or "cancelled")
        case StillRunning(handle_id=handle_id):
            return ToolSuccess({"handle": args["handle"], "id": handle_id, "state": "running"})
        case _:
            return ended


async def _cancel_task(context: ToolContext, args: dict[str, Any]) -> AnyToolOutput:
    state = await _tasks_of(context).cancel(args.get("handle"), "cancelled by the model")
    return ToolSuccess({"id": args["handle"]["id"], "state": state})


async def _list_tasks(context: ToolContext, args: dict[str, Any]) -> AnyToolOutput:
    del args
    tasks = await _tasks_of(context).list()
    return ToolSuccess(
        [{**task, "handle": async_handle_value(task["id"], task.get("tool", task["kind"]))} for task in tasks]
    )


def _tasks_of(context: ToolContext) -> SessionTasks:
    # A session has one kind of tasks; what tools may know of it is only how to start one.
    return cast("SessionTasks", tasks_of(context.execution))


def _tool(name: str, description: str, properties: dict[str, JsonValue], required: list[JsonValue], run: Any) -> Tool:
    async def call(context: ToolContext, args: JsonValue) -> AnyToolOutput:
        given = cast("dict[str, Any]", args) if isinstance(args, dict) else {}
        try:
            return await run(context, given)
        except InvalidAsyncHandleError as error:
            return failure_of("invalid_request", ARGS_INVALID, error.message)
        except UnknownAsyncHandleError as error:
            return failure_of("invalid_request", error.code, error.message)
        except NotAvailableError as error:
            return failure_of("unavailable", "background_tasks_unavailable", error.message)
        except LashError as error:
            return failure_of("external", error.code, error.message)

    schema: JsonValue = {"type": "object", "properties": properties, "required": required}
    return Tool(ToolManifest(tool_id=name, name=name, description=description, input_schema=schema), call)
