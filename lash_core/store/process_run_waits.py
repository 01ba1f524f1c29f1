"""What a waiting run asks of the registry: what happened to its row, and to be told of the end of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lash_core.model.await_event import AwaitEventKey, Resolution
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessStarted, WaitState
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord


@dataclass(frozen=True, slots=True)
class RunLook:
    """What a run finds when it looks at its own row; all of it read at one moment, the marks first.

    Attributes:
        events: after the asked sequence, ascending.
        resolutions: key id → resolution, for the asked promises that have one.
        marks_seen: opaque; a release as ``parked`` that names it finds out whether anything happened since this look.
        server_time_ms: the server's clock.
    """

    events: tuple[ProcessEvent, ...]
    resolutions: Mapping[str, Resolution]
    marks_seen: str
    server_time_ms: int


@runtime_checkable
class ProcessRunWaits(Protocol):
    """Waits of runs. Both registries have these verbs beside those of ``ProcessRegistry``."""

    async def look_at_run(
        self, lease: ProcessLease, after_sequence: int, promises: Sequence[AwaitEventKey] = ()
    ) -> RunLook:
        """Read what may end a wait of this run: one round trip. Reads only; a stale lease may look."""
        ...

    async def begin_signal_wait(
        self, process_id: str, wait: WaitState, *, lease: ProcessLease, first_started: ProcessStarted | None = None
    ) -> WaitState:
        """Set the wait and append ``process.waiting`` under ``process:<pid>:waiting:signal.<name>:<n>``, in one unit.

        When that event is stored already, its ``since_ms`` stays and is answered. Fenced, safe to repeat.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError, TerminalProcessError.
        """
        ...

    async def end_signal_wait(self, process_id: str, wait: WaitState, *, lease: ProcessLease, received: bool) -> None:
        """Clear the wait, if it is still this one; append ``process.resumed`` in the same unit when the signal came.

        The event's key is ``process:<pid>:resumed:signal.<name>:<n>``, its payload ``{"signal", "key", "ordinal"}``.
        Fenced, safe to repeat. Raises: UnknownProcessError, LeaseLostError, StoreBehindError.
        """
        ...

    async def watch_processes(self, watcher_id: str, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """The rows by id, None for an unknown one; ``watcher_id`` is told when one that still runs becomes terminal.

        Told: the watcher's holder hears a ``signal`` notice, or its parked row becomes due. By outbox: a crash between
        the end and the telling loses nothing. Safe to repeat: a watcher is kept once a process.
        """
        ...

    async def retry_process(self, lease: ProcessLease, *, delay_ms: int, drop: Sequence[str], detail: str) -> int:
        """Give the lease back so that the whole process runs again after ``delay_ms``; returns the retries so far.

        In one fenced unit: journal entries named by ``drop`` (replay keys of recorded failures) are deleted, the retry
        is counted on the row (``record.retries``) and noted in the audit. Not an event (decision 23). Safe to repeat.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError, AlreadyTerminalError.
        """
        ...
