"""Adoption, moves and former owners at once: a task is somebody's, once (``docs/contracts/background_tasks.md`` 4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from lash_core.errors.background_task import UnknownBackgroundTaskError
from lash_core.model.background_task import BackgroundTaskState
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.store.background_task_store import (
    BackgroundTaskStore,
    StoredTask,
    TasksChanged,
    TasksOfNoSession,
    TasksSwapped,
    TaskSwap,
)
from lash_core.testing.conformance.background_tasks.arrange import (
    BackgroundStores,
    Hosted,
    Work,
    on_host,
    spec,
)
from lash_core.testing.conformance.expectations import refused


class _Overtaken:
    """Rows of a host that something else comes before: just before its next swap but ``after``.

    Attributes:
        by: what comes before; called once.
        after: swaps until then.
    """

    def __init__(self, rows: BackgroundTaskStore) -> None:
        self._rows = rows
        self.by: Callable[[], Awaitable[object]] | None = None
        self.after = 0

    async def read_background_tasks(self, session_id: str) -> tuple[StoredTask, ...]:
        return await self._rows.read_background_tasks(session_id)

    async def swap_background_tasks(
        self, session_id: str, swaps: Sequence[TaskSwap]
    ) -> TasksSwapped | TasksChanged | TasksOfNoSession:
        by = self.by
        if by is not None and self.after == 0:
            self.by = None
            await by()
        self.after = max(0, self.after - 1)
        return await self._rows.swap_background_tasks(session_id, swaps)


@asynccontextmanager
async def _slow(stores: BackgroundStores, session_id: str | None = None) -> AsyncGenerator[tuple[Hosted, _Overtaken]]:
    rows = _Overtaken(stores.background_tasks)
    async with on_host(DurableBackgroundTaskHost(rows), stores, session_id) as hosted:
        yield hosted, rows


@asynccontextmanager
async def _fast(stores: BackgroundStores, session_id: str) -> AsyncGenerator[Hosted]:
    async with on_host(DurableBackgroundTaskHost(stores.background_tasks), stores, session_id) as hosted:
        yield hosted


async def a_row_is_adopted_once(stores: BackgroundStores) -> None:
    """Of two who saw it one has it, and says once that its owner was lost."""
    async with (
        _slow(stores) as (late, rows),
        _fast(stores, late.session_id) as dead,
        _fast(stores, late.session_id) as heir,
    ):
        await dead.host.spawn_managed(dead.scope_key, spec("m"), Work())
        await dead.host.register_external(dead.scope_key, spec("x"))
        rows.by = lambda: heir.host.adopt(heir.scope_key, 7)
        assert () == await late.host.adopt(late.scope_key, 5)
        assert () == await late.host.list_managed(late.scope_key)
        assert BackgroundTaskState.FAILED is await heir.state("m")
        assert BackgroundTaskState.RUNNING is await heir.state("x")
        assert [heir.scope_key] * 2 == [task.scope_key for task in await heir.rows()]


async def what_its_owner_forgot_meanwhile_does_not_come_back(stores: BackgroundStores) -> None:
    """An adopter that had seen the row leaves it."""
    async with _slow(stores) as (heir, rows), _fast(stores, heir.session_id) as owner:
        await owner.host.register_external(owner.scope_key, spec("x"))
        await owner.host.register_external(owner.scope_key, spec("y"))
        rows.by = lambda: owner.host.unregister_external(owner.scope_key, "x")
        assert ["y"] == [record.id for record in await heir.host.adopt(heir.scope_key, 5)]
        assert ["y"] == [task.row.record.id for task in await heir.rows()]


async def a_move_that_an_adopter_overtook_is_undone(stores: BackgroundStores) -> None:
    """The tasks are the adopter's, and not in the successor too; their former owner hears of it."""
    async with _slow(stores) as (owner, rows), _fast(stores, owner.session_id) as heir:
        successor, work = await owner.another_session(), Work()
        await owner.host.spawn_managed(owner.scope_key, spec("m"), work)
        await owner.host.register_external(owner.scope_key, spec("x"))
        await work.begun.wait()
        # The rows say already where they go, and are not there yet.
        rows.by, rows.after = lambda: heir.host.adopt(heir.scope_key, 5), 1
        with refused(UnknownBackgroundTaskError, "unknown background task"):
            await owner.host.transfer_managed(owner.scope_key, owner.sibling(successor), ["m", "x"])
        assert () == await owner.rows(successor)
        for scope_key in (owner.scope_key, owner.sibling(successor)):
            assert () == await owner.host.list_managed(scope_key)
        await work.stopped.wait()
        assert BackgroundTaskState.FAILED is await heir.state("m")
        assert BackgroundTaskState.RUNNING is await heir.state("x")


async def a_move_whose_rows_have_arrived_is_not_overtaken(stores: BackgroundStores) -> None:
    """An adopter that sees them in the successor takes nothing; the move is done."""
    async with _slow(stores) as (owner, rows), _fast(stores, owner.session_id) as heir:
        successor = await owner.another_session()
        await owner.host.register_external(owner.scope_key, spec("x"))
        rows.by, rows.after = lambda: heir.host.adopt(heir.scope_key, 5), 2
        await owner.host.transfer_managed(owner.scope_key, owner.sibling(successor), ["x"])
        assert BackgroundTaskState.RUNNING is await owner.state("x", owner.sibling(successor))
        assert () == await owner.rows()
        assert ["x"] == [task.row.record.id for task in await owner.rows(successor)]
        assert () == await heir.host.list_managed(heir.scope_key)


async def a_move_that_fails_leaves_the_successors_own_rows_known(stores: BackgroundStores) -> None:
    """An ended task that would have given way is still there, for its owner and in the store."""
    async with _slow(stores) as (owner, _), _fast(stores, owner.session_id) as heir:
        successor = await owner.another_session()
        to_scope = owner.sibling(successor)
        await owner.host.register_external(owner.scope_key, spec("x"))
        await owner.host.register_external(to_scope, spec("x"))
        await owner.host.mark_terminal(to_scope, "x", BackgroundTaskState.COMPLETED)
        await heir.host.adopt(heir.scope_key, 5)
        with refused(UnknownBackgroundTaskError, "unknown background task `x`"):
            await owner.host.transfer_managed(owner.scope_key, to_scope, ["x"])
        assert BackgroundTaskState.COMPLETED is await owner.state("x", to_scope)
        await owner.host.unregister_external(to_scope, "x")
        assert () == await owner.rows(successor)
