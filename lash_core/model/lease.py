"""Leases and the answers of lease operations (contract 1.10, decisions 3, 9, 16)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lash_core.errors import SettingsError
from lash_core.model.base import Model
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.record import ProcessRecord

LEASE_SCHEMA_VERSION = 2


class ProcessLease(Model):
    """One owner's right to run one process until ``expires_at_epoch_ms`` of the store's clock.

    ``fencing_token`` only rises for one id, for ever; compare it, never expect a value. ``fenced_writes`` is the
    number of fenced writes that the row had accepted when the lease was given (DESIGN 3.3 rule 6).
    """

    schema_version: int = LEASE_SCHEMA_VERSION
    process_id: str
    owner: LeaseOwnerIdentity
    lease_token: str
    fencing_token: int
    claimed_at_epoch_ms: int
    expires_at_epoch_ms: int
    queue: str = "default"
    fenced_writes: int = 0

    def is_live(self, now_ms: int) -> bool:
        """Token not empty and expiry strictly after ``now_ms``."""
        return bool(self.lease_token) and self.expires_at_epoch_ms > now_ms

    def same_acquisition(self, other: ProcessLease) -> bool:
        """Same process, incarnation, token and fence."""
        return (
            self.process_id == other.process_id
            and self.owner.same_incarnation(other.owner)
            and self.lease_token == other.lease_token
            and self.fencing_token == other.fencing_token
        )


class ProcessLeaseCompletion(Model):
    """What a release names: the process and the token."""

    process_id: str = Field(kw_only=False)
    lease_token: str = Field(kw_only=False)

    @classmethod
    def from_lease(cls, lease: ProcessLease) -> ProcessLeaseCompletion:
        """The release of this lease."""
        return cls(process_id=lease.process_id, lease_token=lease.lease_token)


class Acquired(Model):
    """The lease is the caller's."""

    type: Literal["acquired"] = "acquired"
    lease: ProcessLease = Field(kw_only=False)


class Busy(Model):
    """Somebody else holds it."""

    type: Literal["busy"] = "busy"
    holder: ProcessLease = Field(kw_only=False)


ClaimOutcome = Acquired | Busy


class Renewed(Model):
    """The lease lives on. ``cancel_requested`` and ``signalled`` hand back marks set since the last renewal."""

    type: Literal["renewed"] = "renewed"
    lease: ProcessLease
    cancel_requested: bool = False
    signalled: bool = False


class Lost(Model):
    """The lease is gone; ``reason`` is ``expired``, ``taken``, ``released`` or ``unknown``."""

    type: Literal["lost"] = "lost"
    process_id: str
    reason: str


RenewOutcome = Renewed | Lost


class ClaimedProcess(Model):
    """A claimed row: the lease, and the row as read under it.

    ``due_at_ms`` is the time at which its queue had it, ``partition`` where that is, for a row that was taken from its
    queue.
    """

    lease: ProcessLease
    record: ProcessRecord
    due_at_ms: int | None = None
    partition: int = 0


TAKEOVER_BACKOFF_MS = (0, 1_000, 5_000, 15_000, 60_000)
"""Wait before the next claim after the 1st, 2nd, … death in a row without progress; the last one repeats.

The first takeover is immediate because most deaths are a worker's and not the process's fault (DESIGN 4).
"""


def takeover_backoff_ms(deaths: int) -> int:
    """Wait before the next claim of a row with ``deaths`` deaths in a row, in ms."""
    return TAKEOVER_BACKOFF_MS[min(max(deaths, 1), len(TAKEOVER_BACKOFF_MS)) - 1]


class ReleaseReason(Model):
    """Why a run gives its lease back before a terminal event, and when the row may be claimed again.

    ``due_in_ms``: None = at once; -1 = not before something happens (``+inf``). Declines do not count as attempts.
    ``marks_seen``: of a parked run (``RunLook.marks_seen``): what happened after that look makes the row due at once;
    None makes it due when anything happened since the claim.
    """

    kind: Literal["released", "parked", "yielded", "declined"] = Field(default="released", kw_only=False)
    due_in_ms: int | None = Field(default=None, ge=-1, kw_only=False)
    detail: str = ""
    marks_seen: str | None = None


class LeaseTimings:
    """TTL and renewal interval of leases.

    Cannot be built unless ``ttl >= 3 x renew``: two missed renewals must not cost the lease.

    Args:
        ttl_ms: life of a lease after a claim or renewal, 30 000 by default.
        renew_interval_ms: time between renewals, 10 000 by default.

    Raises:
        SettingsError: naming both settings.
    """

    __slots__ = ("renew_interval_ms", "ttl_ms")

    def __init__(self, ttl_ms: int = 30_000, renew_interval_ms: int | None = None) -> None:
        renew = ttl_ms // 3 if renew_interval_ms is None else renew_interval_ms
        if ttl_ms < 300:
            raise SettingsError(
                f"LASH_LEASE_TTL_MS is {ttl_ms}; it must be at least 300", field="lease_ttl_ms", value=ttl_ms, limit=300
            )
        if renew < 1 or ttl_ms < 3 * renew:
            raise SettingsError(
                f"LASH_LEASE_TTL_MS is {ttl_ms} and LASH_RENEW_INTERVAL_MS is {renew}; the TTL must be at least 3 "
                f"times "
                "the renewal interval",
                field="renew_interval_ms",
                value=renew,
                limit=ttl_ms // 3,
            )
        self.ttl_ms = ttl_ms
        self.renew_interval_ms = renew

    @classmethod
    def from_ttl(cls, ttl_ms: int) -> LeaseTimings:
        """A renewal interval of a third of the TTL.

        Raises:
            SettingsError: the TTL is too short.
        """
        return cls(ttl_ms)

    def __repr__(self) -> str:
        return f"LeaseTimings(ttl_ms={self.ttl_ms}, renew_interval_ms={self.renew_interval_ms})"
