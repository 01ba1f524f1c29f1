"""Async tasks that tools of a turn start (``docs/contracts/background_tasks.md`` 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lash_core.errors import NotAvailableError
from lash_core.model.base import JsonValue
from lash_core.runtime.cancellation import CancellationToken

if TYPE_CHECKING:
    # A context uses tools, and tools use this.
    from lash_core.runtime.execution_context import RuntimeExecutionContext


class AsyncTask(Protocol):
    """A task as its own code sees it."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def cancellation(self) -> CancellationToken:
        """Fired when it is to end; it has 100 ms to do so by itself."""
        ...

    @property
    def cancelled(self) -> bool:
        """True once it is to end."""
        ...

    def progress(self, value: JsonValue) -> None:
        """Say how far it is: kept, up to a bound, until somebody awaits it. Raises: InvalidJsonError."""
        ...


AsyncTaskWork = Callable[[AsyncTask], Awaitable[object]]
"""The code of a task. What it answers is the task's value; a whole tool output is taken as it is."""


class StartsTasks(Protocol):
    """Starts tasks of one session."""

    def start(self, work: AsyncTaskWork, *, tool_name: str, handle_id: str) -> dict[str, JsonValue]:
        """Start a task and answer its handle; the one of that id, if there is one."""
        ...


@runtime_checkable
class KnowsTasks(Protocol):
    """A context of a session that has async tasks."""

    @property
    def tasks(self) -> StartsTasks | None:
        """What starts them; None where nothing does."""
        ...


def tasks_of(execution: RuntimeExecutionContext) -> StartsTasks:
    """What starts the tasks of a context's session. Raises: NotAvailableError: nothing does."""
    tasks = execution.tasks if isinstance(execution, KnowsTasks) else None
    if tasks is None:
        raise NotAvailableError("async tasks are unavailable in this runtime")
    return tasks


def start_task(
    execution: RuntimeExecutionContext, call: str, work: AsyncTaskWork, *, tool_name: str, name: str
) -> dict[str, JsonValue]:
    """Start a task for the session of a tool call and answer its handle.

    The same call starts it once, however often it is attempted in this runtime; two of one call need names of their
    own.

    Raises:
        NotAvailableError: this runtime has no async tasks. LimitExceededError: too many run.
    """
    tasks = tasks_of(execution)
    digest = hashlib.sha256("\n".join((execution.session_id, call, name)).encode()).hexdigest()
    return tasks.start(work, tool_name=tool_name, handle_id=f"task-{digest[:32]}")
