"""One async task of a session: its run, its progress, its end (``docs/contracts/background_tasks.md`` 5)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

from lash_core.errors import LashError
from lash_core.model.async_handle import AsyncHandleMetadata, async_handle_value
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.failure_texts import text_of
from lash_core.runtime.turns.tool_attempt import TOOL_FAILED, failure_of, refusal_of

_log = logging.getLogger(__name__)

CANCELLED_TEXT = "async task was cancelled"
CANCEL_GRACE_MS = 100
"""A task that is told to end may do so by itself for this long; then it is cancelled, and has as long once more."""
PROGRESS_MAX = 256
PROGRESS_BYTES_MAX = 64 * 1024
"""Progress that waits for somebody to await the task; beyond either the oldest is dropped and counted."""


class AsyncHandleState(StrEnum):
    """Where an async task stands. Only the first is live."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class AsyncToolHandle:
    """An entry of the table. Belongs to the runtime's event loop; ``AsyncToolHandleMap.start`` makes it.

    Attributes:
        id: unique in its table.
        metadata: what it is.
        cancellation: fired when the task is to end.
        dropped: progress values that nobody took in time.
    """

    __slots__ = (
        "__weakref__",
        "_changed",
        "_outcome",
        "_over",
        "_progress",
        "_progress_bytes",
        "_task",
        "cancellation",
        "dropped",
        "ended_bytes",
        "id",
        "metadata",
    )

    def __init__(self, handle_id: str, metadata: AsyncHandleMetadata) -> None:
        self.id = handle_id
        self.metadata = metadata
        self.cancellation = CancellationToken()
        self.dropped = 0
        self.ended_bytes = 0
        self._progress: deque[tuple[JsonValue, int]] = deque()
        self._progress_bytes = 0
        self._outcome: AnyToolOutput | None = None
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._changed: set[asyncio.Future[None]] = set()

    @property
    def value(self) -> dict[str, JsonValue]:
        """The handle as a model is given it."""
        return async_handle_value(self.id, self.metadata.tool_name)

    @property
    def outcome(self) -> AnyToolOutput | None:
        """How it ended; None while it runs."""
        return self._outcome

    @property
    def state(self) -> AsyncHandleState:
        """Where it stands."""
        match self._outcome:
            case None:
                return AsyncHandleState.RUNNING
            case ToolSuccess():
                return AsyncHandleState.COMPLETED
            case ToolCancelled():
                return AsyncHandleState.CANCELLED
            case ToolFailure():
                return AsyncHandleState.FAILED

    @property
    def is_live(self) -> bool:
        """True while it runs."""
        return self._outcome is None

    @property
    def cancelled(self) -> bool:
        """True once the task is to end: what running work looks at."""
        return self.cancellation.cancelled

    # -- by the task -----------------------------------------------------------------------------------

    def progress(self, value: JsonValue) -> None:
        """Say how far the task is; it waits here until somebody awaits the task. Ignored once it has ended.

        Raises:
            InvalidJsonError: ``value`` is not JSON.
        """
        size = len(canonical_json_bytes(value, field="progress"))
        if self._outcome is not None:
            return
        self._progress.append((value, size))
        self._progress_bytes += size
        while self._progress and (len(self._progress) > PROGRESS_MAX or self._progress_bytes > PROGRESS_BYTES_MAX):
            self._progress_bytes -= self._progress.popleft()[1]
            self.dropped += 1
        self._tell()

    # -- by who waits ----------------------------------------------------------------------------------

    def take_progress(self) -> tuple[JsonValue, ...]:
        """Progress that nobody took yet; each is taken once."""
        taken = tuple(value for value, _ in self._progress)
        self._progress.clear()
        self._progress_bytes = 0
        return taken

    async def changed(self) -> None:
        """Wait until it ends or says something; at once when either is so already. The caller bounds the wait."""
        if self._outcome is not None or self._progress:
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed.add(told)
        try:
            await told
        finally:
            self._changed.discard(told)

    async def cancel(self, reason: str | None = None) -> bool:
        """Tell the task to end, give it ``CANCEL_GRACE_MS``, cancel it; it counts as cancelled however it ends then.

        Returns:
            False when it had ended before, or somebody else cancels it: it has ended then, too.
        """
        if self._outcome is not None:
            return False
        if not self.cancellation.cancel(reason):
            # Whoever was first has it ended within two graces.
            await self._over.wait()
            return False
        task = self._task
        try:
            if task is not None and task is not asyncio.current_task():
                await asyncio.wait((task,), timeout=CANCEL_GRACE_MS / 1_000)
                if not task.done():
                    task.cancel()
                    await asyncio.wait((task,), timeout=CANCEL_GRACE_MS / 1_000)
                if not task.done():
                    _log.warning("async task %s does not end although it was cancelled; it is left alone", self.id)
        except asyncio.CancelledError:
            # Whoever cancels does not wait any more: the task is not left running half cancelled.
            self.abort()
            raise
        self._settle(ToolCancelled(CANCELLED_TEXT))
        return True

    def abort(self, reason: str | None = None) -> None:
        """Tell the task to end and cancel it at once; what it still does changes nothing."""
        self.cancellation.cancel(reason)
        self._settle(ToolCancelled(CANCELLED_TEXT))
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()

    # -- by the table ----------------------------------------------------------------------------------

    def begin(self, work: AsyncToolWork) -> None:
        """Start the task; called once."""
        self._task = asyncio.get_running_loop().create_task(self._run(work), name=f"lash-async-{self.id}")
        self._task.add_done_callback(_drop)

    async def _run(self, work: AsyncToolWork) -> None:
        try:
            outcome = _checked(await work(self))
        except asyncio.CancelledError:
            self._settle(ToolCancelled(CANCELLED_TEXT))
            raise
        except Exception as error:  # noqa: BLE001 - a task is the user's code
            text = error.message if isinstance(error, LashError) else text_of(error)
            outcome = failure_of("execution", TOOL_FAILED, text)
        # Who was told to end is cancelled, whatever it answers to that.
        self._settle(ToolCancelled(CANCELLED_TEXT) if self.cancellation.cancelled else outcome)

    def _settle(self, outcome: AnyToolOutput) -> None:
        """The first end counts."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        self._over.set()
        self.ended_bytes = len(canonical_json_bytes(outcome.to_plain_value(), field="outcome"))
        self._tell()

    def _tell(self) -> None:
        for waiting in self._changed:
            if not waiting.done():
                waiting.set_result(None)

    def __repr__(self) -> str:
        return f"AsyncToolHandle({self.id!r}, {self.state.value})"


AsyncToolWork = Callable[[AsyncToolHandle], Awaitable[object]]
"""What an async task runs. It gets its own entry: ``cancellation``, ``cancelled``, ``progress(value)``. Its answer is
the task's value; a whole tool output is taken as it is."""


def _checked(answer: Any) -> AnyToolOutput:
    """An end that can be stored; one that cannot is a failure that says why."""
    output = answer if isinstance(answer, ToolSuccess | ToolFailure | ToolCancelled) else ToolSuccess(answer)
    return refusal_of(output, "task") or output


def _drop(task: asyncio.Task[None]) -> None:
    """Take the result of what nobody awaits: an error there is not to be reported as never retrieved."""
    if not task.cancelled():
        task.exception()
