"""What a worker knows about one run beside its registration."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lash_core.model.record import ProcessRecord
from lash_core.model.scope import SessionScope
from lash_core.runtime.run_lease import RunLease
from lash_core.runtime.run_waits import RunWaits


@dataclass(frozen=True, slots=True)
class ProcessExecutionContext:
    """Facts of one run.

    Attributes:
        wake_target_scope: the session scope whose queue gets the run's wakes, or None.
        run_lease: the lease every write of the run carries; None in a direct run, which then writes unfenced.
        record: the row as read under the lease; None when the process has no row.
        waits: what the run waits with; None in a direct run.
    """

    wake_target_scope: SessionScope | None = None
    run_lease: RunLease | None = None
    record: ProcessRecord | None = None
    waits: RunWaits | None = None

    @classmethod
    def default(cls) -> ProcessExecutionContext:
        """Nothing known."""
        return cls()

    def with_wake_target_scope(self, scope: SessionScope | None) -> ProcessExecutionContext:
        """A copy whose wakes go to ``scope``."""
        return replace(self, wake_target_scope=scope)

    def with_run_lease(self, run_lease: RunLease | None) -> ProcessExecutionContext:
        """A copy that writes under this lease."""
        return replace(self, run_lease=run_lease)

    def with_record(self, record: ProcessRecord | None) -> ProcessExecutionContext:
        """A copy with the row as read under the lease."""
        return replace(self, record=record)

    def with_waits(self, waits: RunWaits | None) -> ProcessExecutionContext:
        """A copy that waits through ``waits``."""
        return replace(self, waits=waits)
