"""How the fleet finds sessions with queued work (docs/adr/0162)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import SessionExecutionLease

CLAIM_SESSIONS_MAX = 64


@dataclass(frozen=True, slots=True)
class ReadySession:
    """A session with ready work, and its lease.

    Attributes:
        lease: under a fresh incarnation, ``<owner's incarnation>:<nonce>``.
        deaths: of owners in a row that ended without a write while a turn was open (poison, DESIGN 4).
    """

    lease: SessionExecutionLease
    deaths: int = 0


@runtime_checkable
class ReadySessions(Protocol):
    """Claims of sessions that have ready queued work and that nobody writes."""

    async def claim_ready_sessions(
        self,
        owner: LeaseOwnerIdentity,
        limit: int,
        lease_ttl_ms: int,
        partitions: Sequence[int] | None = None,
    ) -> tuple[ReadySession, ...]:
        """Claim up to ``limit`` sessions whose queue has a row that is due: one lease each. One script a partition.

        Sessions of which a lease is live come up again when it is over. Nobody's queue rows are claimed by this.
        """
        ...

    async def defer_session(self, lease: SessionExecutionLease, delay_ms: int) -> None:
        """Release a session whose work this worker cannot do (no such provider): it is due again after the delay."""
        ...
