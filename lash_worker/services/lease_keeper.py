"""Keeps the leases of running work: renews them from its own thread and knows when to stop believing in them."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.metrics import WorkerMetrics
from lash_core.model.lease import LeaseTimings, ProcessLease, Renewed, RenewOutcome
from lash_core.store.process_registry import ProcessRegistry
from lash_worker.services.held_lease import HeldLease

RENEW_BATCH_MAX = 200
"""Leases of one renewal call: 200 block the server for less than a millisecond."""
ROUNDTRIPS_KEPT = 100
RETRY_DELAY_MS = 200
"""Between two tries of a renewal that failed: the deadline bounds how many there are."""
START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 10.0

OpenRegistry = Callable[[], AbstractAsyncContextManager[ProcessRegistry]]
"""Opens a registry on a connection of its own, in the loop that calls it."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class LeaseKeeper:
    """Renews every held lease each interval, in batches, from a thread with its own loop and connection.

    A blocked main loop therefore costs no lease. A lease's local deadline is ``t_send + TTL - margin`` on the clock
    that counts suspend; at the deadline the run is told, whatever the store would say, and nothing is sent for it.
    One failed call is no loss while there is margin (hazard 6).

    Args:
        open_registry: a registry of the keeper's own; None renews through ``registry`` on the caller's loop, for
            stores that live in this process and die with it.
        registry: the caller's registry.
        timings: TTL and renewal interval.
        metrics: where renewals and losses are counted.
    """

    def __init__(
        self,
        registry: ProcessRegistry,
        timings: LeaseTimings,
        metrics: WorkerMetrics,
        open_registry: OpenRegistry | None = None,
    ) -> None:
        self._registry = registry
        self._open_registry = open_registry
        self._timings = timings
        self._metrics = metrics
        self._held: dict[str, HeldLease] = {}
        self._roundtrips: deque[float] = deque(maxlen=ROUNDTRIPS_KEPT)
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._home: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._start_error: BaseException | None = None
        self._margin_ms = self._compute_margin()
        self.tick_ms = min(250.0, max(5.0, timings.ttl_ms / 40))
        self._last_tick_ms = own_time_ms()

    # -- the main loop's side -----------------------------------------------------------------------

    async def start(self) -> None:
        """Start the thread and wait until its connection is there.

        Raises:
            LashError: the keeper's own registry could not be opened.
        """
        if self._thread is not None or self._stop.is_set():
            return
        self._home = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._thread_main, name="lash-lease-keeper", daemon=True)
        self._thread.start()
        await asyncio.to_thread(self._ready.wait, START_TIMEOUT_SECONDS)
        if self._start_error is not None:
            raise self._start_error

    async def stop(self) -> None:
        """Stop renewing; leases that are still held run out. May be called unstarted and twice."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join, STOP_TIMEOUT_SECONDS)

    def hold(
        self,
        lease: ProcessLease,
        sent_at_ms: float,
        on_lost: Callable[[str], None],
        on_marks: Callable[[Renewed], None] | None = None,
    ) -> HeldLease:
        """Keep a lease from now on.

        Args:
            lease: a lease just claimed.
            sent_at_ms: ``own_time_ms()`` before the claim was sent.
            on_lost: called once, on the main loop, with the reason.
            on_marks: called on the main loop when a renewal hands back a cancel or signal mark.
        """
        held = HeldLease(lease, self._timings.ttl_ms, on_lost, on_marks)
        held.extend(lease, sent_at_ms, self._margin_ms)
        held.renew_at_ms = sent_at_ms + self._next_interval()
        self._held[lease.process_id] = held
        return held

    def drop(self, held: HeldLease) -> None:
        """Stop keeping a lease that was released or lost. A loss that its run saw first is counted here."""
        if self._held.get(held.process_id) is held:
            del self._held[held.process_id]
            # As it was seen, not by the clock: what was written in the last moment of a lease is no loss.
            if held.lost_reason:
                self._metrics.leases_lost.labels(held.lost_reason).inc()

    @property
    def count(self) -> int:
        """Leases kept."""
        return len(self._held)

    @property
    def trouble(self) -> str | None:
        """Why renewals are not on time, or None. May be asked from any thread."""
        now = own_time_ms()
        silent_ms = now - self._last_tick_ms
        if self._thread is not None and silent_ms > max(1_000.0, 10 * self.tick_ms):
            return f"the lease keeper has been silent for {silent_ms / 1_000:.1f} s"
        late = sum(held.at_risk for held in list(self._held.values()))
        return f"{late} leases were not renewed in time" if late else None

    # -- the keeper's thread --------------------------------------------------------------------------

    def _thread_main(self) -> None:
        try:
            asyncio.run(self._keep())
        except BaseException as error:  # noqa: BLE001 - handed to start(), or logged: a thread has no other way out
            if self._ready.is_set():
                _log.exception("the lease keeper's thread ended")
            self._start_error = error
        finally:
            self._ready.set()

    async def _keep(self) -> None:
        async with AsyncExitStack() as stack:
            registry: ProcessRegistry | None = None
            if self._open_registry is not None:
                registry = await stack.enter_async_context(self._open_registry())
            self._ready.set()
            renewals: set[asyncio.Task[None]] = set()
            while not self._stop.is_set():
                # Deadlines first: after a stop of the whole process nothing may be sent for a lease that is over.
                now = own_time_ms()
                self._last_tick_ms = now
                for batch in self._due_batches(now):
                    task = asyncio.create_task(self._renew(registry, batch))
                    renewals.add(task)
                    task.add_done_callback(renewals.discard)
                await asyncio.sleep(self.tick_ms / 1_000)
            for task in renewals:
                task.cancel()
            await asyncio.gather(*renewals, return_exceptions=True)

    def _due_batches(self, now: float) -> list[list[HeldLease]]:
        due: list[HeldLease] = []
        margin_ms = float(self._timings.ttl_ms)
        for held in list(self._held.values()):
            if held.lost:
                self.report_loss(held, held.lost_reason)
                continue
            margin_ms = min(margin_ms, held.deadline_ms - now)
            if not held.renewing and now >= held.renew_at_ms:
                held.renewing = True
                due.append(held)
        self._metrics.lease_margin.set(margin_ms / 1_000)
        self._metrics.leases_held.set(len(self._held))
        return [due[at : at + RENEW_BATCH_MAX] for at in range(0, len(due), RENEW_BATCH_MAX)]

    async def _renew(self, registry: ProcessRegistry | None, batch: list[HeldLease]) -> None:
        sent_at_ms = own_time_ms()
        patience_ms = max(1.0, min(held.deadline_ms for held in batch) - sent_at_ms)
        try:
            async with asyncio.timeout(patience_ms / 1_000):
                outcomes = await self._call(registry, [held.lease for held in batch])
        except (LashError, OSError, TimeoutError) as error:
            self._metrics.renewal_failed.inc(len(batch))
            self._metrics.redis_errors.inc()
            _log.warning("%d leases could not be renewed: %s", len(batch), error)
            for held in batch:
                held.missed += 1
                held.renewing = False
                held.renew_at_ms = own_time_ms() + min(RETRY_DELAY_MS, self._timings.renew_interval_ms / 4)
            return
        roundtrip_ms = own_time_ms() - sent_at_ms
        self._roundtrips.append(roundtrip_ms)
        self._metrics.redis_roundtrip.observe(roundtrip_ms / 1_000)
        self._margin_ms = self._compute_margin()
        for held, outcome in zip(batch, outcomes, strict=True):
            self._take_outcome(held, outcome, sent_at_ms)

    async def _call(self, registry: ProcessRegistry | None, leases: list[ProcessLease]) -> tuple[RenewOutcome, ...]:
        if registry is not None:
            return await registry.renew_process_leases(leases, self._timings.ttl_ms)
        return await self._on_home(self._registry.renew_process_leases(leases, self._timings.ttl_ms))

    async def _on_home(self, call: Coroutine[Any, Any, _T]) -> _T:
        assert self._home is not None  # noqa: S101 - start() set it before the thread ran
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._home))

    def _take_outcome(self, held: HeldLease, outcome: RenewOutcome, sent_at_ms: float) -> None:
        held.renewing = False
        if not isinstance(outcome, Renewed):
            # A lease that the run itself gave back meanwhile was dropped; it is not a loss.
            if self._held.get(held.process_id) is held:
                self._metrics.renewal_lost.inc()
                self.report_loss(held, outcome.reason)
            return
        self._metrics.renewed.inc()
        held.extend(outcome.lease, sent_at_ms, self._margin_ms)
        held.renew_at_ms = sent_at_ms + self._next_interval()
        if held.on_marks is not None and (outcome.cancel_requested or outcome.signalled):
            self._at_home(held.on_marks, outcome)

    def report_loss(self, held: HeldLease, reason: str) -> None:
        """Stop keeping a lease that is lost, count it once and tell its run. From any thread."""
        held.lose(reason)
        if self._held.get(held.process_id) is not held:
            return
        self.drop(held)
        self._at_home(held.on_lost, reason)

    def _at_home(self, callback: Callable[[Any], None], argument: Any) -> None:
        if self._home is not None and not self._home.is_closed():
            self._home.call_soon_threadsafe(callback, argument)

    def _next_interval(self) -> float:
        # At most the interval, so that jitter never eats margin; spread so that a batch claim does not stay a burst.
        return self._timings.renew_interval_ms * self._random.uniform(0.85, 1.0)

    def _compute_margin(self) -> float:
        ttl_ms = self._timings.ttl_ms
        slowest = max(self._roundtrips, default=0.0)
        return min(max(ttl_ms / 10, 2 * slowest, 500.0), ttl_ms / 4)
