"""The looks of one run at the store: one look serves all its waits (docs/adr/0110).

A look is wanted when a wait opens, when somebody says that something happened (``ask``), and now and then by itself,
because a notice may be lost. Looks never overlap: what is wanted while one is under way is served by the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from lash_core.errors import LashError, LimitExceededError, UnknownProcessError
from lash_core.model.await_event import AwaitEventKey
from lash_core.model.event import ProcessEvent
from lash_core.model.record import ProcessRecord
from lash_core.runtime.open_wait import OpenWait, Timers
from lash_core.runtime.run_lease import RunLease
from lash_core.store.process_run_waits import ProcessRunWaits, RunLook

POLL_FIRST_MS = 250.0
POLL_MAX_MS = 5_000.0
"""Looks without a notice: doubled from the first to the longest. The net below lost notices, so seldom needed."""
CHILD_PAUSE_MS = 0.2
CHILD_PAUSE_MAX_MS = 250.0
"""Between two reads of all children: this long a child. A parent of 1,000 children that end one by one reads them five
times a second and not once an end, and a parent of five still hears within a millisecond."""
CHILDREN_BATCH_MAX = 200
"""Rows of one read: a server answers it within a millisecond or two."""

_log = logging.getLogger(__name__)


class RunWaitStore(ProcessRunWaits, Protocol):
    """What a waiting run asks of a registry."""

    async def get_processes(self, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """Rows by id, in order, None for an absent one."""
        ...


class RunLooks:
    """Looks for one run, and what they found.

    Args:
        process_id: the run's process.
        lease: its lease.
        registry: where to look.
        last_sequence: of the row as claimed: where a look starts as long as nobody asked for the log.
        timers: for the pauses between looks.
    """

    __slots__ = (
        "_again",
        "_answered",
        "_asked",
        "_children_at_ms",
        "_last_sequence",
        "_lease",
        "_log",
        "_log_is_read",
        "_log_is_wanted",
        "_lookers",
        "_process_id",
        "_registry",
        "_task",
        "_timers",
        "_watched",
        "marks_seen",
        "waits",
    )

    def __init__(
        self, process_id: str, lease: RunLease, registry: RunWaitStore, last_sequence: int, timers: Timers
    ) -> None:
        self._process_id = process_id
        self._lease = lease
        self._registry = registry
        self._last_sequence = last_sequence
        self._timers = timers
        self._log: dict[str, list[ProcessEvent]] = {}
        self._log_is_wanted = False
        self._log_is_read = False
        self._watched: set[str] = set()
        self._children_at_ms = 0.0
        self._asked = 0
        self._answered = 0
        self._again: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._lookers: list[asyncio.Future[None]] = []
        self.marks_seen: str | None = None
        self.waits: dict[OpenWait, None] = {}
        """The open waits that looks may end, in the order of opening."""

    @property
    def is_current(self) -> bool:
        """True when the last look came after everything that asked for one."""
        return self._answered == self._asked

    def add(self, wait: OpenWait) -> None:
        """Look for what ends this wait from now on."""
        self.waits[wait] = None
        if wait.kind == "signal":
            self._log_is_wanted = True
        self.ask()

    def ask(self) -> None:
        """Something may have happened. Looks at once when a wait could end by it, else with the next wait."""
        self._asked += 1
        if self.waits or self._lookers:
            self._start()

    async def look(self) -> None:
        """Look now, or with the look that is wanted anyway. Raises: LashError, OSError: the look failed."""
        looked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lookers.append(looked)
        self.ask()
        await looked

    async def events(self, event_type: str) -> tuple[ProcessEvent, ...]:
        """The events of a type that are known now; reads the log when that was not done yet. Raises as ``look``."""
        self._log_is_wanted = True
        if not self._log_is_read:
            await self.look()
        return tuple(self._log.get(event_type, ()))

    def known_event(self, event_type: str, ordinal: int) -> ProcessEvent | None:
        """The ``ordinal``-th event of a type, from 1, when a look has seen it."""
        events = self._log.get(event_type, ())
        return events[ordinal - 1] if len(events) >= ordinal else None

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        lookers, self._lookers = self._lookers, []
        for looked in lookers:
            looked.cancel()
        self.waits.clear()

    # -- the loop -----------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._again is not None:
            self._again.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        """Look as long as a wait could end by it."""
        again = self._again = asyncio.Event()
        poll_ms = POLL_FIRST_MS
        while self.waits or self._lookers:
            again.clear()
            lookers, self._lookers = self._lookers, []
            pause_ms = poll_ms
            try:
                deferred_ms = await self._look()
            except (LashError, OSError) as error:
                _log.info("process %s: a look at its row failed: %s", self._process_id, error)
                _answer(lookers, error)
            except Exception as error:  # noqa: BLE001 - whatever a registry raises
                # Waits would hang for ever in a loop that died; the next look may do better.
                _log.exception("process %s: a look at its row failed", self._process_id)
                _answer(lookers, error)
            else:
                _answer(lookers, None)
                pause_ms = min(poll_ms, deferred_ms) if deferred_ms else poll_ms
            poll_ms = min(poll_ms * 2, POLL_MAX_MS)
            if (self.waits or self._lookers) and await self._pause(again, pause_ms):
                poll_ms = POLL_FIRST_MS
        self._again = self._task = None

    async def _pause(self, again: asyncio.Event, pause_ms: float) -> bool:
        """Wait until a look is wanted (True) or the time is over."""
        if again.is_set():
            return True
        over = False

        def ring() -> None:
            nonlocal over
            over = True
            again.set()

        timer = self._timers.call_later(pause_ms, ring)
        try:
            await again.wait()
        finally:
            timer.cancel()
        return not over

    async def _look(self) -> float | None:
        """Look once; returns how long the children's turn was put off, in ms, or None."""
        asked = self._asked
        expired = [wait for wait in self.waits if wait.expired]
        promises: list[AwaitEventKey] = [wait.subject for wait in self.waits if wait.kind == "promise"]
        wants_log = self._log_is_wanted
        # Marks first, everything else afterwards: whatever comes later shows as a mark that was not seen.
        look = await self._registry.look_at_run(self._lease.require(), self._from_sequence(), promises)
        if wants_log:
            self._read_log(look)
        self._end_waits(look)
        put_off_ms = await self._look_at_children()
        for wait in expired:
            self._end(wait)
        if put_off_ms is None:
            self.marks_seen = look.marks_seen
            self._answered = asked
        return put_off_ms

    def _from_sequence(self) -> int:
        if self._log_is_wanted and not self._log_is_read:
            return 0
        return self._last_sequence

    def _read_log(self, look: RunLook) -> None:
        self._log_is_read = True
        for event in look.events:
            self._log.setdefault(event.event_type, []).append(event)
        if look.events:
            self._last_sequence = look.events[-1].sequence

    def _end_waits(self, look: RunLook) -> None:
        for wait in list(self.waits):
            if wait.kind == "signal":
                event = self.known_event(*wait.subject)
                if event is not None:
                    self._end(wait, event)
            elif wait.kind == "promise":
                resolution = look.resolutions.get(wait.subject.key_id)
                if resolution is not None:
                    self._end(wait, resolution)

    async def _look_at_children(self) -> float | None:
        names = dict.fromkeys(wait.subject for wait in self.waits if wait.kind == "child")
        if not names:
            return None
        new = [name for name in names if name not in self._watched]
        for at in range(0, len(new), CHILDREN_BATCH_MAX):
            batch = new[at : at + CHILDREN_BATCH_MAX]
            try:
                rows = await self._registry.watch_processes(self._process_id, batch)
            except LimitExceededError as error:
                # Too many wait for one of them: that wait fails, the others are asked for again.
                self._fail_child(error.process_id or batch[0], error)
                return CHILD_PAUSE_MS
            self._end_children(batch, rows)
            self._watched.update(batch)
        old = [name for name in names if name not in set(new)]
        if not old:
            return None
        now = self._timers.now_ms()
        if now < self._children_at_ms:
            return self._children_at_ms - now
        for at in range(0, len(old), CHILDREN_BATCH_MAX):
            batch = old[at : at + CHILDREN_BATCH_MAX]
            self._end_children(batch, await self._registry.get_processes(batch))
        self._children_at_ms = self._timers.now_ms() + min(len(old) * CHILD_PAUSE_MS, CHILD_PAUSE_MAX_MS)
        return None

    def _end_children(self, names: Sequence[str], records: Sequence[ProcessRecord | None]) -> None:
        rows = dict(zip(names, records, strict=True))
        for wait in [wait for wait in self.waits if wait.kind == "child" and wait.subject in rows]:
            record = rows[wait.subject]
            if record is None:
                self._end(wait, error=UnknownProcessError(wait.subject))
            elif record.is_terminal:
                self._end(wait, record)

    def _fail_child(self, name: str, error: Exception) -> None:
        for wait in [wait for wait in self.waits if wait.kind == "child" and wait.subject == name]:
            self._end(wait, error=error)

    def _end(self, wait: OpenWait, value: Any = None, error: Exception | None = None) -> None:
        self.waits.pop(wait, None)
        wait.end(value, error)


def _answer(lookers: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for looked in lookers:
        if looked.done():
            continue
        if error is None:
            looked.set_result(None)
        else:
            looked.set_exception(error)
