"""One run of a monitor: its command, its time, its lines in batches (``docs/contracts/background_tasks.md`` 6)."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from lash_core.clock import Clock
from lash_core.errors import LashError, UnknownSessionError
from lash_core.errors.async_handle import MonitorFailedError
from lash_core.model.monitor import MonitorRunState, MonitorSpec, MonitorStatus
from lash_core.runtime.background.monitor_command import CommandEnd, MonitorCommand
from lash_core.runtime.background.monitor_lines import MonitorLines
from lash_core.runtime.failure_texts import bounded, text_of
from lash_core.runtime.token_race import end_tasks

_log = logging.getLogger(__name__)

BATCH_WINDOW_SECONDS = 0.2
"""Lines that come together are handed on together."""
BATCH_PAUSE_SECONDS = 1.0
"""Between two batches: a session hears of a monitor at most once a second."""
DELIVERIES_MAX = 5
"""Tries of one batch, 0.2 to 1.6 s apart: then its lines count as dropped."""
DELIVERY_PAUSE_SECONDS = 0.2
REASON_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class MonitorBatch:
    """What a session hears of a monitor at once.

    Attributes:
        run_id: of this run of it.
        sequence: in the run, from 1: run and sequence name the batch for good.
        lines: that it wrote, in order; lines that were dropped before them are counted in ``dropped``.
        end: how it ended, with the last batch.
    """

    monitor_id: str
    run_id: str
    sequence: int
    lines: tuple[str, ...] = ()
    dropped: int = 0
    end: MonitorStatus | None = None

    def to_json_value(self) -> dict[str, Any]:
        """As sessions and subscribers get it."""
        facts: dict[str, Any] = {"monitor": self.monitor_id, "lines": list(self.lines)}
        if self.dropped:
            facts["dropped"] = self.dropped
        if self.end is not None:
            facts["state"] = self.end.state.value
            facts |= {"exit_code": self.end.exit_code} if self.end.exit_code is not None else {}
            facts |= {"reason": self.end.reason} if self.end.reason is not None else {}
        return facts


class MonitorSink(Protocol):
    """Where batches go."""

    async def has_room(self) -> bool:
        """False while the session has not taken what it was given."""
        ...

    async def deliver(self, batch: MonitorBatch) -> None:
        """Take a batch in; the same one again changes nothing. Raises: LashError, OSError: it was not taken."""
        ...


class MonitorRun:
    """A run. ``work`` is its task's code.

    Args:
        spec: what runs.
        sink: takes its batches.
        clock: for the times in its status.
    """

    def __init__(self, spec: MonitorSpec, sink: MonitorSink, clock: Clock) -> None:
        self.spec = spec
        self.run_id = uuid.uuid4().hex
        self.ended = asyncio.Event()
        self._sink = sink
        self._clock = clock
        self._lines = MonitorLines()
        self._command = MonitorCommand(spec, self._lines)
        self._state = MonitorRunState.RUNNING
        self._started_at = clock.now_ms()
        self._ended_at: int | None = None
        self._exit_code: int | None = None
        self._reason: str | None = None
        self._sequence = 0
        self._told_dropped = 0
        self._over = False
        self._stopping = False
        self._begun = False

    @property
    def status(self) -> MonitorStatus:
        """Where it stands."""
        return MonitorStatus(
            id=self.spec.id,
            task_id=self.spec.task_id,
            state=self._state,
            wake_policy=self.spec.wake_policy,
            started_at=self._started_at,
            ended_at=self._ended_at,
            exit_code=self._exit_code,
            reason=self._reason,
            lines=self._lines.count,
            dropped=self._lines.dropped,
        )

    @property
    def has_begun(self) -> bool:
        """False before the first step of its task; a task that is cancelled there never has one."""
        return self._begun

    async def work(self) -> str:
        """Run the command to its end and hand on what it writes; answers a word about the end.

        Raises:
            MonitorFailedError: it failed. asyncio.CancelledError: it was stopped; the command is gone, too.
        """
        self._begun = True
        limit = None if self.spec.persistent else self.spec.timeout_ms / 1_000
        running = asyncio.ensure_future(self._command.run())
        handing = asyncio.ensure_future(self._hand_on())
        try:
            if self._stopping:
                raise asyncio.CancelledError
            await asyncio.wait((running, handing), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            state, reason = self._end_of(running, handing)
            await end_tasks([running])
            if self._stopping:
                raise asyncio.CancelledError
            self._end(state, reason)
            self._over = True
            self._command.tell()
            await handing
        finally:
            try:
                await end_tasks([running, handing])
            finally:
                # Also when a cancel comes into this wait: whoever waits for the end is told.
                if self._state is MonitorRunState.RUNNING:
                    self._end(MonitorRunState.STOPPED, "stopped")
                self.ended.set()
        if self._state is MonitorRunState.FAILED:
            raise MonitorFailedError(self._reason or "failed", field="monitor_id", value=self.spec.id)
        return self._reason or "exited"

    def kill(self) -> None:
        """The session leaves memory: kill the command now, and say nothing more. May be called twice."""
        self._stopping = True
        self._command.kill()
        if not self._begun:
            # Its task was cancelled before its first step: nobody else says that it is over.
            self._end(MonitorRunState.STOPPED, "stopped")
            self.ended.set()

    # -- inside ----------------------------------------------------------------------------------------

    def _end_of(
        self, running: asyncio.Future[CommandEnd], handing: asyncio.Future[None]
    ) -> tuple[MonitorRunState, str]:
        if not running.done() and not handing.done():
            return MonitorRunState.FAILED, f"it did not end within {self.spec.timeout_ms} ms"
        error = (running if running.done() else handing).exception()
        if error is not None:
            return MonitorRunState.FAILED, bounded(text_of(error), REASON_CHARACTERS_MAX)
        end = running.result()
        self._exit_code = end.exit_code
        if end.exit_code == 0:
            return MonitorRunState.EXITED, "exited with code 0"
        how = f"exited with code {end.exit_code}" if end.exit_code > 0 else f"ended by signal {-end.exit_code}"
        return MonitorRunState.FAILED, bounded(f"{how}: {end.errors}".rstrip(": "), REASON_CHARACTERS_MAX)

    def _end(self, state: MonitorRunState, reason: str) -> None:
        self._state, self._reason, self._ended_at = state, reason, self._clock.now_ms()

    async def _hand_on(self) -> None:
        while not self._over:
            await self._command.wait_wrote()
            if not self._over:
                await asyncio.sleep(BATCH_WINDOW_SECONDS)
            while self._lines.is_waiting and not self._over:
                if await self._has_room():
                    await self._deliver(None)
                if not self._over:
                    await asyncio.sleep(BATCH_PAUSE_SECONDS)
        while True:
            # What is left is at most four batches; the last one says how it ended.
            lines = self._lines.take()
            is_last = not self._lines.is_waiting
            await self._deliver(self.status if is_last else None, lines)
            if is_last:
                return

    async def _has_room(self) -> bool:
        try:
            return await self._sink.has_room()
        except (LashError, OSError):
            return True

    async def _deliver(self, end: MonitorStatus | None, lines: tuple[str, ...] | None = None) -> None:
        given = self._lines.take() if lines is None else lines
        dropped = self._lines.dropped - self._told_dropped
        self._sequence += 1
        batch = MonitorBatch(self.spec.id, self.run_id, self._sequence, given, dropped, end)
        pause = DELIVERY_PAUSE_SECONDS
        for attempt in range(1, DELIVERIES_MAX + 1):
            try:
                await self._sink.deliver(batch)
            except UnknownSessionError:
                # Nobody will ever hear it: the run ends.
                raise
            except (LashError, OSError) as error:
                if attempt == DELIVERIES_MAX:
                    self._lines.dropped += len(given)
                    _log.warning("%d lines of monitor %s are lost: %s", len(given), self.spec.id, error)
                    return
                await asyncio.sleep(pause)
                pause *= 2
            else:
                self._told_dropped += dropped
                return
