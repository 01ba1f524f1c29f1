"""One worker in this OS process: the order in which its loops start, drain and stop (DESIGN 4)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from lash_core.errors import LashError
from lash_core.metrics import WorkerMetrics
from lash_core.model.manifest import WorkerEntry
from lash_core.model.owner import is_provably_dead
from lash_core.runtime.content_sweep import content_sweep_of
from lash_core.session_metrics import SessionMetrics
from lash_worker.app import App
from lash_worker.collector import collect_seldom
from lash_worker.driver import ProcessWorkDriver
from lash_worker.identity import worker_identity
from lash_worker.isolation.horses import Horses
from lash_worker.release import release
from lash_worker.services.app_triggers import AppTriggers
from lash_worker.services.claimer import Claimer
from lash_worker.services.directory_beat import DirectoryBeat
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.health import Health, LoopLag, StoreProbe
from lash_worker.services.metrics_server import Answer, MetricsServer, Page, metrics_page
from lash_worker.services.outbox import OutboxLoop
from lash_worker.services.reaper import Reaper
from lash_worker.services.scheduler import Scheduler
from lash_worker.services.service import Service
from lash_worker.services.session_context import SessionContext
from lash_worker.services.session_drainer import SessionDrainer
from lash_worker.services.session_takeover import SessionTakeover
from lash_worker.services.takeover import Takeover
from lash_worker.services.trigger_recovery import TriggerRecovery
from lash_worker.services.waker import Waker
from lash_worker.services.watcher import Watcher
from lash_worker.worker import DurableProcessWorker
from lash_worker.worker_settings import WorkerSettings
from lash_worker.worker_stores import WorkerStores, config_from_apps, manifests_of

NAMESAKE_SEEN_MS = 5_000
"""A worker that was seen this long ago may be alive: workers beat every second or two."""
ANNOUNCE_SECONDS = 1.0
"""A drain does not wait longer for a store that is away."""

_log = logging.getLogger(__name__)


class Supervisor:
    """Builds and runs the loops of one worker.

    Args:
        settings: what it serves.
        apps: what it can run; a kind declared twice is an error.
        stores: used on the loop that calls ``start``; the caller closes them afterwards.
        horses: where isolated kinds run; started and stopped with the loops. None: this worker declines such kinds.

    Raises:
        SettingsError: two apps declare one kind, or the lease timings do not fit.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        apps: Sequence[App],
        stores: WorkerStores,
        horses: Horses | None = None,
    ) -> None:
        self.settings = settings
        self._manifests = manifests_of(apps)
        self.identity = worker_identity(settings.worker_id)
        self.metrics = WorkerMetrics([manifest.kind for manifest in self._manifests])
        self.worker = DurableProcessWorker(
            config_from_apps(
                apps, stores, settings=settings, identity=self.identity, metrics=self.metrics, horses=horses
            )
        )
        self.horses = horses
        self._runnable = frozenset(self.worker.config.plugin_host.process_engines.kinds)
        self.driver: ProcessWorkDriver = self.worker.driver
        self._directory = stores.directory
        registry = stores.process_registry
        self.view = FleetView(self.identity, registry.partition_count())
        self.loop_lag = LoopLag(self.metrics)
        self.probe = StoreProbe(registry, self.metrics)
        self.beat = DirectoryBeat(
            stores.directory, self.view, self._entry, self._manifests, self.metrics.service_crashed
        )
        self.claimer = Claimer(self.driver, self.view)
        self.watcher = Watcher(self.driver, self.claimer, self.view, registry)
        self.waker = Waker(self.driver, self.claimer, self.view, registry)
        self.watcher.on_due = self.waker.hear
        self.takeover = Takeover(self.driver, self.view, stores.directory)
        self.sessions = self._make_sessions()
        self.outbox = OutboxLoop(self.driver, self.view, registry)
        self.reaper = Reaper(
            self.driver,
            self.view,
            registry,
            stores.directory,
            content_sweep_of(stores),
            stores.effect_journal,
            live_replay=stores.live_replay,
        )
        self.trigger_loops = self._make_trigger_loops(apps)
        self.health = Health(self.loop_lag, self._troubles(), self._notes)
        self.server = MetricsServer(self._pages(), settings.metrics_host, settings.metrics_port)
        self._started_at_ms = 0
        self._state: str = "running"
        self._drain_asked = asyncio.Event()
        self._stop_asked = asyncio.Event()
        self.beat.on_drain = self.request_drain
        self.beat.on_hints = self.watcher.watch_hints

    # -- start, drain, stop -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything; claiming comes last, when leases can be renewed and cancels be heard.

        Raises:
            LashError: the store cannot be reached or refuses. SettingsError: the metrics address is taken.
        """
        self._started_at_ms = self.driver.context.clock.now_ms()
        await self.server.start()
        await self.loop_lag.start()
        await self.probe.start()
        await self.driver.start()
        await self._start_horses()
        await self._warn_of_namesake()
        await self.beat.start()
        services = (
            self.watcher,
            self.waker,
            self.takeover,
            self.outbox,
            self.reaper,
            *self.trigger_loops,
            *self._session_loops,
            self.claimer,
        )
        for service in services:
            await service.start()
        _log.info(
            "worker %s serves %s with %d slots%s; metrics on %s",
            self.identity.owner_id,
            ", ".join(self.settings.queues),
            self.settings.concurrency,
            "" if self.sessions is None else f" and sessions with {self.sessions.slots.free}",
            self.server.url,
            extra={"owner": self.identity.owner_id, "kinds": sorted(manifest.kind for manifest in self._manifests)},
        )

    def _make_trigger_loops(self, apps: Sequence[App]) -> tuple[Service, ...]:
        router = self.worker.trigger_router
        if router is None:
            return ()
        scheduler = Scheduler(self.driver, self.view, router, AppTriggers(router.store, apps))
        return (scheduler, TriggerRecovery(self.driver, self.view, router))

    def _make_sessions(self) -> SessionDrainer | None:
        """What runs sessions; None where no app declares them."""
        ready = self.worker.config.ready_sessions
        if ready is None:
            return None
        config = self.worker.config
        metrics = SessionMetrics(self.metrics.registry)
        context = SessionContext.new(config, ready, config.settings.session_timings, metrics)
        drainer = SessionDrainer(context, self.driver, self.view)
        self.watcher.sessions = drainer
        self.takeover.sessions = SessionTakeover(ready, metrics)
        return drainer

    @property
    def _session_loops(self) -> tuple[Service, ...]:
        return () if self.sessions is None else (self.sessions,)

    async def _start_horses(self) -> None:
        withheld = self._withheld()
        if withheld:
            _log.warning(
                "kinds that run in work-horses are left to other workers (%s); --isolated N gives this one some",
                ", ".join(withheld),
            )
        if self.horses is not None:
            self.horses.on_crash = self.metrics.service_crashed
            await self.horses.start()

    def _withheld(self) -> list[str]:
        return [manifest.kind for manifest in self._manifests if manifest.kind not in self._runnable]

    async def _warn_of_namesake(self) -> None:
        """Two live workers of one id are safe, but share one line of the directory and one drain request."""
        if self.settings.worker_id is None:
            return
        with suppress(LashError, OSError):
            for entry in await self._directory.list_workers(seen_within_ms=NAMESAKE_SEEN_MS):
                if entry.worker_id == self.identity.owner_id and not is_provably_dead(
                    entry.identity, self.identity, self.driver.context.process_table
                ):
                    _log.warning(
                        "another worker is called %s (%s, pid %d); give each worker an id of its own",
                        entry.worker_id,
                        entry.host,
                        entry.pid,
                        extra={"owner": self.identity.owner_id},
                    )

    def request_drain(self) -> None:
        """Finish what runs within ``drain_seconds``, hand the rest over, stop."""
        if not self._drain_asked.is_set():
            _log.info("drain: no new claims; running work has %g s", self.settings.drain_seconds)
        self._drain_asked.set()

    @property
    def is_draining(self) -> bool:
        """True once a drain was asked for."""
        return self._drain_asked.is_set()

    def request_stop(self) -> None:
        """Hand everything over now and stop."""
        self._stop_asked.set()
        self._drain_asked.set()

    async def run(self) -> int:
        """Start, work until a drain or stop is asked for, end in order. Returns the exit code 0."""
        try:
            await self.start()
            await self._drain_asked.wait()
            await self.drain()
        finally:
            await self.stop()
        return 0

    async def drain(self) -> int:
        """Stop claiming, keep renewing, let runs finish, hand the rest over; returns how many were handed over."""
        self._state = "draining"
        self.driver.stop_claiming()
        with suppress(LashError, OSError):
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self.beat.beat()
        finished = asyncio.create_task(self._drain_work(self.settings.drain_seconds * 1_000))
        stopped = asyncio.create_task(self._stop_asked.wait())
        await asyncio.wait((finished, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if finished.done():
            handed_over = finished.result()
        else:
            finished.cancel()
            await asyncio.gather(finished, return_exceptions=True)
            handed_over = await self._drain_work(0)
        _log.info("drained, handed over: %d", handed_over)
        return handed_over

    async def _drain_work(self, within_ms: float) -> int:
        if self.sessions is None:
            return await self.driver.drain(within_ms)
        return sum(await asyncio.gather(self.driver.drain(within_ms), self.sessions.drain(within_ms)))

    async def stop(self) -> None:
        """Stop all loops, those that claim first and those that write and watch last. May be called twice."""
        self._state = "stopping"
        for service in (*self.trigger_loops, *self._session_loops, self.waker, self.claimer, self.takeover):
            await service.stop()
        await self.worker.close()
        if self.horses is not None:
            await self.horses.stop()
        for service in (self.watcher, self.outbox, self.reaper, self.beat):
            await service.stop()
        await self.beat.leave()
        for service in (self.probe, self.loop_lag, self.server):
            await service.stop()

    # -- what others see -----------------------------------------------------------------------------------

    def _entry(self) -> WorkerEntry:
        return WorkerEntry.model_validate(
            {
                "worker_id": self.identity.owner_id,
                "identity": self.identity,
                "state": self._state,
                "queues": self.settings.queues,
                "kinds": tuple(manifest.kind for manifest in self._manifests if manifest.kind in self._runnable),
                "versions": {
                    manifest.kind: manifest.runs_version
                    for manifest in self._manifests
                    if manifest.runs_version and manifest.kind in self._runnable
                },
                "concurrency": self.settings.concurrency,
                "busy": self.driver.slots.taken,
                "parked": self.driver.slots.resting,
                "lease_ttl_ms": self.settings.lease_ttl_ms,
                "metrics_url": self.server.url,
                "host": os.uname().nodename,
                "pid": os.getpid(),
                "lash_version": release(),
                "started_at_ms": self._started_at_ms,
                "facts": self._facts(),
            }
        )

    def _facts(self) -> dict[str, object]:
        """What ``why`` and ``worker ls`` say beside the common facts."""
        facts: dict[str, object] = {} if self.horses is None else {"isolated": self.horses.count}
        withheld = self._withheld()
        if self.sessions is not None:
            slots = self.sessions.slots
            providers = list(self.worker.config.runtime_host.providers.ids)
            facts["sessions"] = {"concurrency": slots.total, "busy": slots.taken, "providers": providers}
        return facts | ({"needs_isolation": withheld} if withheld else {})

    def _pages(self) -> dict[str, Page]:
        def readyz() -> Answer:
            state = self.health.readiness()
            return Answer.as_json(state, 200 if state["ready"] else 503)

        def healthz() -> Answer:
            alive = self.health.is_alive()
            return Answer.as_json({"alive": alive}, 200 if alive else 503)

        return {"/metrics": metrics_page(self.metrics.registry), "/healthz": healthz, "/readyz": readyz}

    def _troubles(self) -> dict[str, Callable[[], str | None]]:
        services: tuple[Service, ...] = (
            self.claimer,
            self.waker,
            self.watcher,
            self.takeover,
            self.outbox,
            self.reaper,
            *self.trigger_loops,
            *self._session_loops,
            self.beat,
            self.driver.completer,
            self.driver.releaser,
        )
        return {
            "state": lambda: None if self._state == "running" and self._started_at_ms else self._state,
            "store": lambda: self.probe.trouble,
            "renewals": lambda: self.driver.keeper.trouble,
            "claims": lambda: self.claimer.trouble,
            "isolation": lambda: None if self.horses is None else self.horses.trouble,
            "services": lambda: ", ".join(f"{s.name}: {s.failing}" for s in services if s.failing) or None,
        }

    def _notes(self) -> dict[str, object]:
        return {
            "worker_id": self.identity.owner_id,
            "slots": {
                "free": self.driver.slots.free,
                "busy": self.driver.slots.taken,
                "parked": self.driver.slots.resting,
            },
            "leases": self.driver.keeper.count,
            "grace_until_ms": self.probe.grace_until_ms,
            "warnings": list(self.probe.warnings),
        }


async def run_worker(
    settings: WorkerSettings, apps: Sequence[App], stores: WorkerStores, horses: Horses | None = None
) -> int:
    """Run one worker until SIGTERM or SIGINT, then drain; a second signal stops at once. Returns the exit code.

    Raises:
        LashError: it could not start; nothing was claimed.
    """
    supervisor = Supervisor(settings, apps, stores, horses)
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def on_signal() -> None:
        if supervisor.is_draining:
            supervisor.request_stop()
        else:
            supervisor.request_drain()

    for number in signals:
        loop.add_signal_handler(number, on_signal)
    collect_seldom()
    try:
        return await supervisor.run()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
