"""A worker's loops over one store, with a run function that the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from lash_core.memory_store.stores import InMemoryStores
from lash_core.metrics import WorkerMetrics
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.model.process_input import ProcessInput
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_worker.driver import ProcessWorkDriver
from lash_worker.recovery import KnownWork
from lash_worker.services.claimer import Claimer
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.process_run import ProcessRun
from lash_worker.services.takeover import Takeover
from lash_worker.services.waker import Waker
from lash_worker.services.watcher import Watcher
from lash_worker.services.worker_context import WorkerContext
from lash_worker.worker_settings import WorkerSettings

Output = TypeVar("Output", bound=ProcessAwaitOutput)
Body = Callable[[ProcessRun], Awaitable[AnyAwaitOutput]]


def registration(process_id: str, disposition: str = "rerunnable", **facts: Any) -> ProcessRegistration:
    """A process of the kind ``work``."""
    values: dict[str, Any] = {
        "id": process_id,
        "input": ProcessInput.engine("work"),
        "disposition": RecoveryDisposition(disposition),
        "env_ref": EMPTY_ENV_REF,
    }
    return ProcessRegistration(**(values | facts))


def local_owner(name: str, pid: int) -> LeaseOwnerIdentity:
    """A worker of one host with this pid."""
    liveness = LocalProcessLiveness(host_id="host", boot_id="boot", pid_namespace="ns", pid=pid, process_start=pid)
    return LeaseOwnerIdentity(owner_id=name, incarnation_id=f"{name}1", liveness=liveness)


class Deaths:
    """A process table: the pids of this set are dead."""

    def __init__(self) -> None:
        self.pids: set[int] = set()

    def is_dead(self, pid: int, process_start: int) -> bool:
        """True for the pids that a test declared dead."""
        return pid in self.pids


class FunctionWorker:
    """Runs a held row by calling the test's function."""

    def __init__(self, body: Body) -> None:
        self._body = body

    async def run_held_process(self, run: ProcessRun) -> AnyAwaitOutput:
        """Call it."""
        return await self._body(run)


async def succeed(run: ProcessRun) -> AnyAwaitOutput:
    """The shortest run."""
    return ProcessAwaitOutput.success(run.process_id)


async def until_cancelled(run: ProcessRun) -> AnyAwaitOutput:
    """A run that ends when its token fires."""
    return ProcessAwaitOutput.cancelled(await run.cancellation.wait() or "")


async def for_ever(run: ProcessRun) -> AnyAwaitOutput:
    """A run that hears nothing but a cancel of its task."""
    await asyncio.Event().wait()
    raise AssertionError(run.process_id)


class Rig:
    """Driver, claimer, watcher and takeover of one worker."""

    def __init__(
        self, stores: InMemoryStores, body: Body, deaths: Deaths | None = None, pid: int = 1, **settings: Any
    ) -> None:
        self.stores = stores
        self.registry = stores.process_registry
        values: dict[str, Any] = {"lease_ttl_ms": 2_000, "concurrency": 8}
        self.settings = WorkerSettings(**(values | settings))
        self.metrics = WorkerMetrics(["work"])
        self.deaths = deaths or Deaths()
        self.registry.use_process_table(self.deaths)
        self.context = WorkerContext(
            registry=self.registry,
            identity=local_owner(f"worker{pid}", pid),
            settings=self.settings,
            timings=self.settings.timings,
            metrics=self.metrics,
            known=KnownWork({"work": None}),
            process_table=self.deaths,
        )
        self.driver = ProcessWorkDriver(self.context, FunctionWorker(body))
        self.view = FleetView(self.context.identity, self.registry.partition_count())
        self.claimer = Claimer(self.driver, self.view)
        self.watcher = Watcher(self.driver, self.claimer, self.view, self.registry)
        self.waker = Waker(self.driver, self.claimer, self.view, self.registry)
        self.watcher.on_due = self.waker.hear
        self.takeover = Takeover(self.driver, self.view, stores.directory)

    async def start(self) -> None:
        """Start driver, watcher, takeover and claimer."""
        await self.driver.start()
        for service in (self.watcher, self.waker, self.takeover, self.claimer):
            await service.start()

    async def stop(self) -> None:
        """Stop them."""
        for service in (self.waker, self.claimer, self.takeover, self.watcher):
            await service.stop()
        await self.driver.stop()

    async def put(self, *registrations: ProcessRegistration) -> None:
        """Register processes."""
        await self.registry.register_processes(registrations)

    async def end_of(self, process_id: str, within_seconds: float = 5) -> ProcessRecord:
        """The row once it is terminal."""
        async with asyncio.timeout(within_seconds):
            return await self.registry.await_terminal(process_id)

    async def output_of(self, process_id: str, kind: type[Output], within_seconds: float = 5) -> Output:
        """The outcome of a process, which must be of this kind."""
        output = (await self.end_of(process_id, within_seconds)).await_output
        assert isinstance(output, kind), output
        return output

    async def row(self, process_id: str) -> ProcessRecord:
        """The row as it is."""
        record = await self.registry.get_process(process_id)
        assert record is not None
        return record

    def sample(self, name: str, **labels: str) -> float:
        """A metric of this worker, 0 when it was never set."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running(stores: InMemoryStores, body: Body, **facts: Any) -> AsyncGenerator[Rig]:
    """A started rig."""
    rig = Rig(stores, body, **facts)
    await rig.start()
    try:
        yield rig
    finally:
        await rig.stop()
