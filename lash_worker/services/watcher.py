"""Hears notices: ready and due rows for the claimer, cancel requests and what else happened for running work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from lash_core.errors import LashError
from lash_core.model.lease import Renewed
from lash_core.model.record import ProcessRecord
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_core.store.process_notices import ProcessNotice, ProcessNotices
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.claimer import Claimer
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.service import Service
from lash_worker.services.session_drainer import SessionDrainer

LISTEN_MS = 5_000
"""Longest wait of one call; a stop interrupts it anyway."""
RESYNC_PAUSE_MS = 50.0
READ_BATCH_MAX = 200

_log = logging.getLogger(__name__)


class Watcher(Service):
    """A run's cancel token fires within one round trip of the notice, and its waits look at its row.

    A lost notice comes back as a mark of the next renewal. The row is read for the reason; when it cannot be, the
    token fires without one.
    """

    name = "watcher"

    def __init__(
        self, driver: ProcessWorkDriver, claimer: Claimer, view: FleetView, maintenance: ProcessMaintenance
    ) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        self._driver = driver
        self._claimer = claimer
        self._view = view
        self._maintenance = maintenance
        self._notices: ProcessNotices | None = None
        self._looks: set[asyncio.Task[None]] = set()
        self.on_due: Callable[[int, int], None] | None = None
        """Told of due times to come: partition, time by the server's clock."""
        self.sessions: SessionDrainer | None = None
        """Told of sessions with due work; None for a worker that runs none."""
        driver.executor.on_marks = self._marked

    def watch_hints(self) -> None:
        """The partitions were dealt anew: listen to those of now."""
        if self._notices is not None:
            self._notices.watch_partitions(self._view.hints.heard)

    async def run(self) -> None:
        """Listen until stopped."""
        notices = self._notices = self._maintenance.notices()
        try:
            notices.watch_owner(self._driver.context.identity)
            self.watch_hints()
            while not self.is_stopping:
                heard = await notices.next(LISTEN_MS)
                self._sort(heard)
                if any(notice.kind == "resync" for notice in heard):
                    # While channels cannot be had every call answers ``resync`` at once.
                    await self.pause(RESYNC_PAUSE_MS)
        finally:
            self._notices = None
            await notices.close()

    async def stop(self) -> None:
        """Stop listening."""
        await super().stop()
        for task in list(self._looks):
            task.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    def _sort(self, notices: Sequence[ProcessNotice]) -> None:
        cancelled: list[str] = []
        maybe_cancelled: list[str] = []
        for notice in notices:
            match notice.kind:
                case "ready":
                    self._claimer.poke(notice.partition)
                case "due":
                    if self.on_due is not None:
                        self.on_due(notice.partition, notice.due_at_ms)
                case "cancel":
                    cancelled.append(notice.process_id)
                case "resync":
                    self._claimer.poke_all()
                    self._sessions_resync()
                    maybe_cancelled.extend(self._driver.executor.runs)
                    self._driver.executor.stimulate_all()
                case "signal" | "wake":
                    self._driver.executor.stimulate(notice.process_id)
                case "queued" | "queued_due":
                    if self.sessions is not None:
                        self.sessions.hear(notice)
                case "done":
                    # For those who wait for results, not for runs.
                    pass
        self._look_at(cancelled, certain=True)
        self._look_at(maybe_cancelled, certain=False)

    def _sessions_resync(self) -> None:
        if self.sessions is not None:
            self.sessions.poke_all()

    def _marked(self, process_id: str, renewed: Renewed) -> None:
        if renewed.cancel_requested:
            self._look_at([process_id], certain=True)
        if renewed.signalled:
            self._driver.executor.stimulate(process_id)

    def _look_at(self, process_ids: Sequence[str], *, certain: bool) -> None:
        runs = self._driver.executor.runs
        held = [name for name in dict.fromkeys(process_ids) if name in runs and not runs[name].cancel_known]
        for at in range(0, len(held), READ_BATCH_MAX):
            task = asyncio.create_task(self._cancel(held[at : at + READ_BATCH_MAX], certain=certain))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _cancel(self, process_ids: list[str], *, certain: bool) -> None:
        executor = self._driver.executor
        try:
            records: Sequence[ProcessRecord | None] = await self._driver.context.registry.get_processes(process_ids)
        except (LashError, OSError) as error:
            _log.warning("%d cancel requests could not be read: %s", len(process_ids), error)
            for process_id in process_ids if certain else ():
                if process_id in executor.runs:
                    executor.fire_cancel(executor.runs[process_id], None)
            return
        for process_id, record in zip(process_ids, records, strict=True):
            run = executor.runs.get(process_id)
            request = record.cancel_request if record is not None else None
            if run is None or request is None or run.cancel_known:
                continue
            executor.fire_cancel(run, request)
            latency_ms = self._driver.context.clock.now_ms() - request.requested_at_ms
            self._driver.context.metrics.cancel_latency.observe(max(0, latency_ms) / 1_000)
