"""Random walks of three programs that have one session after another, and move, end and adopt tasks at once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import LashError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.background_task import BackgroundTaskCompletion, BackgroundTaskState, BackgroundTaskUpdate
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
from lash_core.testing.conformance.background_tasks.arrange import spec
from lash_core.testing.conformance.session_scene import opened

WALKS = 24
STEPS = 60
PROGRAMS = 3
IDS = "abcd"


class _SlowRows:
    """A store that answers after some turns of the loop, so that whoever else asks may be faster."""

    def __init__(self, rows: BackgroundTaskStore, chance: random.Random) -> None:
        self._rows = rows
        self._chance = chance

    async def read_background_tasks(self, session_id: str) -> tuple[StoredTask, ...]:
        await _turns(self._chance, 4)
        tasks = await self._rows.read_background_tasks(session_id)
        await _turns(self._chance, 4)
        return tasks

    async def swap_background_tasks(
        self, session_id: str, swaps: Sequence[TaskSwap]
    ) -> TasksSwapped | TasksChanged | TasksOfNoSession:
        await _turns(self._chance, 4)
        return await self._rows.swap_background_tasks(session_id, swaps)


async def _turns(chance: random.Random, most: int) -> None:
    for _ in range(chance.randrange(most + 1)):
        await asyncio.sleep(0)


class _Walk:
    """One walk: what its programs do is drawn from the seed."""

    def __init__(self, stores: InMemoryStores, sessions: Sequence[str], seed: int) -> None:
        self._chance = random.Random(seed)
        self._rows = stores.background_tasks
        self.sessions = sessions
        self.hosts = [DurableBackgroundTaskHost(_SlowRows(self._rows, self._chance)) for _ in range(PROGRAMS)]
        self._generation = 0
        self.runs: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def scope(self, program: int, session: int) -> str:
        return background_scope_key(f"program-{program}", self.sessions[session])

    async def step(self, number: int) -> None:
        """Something that a program does to a task of its own."""
        chance, birth = self._chance, f"born-{number}"
        program, session, task_id = chance.randrange(PROGRAMS), chance.randrange(2), chance.choice(IDS)
        host, scope_key = self.hosts[program], self.scope(program, session)
        verb = chance.choice(["spawn", "external", "cancel", "complete", "move", "adopt", "update", "forget"])
        await _turns(chance, 20)

        async def work() -> None:
            self.runs[birth] += 1
            await _turns(chance, 30)

        def stop() -> None:
            self.calls[birth] += 1

        try:
            match verb:
                case "spawn":
                    await host.spawn_managed(scope_key, spec(task_id, producer=birth), work)
                case "external":
                    await host.register_external(scope_key, spec(task_id, producer=birth), stop)
                case "cancel":
                    await host.cancel_managed(scope_key, task_id)
                case "complete":
                    await host.complete(scope_key, task_id, BackgroundTaskCompletion(BackgroundTaskState.FAILED))
                case "move":
                    await host.transfer_managed(scope_key, self.scope(program, 1 - session), chance.sample(IDS, 2))
                case "adopt":
                    self._generation += 1
                    await host.adopt(scope_key, self._generation)
                case "update":
                    await host.update(scope_key, task_id, BackgroundTaskUpdate(state=BackgroundTaskState.WAITING))
                case _:
                    await host.unregister_external(scope_key, task_id)
        except LashError:
            # What does not go, does not: the ends are looked at.
            return

    async def settle(self) -> None:
        """Each program writes what it believes to have, so that it learns what it lost."""
        for program, host in enumerate(self.hosts):
            for session in range(2):
                scope_key = self.scope(program, session)
                for record in await host.list_managed(scope_key):
                    await asyncio.gather(
                        host.update(scope_key, record.id, BackgroundTaskUpdate()), return_exceptions=True
                    )

    async def check(self) -> None:
        """What programs have is what is stored; nothing twice."""
        stored: dict[tuple[str, str], tuple[BackgroundTaskState, str]] = {}
        for session_id in self.sessions:
            for task in await self._rows.read_background_tasks(session_id):
                record = task.row.record
                assert (None, session_id) == (task.row.moving_to, record.scope.session_id)
                stored[task.scope_key, record.id] = (record.state, record.producer)
        births = Counter(producer for _, producer in stored.values())
        assert [] == [birth for birth, count in births.items() if count > 1]
        known = {
            (scope_key, record.id): (record.state, record.producer)
            for program, host in enumerate(self.hosts)
            for scope_key in (self.scope(program, 0), self.scope(program, 1))
            for record in await host.list_managed(scope_key)
        }
        live = {name: facts for name, facts in known.items() if not facts[0].is_terminal}
        assert live.items() <= stored.items() <= known.items()
        assert {1} >= {*self.runs.values(), *self.calls.values()}


@pytest.mark.parametrize("seed", range(WALKS))
async def test_every_task_is_somebodys_once(seed: int) -> None:
    """No row is there twice, none is forgotten by its owner, no work runs twice, no callback is called twice."""
    async with InMemoryStores(VirtualClock()) as stores:
        walk = _Walk(stores, [(await opened(stores)).session_id for _ in range(2)], seed)
        await asyncio.gather(*map(walk.step, range(STEPS)))
        await walk.settle()
        await walk.check()
        for host in walk.hosts:
            await host.close()
