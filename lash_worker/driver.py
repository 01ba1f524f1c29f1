"""The work driver: claims due rows for the free slots and starts them (contract 3.3, 3.11)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.lease import Acquired, ClaimedProcess, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity, is_provably_dead
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.record import ProcessRecord
from lash_worker.services.attempt import RunsProcesses
from lash_worker.services.completer import Completer
from lash_worker.services.executor import Executor
from lash_worker.services.lease_keeper import LeaseKeeper, OpenRegistry
from lash_worker.services.releaser import Releaser
from lash_worker.services.slots import Slots
from lash_worker.services.worker_context import WorkerContext

CLAIM_BATCH_MAX = 200
"""Rows of one claim: one script call's bound."""
CLAIM_SHARE = 4
"""A claim fills at most this part of the slots, so that claiming, running and completing overlap: with all slots in one
claim worker and server wait for each other in turn, at two thirds of the throughput (``make bench-quick``)."""
LISTED_PER_DRIVE_MAX = 1_000
"""Rows one drive lists for what no claim offers; the next drive goes on where this one ended."""
PAGE_ROWS = 200
STOP_FLUSH_MS = 5_000.0
PARK_GRACE_MS = 500.0
"""Time for resting runs to be parked when a stop cannot wait: one look and one release each."""
YIELD_GRACE_MS = 1_000.0
"""Time for cancelled coroutines to end before their leases are given back regardless."""

_log = logging.getLogger(__name__)


class ProcessWorkDriver:
    """One worker's claims and runs: one table of held ids, one number of slots, whoever asks for a drive.

    Args:
        context: identity, store, settings and measures.
        worker: runs a held row.
        open_registry: a registry on its own connection for the lease keeper; None for stores in this process.
    """

    def __init__(
        self, context: WorkerContext, worker: RunsProcesses, open_registry: OpenRegistry | None = None
    ) -> None:
        self.context = context
        self.slots = Slots(context.settings.concurrency, context.metrics)
        self.keeper = LeaseKeeper(context.registry, context.timings, context.metrics, open_registry)
        self.completer = Completer(context.registry, context.metrics)
        self.releaser = Releaser(context.registry, context.metrics)
        self.executor = Executor(context, worker, self.slots, self.keeper, self.completer, self.releaser)
        self._accepting = True
        self.on_claimed: Callable[[], None] | None = None
        """Told after each claim of due rows: the store may know anew when the next ones are due."""
        # The store remembers a worker's last claim of a partition to make it safe to repeat: one claim at a time.
        self._claiming = asyncio.Lock()
        self._list_cursor: str | None = None

    async def start(self) -> None:
        """Start the lease keeper, then what writes outcomes. Raises: LashError when the keeper cannot connect."""
        await self.keeper.start()
        await self.completer.start()
        await self.releaser.start()

    def stop_claiming(self) -> None:
        """Take no more rows: the first step of a drain."""
        self._accepting = False

    @property
    def is_accepting(self) -> bool:
        """False once a drain began."""
        return self._accepting

    async def drain(self, within_ms: float) -> int:
        """Let runs finish for ``within_ms``, then hand the rest over; returns how many were handed over."""
        self.stop_claiming()
        # What only waits need not be waited for: a peer goes on with it when it is due.
        self.executor.park_all()
        if await self._idle(within_ms):
            return 0
        await self.executor.parker.emptied(PARK_GRACE_MS)
        handed_over = len(self.executor.runs)
        self.executor.yield_all()
        if not await self._idle(YIELD_GRACE_MS):
            self.executor.release_remaining()
            await self._idle(STOP_FLUSH_MS)
        return handed_over

    async def stop(self) -> None:
        """Stop for good: runs that are left are handed over. May be called unstarted and twice."""
        if self.executor.runs:
            await self.drain(0)
        else:
            self.stop_claiming()
        self.executor.parker.close()
        await self.releaser.flushed(STOP_FLUSH_MS)
        await self.completer.stop()
        await self.releaser.stop()
        await self.keeper.stop()

    async def _idle(self, within_ms: float) -> bool:
        try:
            async with asyncio.timeout(within_ms / 1_000):
                await self.slots.wait_idle()
        except TimeoutError:
            return False
        return True

    # -- claims -------------------------------------------------------------------------------------------

    async def claim(self, partitions: Sequence[int] | None = None, limit: int = CLAIM_BATCH_MAX) -> tuple[int, int]:
        """Claim due rows of the served queues for free slots and start them; returns (asked, got).

        Raises:
            LashError: the store refused or could not be reached; nothing was started.
        """
        async with self._claiming:
            return await self._claim_alone(partitions, limit)

    async def _claim_alone(self, partitions: Sequence[int] | None, limit: int) -> tuple[int, int]:
        share = max(1, self.slots.total // CLAIM_SHARE)
        asked = self.slots.reserve(min(limit, share)) if self._accepting else 0
        if asked == 0:
            return 0, 0
        sent_at_ms = own_time_ms()
        claimed: tuple[ClaimedProcess, ...] = ()
        try:
            claimed = await self.context.registry.claim_ready_processes(
                self.context.identity,
                asked,
                self.context.timings.ttl_ms,
                self.context.settings.queues,
                partitions=partitions,
            )
        finally:
            unused = asked - len(claimed)
            if unused:
                self.slots.release(unused)
        self._take(claimed, sent_at_ms)
        if self.on_claimed is not None:
            self.on_claimed()
        return asked, len(claimed)

    def _take(
        self, claimed: Sequence[ClaimedProcess], sent_at_ms: float, dead_owner: LeaseOwnerIdentity | None = None
    ) -> None:
        if self._accepting:
            self.executor.take(claimed, sent_at_ms, dead_owner)
        else:
            # A drain began while the claim was under way: a peer starts these at once.
            self.executor.hand_back(claimed, sent_at_ms)

    async def claim_and_run_pending(self, reason: str = "") -> int:
        """Start what can be started now and return how many: expired leases back, due rows, then evidence.

        Safe to repeat and to run beside the worker's own claimer: held rows are skipped, slots are shared. It
        returns when the runs are started, not when they end. ``reason`` is for the log.

        Raises:
            LashError: the first call to the store failed.
        """
        if not self._accepting:
            return 0
        started = 0
        await self.context.registry.requeue_expired_leases(CLAIM_BATCH_MAX)
        while self.slots.free:
            asked, got = await self.claim()
            started += got
            if got < asked:
                break
        started += await self._settle_listed()
        if started:
            _log.debug("drive started %d processes (%s)", started, reason or "asked for")
        return started

    async def _settle_listed(self) -> int:
        """Rows that no claim offers but that this worker can end: owner-bound work whose owner it can prove dead."""
        started = listed = 0
        while listed < LISTED_PER_DRIVE_MAX and self.slots.free:
            page = await self.context.registry.list_processes_page(ProcessFilter(), self._list_cursor, PAGE_ROWS)
            self._list_cursor = page.next_cursor
            listed += max(len(page.items), 1)
            for record in page.items:
                if self._wants(record) and await self._claim_one(record):
                    started += 1
            if page.next_cursor is None:
                break
        return started

    def _wants(self, record: ProcessRecord) -> bool:
        if record.id in self.executor.runs:
            return False
        match record.disposition:
            case RecoveryDisposition.EXTERNALLY_OWNED:
                return record.abandon_request is not None
            case RecoveryDisposition.OWNER_BOUND if record.first_started is not None:
                owner = record.first_started.owner
                return record.abandon_request is not None or is_provably_dead(
                    owner, self.context.identity, self.context.process_table
                )
            case _:
                return False

    async def _claim_one(self, record: ProcessRecord) -> bool:
        if not self.slots.reserve(1):
            return False
        sent_at_ms = own_time_ms()
        claimed: ClaimedProcess | None = None
        try:
            outcome = await self.context.registry.claim_process_lease(
                record.id, self.context.identity, self.context.timings.ttl_ms
            )
            if isinstance(outcome, Acquired):
                claimed = await self._read(outcome.lease)
        finally:
            if claimed is None:
                self.slots.release()
        if claimed is not None:
            self._take([claimed], sent_at_ms)
        return claimed is not None

    async def reclaim(self, observed: ProcessLease, dead_owner: LeaseOwnerIdentity) -> bool:
        """Take one lease of an owner that is provably dead and go on with its row; False when a peer was faster.

        Single claims carry the worker's own incarnation, so that takeover and notices find them by it (ADR 0071); the
        table of held ids keeps this worker's attempts apart.
        """
        if not self._accepting or observed.process_id in self.executor.runs:
            return False
        has_slot = self.slots.reserve(1) == 1
        sent_at_ms = own_time_ms()
        claimed: ClaimedProcess | None = None
        taken = False
        try:
            outcome = await self.context.registry.reclaim_process_lease(
                observed.process_id,
                self.context.identity,
                observed,
                self.context.timings.ttl_ms,
            )
            if isinstance(outcome, Acquired):
                taken = True
                claimed = await self._read(outcome.lease)
        finally:
            if has_slot and claimed is None:
                self.slots.release()
        if claimed is not None and has_slot:
            self._take([claimed], sent_at_ms, dead_owner)
        elif claimed is not None:
            self.executor.hand_on(claimed, sent_at_ms, dead_owner)
        return taken

    async def _read(self, lease: ProcessLease) -> ClaimedProcess | None:
        """The row under a lease just taken (hazard 1); None when it was pruned or cannot be read here."""
        try:
            record = await self.context.registry.get_process(lease.process_id)
        except LashError as error:
            _log.warning("process %s: its row cannot be read: %s", lease.process_id, error)
            return None
        return None if record is None else ClaimedProcess(lease=lease, record=record)
