"""The work-horses of one lash worker: a bounded number of runs at once, each started, watched, stopped and buried."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lash_core.errors import StoreUnreachableError
from lash_worker.isolation.faces import Jobs, RqCall, Server
from lash_worker.isolation.order import HorseEnd, HorseOrder
from lash_worker.isolation.runner_link import RunnerLink
from lash_worker.services.service import Service

STOP_GRACE_MS = 5_000
"""From SIGTERM to SIGKILL for a cancel or a timeout: time for ``finally`` blocks."""
START_MS_MAX = 30_000
"""From the hand-over to the fork. A runner that died needs a second or two for its successor."""
KILL_MS_MAX = 2_000
"""From SIGKILL to the report; then the runner itself is killed."""
SERVER_LOOK_MS = 500

_log = logging.getLogger(__name__)


class HorseUnavailableError(StoreUnreachableError):
    """No work-horse took the run: nothing was started, another try may succeed."""

    code = "no_work_horse"


class HorseStop:
    """The wish that one run ends, and how long it has for that. Used in the loop's thread.

    Args:
        hurry_ms: the time that is left when the caller's task is cancelled.
    """

    def __init__(self, hurry_ms: Callable[[], float] = lambda: 0) -> None:
        self.hurry_ms = hurry_ms
        self.asked = asyncio.Event()
        self._sooner = asyncio.Event()
        self._deadline = 0.0

    def ask(self, grace_ms: float) -> None:
        """Ask for the end; a second wish can only shorten the time."""
        deadline = asyncio.get_running_loop().time() + grace_ms / 1_000
        if not self.asked.is_set() or deadline < self._deadline:
            self._deadline = deadline
            self._sooner.set()
        self.asked.set()

    @property
    def seconds_left(self) -> float:
        """Until SIGKILL."""
        return self._deadline - asyncio.get_running_loop().time()

    async def expired(self) -> None:
        """Wait until the time is over."""
        while self.seconds_left > 0:
            self._sooner.clear()
            try:
                async with asyncio.timeout(self.seconds_left):
                    await self._sooner.wait()
            except TimeoutError:
                continue


@dataclass(eq=False)
class _Job:
    order: HorseOrder
    rq_call: RqCall | None
    stop: HorseStop
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    end: HorseEnd | None = None
    link: RunnerLink | None = None


class Horses:
    """Runs orders in work-horses.

    Args:
        count: runners, and so runs at once and jobs in the queue at most.
        jobs: the queue.
        config: first line for each runner.
        server: the private server behind the queue; None for one that somebody else keeps.

    Attributes:
        on_crash: told the name of a runner that died.
    """

    def __init__(
        self,
        count: int,
        jobs: Jobs,
        config: dict[str, Any],
        server: Server | None = None,
    ) -> None:
        self.on_crash: Callable[[str], None] | None = None
        self.count = count
        self.held_max = 2 * count
        """Rows that a worker should hold: those in horses, and as many that go on without waiting for a claim."""
        self._stopped = False
        self._jobs = jobs
        self._server = server
        self._places = asyncio.Semaphore(count)
        self._running: dict[str, _Job] = {}
        self._tasks: set[asyncio.Task[HorseEnd]] = set()
        self.runners: Sequence[RunnerLink] = tuple(
            RunnerLink(number, config, self._started, self._ended, self._crashed) for number in range(1, count + 1)
        )
        self._services: tuple[Service, ...] = self.runners
        if server is not None:
            self._services = (_ServerWatch(server, self._server_restarted, self._crashed), *self.runners)

    @property
    def trouble(self) -> str | None:
        """What keeps it from working, for readiness; None while all is well."""
        if any(runner.ready.is_set() for runner in self.runners):
            return None
        failing = [f"{service.name}: {service.failing}" for service in self._services if service.failing]
        return ", ".join(["no work-horse runner is ready", *failing])

    async def start(self) -> None:
        """Start the runners; they get ready in the background, jobs wait for them."""
        for service in self._services:
            await service.start()

    async def ready(self) -> None:
        """Wait until every runner is ready. The caller bounds the wait."""
        for runner in self.runners:
            await runner.ready.wait()

    async def stop(self) -> None:
        """End what still runs, then the runners, then the queue and its server. May be called twice."""
        if self._stopped:
            return
        self._stopped = True
        for job in self._running.values():
            job.stop.ask(0)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * KILL_MS_MAX / 1_000)
        await asyncio.gather(*(runner.stop() for runner in self.runners))
        for service in self._services:
            await service.stop()
        await asyncio.to_thread(self._jobs.close)
        if self._server is not None:
            await asyncio.to_thread(self._server.close)

    # -- one run ----------------------------------------------------------------------------------------

    async def run(self, order: HorseOrder, rq_call: RqCall | None, stop: HorseStop) -> HorseEnd:
        """Run an order in a horse and say how it ended, also when it crashed.

        When the caller's task is cancelled, the horse is ended within ``stop.hurry_ms()`` and the kill. The place is
        free again when the horse is gone.

        Raises:
            HorseUnavailableError: none took it; its function was not called.
        """
        if not await self._enter(stop):
            return HorseEnd(stopped=True)
        job = _Job(order, rq_call, stop)
        task = asyncio.create_task(self._drive(job), name=f"lash-horse-{order.job_id}")
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            grace_ms = stop.hurry_ms()
            stop.ask(grace_ms)
            # The lease is given back when this returns: by then the horse should be gone.
            await asyncio.wait([task], timeout=(grace_ms + KILL_MS_MAX) / 1_000)
            raise

    async def _enter(self, stop: HorseStop) -> bool:
        """Take a place; False when the run was to end before there was one."""
        entering = asyncio.create_task(self._places.acquire())
        asked = asyncio.create_task(stop.asked.wait())
        try:
            await asyncio.wait((entering, asked), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self._leave(entering)
            raise
        finally:
            asked.cancel()
        if stop.asked.is_set():
            self._leave(entering)
            return False
        return True

    def _leave(self, entering: asyncio.Task[bool]) -> None:
        if not entering.cancel():
            self._places.release()

    def _forget(self, task: asyncio.Task[HorseEnd]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the one who asked may be gone

    async def _drive(self, job: _Job) -> HorseEnd:
        job_id = job.order.job_id
        self._running[job_id] = job
        try:
            await self._hand_over(job)
            if not await self._has_started(job):
                return HorseEnd(stopped=True)
            await _first(job.ended, job.stop.asked)
            if not job.ended.is_set():
                await self._end(job)
            return job.end or HorseEnd(detail="did not end when it was killed")
        finally:
            del self._running[job_id]
            self._places.release()

    async def _hand_over(self, job: _Job) -> None:
        try:
            await asyncio.to_thread(self._jobs.put, job.order, job.rq_call)
        except Exception as error:
            raise HorseUnavailableError(f"the queue of the work-horses: {error}") from error

    async def _has_started(self, job: _Job) -> bool:
        """Wait for the fork; False when the run was to end first and no function will be called."""
        await _first(job.started, job.stop.asked, within_ms=START_MS_MAX)
        if job.started.is_set():
            return True
        asked = job.stop.asked.is_set()
        try:
            taken_back = await asyncio.to_thread(self._jobs.take_back, job.order.job_id)
        except Exception as error:  # noqa: BLE001 - an unknown horse that starts later is killed at once
            _log.info("job %s was not taken back: %s", job.order.job_id, error)
            taken_back = True
        if not taken_back:
            # A runner has it: the fork is a matter of milliseconds.
            await _first(job.started, job.ended, within_ms=KILL_MS_MAX)
            if job.started.is_set():
                return True
        if not asked:
            raise HorseUnavailableError(f"no work-horse started within {START_MS_MAX} ms")
        return False

    async def _end(self, job: _Job) -> None:
        """SIGTERM, after the grace SIGKILL, and if that is not reported, the end of the runner."""
        link, job_id = job.link, job.order.job_id
        if link is None:
            return
        if job.stop.seconds_left > 0:
            link.stop_horse(job_id, kill=False)
            ended, expired = asyncio.ensure_future(job.ended.wait()), asyncio.ensure_future(job.stop.expired())
            try:
                await asyncio.wait((ended, expired), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()
                expired.cancel()
        if not job.ended.is_set():
            link.stop_horse(job_id, kill=True)
            await _first(job.ended, within_ms=KILL_MS_MAX)
        if not job.ended.is_set():
            _log.warning("%s did not report the end of its horse; it is killed", link.name)
            link.kill()
            await _first(job.ended, within_ms=KILL_MS_MAX)

    # -- what runners tell ------------------------------------------------------------------------------

    def _started(self, link: RunnerLink, job_id: str, pid: int) -> None:
        job = self._running.get(job_id)
        if job is None:
            # It was given up: its function may be at its first line at most.
            link.stop_horse(job_id, kill=True)
            return
        if job.link is not None:
            # The same job twice, from a former and a new server: the first one counts.
            link.stop_horse(job_id, kill=True)
            return
        job.link = link
        job.started.set()
        _log.debug("work-horse %d runs process %s", pid, job.order.process_id)

    def _ended(self, link: RunnerLink, job_id: str, end: HorseEnd) -> None:
        job = self._running.get(job_id)
        if job is not None and job.link is link:
            job.end = end
            job.ended.set()

    def _crashed(self, name: str) -> None:
        if self.on_crash is not None:
            self.on_crash(name)

    def _server_restarted(self) -> None:
        """Jobs that no runner had taken are gone with the former server: hand them over again."""
        for job in self._running.values():
            if not job.started.is_set():
                task = asyncio.create_task(self._hand_over(job))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())


class _ServerWatch(Service):
    name = "isolation-server"

    def __init__(self, server: Server, on_restart: Callable[[], None], on_crash: Callable[[str], None] | None) -> None:
        super().__init__(on_crash)
        self._server = server
        self._on_restart = on_restart

    async def run(self) -> None:
        while not self.is_stopping:
            if not self._server.is_running and await asyncio.to_thread(self._server.ensure):
                _log.warning("the private server of the work-horses was gone and is started again")
                self._on_restart()
            await self.pause(SERVER_LOOK_MS)


async def _first(*events: asyncio.Event, within_ms: float | None = None) -> None:
    """Wait until one of the events is set, or the time is over."""
    if any(event.is_set() for event in events):
        return
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(
            waits, timeout=None if within_ms is None else within_ms / 1_000, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for wait in waits:
            wait.cancel()
