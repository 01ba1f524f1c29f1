"""What code of a run waits with, and what its worker hears of it (docs/adr/0091).

A run *works* while a step runs and *rests* while all it does is wait. ``RunWaits`` is the door between the two sides:
contexts and effects wait through it; the worker frees the slot of a resting run, wakes it, and may park it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from lash_core.model.await_event import AwaitEventKey, Resolution
from lash_core.model.event import ProcessEvent
from lash_core.model.record import ProcessRecord


@dataclass(frozen=True, slots=True)
class ParkPoint:
    """Where a resting run may leave memory.

    Attributes:
        due_in_ms: until the earliest due time of its waits; None when only an event ends them.
        marks_seen: for the release (``RunLook.marks_seen``); None when the run has not looked yet.
        waits_for: what the run waits for, for people; in the park's audit entry and in ``why``.
    """

    due_in_ms: int | None
    marks_seen: str | None
    waits_for: str = field(default="", compare=False)


class RunWaits(Protocol):
    """The waits of one run. All methods belong to the run's event loop.

    Every wait raises ``asyncio.CancelledError`` when the run is to end or to leave memory, and comes back only when the
    run has a slot again.
    """

    def working(self) -> AbstractContextManager[None]:
        """Around a step or other effect that runs: the run keeps its slot and cannot be parked."""
        ...

    async def sleep(self, duration_ms: int) -> None:
        """Wait; the slot is free meanwhile."""
        ...

    async def signal(self, event_type: str, ordinal: int, timeout_ms: int | None = None) -> ProcessEvent | None:
        """The ``ordinal``-th event of a type in the run's own log, from 1; None when the time is over."""
        ...

    async def promise(self, key: AwaitEventKey, timeout_ms: int | None = None) -> Resolution | None:
        """The resolution of a promise of this process; None when the time is over."""
        ...

    async def ended(self, process_id: str) -> ProcessRecord:
        """The row of another process once it is terminal. Raises: UnknownProcessError."""
        ...

    async def logged(self, event_type: str) -> tuple[ProcessEvent, ...]:
        """The events of a type in the run's own log that are known now; reads the log when it was not read yet."""
        ...
