"""The table of async handles: starts, ends, moves and cancels (``docs/contracts/background_tasks.md`` 5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import LimitExceededError, PluginSessionError
from lash_core.errors.async_handle import AsyncHandleConflictError, InvalidAsyncHandleError, UnknownAsyncHandleError
from lash_core.model.async_handle import AsyncHandleNamespace, async_handle_value, parse_async_handle
from lash_core.model.tool_output import ToolCancelled, ToolFailure, ToolSuccess
from lash_core.runtime.background import async_handles
from lash_core.runtime.background.async_handle import (
    PROGRESS_BYTES_MAX,
    PROGRESS_MAX,
    AsyncHandleState,
    AsyncToolHandle,
)
from lash_core.runtime.background.async_handles import (
    AsyncToolHandleMap,
    cancel_unreferenced_session_async_handles,
    check_session_async_handle_transfer,
    live_session_async_handle_ids,
    transfer_session_async_handles,
)
from lash_core.testing.waiting import eventually


async def until_told(handle: AsyncToolHandle) -> str:
    await handle.cancellation.wait()
    return "told"


async def never(handle: AsyncToolHandle) -> None:
    await asyncio.Event().wait()


async def at_once(handle: AsyncToolHandle) -> Any:
    return {"answer": 42}


async def broken(handle: AsyncToolHandle) -> None:
    raise ValueError("out of order")


async def ended(handle: AsyncToolHandle) -> AsyncToolHandle:
    await eventually(lambda: not handle.is_live)
    return handle


def monitor(table: AsyncToolHandleMap, name: str = "m") -> AsyncToolHandle:
    return table.start(
        never,
        tool_name="monitor",
        handle_id=f"monitor:{name}",
        namespace=AsyncHandleNamespace.MONITOR,
        identifier=name,
    )


def test_a_handle_is_a_value_that_says_its_kind() -> None:
    value = async_handle_value("t-1", "search")
    assert {"__handle__": "task", "id": "t-1", "tool": "search"} == value
    assert "t-1" == parse_async_handle(value)
    assert "t-1" == parse_async_handle({"__handle__": "task", "id": "t-1"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"id": "x"}, "Invalid async handle: missing `__handle__`"),
        ({"__handle__": 3, "id": "x"}, "Invalid async handle: missing `__handle__`"),
        ("t-1", "Invalid async handle: missing `__handle__`"),
        (None, "Invalid async handle: missing `__handle__`"),
        ({"__handle__": "process", "id": "x"}, "Invalid async handle kind: process"),
        ({"__handle__": "task"}, "Invalid async handle: missing `id`"),
        ({"__handle__": "task", "id": 7}, "Invalid async handle: missing `id`"),
        ({"__handle__": "task", "id": ""}, "Invalid async handle: missing `id`"),
    ],
)
def test_what_is_no_handle_is_refused_with_its_reason(value: Any, text: str) -> None:
    with pytest.raises(InvalidAsyncHandleError) as refused:
        parse_async_handle(value)
    assert text == str(refused.value)
    assert isinstance(refused.value, PluginSessionError)


async def test_a_task_starts_at_once_and_keeps_how_it_ended() -> None:
    table = AsyncToolHandleMap()
    handle = table.start(at_once, tool_name="search")
    assert (True, AsyncHandleState.RUNNING) == (handle.is_live, handle.state)
    await ended(handle)
    assert (AsyncHandleState.COMPLETED, ToolSuccess({"answer": 42})) == (handle.state, handle.outcome)
    assert handle is table.get(handle.id)
    assert ("search", handle.id) == (handle.metadata.tool_name, handle.metadata.identifier)
    with pytest.raises(UnknownAsyncHandleError) as unknown:
        table.get("nobody")
    assert "Unknown async handle: nobody" == str(unknown.value)


async def test_what_a_task_raises_or_cannot_answer_is_its_failure() -> None:
    table = AsyncToolHandleMap()

    async def no_json(handle: AsyncToolHandle) -> Any:
        return {1: 2}

    async def too_large(handle: AsyncToolHandle) -> Any:
        return "x" * 200_000

    async def whole(handle: AsyncToolHandle) -> Any:
        return ToolFailure.model_validate({"class": "external", "code": "c", "message": "m"})

    async def ends_itself(handle: AsyncToolHandle) -> None:
        raise asyncio.CancelledError

    ends = [
        (await ended(table.start(work, tool_name="t"))).outcome
        for work in (broken, no_json, too_large, whole, ends_itself)
    ]
    codes = [end.code if isinstance(end, ToolFailure) else end for end in ends]
    assert codes[:4] == ["tool_failed", "tool_output_invalid", "tool_output_too_large", "c"]
    assert isinstance(codes[4], ToolCancelled)
    assert "ValueError: out of order" == getattr(ends[0], "message", None)


async def test_a_live_id_is_not_used_again_and_an_ended_one_is() -> None:
    table = AsyncToolHandleMap()
    first = table.start(until_told, tool_name="t", handle_id="one")
    with pytest.raises(PluginSessionError, match="async handle `one` is already running"):
        table.start(at_once, tool_name="t", handle_id="one")
    await first.cancel()
    again = table.start(at_once, tool_name="t", handle_id="one")
    assert again is table.get("one")
    await ended(again)


async def test_a_session_has_a_bound_of_running_and_of_remembered_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_handles, "LIVE_HANDLES_MAX", 2)
    monkeypatch.setattr(async_handles, "ENDED_HANDLES_MAX", 3)
    table = AsyncToolHandleMap()
    for n in range(5):
        await ended(table.start(at_once, tool_name="t", handle_id=f"t{n}"))
    assert ["t1", "t2", "t3", "t4"] == [handle.id for handle in table.handles()]
    table.start(until_told, tool_name="t", handle_id="a")
    table.start(until_told, tool_name="t", handle_id="b")
    with pytest.raises(LimitExceededError) as refused:
        table.start(until_told, tool_name="t", handle_id="c")
    assert (2, "c") == (refused.value.limit, refused.value.value)
    assert "c" not in table
    monkeypatch.setattr(async_handles, "LIVE_HANDLES_MAX", 9)
    monkeypatch.setattr(async_handles, "ENDED_BYTES_MAX", 1)
    table.start(until_told, tool_name="t", handle_id="c")
    assert ["a", "b", "c"] == [handle.id for handle in table.handles()]
    table.close()


async def test_progress_waits_for_whoever_awaits_and_the_oldest_goes_first() -> None:
    handle = AsyncToolHandleMap().start(until_told, tool_name="t")
    for n in range(PROGRESS_MAX + 3):
        handle.progress(n)
    assert tuple(range(3, PROGRESS_MAX + 3)) == handle.take_progress()
    assert (3, ()) == (handle.dropped, handle.take_progress())
    large = "x" * (PROGRESS_BYTES_MAX // 2)
    for _ in range(3):
        handle.progress(large)
    assert (1, 5) == (len(handle.take_progress()), handle.dropped)
    await handle.cancel()
    handle.progress("late")
    assert () == handle.take_progress()


# -- cancels ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_task_is_told_first_and_counts_as_cancelled_whatever_it_answers() -> None:
    handle = AsyncToolHandleMap().start(until_told, tool_name="t")
    await asyncio.sleep(0)
    assert await handle.cancel("why")
    assert (AsyncHandleState.CANCELLED, "why") == (handle.state, handle.cancellation.reason)
    assert not await handle.cancel("again")


async def test_a_task_that_does_not_listen_is_cancelled_after_its_grace() -> None:
    cleaned = asyncio.Event()

    async def deaf(handle: AsyncToolHandle) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    handle = AsyncToolHandleMap().start(deaf, tool_name="t")
    await asyncio.sleep(0)
    assert await handle.cancel()
    assert cleaned.is_set()
    assert AsyncHandleState.CANCELLED is handle.state


async def test_a_task_that_resists_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    free = asyncio.Event()

    async def resists(handle: AsyncToolHandle) -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    handle = AsyncToolHandleMap().start(resists, tool_name="t")
    await asyncio.sleep(0)
    assert await handle.cancel()
    assert AsyncHandleState.CANCELLED is handle.state
    assert "left alone" in caplog.text
    free.set()


async def test_unreferenced_tasks_are_cancelled_and_monitors_survive() -> None:
    table = AsyncToolHandleMap()
    kept, dropped = (table.start(never, tool_name="t", handle_id=name) for name in ("kept", "dropped"))
    over = await ended(table.start(at_once, tool_name="t", handle_id="over"))
    watching = monitor(table)
    assert {"kept", "dropped"} == live_session_async_handle_ids(table)
    assert ("dropped",) == await cancel_unreferenced_session_async_handles(table, {"kept"})
    assert {"kept"} == live_session_async_handle_ids(table)
    states = [handle.state.value for handle in (kept, dropped, over, watching)]
    assert ["running", "cancelled", "completed", "running"] == states
    table.close()


async def test_a_closed_table_ends_all_its_tasks() -> None:
    table = AsyncToolHandleMap()
    stopped = asyncio.Event()

    async def notes(handle: AsyncToolHandle) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    handle = table.start(notes, tool_name="t")
    await asyncio.sleep(0)
    table.close()
    table.close()
    assert AsyncHandleState.CANCELLED is handle.state
    await stopped.wait()


# -- moves ------------------------------------------------------------------------------------------------------


async def test_a_moved_task_ends_in_its_new_session() -> None:
    source, target = AsyncToolHandleMap(), AsyncToolHandleMap()
    go = asyncio.Event()

    async def waits(handle: AsyncToolHandle) -> str:
        await go.wait()
        return "there"

    handle = source.start(waits, tool_name="t", handle_id="one")
    source.start(never, tool_name="t", handle_id="stays")
    assert ("one",) == transfer_session_async_handles(source, target, ["one", "nobody", "one"])
    assert ([True, False], ["stays"]) == (
        [handle is target.get("one"), "one" in source],
        [h.id for h in source.handles()],
    )
    go.set()
    await ended(handle)
    assert ToolSuccess("there") == target.get("one").outcome
    source.close()


async def test_a_conflict_moves_nothing() -> None:
    source, target = AsyncToolHandleMap(), AsyncToolHandleMap()
    for name in ("a", "b", "c"):
        source.start(never, tool_name="t", handle_id=name)
    target.start(never, tool_name="t", handle_id="b")
    for refuse in (check_session_async_handle_transfer, transfer_session_async_handles):
        with pytest.raises(AsyncHandleConflictError) as conflict:
            refuse(source, target, ["a", "b", "c"])
        assert "async handle `b` already exists in successor" == str(conflict.value)
    assert ["a", "b", "c"] == [handle.id for handle in source.handles()]
    assert 1 == len(target)
    source.close()
    target.close()


async def test_a_move_to_the_same_table_changes_nothing() -> None:
    table = AsyncToolHandleMap()
    table.start(never, tool_name="t", handle_id="one")
    check_session_async_handle_transfer(table, table, ["one"])
    assert () == transfer_session_async_handles(table, table, ["one"])
    assert "one" in table
    table.close()
