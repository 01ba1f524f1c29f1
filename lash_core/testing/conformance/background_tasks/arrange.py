"""Hosts, scopes and runtimes for the cases of background tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from lash_core.model.background_task import (
    BackgroundTaskEvent,
    BackgroundTaskFilter,
    BackgroundTaskRecord,
    BackgroundTaskRegistration,
    BackgroundTaskState,
)
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.background.local_host import LocalBackgroundTaskHost
from lash_core.runtime.background.scope_keys import background_scope_key
from lash_core.runtime.background.task_host import BackgroundTaskHost
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.store.background_task_store import BackgroundTaskStore, StoredTask
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import SessionStores, opened
from lash_core.testing.conformance.turns.arrange import Scene
from lash_core.testing.scripted_provider import Script, ScriptedProvider, says
from lash_core.testing.waiting import eventually

ANY = BackgroundTaskFilter(include_terminal=True)
EVENTS_READ_MAX = 1_000


class BackgroundStores(SessionStores, Protocol):
    """Stores with rows of background tasks."""

    @property
    def background_tasks(self) -> BackgroundTaskStore:
        """The store under test."""
        ...


def spec(task_id: str = "task", **facts: Any) -> BackgroundTaskRegistration:
    """What a task is."""
    return BackgroundTaskRegistration(task_id, **facts)


@dataclass
class Work:
    """A task that runs until it is told to end.

    Attributes:
        begun: it runs.
        end: set it, and it ends.
        stopped: it was cancelled.
        error: raised at the end.
    """

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    end: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    error: BaseException | None = None
    answer: object = None
    runs: int = 0

    async def __call__(self) -> object:
        """Run."""
        self.runs += 1
        self.begun.set()
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        if self.error is not None:
            raise self.error
        return self.answer


@dataclass
class Hosted:
    """A host and a session of one runtime on it."""

    host: LocalBackgroundTaskHost
    stores: Any
    session_id: str
    scope_key: str

    def sibling(self, session_id: str) -> str:
        """The scope of another session of the same runtime."""
        return background_scope_key(self.scope_key.partition(":")[0], session_id)

    async def another_session(self) -> str:
        """A session that the stores have."""
        return (await opened(self.stores)).session_id

    async def record(self, task_id: str = "task", scope_key: str | None = None) -> BackgroundTaskRecord:
        """A record that must be there."""
        record = await self.host.get_managed(scope_key or self.scope_key, task_id)
        assert record is not None, f"expected a task {task_id}"
        return record

    async def state(self, task_id: str = "task", scope_key: str | None = None) -> BackgroundTaskState:
        """Where a task stands."""
        return (await self.record(task_id, scope_key)).state

    async def reaches(self, state: BackgroundTaskState, task_id: str = "task", scope_key: str | None = None) -> None:
        """Wait until a task stands there."""

        async def stands_there() -> bool:
            return await self.state(task_id, scope_key) is state

        await eventually(stands_there)

    def listen(self, filter: BackgroundTaskFilter = ANY, scope_key: str | None = None) -> Heard:
        """Events of the scope from now on."""
        return Heard(self.host.subscribe(scope_key or self.scope_key, filter))

    async def rows(self, session_id: str | None = None) -> tuple[StoredTask, ...]:
        """What the store has."""
        return await self.stores.background_tasks.read_background_tasks(session_id or self.session_id)


@dataclass
class Heard:
    """A subscription, read as far as it goes."""

    events: AsyncIterator[BackgroundTaskEvent]

    async def until(self, kind: str) -> list[BackgroundTaskEvent]:
        """Events up to and with the first of a kind."""
        found: list[BackgroundTaskEvent] = []
        for _ in range(EVENTS_READ_MAX):
            found.append(await asyncio.wait_for(anext(self.events), 15))
            if found[-1].type == kind:
                return found
        raise AssertionError(f"no event {kind} among {EVENTS_READ_MAX}")

    async def kinds_until(self, kind: str) -> list[str]:
        """As ``until``: their kinds."""
        return [event.type for event in await self.until(kind)]


def is_durable(hosted: Hosted) -> bool:
    """True where records outlive the host."""
    return isinstance(hosted.host, DurableBackgroundTaskHost)


@asynccontextmanager
async def on_host(host: LocalBackgroundTaskHost, stores: Any, session_id: str | None = None) -> AsyncGenerator[Hosted]:
    """A fresh runtime's scope on a host, which is closed afterwards."""
    store = await opened(stores, session_id)
    try:
        yield Hosted(host, stores, store.session_id, background_scope_key(unique("scope"), store.session_id))
    finally:
        await host.close()


def on_each_host(case: Callable[[Hosted], Awaitable[None]]) -> Callable[[BackgroundStores], Awaitable[None]]:
    """The case on each kind of host in turn, with a session and a runtime's scope of its own."""

    async def over(stores: BackgroundStores) -> None:
        for host in (LocalBackgroundTaskHost(), DurableBackgroundTaskHost(stores.background_tasks)):
            async with on_host(host, stores) as on:
                await case(on)

    over.__name__, over.__qualname__ = case.__name__, case.__qualname__
    over.__doc__, over.__module__ = case.__doc__, case.__module__
    return over


@dataclass
class TaskScene(Scene):
    """A session whose runtimes have background tasks."""

    tasks: BackgroundTaskHost | None = None

    @property
    def environment(self) -> RuntimeEnvironment:
        """What its runtimes are built from."""
        environment = super().environment
        environment.runtime_host.background_task_host = self.tasks
        return environment


def task_scene(stores: Any, host: BackgroundTaskHost | None, script: Script | None = None) -> TaskScene:
    """A fresh session whose model says something."""
    provider = ScriptedProvider(script or (lambda _request: says("done")))
    policy = SessionPolicy(model=ModelSpec("model-1"), provider_id="scripted")
    return TaskScene(stores, unique("session"), provider, policy=policy, tasks=host)
