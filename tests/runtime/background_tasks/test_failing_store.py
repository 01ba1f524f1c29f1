"""A store of rows that fails: what is asked for is not done, what has ended is written later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import StoreUnreachableError
from lash_core.errors.background_task import BackgroundTaskError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.background_task import (
    BackgroundTaskFilter,
    BackgroundTaskRegistration,
    BackgroundTaskState,
    BackgroundTaskUpdate,
    ClosePolicy,
)
from lash_core.runtime.background import left_scopes, task_keeping
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.background.left_scopes import LeftScopes
from lash_core.runtime.background.local_host import LocalBackgroundTaskHost
from lash_core.runtime.background.scope_closing import close_soon
from lash_core.store.background_task_store import (
    BackgroundTaskStore,
    StoredTask,
    TasksChanged,
    TasksOfNoSession,
    TasksSwapped,
    TaskSwap,
)
from lash_core.testing.conformance.background_tasks.arrange import Work, spec
from lash_core.testing.conformance.session_scene import opened
from lash_core.testing.waiting import eventually


class FailingRows:
    """A store that refuses its next writes.

    Attributes:
        failures: how many.
    """

    def __init__(self, rows: BackgroundTaskStore) -> None:
        self._rows = rows
        self.failures = 0

    async def read_background_tasks(self, session_id: str) -> tuple[StoredTask, ...]:
        return await self._rows.read_background_tasks(session_id)

    async def swap_background_tasks(
        self, session_id: str, swaps: Sequence[TaskSwap]
    ) -> TasksSwapped | TasksChanged | TasksOfNoSession:
        if self.failures > 0:
            self.failures -= 1
            raise StoreUnreachableError("no route to host")
        return await self._rows.swap_background_tasks(session_id, swaps)


@pytest.fixture
async def rows(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[FailingRows]:
    """Rows of session ``s``; ends are written again without much delay."""
    monkeypatch.setattr(task_keeping, "EXIT_SAVE_DELAY_MS", 1)
    monkeypatch.setattr(task_keeping, "EXIT_SAVE_DELAY_MAX_MS", 1)
    async with InMemoryStores(VirtualClock()) as stores:
        await opened(stores, "s")
        yield FailingRows(stores.background_tasks)


async def _state(host: LocalBackgroundTaskHost) -> BackgroundTaskState:
    record = await host.get_managed("a:s", "task")
    assert record is not None
    return record.state


async def test_what_cannot_be_stored_is_not_begun(rows: FailingRows) -> None:
    """No work runs, no record is listed."""
    host, work = DurableBackgroundTaskHost(rows), Work()
    rows.failures = 2
    with pytest.raises(StoreUnreachableError):
        await host.spawn_managed("a:s", spec(), work)
    with pytest.raises(StoreUnreachableError):
        await host.register_external("a:s", spec("x"))
    assert () == await host.list_managed("a:s")
    await host.spawn_managed("a:s", spec(), work)
    await work.begun.wait()
    assert 1 == work.runs
    await host.close()


async def test_a_change_that_cannot_be_stored_is_not_made(rows: FailingRows) -> None:
    """The record stays as it is, and the work goes on."""
    host, work = DurableBackgroundTaskHost(rows), Work()
    await host.spawn_managed("a:s", spec(), work)
    await work.begun.wait()
    rows.failures = 2
    with pytest.raises(StoreUnreachableError):
        await host.update("a:s", "task", BackgroundTaskUpdate(state=BackgroundTaskState.WAITING))
    with pytest.raises(StoreUnreachableError):
        await host.cancel_managed("a:s", "task")
    assert BackgroundTaskState.RUNNING is await _state(host)
    assert not work.stopped.is_set()
    await host.cancel_managed("a:s", "task")
    assert BackgroundTaskState.CANCELLED is await _state(host)
    await host.close()


async def test_the_end_of_work_is_written_when_the_store_is_back(rows: FailingRows) -> None:
    """Until then the task runs, for everybody."""
    host, work = DurableBackgroundTaskHost(rows), Work()
    await host.spawn_managed("a:s", spec(), work)
    await work.begun.wait()
    rows.failures = 3
    work.end.set()

    async def has_ended() -> bool:
        (row,) = await rows.read_background_tasks("s")
        return row.row.record.state is BackgroundTaskState.COMPLETED

    await eventually(has_ended)
    assert BackgroundTaskState.COMPLETED is await _state(host)
    await host.close()


async def test_an_end_that_is_never_stored_is_known_here(rows: FailingRows) -> None:
    """The row stays for who adopts it."""
    host, work = DurableBackgroundTaskHost(rows), Work()
    await host.spawn_managed("a:s", spec(), work)
    await work.begun.wait()
    rows.failures = 1_000
    work.end.set()

    async def has_ended() -> bool:
        return await _state(host) is BackgroundTaskState.COMPLETED

    await eventually(has_ended)
    (row,) = await rows.read_background_tasks("s")
    assert BackgroundTaskState.RUNNING is row.row.record.state
    await host.close()


async def test_a_scope_is_closed_whatever_the_store_says(rows: FailingRows) -> None:
    """All work that is to stop has stopped, and listeners have ended."""
    host, works = DurableBackgroundTaskHost(rows), (Work(), Work())
    for number, work in enumerate(works):
        await host.spawn_managed("a:s", spec(f"t{number}"), work, close_policy=ClosePolicy.CANCEL)
        await work.begun.wait()
    events = host.subscribe("a:s", BackgroundTaskFilter())
    rows.failures = 1_000
    await host.close_scope("a:s")
    assert all(work.stopped.is_set() for work in works)
    assert [] == [event.type async for event in events]
    await host.close()


async def test_work_that_cleans_up_is_not_cancelled_again() -> None:
    """Its task is cancelled, its scope closed and its program ended while it does."""
    host, begun, cleaned = LocalBackgroundTaskHost(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            cleaned.set()

    await host.spawn_managed("a:s", spec(), work, close_policy=ClosePolicy.CANCEL)
    await begun.wait()
    await host.cancel_managed("a:s", "task")
    await asyncio.sleep(0)
    await host.close_scope("a:s")
    await host.close()
    assert cleaned.is_set()


async def test_a_program_ends_after_the_callbacks_of_cancelled_tasks(rows: FailingRows) -> None:
    """Nobody would call them again."""
    host, called, answered = DurableBackgroundTaskHost(rows), asyncio.Event(), list[str]()

    async def stop() -> None:
        called.set()
        await asyncio.sleep(0)
        answered.append("stopped")

    await host.register_external("a:s", spec(), stop)
    cancel = asyncio.create_task(host.cancel_managed("a:s", "task"))
    await called.wait()
    cancel.cancel()
    await host.close()
    assert ["stopped"] == answered


async def test_live_tasks_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names it."""
    monkeypatch.setattr(task_keeping, "LIVE_TASKS_MAX", 2)
    host = LocalBackgroundTaskHost()
    for task_id in ("a", "b"):
        await host.register_external("a:s", BackgroundTaskRegistration(task_id))
    with pytest.raises(BackgroundTaskError, match="2 live background tasks; that is the limit"):
        await host.register_external("a:s", BackgroundTaskRegistration("c"))
    await host.mark_terminal("a:s", "a", BackgroundTaskState.COMPLETED)
    await host.register_external("a:s", BackgroundTaskRegistration("c"))


def test_scopes_that_were_left_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten; one that is somebody's again is none of them."""
    monkeypatch.setattr(left_scopes, "LEFT_SCOPES_MAX", 2)
    left = LeftScopes()
    assert [None, None, "a:s"] == [left.add(key) for key in ("a:s", "b:s", "c:t")]
    assert (("b:s",), ("c:t",), ()) == (left.of_session("s"), left.of_session("t"), left.of_session("u"))
    left.discard("b:s")
    left.discard("b:s")
    assert () == left.of_session("s")
    assert "c:t" in left


def test_closing_needs_neither_host_nor_loop() -> None:
    """A runtime may be dropped by code that has none."""
    close_soon(None, "a:s")
    close_soon(LocalBackgroundTaskHost(), "a:s")
