"""A held run without a worker: a row that a test moves, a slot, and a clock that only the test moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from lash_core.errors import LimitExceededError, StoreUnreachableError
from lash_core.metrics import WorkerMetrics
from lash_core.model.await_event import AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.event import ProcessEvent
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted, WaitState
from lash_core.model.lease import ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.record import ProcessRecord, new_record, terminal_status
from lash_core.runtime.held_run_waits import HeldRunWaits
from lash_core.store.process_run_waits import RunLook
from lash_worker.services.slots import Slots
from tests.worker.rig import registration

T = TypeVar("T")

TURNS = 40
"""Turns of the loop after which everything that waits for nothing outside has happened."""


async def settled() -> None:
    """Let everything happen that needs no time."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def begun(wait: Awaitable[T]) -> asyncio.Task[T]:
    """The wait as a task."""

    async def waiting() -> T:
        return await wait

    return asyncio.create_task(waiting())


class _Handle:
    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.callback: Callable[..., Any] | None = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None


class VirtualTimers:
    """``Timers`` that a test moves."""

    def __init__(self) -> None:
        self._now_ms = 1_000.0
        self._order = itertools.count()
        self._heap: list[tuple[float, int, _Handle]] = []

    def now_ms(self) -> float:
        """The time."""
        return self._now_ms

    def call_later(self, delay_ms: float, callback: Any, *args: Any) -> _Handle:
        """Call back when the test has moved the time that far."""
        handle = _Handle(callback, args)
        heapq.heappush(self._heap, (self._now_ms + delay_ms, next(self._order), handle))
        return handle

    @property
    def waiting(self) -> int:
        """Callbacks that were not called and not cancelled."""
        return sum(handle.callback is not None for _, _, handle in self._heap)

    async def advance(self, ms: float) -> None:
        """Move the time and let everything happen that follows."""
        end = self._now_ms + ms
        await settled()
        while self._heap and self._heap[0][0] <= end:
            self._now_ms, _, handle = heapq.heappop(self._heap)
            if handle.callback is not None:
                handle.callback(*handle.args)
            await settled()
        self._now_ms = end
        await settled()


class FakeLease:
    """A lease that nobody takes."""

    def __init__(self, process_id: str) -> None:
        self.lease = ProcessLease(
            process_id=process_id,
            owner=LeaseOwnerIdentity(owner_id="w", incarnation_id="w1"),
            lease_token="t",
            fencing_token=1,
            claimed_at_epoch_ms=0,
            expires_at_epoch_ms=1,
        )
        self.lost = False

    def require(self) -> ProcessLease:
        """The lease."""
        return self.lease


class FakeRegistry:
    """What a waiting run asks, answered from what the test puts here; every call is counted."""

    def __init__(self) -> None:
        self.events: list[ProcessEvent] = []
        self.resolutions: dict[str, Resolution] = {}
        self.rows: dict[str, ProcessRecord] = {}
        self.watched: list[str] = []
        self.marks = 0
        self.looks: list[int] = []
        self.reads: list[int] = []
        self.is_away = False
        self.crowded: str | None = None
        self.gate: asyncio.Event | None = None

    def signal(self, name: str, payload: Any = None) -> None:
        """Somebody sends a signal."""
        event = ProcessEvent(
            process_id="p",
            sequence=len(self.events) + 1,
            event_type=f"signal.{name}",
            payload=payload,
            occurred_at_ms=1,
        )
        self.events.append(event)
        self.marks += 1

    def child(self, process_id: str, *, ended: bool = False) -> None:
        """Another process: it runs, or has ended."""
        record = new_record(registration(process_id), "h", 1)
        if ended:
            output = ProcessAwaitOutput.success(process_id)
            record = record.model_copy(update={"status": terminal_status("completed", output)})
            self.marks += process_id in self.watched
        self.rows[process_id] = record

    async def look_at_run(
        self, lease: ProcessLease, after_sequence: int, promises: Sequence[AwaitEventKey] = ()
    ) -> RunLook:
        """The row now."""
        self.looks.append(after_sequence)
        found = RunLook(
            tuple(event for event in self.events if event.sequence > after_sequence),
            {key.key_id: self.resolutions[key.key_id] for key in promises if key.key_id in self.resolutions},
            str(self.marks),
            1,
        )
        if self.gate is not None:
            await self.gate.wait()
        if self.is_away:
            raise StoreUnreachableError("no route")
        return found

    async def watch_processes(self, watcher_id: str, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """The rows; the watcher is known from now on."""
        if self.crowded in process_ids:
            raise LimitExceededError("too many", field="watchers", limit=1, process_id=self.crowded)
        self.watched.extend(process_ids)
        return tuple(self.rows.get(name) for name in process_ids)

    async def get_processes(self, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """The rows."""
        self.reads.append(len(process_ids))
        return tuple(self.rows.get(name) for name in process_ids)

    async def begin_signal_wait(
        self, process_id: str, wait: WaitState, *, lease: ProcessLease, first_started: ProcessStarted | None = None
    ) -> WaitState:
        """Not asked by a waiting run itself."""
        raise NotImplementedError

    async def end_signal_wait(self, process_id: str, wait: WaitState, *, lease: ProcessLease, received: bool) -> None:
        """Not asked by a waiting run itself."""
        raise NotImplementedError

    async def retry_process(self, lease: ProcessLease, *, delay_ms: int, drop: Sequence[str], detail: str) -> int:
        """Not asked by a waiting run itself."""
        raise NotImplementedError


class Place:
    """A run's place among slots."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.is_resting = False

    def rest(self) -> None:
        """Give it back."""
        self.is_resting = True
        self._slots.rest()

    def resume_now(self, *, force: bool = False) -> bool:
        """Take it if it is free."""
        if not self._slots.resume_now(force=force):
            return False
        self.is_resting = False
        return True

    async def resume(self) -> None:
        """Take it."""
        await self._slots.resume()
        self.is_resting = False


class WaitingRun:
    """One run's waits over the fakes, with one slot that it holds."""

    def __init__(self, slots_total: int = 1) -> None:
        self.timers = VirtualTimers()
        self.registry = FakeRegistry()
        self.slots = Slots(slots_total, WorkerMetrics())
        assert self.slots.reserve(1) == 1
        self.place = Place(self.slots)
        record = new_record(registration("p"), "h", 1)
        self.waits = HeldRunWaits(record, FakeLease("p"), self.registry, self.place, self.timers)


def promise_key(name: str) -> AwaitEventKey:
    """A key of a promise of the run."""
    return AwaitEventKey.mint(ExecutionScope.process("p"), WaitIdentity.custom(name), b"secret")
