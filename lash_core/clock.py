"""Clocks: wall time of a store, and a worker's own time that counts suspend.

A worker's deadlines never compare the wall clocks of two machines (DESIGN 3.3 rule 3,
``docs/contracts/processes.md`` 3.5).
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall clock of an in-memory store, in ms and µs since the epoch."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1_000

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


class VirtualClock:
    """A clock that a test moves. It starts at the machine's time so that stored times look real."""

    def __init__(self, start_us: int | None = None) -> None:
        self._offset_us = 0
        self._start_us = start_us

    def now_us(self) -> int:
        """Microseconds since the epoch, moved by what ``advance_ms`` was told."""
        base = time.time_ns() // 1_000 if self._start_us is None else self._start_us
        return base + self._offset_us

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.now_us() // 1_000

    def advance_ms(self, ms: int) -> None:
        """Move the clock forward by ``ms``, at least 0."""
        if ms < 0:
            raise ValueError(f"advance_ms: {ms} is negative; a clock only goes forward")
        self._offset_us += ms * 1_000


_OWN_CLOCK_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def own_time_ms() -> float:
    """Milliseconds on the machine's own clock that counts suspend (Linux.

    CLOCK_BOOTTIME). Only differences mean anything.
    """
    return time.clock_gettime_ns(_OWN_CLOCK_ID) / 1_000_000
