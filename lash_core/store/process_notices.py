"""Notices: hints that make the fleet prompt. Losing one costs latency, never safety (DESIGN 1, 3.3 rule 10)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from lash_core.model.owner import LeaseOwnerIdentity

NoticeKind = Literal["ready", "due", "cancel", "signal", "wake", "done", "queued", "queued_due", "resync"]


@dataclass(frozen=True, slots=True)
class ProcessNotice:
    """One hint.

    ``due``: a row of the partition becomes due at ``due_at_ms``, before every other. ``queued``: the session
    ``session_id`` has work that is due and nobody has its lease; ``queued_due``: it will, at ``due_at_ms``. ``resync``:
    something may have been missed (first read, reconnect); read state instead.
    """

    kind: NoticeKind
    process_id: str = ""
    partition: int = -1
    due_at_ms: int = 0
    session_id: str = ""


class ProcessNotices(Protocol):
    """A worker's ear: ready notices of some partitions, cancels and signals for the leases it holds."""

    def watch_partitions(self, partitions: Collection[int]) -> None:
        """Hear ``ready``, ``due``, ``queued`` and ``queued_due`` from these partitions from now on."""
        ...

    def watch_owner(self, owner: LeaseOwnerIdentity) -> None:
        """Hear ``cancel``, ``signal`` and ``wake`` for leases of this incarnation and its attempts, everywhere."""
        ...

    async def next(self, timeout_ms: int) -> tuple[ProcessNotice, ...]:
        """Notices since the last call, at once or within ``timeout_ms``.

        Empty after it. Survives reconnects by itself.
        """
        ...

    async def close(self) -> None:
        """Give the connections back. May be called twice."""
        ...
