"""Session execution leases: one writer a session (``docs/contracts/sessions.md`` 1.9, 2.3; decisions 2, 9)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lash_core.errors import SettingsError
from lash_core.model.base import Model
from lash_core.model.owner import LeaseOwnerIdentity

SESSION_LEASE_TTL_MS = 30_000
SESSION_LEASE_RENEW_MS = 10_000


class SessionExecutionLeaseFence(Model):
    """What a write or a renewal names: the acquisition, without its times."""

    session_id: str
    owner: LeaseOwnerIdentity
    lease_token: str
    fencing_token: int

    def same_acquisition(self, other: SessionExecutionLeaseFence) -> bool:
        """Same session, incarnation, token and fencing number."""
        return (
            self.session_id == other.session_id
            and self.owner.same_incarnation(other.owner)
            and self.lease_token == other.lease_token
            and self.fencing_token == other.fencing_token
        )


SessionExecutionLeaseCompletion = SessionExecutionLeaseFence
"""What a release names: the same record."""


class SessionExecutionLease(SessionExecutionLeaseFence):
    """One owner's right to write one session until ``expires_at_ms`` of the store's clock.

    ``fencing_token`` is the lease's generation: it only rises, over deletion of the session too (decision 9).
    """

    claimed_at_ms: int
    expires_at_ms: int

    @property
    def fence(self) -> SessionExecutionLeaseFence:
        """The acquisition without its times."""
        return SessionExecutionLeaseFence(
            session_id=self.session_id,
            owner=self.owner,
            lease_token=self.lease_token,
            fencing_token=self.fencing_token,
        )

    @property
    def completion(self) -> SessionExecutionLeaseCompletion:
        """What releases it."""
        return self.fence


class SessionLeaseAcquired(Model):
    """The session is the caller's. ``reentrant``: the same incarnation held it already."""

    type: Literal["acquired"] = "acquired"
    lease: SessionExecutionLease = Field(kw_only=False)
    reentrant: bool = False


class SessionLeaseBusy(Model):
    """Somebody else writes the session."""

    type: Literal["busy"] = "busy"
    holder: SessionExecutionLease = Field(kw_only=False)


SessionLeaseOutcome = SessionLeaseAcquired | SessionLeaseBusy


class SessionLeaseTimings(Model):
    """How long a lease lives and how often it is renewed, in ms. Three renewals fit in one life.

    Raises:
        SettingsError: a time below 1 ms, or ``ttl_ms`` under three times ``renew_interval_ms``.
    """

    ttl_ms: int = SESSION_LEASE_TTL_MS
    renew_interval_ms: int = SESSION_LEASE_RENEW_MS

    def model_post_init(self, context: object, /) -> None:
        """Check the invariant."""
        if self.ttl_ms < 1 or self.renew_interval_ms < 1 or self.ttl_ms < 3 * self.renew_interval_ms:
            raise SettingsError(
                f"session lease timings: ttl {self.ttl_ms} ms must be at least three times the renew interval "
                f"{self.renew_interval_ms} ms, and both at least 1 ms",
                field="ttl_ms",
                value=self.ttl_ms,
                limit=3 * self.renew_interval_ms,
            )

    @classmethod
    def from_ttl(cls, ttl_ms: int) -> SessionLeaseTimings:
        """Renewed every third of its life."""
        return cls(ttl_ms=ttl_ms, renew_interval_ms=ttl_ms // 3)
