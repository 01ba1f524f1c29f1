"""A worker that dies at any write of a run: the process ends as if nothing had happened.

Each scenario is first run without a crash, which counts its writes. Then a worker dies at each of them in turn,
once before the call reaches the server and once after its reply is lost; a second worker goes on when the lease is
over.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lash_core.client import LashClient
from lash_core.metrics import WorkerMetrics
from lash_core.model.event_type import TERMINAL_EVENT_TYPES
from lash_core.model.scope import SessionScope
from lash_core.model.session import SessionPolicy, SessionStoreCreateRequest
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_worker.identity import worker_identity
from lash_worker.worker import DurableProcessWorker
from lash_worker.worker_settings import WorkerSettings
from lash_worker.worker_stores import config_from_apps
from tests.crashes.mortal_stores import CrashSide, Life
from tests.crashes.scenarios import HOUR_MS, SCENARIOS, Scenario, app, calls, tokens

TTL_MS = 600_000
"""Of the server's clock, which the test moves: a lease never runs out by itself, however slow the machine is."""
ROUNDS_MAX = 12
STUCK_SECONDS = 10


class Alone:
    """The stores of a worker whose lease keeper has no connection of its own: one worker, one thread, one death."""

    def __init__(self, stores: RedisStores) -> None:
        self._stores = stores

    def __getattr__(self, name: str) -> Any:
        if name == "open_sibling":
            raise AttributeError(name)
        return getattr(self._stores, name)


@pytest.fixture(scope="module")
def server() -> Generator[ValkeyServer]:
    """A private server."""
    with ValkeyServer() as server:
        yield server


class Trial:
    """One process of a scenario, the outside, and workers one after the other."""

    def __init__(self, scenario: Scenario, url: str) -> None:
        self.scenario = scenario
        self.process_id = f"{scenario.kind}-{secrets.token_hex(4)}"
        self.session = SessionScope(session_id=f"s-{self.process_id}")
        self._url = url
        self._settings = StoreSettings(namespace=f"t-{secrets.token_hex(4)}", partitions=1)

    @asynccontextmanager
    async def stores(self) -> AsyncGenerator[RedisStores]:
        """Stores of the trial's namespace."""
        async with RedisStores.connect(self._url, settings=self._settings, test_clock=True) as stores:
            yield stores

    async def run(self, crash_at: int | None, side: CrashSide) -> list[str]:
        """Run to the end with at most one death; returns the writes of the first worker."""
        async with self.stores() as stores:
            lash = LashClient(stores, app=app)
            request = SessionStoreCreateRequest(session_id=self.session.session_id, policy=SessionPolicy())
            await stores.session_store_factory.create_store(request)
            await lash.enqueue(self.scenario.kind, process_id=self.process_id, wake_target=self.session)
            life = Life(crash_at, side)
            await self._live(life, lash)
            if life.ended.is_set():
                await stores.advance_clock(TTL_MS + 1)
                await self._live(Life(), lash)
            await self.check(lash, died=life.ended.is_set())
            if scenario_wakes := self.scenario.events.count("process.wake"):
                keys = stores.context.keyspace.of_session(self.session.session_id)
                queue = keys.session_queue_order(self.session.session_id)
                assert scenario_wakes == await stores.context.connection.execute(queue, "ZCARD", queue)
        return life.writes

    async def _live(self, life: Life, lash: LashClient) -> None:
        """One worker: drive, and let the outside do its part, until the process has ended or the worker has died."""
        async with self.stores() as stores:
            config = config_from_apps(
                [app],
                Alone(life.hold(stores)),  # type: ignore[arg-type]
                settings=WorkerSettings(lease_ttl_ms=TTL_MS, concurrency=4, park_after_ms=0),
                identity=worker_identity(f"w-{secrets.token_hex(3)}"),
                metrics=WorkerMetrics([]),
            )
            worker = DurableProcessWorker(config)
            # The keeper has nothing to renew in time; a quick one ends quickly.
            worker.driver.keeper.tick_ms = 5.0
            before = asyncio.all_tasks()
            try:
                await self._drive(worker, life, lash)
            except asyncio.CancelledError:
                if not life.ended.is_set():
                    raise
            finally:
                life.over = True
                for task in asyncio.all_tasks() - before:
                    task.cancel()
                await worker.driver.keeper.stop()
                config.plugin_host.close()

    async def _drive(self, worker: DurableProcessWorker, life: Life, lash: LashClient) -> None:
        record = None
        for _ in range(ROUNDS_MAX):
            for _ in range(ROUNDS_MAX):
                started = await worker.drive_pending_processes()
                await self._settled(worker, life)
                delivered = await worker.config.process_registry.deliver_outbox(min_age_ms=0, limit=100)  # type: ignore[attr-defined]
                if life.ended.is_set() or not started + delivered:
                    break
            record = await lash.stores.process_registry.get_process(self.process_id)
            assert record is not None
            if life.ended.is_set() or record.is_terminal:
                return
            if await self.scenario.outside(lash, self.process_id):
                await lash.stores.advance_clock(HOUR_MS)  # type: ignore[attr-defined]
        raise AssertionError(f"{self.process_id} did not end: {record}")

    async def _settled(self, worker: DurableProcessWorker, life: Life) -> None:
        """Until nothing runs and nothing is on its way, or the worker has died."""
        driver = worker.driver
        died = asyncio.create_task(life.ended.wait())
        idle = asyncio.create_task(_idle(driver))
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await asyncio.wait((died, idle), return_when=asyncio.FIRST_COMPLETED)
        finally:
            died.cancel()
            idle.cancel()

    async def check(self, lash: LashClient, *, died: bool) -> None:
        """What a run without a crash would have left."""
        scenario, pid = self.scenario, self.process_id
        if isinstance(scenario.answer, type):
            with pytest.raises(scenario.answer):
                await lash.handle(pid).result(timeout=STUCK_SECONDS)
        else:
            assert scenario.answer == await lash.handle(pid).result(timeout=STUCK_SECONDS)
        events = [event.event_type for event in await lash.stores.process_registry.events_after(pid, 0)]
        assert 1 == sum(name in TERMINAL_EVENT_TYPES.values() for name in events)
        if scenario.events:
            assert [*scenario.events, "process.completed"] == events
        for name in scenario.steps:
            assert 1 <= calls[f"{pid}:{name}"] <= 1 + died, name
        for n in scenario.children:
            assert int(n) == await lash.handle(f"{pid}.{n}").result(timeout=STUCK_SECONDS)
            assert 1 <= calls[f"{pid}.{n}:child"] <= 1 + died


async def _idle(driver: Any) -> None:
    await driver.slots.wait_idle()
    await driver.releaser.flushed(STUCK_SECONDS * 1_000)
    while driver.executor.runs:
        await asyncio.sleep(0.001)


@pytest.mark.faults
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.kind)
@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_worker_that_dies_at_any_write_changes_nothing(
    scenario: Scenario, side: CrashSide, server: ValkeyServer
) -> None:
    """The answer, the log, the steps and the children are those of a run without a crash."""
    writes = await Trial(scenario, server.url).run(None, side)
    assert len(writes) > 1
    for number, write in enumerate(writes, 1):
        try:
            await Trial(scenario, server.url).run(number, side)
        except Exception as error:
            error.add_note(f"the worker died {side} write {number} ({write}) of {writes}")
            raise
    tokens.clear()
