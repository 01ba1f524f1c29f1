"""Claims sessions with due work for free places and runs their turns (``docs/contracts/session_fleet.md`` 5)."""

from __future__ import annotations

import asyncio
import logging

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.store.process_notices import ProcessNotice
from lash_core.store.ready_sessions import CLAIM_SESSIONS_MAX, ReadySession
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.hot_partitions import HotPartitions, wait_at_most
from lash_worker.services.service import Service
from lash_worker.services.session_context import SessionContext
from lash_worker.services.session_run import Declines, SessionRun
from lash_worker.services.slots import Slots

OWN_SWEEP_MS = 3_000.0
"""The net below lost notices: the partition's first worker looks this often."""
FOREIGN_SWEEP_MS = 6_000.0
"""Partitions of others, whose first worker may be full, or run no sessions at all."""
LATE_MS = 1.0
"""A session is asked for this long after its time: both clocks are cut to milliseconds."""
RANKS_LEARNING = 2
"""Workers of a partition that wake for every due time they learn of; the others do when a notice tells it."""
SHY_MS = 250.0
SHY_FOR_MS = 60_000.0
"""Who declined a session lately comes so much later to what becomes due: who is first in a partition and lacks what its
sessions need would else be there before everybody else, each time."""
PREPARE_SECONDS = 20.0
"""Libraries of model providers load in one to three seconds; ten on a machine that is busy."""
YIELD_SECONDS = 3.0
"""Time for cancelled runs to give their sessions back."""
RETRY_DELAY_MS = 100.0
RETRY_DELAY_MAX_MS = 2_000.0

_log = logging.getLogger(__name__)


class SessionDrainer(Service):
    """Keeps the places for turns full. Never claims more sessions than there are free places.

    Idle it waits: for a notice, for the next due time it was told, for a sweep every few seconds. Sessions without due
    work are in nobody's way: a claim reads the due ones only.
    """

    name = "session_drainer"
    grace_seconds = 5.0

    def __init__(self, context: SessionContext, driver: ProcessWorkDriver, view: FleetView) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        settings = context.config.settings
        self._context = context
        self._driver = driver
        self._view = view
        self._declines = Declines()
        self.slots = Slots(settings.session_concurrency or settings.concurrency, driver.context.metrics)
        self.runs: dict[str, asyncio.Task[None]] = {}
        self._given_back: set[asyncio.Task[None]] = set()
        """Of these, those that only release their lease: a cancel would leave it to its end."""
        self._hot = HotPartitions(view)
        self._due: dict[int, float] = {}
        """Partition → when a session of it becomes due, by the server's clock."""
        self._accepting = True
        self._shy_until_ms = 0.0
        now = own_time_ms()
        self._own_at = self._foreign_at = now

    # -- what others tell it -----------------------------------------------------------------------------

    def poke(self, partition: int) -> None:
        """A notice: a session of this partition has due work."""
        self._hot.poke(partition)

    def poke_all(self) -> None:
        """Notices may have been missed: look everywhere."""
        self._hot.poke_all()

    def hear(self, notice: ProcessNotice) -> None:
        """A notice ``queued`` or ``queued_due``: a session is due, or will be."""
        if notice.kind == "queued":
            self.poke(notice.partition)
        elif notice.due_at_ms < self._due.get(notice.partition, float("inf")):
            self._due[notice.partition] = notice.due_at_ms
            self._hot.wake()

    # -- drain --------------------------------------------------------------------------------------------

    @property
    def is_accepting(self) -> bool:
        """False once a drain began."""
        return self._accepting and self._driver.is_accepting

    def stop_claiming(self) -> None:
        """Take no more sessions."""
        self._accepting = False
        self._wake()

    async def drain(self, within_ms: float) -> int:
        """Let turns end for ``within_ms``, then give the rest to peers, who redo them; returns how many."""
        self.stop_claiming()
        if self.runs:
            await asyncio.wait(self.runs.values(), timeout=within_ms / 1_000)
        left = [task for task in self.runs.values() if not task.done()]
        for task in left:
            if task not in self._given_back:
                task.cancel()
        if left:
            await asyncio.wait(left, timeout=YIELD_SECONDS)
            self._context.metrics.yielded.inc(len(left))
        return len(left)

    async def stop(self) -> None:
        """Stop claiming and give back what runs. May be called unstarted and twice."""
        self.stop_claiming()
        await super().stop()
        await self.drain(0)

    # -- the loop -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Claim while there are places; rest while nothing is due."""
        await self._prepare()
        delay_ms = RETRY_DELAY_MS
        while not self.is_stopping and self.is_accepting:
            try:
                await self._step()
                delay_ms = RETRY_DELAY_MS
            except (LashError, OSError) as error:
                self._driver.context.metrics.redis_errors.inc()
                _log.warning("claiming sessions failed: %s", error)
                await self.pause(delay_ms)
                delay_ms = min(delay_ms * 2, RETRY_DELAY_MAX_MS)
        await self.pause(OWN_SWEEP_MS)

    async def _prepare(self) -> None:
        """What a worker that loads a library has claimed, one that is ready would have answered meanwhile."""
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await self._context.config.runtime_host.providers.prepare()
        except TimeoutError:
            _log.warning(
                "the model providers are not ready after %g s; sessions are claimed all the same", PREPARE_SECONDS
            )

    def _wake(self) -> None:
        self._hot.wake()
        self.slots.wake()

    async def _step(self) -> None:
        self._show()
        if self.slots.free <= 0:
            await wait_at_most(self.slots.wait_freed(), OWN_SWEEP_MS)
            return
        now = own_time_ms()
        self._collect(now)
        if self._hot:
            await self._claim()
        else:
            await self._rest(now)

    def _collect(self, now: float) -> None:
        self._hot.collect_later(now)
        server_now = self._driver.context.clock.precise_ms() - self._late_ms(now)
        for partition in [partition for partition, at in self._due.items() if at <= server_now]:
            del self._due[partition]
            self._hot.add((partition,))
        if now >= self._own_at:
            self._own_at = now + OWN_SWEEP_MS
            self._hot.add(self._view.hints.own)
        if now >= self._foreign_at:
            self._foreign_at = now + FOREIGN_SWEEP_MS
            self._hot.add(self._view.hints.foreign)

    async def _claim(self) -> None:
        partitions = self._hot.take()
        asked = self.slots.reserve(CLAIM_SESSIONS_MAX)
        sent_at_ms = own_time_ms()
        claimed: tuple[ReadySession, ...] = ()
        try:
            claimed = await self._context.ready.claim_ready_sessions(
                self._driver.context.identity, asked, self._context.timings.ttl_ms, partitions
            )
        except BaseException:
            self._hot.add(partitions)
            raise
        finally:
            self.slots.release(asked - len(claimed))
        if claimed:
            # There may be more: asked again until there is none.
            self._hot.add(partitions)
        self._learn_due()
        for session in claimed:
            self._start(session, sent_at_ms)

    def _learn_due(self) -> None:
        now_ms = self._driver.context.clock.precise_ms() - LATE_MS
        ranks = self._view.hints.ranks
        for partition, due in self._context.ready.next_session_due_ms().items():
            if due > now_ms and partition < len(ranks) and ranks[partition] < RANKS_LEARNING:
                self._due[partition] = due

    def _start(self, session: ReadySession, sent_at_ms: float) -> None:
        self._context.metrics.claimed.inc()
        run = SessionRun(self._context, session, sent_at_ms, self._declines)
        run.on_declined = self._declined
        # A session is claimed again while an earlier run of it here is only closing: each has its own lease.
        name = session.lease.lease_token
        # Where a drain began while the claim was under way, a peer starts it at once.
        work = run.run() if self.is_accepting else run.give_back(0)
        task = self.runs[name] = asyncio.create_task(work, name="lash-session-run")
        task.add_done_callback(lambda _: self._ended(name))
        if not self.is_accepting:
            self._given_back.add(task)
            task.add_done_callback(self._given_back.discard)

    def _declined(self) -> None:
        self._shy_until_ms = own_time_ms() + SHY_FOR_MS

    def _late_ms(self, now: float) -> float:
        return LATE_MS + SHY_MS if now < self._shy_until_ms else LATE_MS

    def _ended(self, name: str) -> None:
        del self.runs[name]
        self.slots.release()
        self._show()

    def _show(self) -> None:
        self._context.metrics.slots_free.set(self.slots.free)
        self._context.metrics.slots_busy.set(self.slots.taken)

    async def _rest(self, now: float) -> None:
        wake_at = self._hot.next_at_ms(self._own_at, self._foreign_at)
        server_now = self._driver.context.clock.precise_ms()
        late_ms = self._late_ms(now)
        due_in = min((at + late_ms - server_now for at in self._due.values()), default=float("inf"))
        await self._hot.rest(min(wake_at - now, due_in))
