"""The stop contract of loops, health that tells the truth, housekeeping."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.error
import urllib.request

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import SettingsError, StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.metrics import WorkerMetrics
from lash_core.model.reports import ChangeCursor
from lash_core.model.session_observation import LiveReplayGapReason
from lash_core.testing.conformance.effect_journal.arrange import claimed_effect, operation, waiting
from lash_core.testing.conformance.live_replay.arrange import bounds_of, gap, replayed, tell, texts_of
from lash_core.testing.waiting import eventually
from lash_worker.services.health import Health, LoopLag, StoreProbe
from lash_worker.services.metrics_server import Answer, MetricsServer, metrics_page
from lash_worker.services.reaper import SCOPE_JOURNAL_KEPT_MS, Reaper
from lash_worker.services.service import Service
from tests.worker.rig import Rig, registration, running, succeed


class Loop(Service):
    """A loop that crashes as often as it is told."""

    name = "loop"

    def __init__(self, metrics: WorkerMetrics, crashes: int = 0) -> None:
        super().__init__(metrics.service_crashed)
        self.rounds = 0
        self._crashes = crashes

    async def run(self) -> None:
        """Crash, or wait for the stop."""
        self.rounds += 1
        if self.rounds <= self._crashes:
            raise ValueError("a bug")
        await self.pause(60_000)


async def test_service_stops_unstarted_twice_and_completely() -> None:
    """The stop contract holds for every loop."""
    loop = Loop(WorkerMetrics())
    await loop.stop()
    await loop.start()
    await loop.stop()
    assert 0 == loop.rounds

    started = Loop(WorkerMetrics())
    await started.start()
    await eventually(lambda: started.rounds == 1)
    await asyncio.gather(started.stop(), started.stop())
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "lash-loop"]


async def test_crashed_service_is_counted_restarted_and_shown(caplog: pytest.LogCaptureFixture) -> None:
    """A loop that dies silently would be a worker that only looks alive."""
    metrics = WorkerMetrics()
    loop = Loop(metrics, crashes=2)
    with caplog.at_level(logging.CRITICAL):
        await loop.start()
        await eventually(lambda: loop.rounds == 3)

    assert "ValueError: a bug" == loop.failing
    assert 2.0 == metrics.registry.get_sample_value("lash_service_crashes_total", {"service": "loop"})
    await loop.stop()


def get(url: str) -> tuple[int, bytes]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def loop_lag(page: bytes) -> float:
    return next(
        float(line.split()[1]) for line in page.splitlines() if line.startswith(b"lash_event_loop_lag_seconds ")
    )


async def test_readiness_is_served_while_the_loop_is_blocked() -> None:
    """The thread answers that the loop is late; the metric says so now and at the next scrape."""
    metrics = WorkerMetrics()
    lag = LoopLag(metrics)
    health = Health(lag, {"store": lambda: None}, dict)

    def readyz() -> Answer:
        state = health.readiness()
        return Answer.as_json(state, 200 if state["ready"] else 503)

    server = MetricsServer({"/readyz": readyz, "/metrics": metrics_page(metrics.registry)})
    await lag.start()
    await server.start()
    assert server.url is not None
    assert 200 == (await asyncio.to_thread(get, f"{server.url}/readyz"))[0]

    def ask() -> tuple[tuple[int, bytes], float]:
        time.sleep(2.5)
        return get(f"{server.url}/readyz"), loop_lag(get(f"{server.url}/metrics")[1])

    asked = asyncio.get_running_loop().run_in_executor(None, ask)
    time.sleep(3.5)
    (status, body), lag_while_blocked = await asked
    assert 503 == status
    assert "late" in json.loads(body)["checks"]["loop"]
    assert lag_while_blocked > 2
    assert loop_lag((await asyncio.to_thread(get, f"{server.url}/metrics"))[1]) > 2
    assert 404 == (await asyncio.to_thread(get, f"{server.url}/nothing"))[0]
    await lag.stop()
    await server.stop()
    await server.stop()


async def test_metrics_port_that_is_taken_is_a_clear_error() -> None:
    """It names the setting."""
    first = MetricsServer({})
    await first.start()
    assert first.url is not None
    port = int(first.url.rpartition(":")[2])
    with pytest.raises(SettingsError, match="metrics server cannot listen"):
        await MetricsServer({}, port=port).start()
    await first.stop()


async def test_store_that_cannot_be_written_is_not_ready_and_is_again() -> None:
    """The probe tells why, and forgets it with the first success."""
    stores = InMemoryStores()
    probe = StoreProbe(stores.process_registry, WorkerMetrics())
    assert "the store has not answered yet" == probe.trouble
    await probe.probe()
    assert probe.trouble is None

    check = stores.process_registry.check_writable

    async def broken() -> float:
        raise StoreUnreachableError("no route")

    stores.process_registry.check_writable = broken
    await probe.probe()
    assert "the store cannot be written: no route" == probe.trouble
    stores.process_registry.check_writable = check
    await probe.probe()
    assert probe.trouble is None


async def test_retention_prunes_terminal_rows_never_past_a_projector() -> None:
    """Rows that a projector has not seen stay, however old they are."""
    stores = InMemoryStores()
    async with running(stores, succeed) as rig:
        await rig.put(registration("a"), registration("b"))
        for process_id in ("a", "b"):
            await rig.end_of(process_id)
        reaper = Reaper(rig.driver, rig.view, rig.registry, stores.directory)
        await stores.directory.put_projector("slow", ChangeCursor.initial())
        assert 0 == await reaper.prune(-1.0)
        changes = await rig.registry.processes_changed_since(ChangeCursor.initial(), 10)
        await stores.directory.put_projector("slow", changes.cursor)

        assert 2 == await reaper.prune(-1.0)
        assert await rig.registry.get_process("a") is None


async def test_journals_of_scopes_go_after_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn or an operation that nobody has repeated for so long leaves nothing behind."""
    monkeypatch.setattr("lash_worker.services.reaper.FORGET_PERIOD_MS", 0.0)
    stores = InMemoryStores(VirtualClock())
    async with running(stores, succeed) as rig:
        reaper = Reaper(rig.driver, rig.view, rig.registry, stores.directory, None, stores.effect_journal)
        scopes = [operation(), operation()]
        await claimed_effect(stores, scopes[0], waiting("k", None))
        await stores.advance_clock(SCOPE_JOURNAL_KEPT_MS)
        await claimed_effect(stores, scopes[1], waiting("k", None))
        await stores.advance_clock(1)
        await reaper.round()

        kept = [await stores.effect_journal.find_effect(scope, "k") is not None for scope in scopes]

    assert [False, True] == kept


async def test_old_events_of_idle_rings_go() -> None:
    """Nobody appends to them any more, so nobody else drops what is too old."""
    stores = InMemoryStores(VirtualClock())
    async with running(stores, succeed) as rig:
        reaper = Reaper(rig.driver, rig.view, rig.registry, stores.directory, live_replay=stores.live_replay)
        await tell(stores, "s", "a")
        await stores.advance_clock(bounds_of(stores).max_age_ms + 1)
        assert ["a"] == texts_of(await replayed(stores, "s", 0))

        await reaper.round()

        assert LiveReplayGapReason.TRIMMED == await gap(stores, "s", 0)


async def test_unserved_queue_is_left_alone_and_its_expired_leases_go_back() -> None:
    """A claimer takes only what its worker serves."""
    async with running(InMemoryStores(), succeed, queues=("fast",)) as rig:
        await rig.put(registration("slow", queue="slow"), registration("fast", queue="fast"))
        await rig.end_of("fast")

        assert "running" == (await rig.row("slow")).status.state


async def test_drive_starts_what_is_pending_without_the_fleet_around_it() -> None:
    """A host may drive by itself: idempotent, bounded by the slots, runs are started and not awaited."""
    rig = Rig(InMemoryStores(), succeed, concurrency=2)
    await rig.driver.start()
    await rig.put(*(registration(f"p{number}") for number in range(3)))

    assert 2 == await rig.driver.claim_and_run_pending("test")
    await eventually(lambda: rig.driver.slots.free == 2)
    assert 1 == await rig.driver.claim_and_run_pending("test")
    await eventually(lambda: rig.driver.slots.free == 2)
    assert 0 == await rig.driver.claim_and_run_pending("test")
    await rig.driver.stop()
    await rig.driver.stop()
