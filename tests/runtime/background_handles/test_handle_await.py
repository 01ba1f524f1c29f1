"""Waiting for async tasks: progress first, then the end; who stops waiting stops nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors.async_handle import InvalidAsyncHandleError, UnknownAsyncHandleError
from lash_core.model.async_handle import AsyncHandleNamespace
from lash_core.model.tool_control import FinishControl
from lash_core.model.tool_output import ToolCancelled, ToolFailure, ToolSuccess
from lash_core.runtime.background import handle_await
from lash_core.runtime.background.async_handle import AsyncToolHandle
from lash_core.runtime.background.async_handles import AsyncToolHandleMap
from lash_core.runtime.background.handle_await import StillRunning, await_async_handle
from lash_core.runtime.cancellation import CancellationToken
from lash_core.testing.waiting import eventually


class Listener:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def __call__(self, value: Any) -> None:
        self.heard.append(value)


async def never(handle: AsyncToolHandle) -> None:
    await asyncio.Event().wait()


async def test_what_was_kept_is_told_before_the_end() -> None:
    table, listener = AsyncToolHandleMap(), Listener()

    async def work(handle: AsyncToolHandle) -> str:
        handle.progress("one")
        handle.progress("two")
        return "done"

    handle = table.start(work, tool_name="t")
    await eventually(lambda: not handle.is_live)
    assert ToolSuccess("done") == await await_async_handle(table, handle.value, report=listener)
    assert ["one", "two"] == listener.heard
    assert ToolSuccess("done") == await await_async_handle(table, handle.value, report=listener)
    assert ["one", "two"] == listener.heard


async def test_a_waiter_wakes_for_progress_and_for_the_end() -> None:
    table, listener, go = AsyncToolHandleMap(), Listener(), asyncio.Event()

    async def work(handle: AsyncToolHandle) -> str:
        handle.progress("begun")
        await go.wait()
        handle.progress("last")
        return "done"

    handle = table.start(work, tool_name="t")
    waiting = asyncio.ensure_future(await_async_handle(table, handle.value, report=listener))
    await eventually(lambda: ["begun"] == listener.heard)
    go.set()
    assert ToolSuccess("done") == await waiting
    assert ["begun", "last"] == listener.heard


async def test_the_three_ends_are_told_as_they_are() -> None:
    table = AsyncToolHandleMap()

    async def fails(handle: AsyncToolHandle) -> None:
        raise RuntimeError("no")

    async def controls(handle: AsyncToolHandle) -> Any:
        return ToolSuccess("v", control=FinishControl("v", final=True).to_json_value())

    cancelled = table.start(never, tool_name="t")
    waiting = asyncio.ensure_future(await_async_handle(table, cancelled.value))
    await asyncio.sleep(0)
    await cancelled.cancel("not needed")
    assert ToolCancelled("async task was cancelled") == await waiting
    failed = await await_async_handle(table, table.start(fails, tool_name="t").value)
    assert isinstance(failed, ToolFailure)
    assert ("tool_failed", "RuntimeError: no") == (failed.code, failed.message)
    assert ToolSuccess("v") == await await_async_handle(table, table.start(controls, tool_name="t").value)


async def test_no_handle_and_no_entry_are_errors() -> None:
    table = AsyncToolHandleMap()
    with pytest.raises(InvalidAsyncHandleError):
        await await_async_handle(table, {"id": "x"})
    with pytest.raises(UnknownAsyncHandleError, match="Unknown async handle: x"):
        await await_async_handle(table, {"__handle__": "task", "id": "x"})


async def test_who_stops_waiting_does_not_stop_the_task() -> None:
    table, token = AsyncToolHandleMap(), CancellationToken()
    handle = table.start(never, tool_name="t")
    waiting = asyncio.ensure_future(await_async_handle(table, handle.value, cancellation=token))
    await asyncio.sleep(0)
    token.cancel("enough")
    assert StillRunning(handle.id, "enough") == await waiting
    assert StillRunning(handle.id, "timeout") == await await_async_handle(table, handle.value, timeout_ms=1)
    waiting = asyncio.ensure_future(await_async_handle(table, handle.value))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (True, False) == (handle.is_live, handle.cancelled)
    table.close()


async def test_several_may_wait_and_a_broken_listener_breaks_nobody() -> None:
    table, go = AsyncToolHandleMap(), asyncio.Event()

    async def work(handle: AsyncToolHandle) -> str:
        handle.progress(1)
        await go.wait()
        return "done"

    async def breaks(value: Any) -> None:
        raise TimeoutError("the listener's own")

    handle = table.start(work, tool_name="t")
    waits = [asyncio.ensure_future(await_async_handle(table, handle.value, report=breaks)) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    assert [ToolSuccess("done")] * 3 == list(await asyncio.gather(*waits))


async def test_a_monitor_is_looked_at_and_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle_await, "MONITOR_POLL_MS", 1)
    table, listener, go = AsyncToolHandleMap(), Listener(), asyncio.Event()

    async def work(handle: AsyncToolHandle) -> str:
        handle.progress("line")
        await go.wait()
        return "over"

    handle = table.start(
        work, tool_name="monitor", handle_id="monitor:m", namespace=AsyncHandleNamespace.MONITOR, identifier="m"
    )
    monkeypatch.setattr(AsyncToolHandle, "changed", None)
    waiting = asyncio.ensure_future(await_async_handle(table, handle.value, report=listener))
    await eventually(lambda: ["line"] == listener.heard)
    go.set()
    assert ToolSuccess("over") == await waiting
