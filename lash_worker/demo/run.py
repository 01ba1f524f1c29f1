"""The main job on real input: a fleet counts the standard library while one of its workers is killed.

Every step has a bound; a fleet that hangs ends the demo with an error and not with patience.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from lash_core.client import LashClient
from lash_core.errors import LashError
from lash_core.model.lease import ProcessLease
from lash_core.model.manifest import WorkerEntry
from lash_core.redis_store.stores import RedisStores
from lash_worker.demo.census import ModuleCount, ModuleParams, app, count_module, standard_library
from lash_worker.demo.fleet import DemoWorkers
from lash_worker.demo.plan import BROKEN_ID, PATROL_ID, Check, Observed, checks, module_id

STEP_SECONDS_MAX = 180
KILL_AT = 0.3
"""Part of the modules that is done when a worker is killed: early enough that most is still to do."""

TAKEOVER_KINDS = ("reclaim", "takeover", "death")

Say = Callable[[str], None]
Advance = Callable[[int, int], None]


class DemoError(LashError):
    """The demo could not be carried out; the text says at which step."""

    code = "demo_failed"


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """The verdict, and the times that were seen."""

    checks: list[Check]
    modules: int
    fleet_seconds: float
    direct_seconds: float
    takeover_ms: list[int]
    cancel_ms: float

    @property
    def ok(self) -> bool:
        """True when every check holds."""
        return all(check.ok for check in self.checks)


class Demo:
    """One run of the demo over one server.

    Args:
        stores: the demo's namespace.
        workers: starts and stops the worker processes.
        say: prints a line for people.
        advance: shows progress as (done, total).
    """

    def __init__(self, stores: RedisStores, workers: DemoWorkers, say: Say, advance: Advance) -> None:
        self._registry = stores.process_registry
        self._directory = stores.directory
        self._client = LashClient(stores, app=app)
        self._workers = workers
        self._say = say
        self._advance = advance

    async def run(self, modules: list[ModuleParams], broken: Path) -> DemoOutcome:
        """Enqueue, run, kill, cancel, wait, count again, compare."""
        started = time.monotonic()
        await self._enqueue(modules, broken)
        for _ in range(2):
            self._workers.start()
        await self._until("two workers", self._has_two_workers)
        await self._until("a third of the modules", lambda: self._is_done(int(len(modules) * KILL_AT), len(modules)))
        stranded, killed_at_ms = await self._kill_one()
        cancel_ms = await self._cancel_patrol()
        await self._until("all modules", lambda: self._is_done(len(modules), len(modules)))
        await self._until("every process to end", self._is_all_over)
        fleet_seconds = time.monotonic() - started
        observed = await self._observe(modules, stranded, killed_at_ms)
        self._say("counting everything again in this process")
        begun = time.monotonic()
        counts = await asyncio.to_thread(_count_all, modules)
        return DemoOutcome(
            checks=checks(counts, observed),
            modules=len(modules),
            fleet_seconds=fleet_seconds,
            direct_seconds=time.monotonic() - begun,
            takeover_ms=sorted(observed.takeover_ms.values()),
            cancel_ms=cancel_ms,
        )

    async def _enqueue(self, modules: list[ModuleParams], broken: Path) -> None:
        params = [module.model_dump() for module in modules]
        await self._client.enqueue("census.patrol", process_id=PATROL_ID)
        await self._client.enqueue("census.module", {"module": "broken", "path": str(broken)}, process_id=BROKEN_ID)
        outcomes = await self._client.enqueue_many(
            "census.module", params, ids=[module_id(module) for module in modules]
        )
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if errors:
            raise DemoError(f"{len(errors)} modules were not enqueued: {errors[0]}")
        self._say(f"enqueued {len(modules)} modules, one patrol that never ends, one file that is not Python")

    async def _kill_one(self) -> tuple[list[ProcessLease], int]:
        """Kill -9 the worker that holds the most leases; its leases afterwards are what it left behind."""
        held = [(len(await self._registry.leases_of_owner(entry.identity, 500)), entry) for entry in await self._live()]
        _, victim = max(held, key=lambda pair: pair[0])
        killed_at_ms = await self._registry.server_time_ms()
        self._workers.kill(victim.pid)
        stranded = list(await self._registry.leases_of_owner(victim.identity, 500))
        self._say(f"killed worker {victim.worker_id} (pid {victim.pid}) with {len(stranded)} leases in its hands")
        return stranded, killed_at_ms

    async def _cancel_patrol(self) -> float:
        """Cancel the long process once it runs; returns the ms from the request to the end."""
        handle = self._client.handle(PATROL_ID)
        await self._until("the patrol to run", lambda: self._is_leased_by_a_live_worker(PATROL_ID))
        begun = time.monotonic()
        await handle.cancel(reason="the demo is over")
        await self._until("the patrol to end", lambda: self._is_terminal(PATROL_ID))
        return (time.monotonic() - begun) * 1_000

    async def _observe(self, modules: list[ModuleParams], stranded: list[ProcessLease], killed_at_ms: int) -> Observed:
        ids = [module_id(module) for module in modules] + [PATROL_ID, BROKEN_ID]
        records = {record.id: record for record in await self._registry.get_processes(ids) if record is not None}
        events = {process_id: await self._registry.events_after(process_id, 0) for process_id in ids}
        takeover: dict[str, int] = {}
        for lease in stranded:
            for entry in await self._registry.audit_entries(lease.process_id):
                if entry.kind in TAKEOVER_KINDS and entry.at_ms >= killed_at_ms:
                    takeover.setdefault(lease.process_id, entry.at_ms - killed_at_ms)
        return Observed(records=records, events=events, stranded=stranded, takeover_ms=takeover)

    async def _live(self) -> list[WorkerEntry]:
        return [entry for entry in await self._directory.list_workers() if self._workers.of_pid(entry.pid)]

    async def _has_two_workers(self) -> bool:
        return len(await self._live()) >= 2

    async def _is_done(self, wanted: int, total: int) -> bool:
        # All that ended but the broken file: a module that fails must show as a difference, not as a wait.
        ended = sum([await self._client.count(status=status) for status in ("completed", "failed", "abandoned")])
        done = min(max(ended - 1, 0), total)
        self._advance(done, total)
        return done >= wanted

    async def _is_all_over(self) -> bool:
        return await self._client.count(status="running") == 0

    async def _is_terminal(self, process_id: str) -> bool:
        record = await self._registry.get_process(process_id)
        return record is not None and record.is_terminal

    async def _is_leased_by_a_live_worker(self, process_id: str) -> bool:
        lease = await self._registry.get_process_lease(process_id)
        if lease is None:
            return False
        running = {entry.identity.owner_id for entry in await self._live() if self._is_running(entry.pid)}
        return lease.owner.owner_id in running

    def _is_running(self, pid: int) -> bool:
        process = self._workers.of_pid(pid)
        return process is not None and process.poll() is None

    async def _until(self, what: str, predicate: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + STEP_SECONDS_MAX
        while not await predicate():
            if self._workers.dead():
                raise DemoError(f"a worker ended by itself while waiting for {what}: {self._workers.dead()}")
            if time.monotonic() > deadline:
                raise DemoError(f"waited {STEP_SECONDS_MAX} s for {what}", field=what, limit=STEP_SECONDS_MAX)
            await asyncio.sleep(0.02)


def _count_all(modules: list[ModuleParams]) -> dict[str, ModuleCount]:
    return {module_id(module): count_module(module.module, module.path) for module in modules}


def all_modules(limit: int | None) -> list[ModuleParams]:
    """The standard library's modules, at most ``limit``."""
    modules = standard_library()
    return modules if limit is None else modules[:limit]
