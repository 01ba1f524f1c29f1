"""Settings of one worker; the entry point fills them and passes them on."""

from __future__ import annotations

from pydantic import Field

from lash_core.model.base import Model
from lash_core.model.lease import LeaseTimings
from lash_core.model.session_lease import SessionLeaseTimings


class WorkerSettings(Model):
    """What a worker serves and how much of it.

    Attributes:
        queues: queues it claims from, in no order.
        concurrency: runs at once.
        session_concurrency: turns of sessions at once, beside the runs; None = as many as runs.
        lease_ttl_ms: life of a lease after a claim or a renewal.
        renew_interval_ms: time between renewals; None = a third of the TTL.
        metrics_host: address of the metrics server; only this machine unless told otherwise.
        metrics_port: 0 takes a free port, published in the directory.
        drain_seconds: how long a drain waits for running work before it hands the rest over.
        worker_id: stable name; None makes one from host and pid.
        poison_deaths_max: deaths in a row without progress that fail a process; 0 = never.
        park_after_ms: a run that only waits leaves memory after this; 0 = at every wait.
        retention_hours: terminal rows older than this are pruned; None = never.
    """

    queues: tuple[str, ...] = Field(default=("default",), min_length=1)
    concurrency: int = Field(default=64, ge=1, le=10_000)
    session_concurrency: int | None = Field(default=None, ge=1, le=10_000)
    lease_ttl_ms: int = 30_000
    renew_interval_ms: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    drain_seconds: float = Field(default=30.0, ge=0)
    worker_id: str | None = None
    poison_deaths_max: int = Field(default=8, ge=0)
    park_after_ms: int = Field(default=5_000, ge=0)
    retention_hours: float | None = Field(default=None, gt=0)

    @property
    def timings(self) -> LeaseTimings:
        """The checked pair of TTL and renewal interval. Raises: SettingsError."""
        return LeaseTimings(self.lease_ttl_ms, self.renew_interval_ms)

    @property
    def session_timings(self) -> SessionLeaseTimings:
        """The same pair for leases of sessions. Raises: SettingsError."""
        timings = self.timings
        return SessionLeaseTimings(ttl_ms=timings.ttl_ms, renew_interval_ms=timings.renew_interval_ms)
