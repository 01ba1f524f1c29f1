"""One open wait of a run, and the clock its time runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from itertools import islice
from typing import Any, Literal, Protocol

WAITS_NAMED_MAX = 3
"""Waits that a text names; a parent of a thousand children says how many more there are."""


class TimerHandle(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """Call it no more. May be called at any time."""
        ...


class Timers(Protocol):
    """A clock that never jumps, and callbacks on it. All in the run's loop."""

    def now_ms(self) -> float:
        """Milliseconds; only differences mean anything."""
        ...

    def call_later(self, delay_ms: float, callback: Any, *args: Any) -> TimerHandle:
        """Call ``callback(*args)`` after ``delay_ms``."""
        ...


class LoopTimers:
    """The running loop's monotonic clock."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now_ms(self) -> float:
        """Milliseconds of the loop's clock."""
        return self._loop.time() * 1_000

    def call_later(self, delay_ms: float, callback: Any, *args: Any) -> TimerHandle:
        """Call ``callback(*args)`` after ``delay_ms``."""
        return self._loop.call_later(delay_ms / 1_000, callback, *args)


class OpenWait:
    """One wait that is not over.

    Attributes:
        kind: ``sleep`` ends by its time alone; the others by what a look finds.
        subject: the event type and ordinal, the promise's key, or the child's id.
        ends_at_ms: when its time is over, on the run's timers; None when only an event ends it.
        expired: its time is over and one more look decides, so that an event whose notice was lost still counts.
        on_end: called once, in the moment it ends; the waiting task goes on some turns of the loop later.
    """

    __slots__ = ("ends_at_ms", "expired", "future", "kind", "on_end", "subject", "timer")

    def __init__(self, kind: Literal["sleep", "signal", "promise", "child"], subject: Any = None) -> None:
        self.kind: Literal["sleep", "signal", "promise", "child"] = kind
        self.subject = subject
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.ends_at_ms: float | None = None
        self.expired = False
        self.timer: TimerHandle | None = None
        self.on_end: Callable[[OpenWait], None] | None = None

    def end(self, value: Any = None, error: Exception | None = None) -> None:
        """End it with a value or an error; the first one counts."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.future.done():
            return
        if self.on_end is not None:
            self.on_end(self)
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)

    def __str__(self) -> str:
        match self.kind:
            case "sleep":
                return "a sleep"
            case "signal":
                return f"`{self.subject[0]}` number {self.subject[1]}"
            case "promise":
                return " ".join(("promise", *(f"`{part}`" for part in self.subject.wait.parts)))
            case "child":
                return f"process `{self.subject}`"


def waits_for(waits: Collection[OpenWait]) -> str:
    """What open waits wait for, for people: the first few of them, each once."""
    named = list(dict.fromkeys(str(wait) for wait in islice(waits, WAITS_NAMED_MAX)))
    more = len(waits) - WAITS_NAMED_MAX
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
