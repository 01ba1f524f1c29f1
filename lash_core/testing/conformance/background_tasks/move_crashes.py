"""Moves between sessions that are cut off while others adopt: a task is in one session, once (ADR 0276)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from lash_core.errors import OutcomeUnknownError
from lash_core.errors.background_task import UnknownBackgroundTaskError
from lash_core.model.background_task import BackgroundTaskState, BackgroundTaskUpdate
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.store.background_task_store import (
    BackgroundTaskStore,
    StoredTask,
    TasksChanged,
    TasksOfNoSession,
    TasksSwapped,
    TaskSwap,
)
from lash_core.testing.conformance.background_tasks.arrange import BackgroundStores, Hosted, Work, on_host, spec
from lash_core.testing.conformance.expectations import refused


class _CutOff:
    """Rows of a host that loses its store during a move, which is three swaps: mark, put, take.

    Attributes:
        before_put: what others do just before the second swap.
        swaps: that are still answered.
        silent: the next swap after these is done all the same, and its answer lost.
    """

    def __init__(self, rows: BackgroundTaskStore) -> None:
        self._rows = rows
        self._done = 0
        self.before_put: Callable[[], Awaitable[object]] | None = None
        self.swaps: int | None = None
        self.silent = False

    def comes_back(self) -> None:
        """The store answers again."""
        self.swaps = None

    async def read_background_tasks(self, session_id: str) -> tuple[StoredTask, ...]:
        self._check()
        return await self._rows.read_background_tasks(session_id)

    async def swap_background_tasks(
        self, session_id: str, swaps: Sequence[TaskSwap]
    ) -> TasksSwapped | TasksChanged | TasksOfNoSession:
        if self.swaps is None:
            return await self._rows.swap_background_tasks(session_id, swaps)
        if self._done >= self.swaps and self.silent:
            await self._rows.swap_background_tasks(session_id, swaps)
        self._check()
        self._done += 1
        if self._done == 2 and self.before_put is not None:
            await self.before_put()
        return await self._rows.swap_background_tasks(session_id, swaps)

    def _check(self) -> None:
        if self.swaps is not None and self._done >= self.swaps:
            raise OutcomeUnknownError("the store does not answer")


@asynccontextmanager
async def _mover(stores: BackgroundStores) -> AsyncGenerator[tuple[Hosted, _CutOff]]:
    rows = _CutOff(stores.background_tasks)
    async with on_host(DurableBackgroundTaskHost(rows), stores) as hosted:
        yield hosted, rows


@asynccontextmanager
async def _heir(stores: BackgroundStores, session_id: str) -> AsyncGenerator[Hosted]:
    async with on_host(DurableBackgroundTaskHost(stores.background_tasks), stores, session_id) as hosted:
        yield hosted


async def a_mover_that_lost_and_died_left_nothing_in_the_successor(stores: BackgroundStores) -> None:
    """An adopter was faster, and the mover could not take back what it had put there: it is nobody's."""
    async with _mover(stores) as (mover, rows), _heir(stores, mover.session_id) as heir:
        successor = await mover.another_session()
        await mover.host.register_external(mover.scope_key, spec("x"))
        await mover.host.spawn_managed(mover.scope_key, spec("m"), Work())
        rows.before_put, rows.swaps = lambda: heir.host.adopt(heir.scope_key, 5), 2
        await mover.host.transfer_managed(mover.scope_key, mover.sibling(successor), ["x", "m"])
        assert 2 == len(await heir.rows(successor))
        async with _heir(stores, successor) as there:
            assert () == await there.host.adopt(there.scope_key, 5)
            assert () == await there.host.list_managed(there.scope_key)
        assert () == await heir.rows(successor)
        assert BackgroundTaskState.RUNNING is await heir.state("x")
        assert BackgroundTaskState.FAILED is await heir.state("m")


async def a_mover_that_lost_and_lives_learns_of_it(stores: BackgroundStores) -> None:
    """Its next write is refused, the work is cancelled, and what it had put into the successor goes."""
    async with _mover(stores) as (mover, rows), _heir(stores, mover.session_id) as heir:
        successor, work = await mover.another_session(), Work()
        to_scope = mover.sibling(successor)
        await mover.host.spawn_managed(mover.scope_key, spec("m"), work)
        await work.begun.wait()
        rows.before_put, rows.swaps = lambda: heir.host.adopt(heir.scope_key, 5), 2
        await mover.host.transfer_managed(mover.scope_key, to_scope, ["m"])
        rows.comes_back()
        with refused(UnknownBackgroundTaskError, "unknown background task `m`"):
            await mover.host.update(to_scope, "m", BackgroundTaskUpdate(state=BackgroundTaskState.WAITING))
        await work.stopped.wait()
        assert () == await mover.rows(successor)
        assert BackgroundTaskState.FAILED is await heir.state("m")


async def a_move_whose_last_write_failed_is_done_with_the_next(stores: BackgroundStores) -> None:
    """The task leaves its former session then: what is forgotten or moved on afterwards is not found there again."""
    async with _mover(stores) as (mover, rows), _heir(stores, mover.session_id) as heir:
        successor = await mover.another_session()
        to_scope = mover.sibling(successor)
        for task_id in ("forgotten", "moved on"):
            await mover.host.register_external(mover.scope_key, spec(task_id))
        rows.swaps = 2
        await mover.host.transfer_managed(mover.scope_key, to_scope, ["forgotten", "moved on"])
        rows.comes_back()
        assert 2 == len(await mover.rows())
        third = await mover.another_session()
        await mover.host.unregister_external(to_scope, "forgotten")
        await mover.host.transfer_managed(to_scope, mover.sibling(third), ["moved on"])
        assert () == await heir.host.adopt(heir.scope_key, 5)
        assert ((), ()) == (await mover.rows(), await mover.rows(successor))
        assert ["moved on"] == [task.row.record.id for task in await mover.rows(third)]


async def a_task_that_arrived_is_taken_over_there_and_nowhere_else(stores: BackgroundStores) -> None:
    """The mover died before it took the row away here: whoever adopts there does so, and may forget the task."""
    async with _mover(stores) as (mover, rows), _heir(stores, mover.session_id) as heir:
        successor = await mover.another_session()
        await mover.host.register_external(mover.scope_key, spec("x"))
        rows.swaps = 2
        await mover.host.transfer_managed(mover.scope_key, mover.sibling(successor), ["x"])
        async with _heir(stores, successor) as there:
            assert ["x"] == [record.id for record in await there.host.adopt(there.scope_key, 5)]
            await there.host.unregister_external(there.scope_key, "x")
        assert () == await heir.host.adopt(heir.scope_key, 5)
        assert ((), ()) == (await heir.rows(), await heir.rows(successor))


async def a_move_of_which_nobody_said_that_it_arrived_is_made_again(stores: BackgroundStores) -> None:
    """What had arrived gives way to it; without a second try it counts for nothing once its owner writes again."""
    async with _mover(stores) as (mover, rows), _heir(stores, mover.session_id) as heir:
        successor = await mover.another_session()
        to_scope = mover.sibling(successor)
        for task_id in ("again", "stays"):
            await mover.host.register_external(mover.scope_key, spec(task_id))
        rows.swaps, rows.silent = 1, True
        with refused(OutcomeUnknownError):
            await mover.host.transfer_managed(mover.scope_key, to_scope, ["again", "stays"])
        rows.comes_back()
        assert (2, 2) == (len(await mover.rows()), len(await mover.rows(successor)))
        await mover.host.transfer_managed(mover.scope_key, to_scope, ["again"])
        await mover.host.mark_live(mover.scope_key, "stays", BackgroundTaskState.WAITING)
        async with _heir(stores, successor) as there:
            assert ["again"] == [record.id for record in await there.host.adopt(there.scope_key, 5)]
            assert ["again"] == [task.row.record.id for task in await there.rows()]
        assert ["stays"] == [record.id for record in await heir.host.adopt(heir.scope_key, 5)]
