"""A program that dies at any write of its background tasks loses none, doubles none and runs none again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import LashError, OutcomeUnknownError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskRecord,
    BackgroundTaskRegistration,
    BackgroundTaskState,
    BackgroundTaskUpdate,
)
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.background.scope_keys import background_scope_key
from lash_core.store.background_task_store import (
    BackgroundTaskStore,
    StoredTask,
    TasksChanged,
    TasksOfNoSession,
    TasksSwapped,
    TaskSwap,
)
from lash_core.testing.conformance.session_scene import opened

WRITES = 16
"""More than the scenario has."""


class MortalRows:
    """A store that its program loses at one write: before it was made, or after.

    Attributes:
        writes: made so far.
    """

    def __init__(self, rows: BackgroundTaskStore, dies_at: int, *, is_written: bool) -> None:
        self._rows = rows
        self._dies_at = dies_at
        self._is_written = is_written
        self.writes = 0

    async def read_background_tasks(self, session_id: str) -> tuple[StoredTask, ...]:
        self._check_alive()
        return await self._rows.read_background_tasks(session_id)

    async def swap_background_tasks(
        self, session_id: str, swaps: Sequence[TaskSwap]
    ) -> TasksSwapped | TasksChanged | TasksOfNoSession:
        self._check_alive()
        self.writes += 1
        if self.writes == self._dies_at and not self._is_written:
            self._check_alive()
        answer = await self._rows.swap_background_tasks(session_id, swaps)
        self._check_alive()
        return answer

    def _check_alive(self) -> None:
        if self.writes >= self._dies_at:
            raise OutcomeUnknownError("the program is dead")


async def _live_and_die(host: DurableBackgroundTaskHost, root: str, child: str, end: asyncio.Event) -> None:
    """Two managed and two external tasks; one of each is moved and one of each ended."""
    await host.adopt(root, 1)
    await host.spawn_managed(root, BackgroundTaskRegistration("m1"), end.wait)
    await host.spawn_managed(root, BackgroundTaskRegistration("m2"), end.wait)
    await host.register_external(root, BackgroundTaskRegistration("x1"))
    await host.register_external(root, BackgroundTaskRegistration("x2"))
    await host.update(root, "x1", BackgroundTaskUpdate(state=BackgroundTaskState.WAITING))
    await host.transfer_managed(root, child, ["m1", "x1"])
    await host.complete(child, "x1", BackgroundTaskCompletion(BackgroundTaskState.COMPLETED, "fine"))
    await host.cancel_managed(root, "m2")
    await host.unregister_external(root, "x2")


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("dies_at", range(1, WRITES))
async def test_no_task_is_lost_doubled_or_run_again(dies_at: int, *, is_written: bool) -> None:
    """Whatever the last write was: the next program finds each task once, ended or as its kind is taken over."""
    async with InMemoryStores(VirtualClock()) as stores:
        sessions = [(await opened(stores)).session_id for _ in range(2)]
        root, child = (background_scope_key("dead", session_id) for session_id in sessions)
        end, mortal = asyncio.Event(), MortalRows(stores.background_tasks, dies_at, is_written=is_written)
        dead, heir = DurableBackgroundTaskHost(mortal), DurableBackgroundTaskHost(stores.background_tasks)
        try:
            await _live_and_die(dead, root, child, end)
        except LashError:
            pass
        else:
            assert mortal.writes < dies_at
        await dead.close()

        found: list[BackgroundTaskRecord] = []
        for session_id in sessions:
            await heir.adopt(background_scope_key("heir", session_id), 2)
            found += await heir.list_managed(background_scope_key("heir", session_id))
            for task in await stores.background_tasks.read_background_tasks(session_id):
                assert (background_scope_key("heir", session_id), None) == (task.scope_key, task.row.moving_to)
                assert session_id == task.row.record.scope.session_id
        ids = [record.id for record in found]
        assert sorted(set(ids)) == sorted(ids)
        begun = ["m1", "m2", "x1", "x2"][: max(0, mortal.writes - (0 if is_written else 1))]
        # Only x2 may be gone: it was unregistered last.
        assert set(begun) - {"x2"} <= set(ids)
        for record in found:
            if record.id.startswith("m"):
                code = None if record.failure is None else record.failure.code
                cancelled = record.state is BackgroundTaskState.CANCELLED
                assert cancelled or (BackgroundTaskState.FAILED, "task_owner_lost") == (record.state, code)
            else:
                assert record.state in {
                    BackgroundTaskState.RUNNING,
                    BackgroundTaskState.WAITING,
                    BackgroundTaskState.COMPLETED,
                }
        await heir.close()
