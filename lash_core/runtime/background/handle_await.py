"""Waiting for an async task (``docs/contracts/background_tasks.md`` 5): what it said first, then how it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from lash_core.model.async_handle import AsyncHandleNamespace, parse_async_handle
from lash_core.model.base import JsonValue
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolSuccess
from lash_core.runtime.background.async_handle import CANCELLED_TEXT, AsyncToolHandle
from lash_core.runtime.background.async_handles import AsyncToolHandleMap
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.token_race import unless_cancelled

_log = logging.getLogger(__name__)

MONITOR_POLL_MS = 250
"""A monitor is looked at this often by who awaits it: its lines come in bursts, and nobody is told of each."""

ReportProgress = Callable[[JsonValue], Awaitable[None]]
"""Takes one value that a task reported."""


@dataclass(frozen=True, slots=True)
class StillRunning:
    """The wait ended before the task did: its time was over, or whoever waits was cancelled. The task goes on."""

    handle_id: str
    reason: str


async def await_async_handle(
    handles: AsyncToolHandleMap,
    value: JsonValue,
    *,
    report: ReportProgress | None = None,
    cancellation: CancellationToken | None = None,
    timeout_ms: int | None = None,
) -> AnyToolOutput | StillRunning:
    """Wait until a task ends. Safe to repeat, and several may wait: each value of progress reaches one of them.

    Args:
        handles: of the session.
        value: the handle, as a model was given it.
        report: takes the task's progress: what was kept before anything else.
        cancellation: ends the wait and not the task.
        timeout_ms: longest wait; None = until the task ends.

    Returns:
        A success with the task's value; ``async task was cancelled``; the failure; or that it still runs.

    Raises:
        InvalidAsyncHandleError, UnknownAsyncHandleError.
    """
    handle = handles.get(parse_async_handle(value))
    given_up = await wait_within(_until_ended(handle, report), cancellation, timeout_ms)
    outcome = handle.outcome
    return StillRunning(handle.id, given_up or "cancelled") if outcome is None else _reply(outcome)


async def wait_within(
    wait: Coroutine[Any, Any, None], cancellation: CancellationToken | None, timeout_ms: int | None
) -> str | None:
    """Wait for as long as who asks wants to; None when ``wait`` came to its end, else why it was given up.

    What ``wait`` raises is raised, a ``TimeoutError`` of its own among it.
    """
    token = cancellation or CancellationToken()
    time = asyncio.timeout(None if timeout_ms is None else timeout_ms / 1_000)
    try:
        async with time:
            ended = await unless_cancelled(token, wait)
    except TimeoutError:
        if not time.expired():
            raise
        return "timeout"
    return None if ended else token.reason or "cancelled"


async def _until_ended(handle: AsyncToolHandle, report: ReportProgress | None) -> None:
    polls = handle.metadata.namespace is AsyncHandleNamespace.MONITOR
    while True:
        await _flush(handle, report)
        if not handle.is_live:
            # What it said last is told before how it ended.
            await _flush(handle, report)
            return
        if polls:
            await asyncio.sleep(MONITOR_POLL_MS / 1_000)
        else:
            await handle.changed()


async def _flush(handle: AsyncToolHandle, report: ReportProgress | None) -> None:
    for value in handle.take_progress():
        if report is None:
            continue
        try:
            await report(value)
        except Exception:  # noqa: BLE001 - a listener is the host's code
            _log.exception("the progress of async task %s found no listener", handle.id)


def _reply(outcome: AnyToolOutput) -> AnyToolOutput:
    """A control of the task's answer is nothing to the turn that awaits it: it was not asked for there."""
    match outcome:
        case ToolSuccess():
            return ToolSuccess(outcome.value)
        case ToolCancelled():
            return ToolCancelled(CANCELLED_TEXT)
        case _:
            return outcome.model_copy(update={"control": None})
