"""How the fleet finds sessions with queued work (docs/adr/0162)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import SessionExecutionLease

CLAIM_SESSIONS_MAX = 64
SESSION_LEASES_PAGE = 500
DEATH_WAITS_MS = (0, 1_000, 5_000, 15_000, 60_000)
"""Back-off of a session after its first, second … lease in a row that ended without a release or a write."""


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

    async def live_session_leases(
        self, cursor: str | None = None, limit: int = SESSION_LEASES_PAGE
    ) -> tuple[tuple[SessionExecutionLease, ...], str | None]:
        """A page of the sessions that somebody writes, and the cursor of the next page (None: there is none).

        The order is not specified. For takeover by proof of death: who sees that an owner is dead names its leases to
        ``expire_session_leases``.
        """
        ...

    async def expire_session_leases(self, observed: Sequence[SessionExecutionLease]) -> tuple[bool, ...]:
        """End leases whose owners the caller proved dead, each if it is still the observed one; one answer a lease.

        As if they had expired now: a death is counted when a turn was open, the session is due after its back-off.
        Safe to repeat. During the grace after a failover nothing is ended.
        """
        ...

    def next_session_due_ms(self) -> Mapping[int, int]:
        """Partition → when its next session becomes due (server ms), as last learned from claims: a hint."""
        ...
