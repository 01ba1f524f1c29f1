"""A lease while this worker holds it: the run's view (``RunLease``) and the keeper's bookkeeping."""

from __future__ import annotations

from collections.abc import Callable

from lash_core.clock import own_time_ms
from lash_core.errors import LeaseLostError
from lash_core.model.lease import ProcessLease, Renewed

DEADLINE = "deadline"
"""Loss reason: the local deadline passed without a renewal."""


class HeldLease:
    """A kept lease. Written by the lease keeper's thread, read by the run; every field is one plain assignment.

    ``lost`` looks at the clock itself, so a run that wakes up after a stop of the whole process sees its loss before
    the keeper's thread had a chance to tell.
    """

    __slots__ = (
        "_lease",
        "_reason",
        "_ttl_ms",
        "deadline_ms",
        "missed",
        "on_lost",
        "on_marks",
        "process_id",
        "renew_at_ms",
        "renewing",
        "sent_at_ms",
    )

    def __init__(
        self,
        lease: ProcessLease,
        ttl_ms: int,
        on_lost: Callable[[str], None],
        on_marks: Callable[[Renewed], None] | None = None,
    ) -> None:
        self.process_id = lease.process_id
        self._lease = lease
        self._ttl_ms = ttl_ms
        self._reason: str | None = None
        self.on_lost = on_lost
        self.on_marks = on_marks
        self.deadline_ms = 0.0
        self.sent_at_ms = 0.0
        self.renew_at_ms = 0.0
        self.renewing = False
        self.missed = 0

    @property
    def lease(self) -> ProcessLease:
        """The lease as last renewed."""
        return self._lease

    @property
    def log_fields(self) -> dict[str, object]:
        """What every log line about this run carries as fields."""
        lease = self._lease
        return {"process_id": self.process_id, "fence": lease.fencing_token, "owner": lease.owner.owner_id}

    @property
    def lost(self) -> bool:
        """True once the lease is lost or its local deadline has passed: write nothing any more."""
        if self._reason is None and own_time_ms() >= self.deadline_ms:
            # For good: what was once told that it may not write must not be contradicted by a late renewal.
            self._reason = DEADLINE
        return self._reason is not None

    @property
    def lost_reason(self) -> str:
        """Why it is lost; empty while it is not."""
        return self._reason or ""

    @property
    def at_risk(self) -> bool:
        """Two renewals were missed: start no new effects."""
        return own_time_ms() > self.sent_at_ms + self._ttl_ms * 2 / 3

    @property
    def margin_ms(self) -> float:
        """Own time left until the local deadline; negative after it."""
        return self.deadline_ms - own_time_ms()

    def require(self) -> ProcessLease:
        """The lease, for a fenced write.

        Raises:
            LeaseLostError: it is lost.
        """
        if self.lost:
            raise LeaseLostError(self.process_id, self.lost_reason)
        return self._lease

    def extend(self, lease: ProcessLease, sent_at_ms: float, margin_ms: float) -> None:
        """Take over a claim's or renewal's answer to a request sent at ``sent_at_ms``. A lost lease stays lost."""
        if self.deadline_ms == 0.0 or not self.lost:
            self._lease = lease
            self.sent_at_ms = sent_at_ms
            self.deadline_ms = sent_at_ms + self._ttl_ms - margin_ms
            self.missed = 0

    def forget(self) -> None:
        """Tell nobody any more."""
        self.on_lost = _nobody
        self.on_marks = None

    def lose(self, reason: str) -> None:
        """Stop believing in it; the first reason stays."""
        if self._reason is None:
            self._reason = reason


def _nobody(_reason: str) -> None:
    """The attempt is over."""
