"""One attempt at one process, from its claim to the end of its lease."""

from __future__ import annotations

import asyncio
from typing import Literal

from lash_core.model.record import ProcessRecord
from lash_core.runtime.cancellation import CancellationToken
from lash_worker.services.held_lease import HeldLease

StopCause = Literal["lost", "yield"]
"""Why the worker itself ended a run: its lease is gone, or a drain hands it over. Either way its result is dropped."""


class ProcessRun:
    """A held row and the task that runs it."""

    __slots__ = (
        "cancel_known",
        "cancellation",
        "held",
        "process_id",
        "record",
        "seen_write",
        "settled",
        "started",
        "started_at_ms",
        "stop_cause",
        "task",
        "timed_out",
    )

    def __init__(self, record: ProcessRecord, started_at_ms: float) -> None:
        self.record = record
        self.process_id = record.id
        self.held: HeldLease
        self.cancellation = CancellationToken()
        self.task: asyncio.Task[None] | None = None
        self.seen_write: asyncio.Task[None] | None = None
        self.started_at_ms = started_at_ms
        self.started = False
        """True once the function may have been called."""
        self.cancel_known = False
        self.timed_out = False
        self.stop_cause: StopCause | None = None
        self.settled = False
        """True once an outcome or a release is on its way: there is only one of them."""

    def end(self, cause: StopCause) -> None:
        """End the run without an outcome; the first cause stays, but a loss overrides a yield."""
        if self.stop_cause is None or cause == "lost":
            self.stop_cause = cause
        if self.task is not None and not self.task.done():
            self.task.cancel()

    def time_out(self) -> None:
        """The process's own time is over: like a cancel, but it ends as failed."""
        # A cancel that came first keeps its reason, and the run ends as cancelled.
        self.timed_out = self.cancellation.cancel("timeout")
