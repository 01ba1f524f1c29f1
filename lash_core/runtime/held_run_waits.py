"""``RunWaits`` of a run under a lease: it rests while all it does is wait, and may then leave memory (docs/adr/0091).

Three states. *Working*: an effect runs, or code of the run does; the run has a place. *Resting*: waits are open, no
effect runs, and the loop has turned a few times without any of that changing; the place is free. *Closed*: the run is
to end here, whoever goes on with it; every wait and every effect raises ``CancelledError``.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

from lash_core.model.await_event import AwaitEventKey, Resolution
from lash_core.model.event import ProcessEvent
from lash_core.model.record import ProcessRecord
from lash_core.runtime.open_wait import LoopTimers, OpenWait, Timers, waits_for
from lash_core.runtime.run_lease import RunLease
from lash_core.runtime.run_looks import RunLooks, RunWaitStore
from lash_core.runtime.run_waits import ParkPoint

TURNS_BEFORE_REST = 8
"""Turns of the loop without a change before a run rests: a task that was woken inside two nested gathers needs about
that many until it starts its next effect, and an idle loop turns in microseconds."""
REFUSAL_PAUSE_MS = 10
REFUSAL_PAUSE_MAX_MS = 1_000
"""Code that catches every refusal and tries again must not keep the loop from everybody else: each further refusal
takes this much longer."""
REFUSALS_MAX = 100
"""Code that went past so many refusals, a minute of them, is ended by force: it would keep its lease for ever."""


class RunEndedError(BaseException):
    """Ends a run whose code catches every ``CancelledError`` and goes on; no ``except Exception`` catches it."""


class RunPlace(Protocol):
    """A run's place among the worker's slots."""

    @property
    def is_resting(self) -> bool:
        """True while the run has no slot."""
        ...

    def rest(self) -> None:
        """Give the slot back; the run stays in memory."""
        ...

    def resume_now(self, *, force: bool = False) -> bool:
        """Take a slot again if none of it has to be waited for; with ``force`` beyond the bound."""
        ...

    async def resume(self) -> None:
        """Take a slot again. A cancelled call takes none."""
        ...


class _Working(AbstractContextManager[None]):
    """Counts an effect of a run; one object serves them all."""

    __slots__ = ("_waits",)

    def __init__(self, waits: HeldRunWaits) -> None:
        self._waits = waits

    def __enter__(self) -> None:
        self._waits.begin_work()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waits.end_work()


class HeldRunWaits:
    """The waits of one run on its own loop. Costs next to nothing until the run waits.

    Args:
        record: the row as claimed.
        lease: the run's lease.
        registry: where to look for what ends a wait.
        place: the run's slot.
        timers: for tests; None = the running loop's monotonic clock.
    """

    __slots__ = (
        "_checking",
        "_closed",
        "_lease",
        "_looks_made",
        "_open",
        "_place",
        "_record",
        "_refusals",
        "_registry",
        "_resuming",
        "_returning",
        "_timers",
        "_turns",
        "_working",
    )

    def __init__(
        self,
        record: ProcessRecord,
        lease: RunLease,
        registry: RunWaitStore,
        place: RunPlace,
        timers: Timers | None = None,
    ) -> None:
        self._record = record
        self._lease = lease
        self._registry = registry
        self._place = place
        self._timers = timers
        self._looks_made: RunLooks | None = None
        self._open: dict[OpenWait, None] = {}
        self._working = 0
        self._returning = 0
        self._turns = 0
        self._checking = False
        self._resuming: asyncio.Task[None] | None = None
        self._closed = False
        self._refusals = 0

    # -- the run's side: RunWaits -------------------------------------------------------------------

    def working(self) -> AbstractContextManager[None]:
        """Around an effect that runs: the run keeps its slot and is not parked. Raises: CancelledError when closed."""
        return _Working(self)

    async def sleep(self, duration_ms: int) -> None:
        """Wait; the slot is free meanwhile."""
        await self._refuse_if_closed()
        if duration_ms > 0:
            await self._wait(OpenWait("sleep"), duration_ms)

    async def signal(self, event_type: str, ordinal: int, timeout_ms: int | None = None) -> ProcessEvent | None:
        """The ``ordinal``-th event of a type in the run's own log, from 1; None when the time is over.

        An event that is in the log when the time ends counts, also when its notice was lost.
        """
        await self._refuse_if_closed()
        known = None if self._looks_made is None else self._looks_made.known_event(event_type, ordinal)
        if known is not None:
            await self._awake()
            return known
        return await self._wait(OpenWait("signal", (event_type, ordinal)), timeout_ms)

    async def promise(self, key: AwaitEventKey, timeout_ms: int | None = None) -> Resolution | None:
        """The resolution of a promise of this process; None when the time is over."""
        await self._refuse_if_closed()
        return await self._wait(OpenWait("promise", key), timeout_ms)

    async def ended(self, process_id: str) -> ProcessRecord:
        """The row of another process once it is terminal. Raises: UnknownProcessError."""
        await self._refuse_if_closed()
        return await self._wait(OpenWait("child", process_id), None)

    async def logged(self, event_type: str) -> tuple[ProcessEvent, ...]:
        """The events of a type in the run's own log that are known now; reads the log when it was not read yet.

        Raises:
            LashError, OSError: the log could not be read.
        """
        await self._refuse_if_closed()
        return await self._looks.events(event_type)

    async def ready(self) -> None:
        """Return when code of the run may work: it has a slot again. Raises: CancelledError when closed."""
        await self._refuse_if_closed()
        self._returning += 1
        try:
            await self._awake()
        finally:
            self._returning -= 1
            self._rest_later()

    # -- the worker's side --------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """False once the run is to end here."""
        return not self._closed

    @property
    def refused(self) -> bool:
        """True once the run was told by a refusal that it ends: what its function then returns is no outcome."""
        return self._refusals > 0

    @property
    def open_subjects(self) -> tuple[Any, ...]:
        """What the open waits wait for: event types with ordinals, keys, ids; None for a time. For tests and tools."""
        return tuple(wait.subject for wait in self._open)

    def stimulus(self) -> None:
        """Something happened to the row: a notice or a renewal says so. Looks when a wait could end by it."""
        if not self._closed and (self._looks_made is not None or self._open):
            self._looks.ask()

    def park_point(self) -> ParkPoint | None:
        """Where the run may leave memory now; None while it works, goes on, or has not seen what it waits for."""
        looks = self._looks_made
        if self._closed or not self._place.is_resting or self._working or self._returning or self._resuming:
            return None
        if not self._open or (looks is not None and not looks.is_current):
            return None
        ends = [wait.ends_at_ms for wait in self._open if wait.ends_at_ms is not None]
        marks_seen = None if looks is None else looks.marks_seen
        if not ends:
            return ParkPoint(None, marks_seen, waits_for(self._open))
        left_ms = min(ends) - self._clock.now_ms()
        return None if left_ms <= 0 else ParkPoint(int(left_ms), marks_seen, waits_for(self._open))

    async def looked(self) -> ParkPoint | None:
        """``park_point`` after a look, when one is wanted that was not made yet; None also when it failed."""
        looks = self._looks_made
        if looks is not None and not looks.is_current and not self._closed:
            try:
                await looks.look()
            except Exception:  # noqa: BLE001 - logged where it failed; a run that cannot look stays where it is
                return None
        return self.park_point()

    def close(self) -> None:
        """End every wait and refuse what comes, all with ``CancelledError``. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._looks_made is not None:
            self._looks_made.close()
        if self._resuming is not None:
            self._resuming.cancel()
        waits, self._open = self._open, {}
        for wait in waits:
            self._refusals += 1
            if wait.timer is not None:
                wait.timer.cancel()
            wait.future.cancel()

    # -- effects ------------------------------------------------------------------------------------

    def begin_work(self) -> None:
        """An effect starts; a resting run takes its slot at once, beyond the bound if need be.

        Raises:
            asyncio.CancelledError: the run ends here. RunEndedError: it was told so too often.
        """
        if self._closed:
            raise self._refusal()
        if self._place.is_resting and self._resuming is None:
            # Code that was woken by something else than a wait. ``ready`` is the way that waits for a slot.
            self._place.resume_now(force=True)
        self._working += 1

    def end_work(self) -> None:
        """An effect ended."""
        self._working -= 1
        self._rest_later()

    # -- waits --------------------------------------------------------------------------------------

    @property
    def _clock(self) -> Timers:
        if self._timers is None:
            self._timers = LoopTimers()
        return self._timers

    @property
    def _looks(self) -> RunLooks:
        if self._looks_made is None:
            record = self._record
            self._looks_made = RunLooks(record.id, self._lease, self._registry, record.last_sequence, self._clock)
        return self._looks_made

    async def _wait(self, wait: OpenWait, timeout_ms: int | None) -> Any:
        self._open[wait] = None
        wait.on_end = self._take_out
        if timeout_ms is not None:
            wait.ends_at_ms = self._clock.now_ms() + timeout_ms
            if timeout_ms > 0:
                wait.timer = self._clock.call_later(timeout_ms, self._time_over, wait)
            else:
                wait.expired = True
        if wait.kind != "sleep":
            self._looks.add(wait)
        self._rest_later()
        try:
            value = await wait.future
        except BaseException:
            await self._go_on(wait)
            raise
        await self._go_on(wait)
        return value

    def _time_over(self, wait: OpenWait) -> None:
        if wait.kind == "sleep":
            wait.end()
        else:
            # What happened before the time was over counts, whether or not its notice came.
            wait.expired = True
            self._looks.ask()

    def _take_out(self, wait: OpenWait) -> None:
        """A wait is over: the run is about to go on and cannot be parked."""
        self._open.pop(wait, None)
        self._returning += 1

    async def _go_on(self, wait: OpenWait) -> None:
        if wait in self._open:
            # Cancelled from outside: the code that catches it goes on too.
            if self._looks_made is not None:
                self._looks_made.waits.pop(wait, None)
            wait.future.cancel()
            wait.end()
            self._take_out(wait)
        elif wait.future.done() and not wait.future.cancelled():
            # Nobody else asks for it when the waiting task was cancelled in the same turn.
            wait.future.exception()
        try:
            await self._awake()
        finally:
            self._returning -= 1
            self._rest_later()

    async def _awake(self) -> None:
        """Return with a slot. Raises: CancelledError: the run ends here."""
        while self._place.is_resting and not self._closed:
            if self._resuming is None:
                if self._place.resume_now():
                    break
                self._resuming = asyncio.create_task(self._resume())
            await asyncio.shield(self._resuming)
        if self._closed:
            raise asyncio.CancelledError("the run ends here")

    async def _resume(self) -> None:
        try:
            await self._place.resume()
        finally:
            self._resuming = None
            # Whoever waited for the slot may have been cancelled meanwhile.
            self._rest_later()

    def _may_rest(self) -> bool:
        return (
            bool(self._open)
            and self._working == 0
            and self._returning == 0
            and not self._closed
            and not self._place.is_resting
        )

    def _rest_later(self) -> None:
        """Rest after a few turns of the loop, unless something changes again."""
        self._turns = 0
        if not self._checking and self._may_rest():
            self._checking = True
            asyncio.get_running_loop().call_soon(self._check_rest)

    def _check_rest(self) -> None:
        if not self._may_rest():
            self._checking = False
            return
        self._turns += 1
        if self._turns < TURNS_BEFORE_REST:
            asyncio.get_running_loop().call_soon(self._check_rest)
            return
        self._checking = False
        self._place.rest()

    async def _refuse_if_closed(self) -> None:
        if self._closed:
            refusal = self._refusal()
            await asyncio.sleep(min((self._refusals - 1) * REFUSAL_PAUSE_MS, REFUSAL_PAUSE_MAX_MS) / 1_000)
            raise refusal

    def _refusal(self) -> BaseException:
        self._refusals += 1
        return RunEndedError() if self._refusals > REFUSALS_MAX else asyncio.CancelledError("the run ends here")
