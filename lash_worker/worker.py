"""The durable process worker (contract section 3): runs processes, and drives those that are pending."""

from __future__ import annotations

import logging
import secrets

from lash_core.errors import LashError, RuntimeFailure, WorkerBoundaryError
from lash_core.model.await_output import (
    AbandonEvidence,
    AbandonWriter,
    AnyAwaitOutput,
    ProcessAwaitOutput,
)
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import EffectKind
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.lease import Acquired, ProcessLeaseCompletion
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ExternalInput
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.direct_effects import direct_effects
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.process.runner import ProcessRunner
from lash_core.runtime.trigger_router import TriggerRouter
from lash_core.store.effect_host import EffectSource, JournalingEffectHost, ScopedEffects
from lash_worker.boundary import NO_STATIC_SCOPE, check_before_run, check_process_id, check_runnable, refused
from lash_worker.counted_effects import CountedEffects
from lash_worker.driver import ProcessWorkDriver
from lash_worker.recovery import KnownWork
from lash_worker.services.process_run import ProcessRun
from lash_worker.services.worker_context import WorkerContext
from lash_worker.trigger_router import make_trigger_router
from lash_worker.worker_config import DurableProcessWorkerConfig

PAGE_ROWS = 200

_log = logging.getLogger(__name__)


class DurableProcessWorker:
    """Runs processes of one configuration.

    A direct ``run_process`` writes nothing and needs no driver. ``drive_pending_processes`` and the fleet's loops share
    one driver: one table of held ids, one number of slots. Close a worker whose driver was used.
    """

    def __init__(self, config: DurableProcessWorkerConfig) -> None:
        self._config = config
        self._runner = ProcessRunner(config)
        self._driver: ProcessWorkDriver | None = None
        self._driver_started = False
        self._facets_hold = False
        host = config.runtime_host.control.effect_host
        self._router = make_trigger_router(config)
        self._journaling_host = host if isinstance(host, JournalingEffectHost) else None

    @classmethod
    def new(cls, config: DurableProcessWorkerConfig) -> DurableProcessWorker:
        """A worker of this configuration."""
        return cls(config)

    @classmethod
    def from_shared_config(cls, config: DurableProcessWorkerConfig) -> DurableProcessWorker:
        """A worker that shares a configuration with others; configurations are immutable."""
        return cls(config)

    @property
    def config(self) -> DurableProcessWorkerConfig:
        """The configuration."""
        return self._config

    @property
    def driver(self) -> ProcessWorkDriver:
        """Claims and runs pending work for this worker; made when first asked for."""
        if self._driver is None:
            config = self._config
            engines = config.plugin_host.process_engines
            self._driver = ProcessWorkDriver(
                WorkerContext(
                    registry=config.process_registry,
                    identity=config.identity,
                    settings=config.settings,
                    timings=config.settings.timings,
                    metrics=config.metrics,
                    known=KnownWork(
                        kinds={kind: config.versions.get(kind) for kind in engines.kinds},
                        tools=config.plugin_host.tool_names(),
                        host_profile_id=config.runtime_host.profile.host_profile_id,
                        isolated_kinds=config.isolated_kinds,
                        isolated_max=config.isolated_max,
                        providers=config.runtime_host.providers.ids,
                    ),
                    process_table=config.process_table,
                ),
                self,
                config.open_registry,
            )
        return self._driver

    @property
    def trigger_router(self) -> TriggerRouter | None:
        """Emits occurrences and starts what they reserve; None for a configuration without triggers."""
        return self._router

    # -- running one process ------------------------------------------------------------------------------

    async def run_process(
        self,
        registration: ProcessRegistration,
        execution_context: ProcessExecutionContext | None = None,
        cancellation: CancellationToken | None = None,
    ) -> AnyAwaitOutput:
        """Run a process to its outcome, which is answered and not written.

        Every check precedes any side effect; the first failure wins (contract 3.2): id, static scope, then as
        ``run_process_with_scoped_effect_controller``.

        Raises:
            WorkerBoundaryError: a check failed. PluginSessionError: the run's session or environment cannot be used.
        """
        check_process_id(registration)
        context = execution_context or ProcessExecutionContext.default()
        scoped = self._scoped_static(registration)
        if self._journaling_host is not None:
            scoped = direct_effects(self._journaling_host, registration.id, context)
        return await self.run_process_with_scoped_effect_controller(
            registration,
            context,
            scoped,
            cancellation or CancellationToken(),
        )

    async def run_process_with_scoped_effect_controller(
        self,
        registration: ProcessRegistration,
        execution_context: ProcessExecutionContext,
        scoped_effect_controller: ScopedEffects,
        cancellation: CancellationToken,
    ) -> AnyAwaitOutput:
        """``run_process`` under a controller that the caller scoped already.

        Checked in this order: id; host profile; durable facets; external input is answered with its metadata; owner;
        session scope where no environment was captured.

        Raises:
            WorkerBoundaryError: a check failed. PluginSessionError: the run's session or environment cannot be used.
        """
        check_process_id(registration)
        check_before_run(registration, self._config)
        return await self._run_checked(registration, execution_context, scoped_effect_controller, cancellation)

    async def _run_checked(
        self,
        registration: ProcessRegistration,
        execution_context: ProcessExecutionContext,
        effects: ScopedEffects,
        cancellation: CancellationToken,
    ) -> AnyAwaitOutput:
        if isinstance(registration.input, ExternalInput):
            return ProcessAwaitOutput.success({"metadata": registration.input.metadata})
        check_runnable(registration)
        return await self._runner.run_process(registration, execution_context, effects, cancellation)

    def _scoped_static(self, registration: ProcessRegistration) -> ScopedEffects:
        scope = ExecutionScope.process(registration.id)
        try:
            scoped = self._config.runtime_host.control.effect_host.scoped_static(scope)
        except RuntimeFailure as failure:
            raise refused(failure, registration) from failure
        if scoped is None:
            raise WorkerBoundaryError(NO_STATIC_SCOPE, process_id=registration.id)
        return scoped

    async def run_held_process(self, run: ProcessRun) -> AnyAwaitOutput:
        """Run a row under the lease that the fleet holds on it; called by the executor.

        Raises:
            WorkerBoundaryError, PluginSessionError: permanent. Store errors and lost leases: for the executor.
        """
        registration = run.record.to_registration()
        check_process_id(registration)
        effects = self._scoped_run(run, registration)
        context = ProcessExecutionContext(
            wake_target_scope=run.record.wake_target, run_lease=run.held, record=run.record, waits=run.waits
        )
        # The parts of a worker do not change: found in order once, they need not be looked at for each of its runs.
        check_before_run(registration, self._config, facets=not self._facets_hold)
        self._facets_hold = True
        return await self._run_checked(registration, context, effects, run.cancellation)

    def _scoped_run(self, run: ProcessRun, registration: ProcessRegistration) -> ScopedEffects:
        host = self._journaling_host
        if host is None:
            return CountedEffects(self._scoped_static(registration), self._config.metrics.effects)
        run.effects = effects = host.scoped_run(run)
        effects.on_effect = self._count_effect
        # Without a journal a replay would begin every wait anew; started owner-bound work is never replayed.
        run.may_park = registration.disposition is RecoveryDisposition.RERUNNABLE
        return effects

    def _count_effect(self, kind: EffectKind, source: EffectSource) -> None:
        self._config.metrics.effects.labels(kind.value, source).inc()

    # -- the rows --------------------------------------------------------------------------------------------

    async def drive_pending_processes(self) -> int:
        """List, claim and start what is pending, as many as slots are free; returns how many were started.

        First the deliveries of triggers that were reserved and not started become processes. Idempotent: rows that are
        held or ended are skipped. Returns when the runs are started, not when they end. A row that cannot be run does
        not stop the others, nor does a delivery; only a registry that cannot be asked fails the call.

        Raises:
            LashError: the store.
        """
        if not self._driver_started:
            await self.driver.start()
            self._driver_started = True
        await self._reconcile_deliveries()
        return await self.driver.claim_and_run_pending("drive_pending_processes")

    async def _reconcile_deliveries(self) -> None:
        if self._router is None:
            return
        try:
            await self._router.recover()
        except (LashError, OSError) as error:
            _log.warning("deliveries of triggers could not be looked at: %s", error)

    async def request_process_cancel(self, process_id: str, reason: str | None = None) -> None:
        """Append the cancel event; idempotent per reason, works on ended rows too.

        Raises:
            UnknownProcessError.
        """
        await self._config.process_registry.append_event(
            process_id, ProcessEventAppendRequest.cancel_requested(process_id, reason)
        )

    async def drain_owner_bound_work(self) -> tuple[str, ...]:
        """Abandon started owner-bound work of this worker that nobody holds; returns the ids done, sorted.

        The host first stops admission and ends its runs. Rows of others, unstarted, rerunnable and externally owned
        ones are untouched. An id is returned only when its outcome was written (hazard 8).

        Raises:
            LashError: the listing failed.
        """
        drained: list[str] = []
        cursor: str | None = None
        while True:
            page = await self._config.process_registry.list_processes_page(ProcessFilter(), cursor, PAGE_ROWS)
            for record in page.items:
                if self._started_here(record) and await self._abandon(record.id):
                    drained.append(record.id)
            cursor = page.next_cursor
            if cursor is None:
                return tuple(sorted(drained))

    def _started_here(self, record: ProcessRecord) -> bool:
        started = record.first_started
        return (
            record.disposition is RecoveryDisposition.OWNER_BOUND
            and started is not None
            and started.owner == self._config.identity
        )

    async def _abandon(self, process_id: str) -> bool:
        config = self._config
        incarnation = f"{config.identity.incarnation_id}:drain-{secrets.token_hex(8)}"
        try:
            outcome = await config.process_registry.claim_process_lease(
                process_id, config.identity.with_incarnation(incarnation), config.settings.lease_ttl_ms
            )
            if not isinstance(outcome, Acquired):
                return False
            record = await config.process_registry.get_process(process_id)
            if record is None or record.is_terminal or not self._started_here(record):
                await config.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(outcome.lease))
                return False
            evidence = AbandonEvidence(
                writer=AbandonWriter.OWNER_DRAIN,
                owner=config.identity,
                epoch_ms=outcome.lease.claimed_at_epoch_ms,
            )
            await config.process_registry.complete_process_with_lease(
                outcome.lease, ProcessAwaitOutput.abandoned(evidence)
            )
        except (LashError, OSError) as error:
            _log.warning("process %s could not be drained: %s", process_id, error, extra={"process_id": process_id})
            return False
        return True

    async def close(self) -> None:
        """Hand over what runs, stop the driver, close plugins and providers. May be called twice."""
        if self._driver is not None:
            await self._driver.stop()
        self._config.plugin_host.close()
        if self._config.runtime_host.background_task_host is not None:
            await self._config.runtime_host.background_task_host.close()
        await self._config.runtime_host.providers.close()
