"""What people and interfaces ask of processes beside single rows: a session's, the newest of a fleet, tails of logs.

``docs/contracts/observation.md`` 7. Reads only, bounded each; an observer of the store may ask all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessHandleGrant
from lash_core.model.process_filter import FilterStatus
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ChangeCursor, ProcessChanges

PAGE_MAX: Final = 200
"""Processes of one answer: more than a screen has lines."""

TAIL_MAX: Final = 100
"""Events of one tail: whoever wants the log reads the log."""

SESSION_PROCESSES_MAX: Final = 20_000
"""Processes of a session that are looked at for the newest ones: two short reads each."""

NEWEST_LOOKED_AT_MAX: Final = 5_000
"""Changes that are looked at for the newest of one status: one short read each."""


@dataclass(frozen=True, slots=True)
class SessionProcess:
    """A process as a session has to do with it: ``grants`` of its scopes, and whether it ``wakes`` the session."""

    record: ProcessRecord
    grants: tuple[ProcessHandleGrant, ...]
    wakes: bool


@dataclass(frozen=True, slots=True)
class SessionProcessPage:
    """The newest processes of a session; ``total`` is how many it has, of those that were asked for."""

    processes: tuple[SessionProcess, ...]
    total: int


@runtime_checkable
class ProcessObservation(Protocol):
    """Reads for views. Both registries have them."""

    async def processes_of_session(
        self, session_id: str, *, live_only: bool = False, limit: int = 50
    ) -> SessionProcessPage:
        """Processes that a scope of the session has a handle on, or that wake it; newest first.

        Newest: by creation, then by id, descending. At most ``PAGE_MAX``, from at most ``SESSION_PROCESSES_MAX``.

        Raises:
            CorruptRecordError, NewerRecordError.
        """
        ...

    async def newest_changes(
        self, limit: int, *, status: FilterStatus = "any", after: ChangeCursor | None = None
    ) -> ProcessChanges:
        """The rows that changed last, newest change first, and the end of the feed as it was before they were read.

        Whoever shows them and goes on from the cursor with ``processes_changed_since`` misses no change. Of one status:
        among the ``NEWEST_LOOKED_AT_MAX`` newest changes. At most ``PAGE_MAX``.

        Args:
            limit: how many; 0 asks for the cursor alone.
            status: rows of this status only.
            after: rows that changed behind this position only.

        Raises:
            InvalidCursorError, CorruptRecordError, NewerRecordError.
        """
        ...

    async def recent_events_of(self, process_ids: Sequence[str], limit: int) -> tuple[tuple[ProcessEvent, ...], ...]:
        """The last events of each process, ascending; none for one that is gone. At most ``TAIL_MAX`` each.

        Raises:
            CorruptRecordError.
        """
        ...
