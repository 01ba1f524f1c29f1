"""What a host asks of a worker beside running: cancel requests, the drain of owner-bound work (contract 3.7, 3.8)."""

from __future__ import annotations

import pytest

from lash_core.errors import StoreUnreachableError, UnknownProcessError
from lash_core.memory_store.registry import MemoryProcessRegistry
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AbandonedOutput, AbandonWriter, AnyAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event_type import CANCEL_REQUESTED
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import Acquired, ProcessLease, ProcessLeaseCompletion
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_worker.worker import DurableProcessWorker
from lash_worker.worker_config import DurableProcessWorkerConfig

OURS = LeaseOwnerIdentity(owner_id="worker", incarnation_id="one")
OTHER = LeaseOwnerIdentity(owner_id="worker", incarnation_id="two")


class FailingRegistry(MemoryProcessRegistry):
    """Cannot write outcomes."""

    async def complete_process_with_lease(
        self, lease: ProcessLease, output: AnyAwaitOutput, *, first_started: ProcessStarted | None = None
    ) -> ProcessRecord:
        raise StoreUnreachableError("the store is away")


def worker_over(registry: MemoryProcessRegistry) -> DurableProcessWorker:
    """A worker of identity ``OURS``."""
    return DurableProcessWorker(
        DurableProcessWorkerConfig(
            PluginHost([]),
            RuntimeHostConfig.in_memory(),
            InMemoryStores().session_store_factory,
            registry,
            identity=OURS,
        )
    )


async def row(
    registry: MemoryProcessRegistry,
    process_id: str,
    disposition: RecoveryDisposition,
    started_by: LeaseOwnerIdentity | None = None,
    *,
    held: bool = False,
) -> None:
    """Register a row; maybe started, maybe still held by somebody."""
    await registry.register_process(
        ProcessRegistration(
            id=process_id, input=ProcessInput.engine("kind"), disposition=disposition, env_ref=EMPTY_ENV_REF
        )
    )
    if started_by is None:
        return
    outcome = await registry.claim_process_lease(process_id, started_by, 60_000)
    assert isinstance(outcome, Acquired)
    started = ProcessStarted(owner=started_by, started_at_ms=1)
    await registry.record_first_started(process_id, started, lease=outcome.lease)
    if not held:
        await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(outcome.lease))


async def test_a_drain_abandons_only_started_owner_bound_work_of_this_worker() -> None:
    """Ours that nobody holds is abandoned with evidence; unstarted, rerunnable, held and others' rows stay."""
    registry = MemoryProcessRegistry()
    bound = RecoveryDisposition.OWNER_BOUND
    await row(registry, "b-ours", bound, OURS)
    await row(registry, "a-ours", bound, OURS)
    await row(registry, "held", bound, OURS, held=True)
    await row(registry, "theirs", bound, OTHER)
    await row(registry, "unstarted", bound)
    await row(registry, "rerunnable", RecoveryDisposition.RERUNNABLE, OURS)

    assert ("a-ours", "b-ours") == await worker_over(registry).drain_owner_bound_work()

    record = await registry.get_process("a-ours")
    assert record is not None
    assert isinstance(record.await_output, AbandonedOutput)
    assert (AbandonWriter.OWNER_DRAIN, OURS) == (
        record.await_output.evidence.writer,
        record.await_output.evidence.owner,
    )
    assert ["held", "rerunnable", "theirs", "unstarted"] == [left.id for left in await registry.list_non_terminal()]


async def test_a_drain_does_not_report_what_it_could_not_write() -> None:
    """An id is reported only when its outcome is in the store (hazard 8)."""
    registry = FailingRegistry()
    await row(registry, "ours", RecoveryDisposition.OWNER_BOUND, OURS)

    assert () == await worker_over(registry).drain_owner_bound_work()


async def test_a_cancel_request_is_one_event_a_reason() -> None:
    """The same reason again changes nothing; another one is a second event; an unknown process is an error."""
    registry = MemoryProcessRegistry()
    await row(registry, "p", RecoveryDisposition.RERUNNABLE, OURS, held=True)
    worker = worker_over(registry)

    await worker.request_process_cancel("p", "enough")
    await worker.request_process_cancel("p", "enough")
    await worker.request_process_cancel("p")

    events = await registry.events_after("p", 0)
    assert [(CANCEL_REQUESTED, {"reason": "enough"}), (CANCEL_REQUESTED, {"reason": None})] == [
        (event.event_type, event.payload) for event in events
    ]
    with pytest.raises(UnknownProcessError):
        await worker.request_process_cancel("nobody")
