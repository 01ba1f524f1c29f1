"""Writes of a journal of a run or turn: what is ready goes in one fenced call, and meanwhile the next collects.

Nothing is held back to fill a batch: a lone step costs one round trip, fifty steps at once a few calls (DESIGN 3.3
rule 9).
"""

from __future__ import annotations

import asyncio
from collections import deque

from lash_core.clock import own_time_ms
from lash_core.errors import (
    InvalidRegistrationError,
    LimitExceededError,
    OutcomeUnknownError,
    StoreRefusedError,
    StoreUnreachableError,
)
from lash_core.model.effect_record import EffectAnswer, EffectWrite
from lash_core.model.facts import ProcessStarted
from lash_core.store.effect_host import EffectRun
from lash_core.store.effect_journal import EffectJournal

BATCH_ENTRIES_MAX = 200
"""Entries of one call: a script call's bound (``Limits.batch_max``)."""
BATCH_BYTES_MAX = 1024 * 1024
"""Outcome bytes of one call, so that a batch of large outcomes does not hold the server up."""
PATIENCE_MS = 10_000
"""How long a write is repeated while the store fails: a step that ran is not to run again for a short outage. After it
the run is the worker's to retry or give back; the lease ends the wait sooner (decision 29)."""
RETRY_DELAY_MS = 50
RETRY_DELAY_MAX_MS = 2_000

_RETRIED = (StoreUnreachableError, OutcomeUnknownError, StoreRefusedError, OSError)
_ONE_ITEM = (LimitExceededError, InvalidRegistrationError)
"""Refusals of a whole call that may be one item's fault."""

_Item = tuple[EffectWrite, "asyncio.Future[EffectAnswer]"]


class BatchedWriter:
    """The write side of a journal, whatever lease its writes go under. Belongs to one event loop."""

    __slots__ = ("_queued", "_task")

    def __init__(self) -> None:
        self._queued: deque[_Item] = deque()
        self._task: asyncio.Task[None] | None = None

    async def _record(self, writes: list[EffectWrite]) -> tuple[EffectAnswer, ...]:
        """One fenced call."""
        raise NotImplementedError

    async def write(self, write: EffectWrite) -> EffectAnswer:
        """Write one entry. A caller that is cancelled meanwhile does not stop the write.

        Raises:
            LeaseLostError, StoreBehindError, UnknownProcessError: nothing was written.
            LimitExceededError, InvalidRegistrationError: this entry was refused.
            StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: after ``PATIENCE_MS``.
        """
        future: asyncio.Future[EffectAnswer] = asyncio.get_running_loop().create_future()
        self._queued.append((write, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._queued:
                await self._write_batch(self._next_batch())
        finally:
            self._task = None
            # Only a cancelled loop leaves items behind.
            while self._queued:
                self._queued.popleft()[1].cancel()

    def _next_batch(self) -> list[_Item]:
        batch: list[_Item] = []
        size = 0
        while self._queued and len(batch) < BATCH_ENTRIES_MAX:
            size += len(self._queued[0][0].outcome_json or "")
            if batch and size > BATCH_BYTES_MAX:
                break
            batch.append(self._queued.popleft())
        return batch

    async def _write_batch(self, batch: list[_Item]) -> None:
        try:
            answers = await self._send([write for write, _ in batch])
        except _ONE_ITEM as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            for item in batch:
                await self._write_batch([item])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for the write
            _fail(batch, error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _send(self, writes: list[EffectWrite]) -> tuple[EffectAnswer, ...]:
        give_up_at_ms: float | None = None
        delay_ms = RETRY_DELAY_MS
        while True:
            try:
                return await self._record(writes)
            except _RETRIED:
                now_ms = own_time_ms()
                give_up_at_ms = give_up_at_ms or now_ms + PATIENCE_MS
                if now_ms >= give_up_at_ms:
                    raise
            await asyncio.sleep(delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, RETRY_DELAY_MAX_MS)


class JournalWriter(BatchedWriter):
    """The write side of a run's journal."""

    __slots__ = ("_journal", "_run", "_start_written")

    def __init__(self, run: EffectRun, journal: EffectJournal) -> None:
        super().__init__()
        self._run = run
        self._journal = journal
        self._start_written = False

    def unrecorded_start(self) -> ProcessStarted | None:
        """The run's start fact as long as no write carried it."""
        return None if self._start_written else self._run.unrecorded_start()

    async def _record(self, writes: list[EffectWrite]) -> tuple[EffectAnswer, ...]:
        started = self.unrecorded_start()
        answers = await self._journal.record_effects(self._run.require(), writes, first_started=started)
        self._start_written = self._start_written or started is not None
        return answers


def _fail(batch: list[_Item], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
            # Whoever waited may be gone: an error that nobody reads is none of the loop's business.
            future.exception()
