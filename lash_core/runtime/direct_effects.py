"""Effects of a process that is run directly, without a worker that holds it (decision 27)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease
from lash_core.runtime.inline_effects import InlineEffectController, ScopedEffectController
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.run_lease import RunLease
from lash_core.runtime.run_waits import RunWaits
from lash_core.store.effect_host import JournalingEffectHost, ScopedEffects


def direct_effects(
    host: JournalingEffectHost, process_id: str, execution_context: ProcessExecutionContext
) -> ScopedEffects:
    """The effects of a direct run: without a lease they run here and nothing is written, with one they are journaled.

    Raises:
        RuntimeFailure: ``missing_execution_scope_id``.
    """
    scope = ExecutionScope.process(process_id).validated()
    lease = execution_context.run_lease
    if lease is None:
        return ScopedEffectController(scope, InlineEffectController(), host.await_events)
    return host.scoped_run(LeasedRun(process_id, lease, execution_context.waits))


class LeasedRun:
    """``EffectRun`` of somebody who holds a lease and keeps it alive himself."""

    def __init__(self, process_id: str, lease: RunLease, waits: RunWaits | None = None) -> None:
        self._process_id = process_id
        self._lease = lease
        self._waits = waits

    @property
    def process_id(self) -> str:
        """The process that runs."""
        return self._process_id

    @property
    def is_fresh(self) -> bool:
        """False: nothing is known of what was written before."""
        return False

    def require(self) -> ProcessLease:
        """The lease. Raises: LeaseLostError."""
        return self._lease.require()

    async def ready_for_effects(self) -> None:
        """Whoever holds the lease watches its renewals. Raises: LeaseLostError."""
        self._lease.require()

    def working(self) -> AbstractContextManager[None]:
        """Around an effect and its records, where the run has waits."""
        return nullcontext() if self._waits is None else self._waits.working()

    def unrecorded_start(self) -> ProcessStarted | None:
        """None: the start fact is the lease holder's to write."""
        return None
