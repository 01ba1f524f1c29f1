"""Leases are renewed from their own thread, and a run stops before its lease could expire (contract 3.5, hazard 6)."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

from lash_core.clock import own_time_ms
from lash_core.errors import StoreUnreachableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.metrics import WorkerMetrics
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.lease import Acquired, LeaseTimings, Lost, ProcessLease, Renewed, RenewOutcome
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.store.process_registry import ProcessRegistry
from lash_core.testing.waiting import eventually
from lash_worker.services.lease_keeper import LeaseKeeper

OWNER = LeaseOwnerIdentity.opaque("worker", "1")


def lease_of(process_id: str) -> ProcessLease:
    """A lease as a claim gives it."""
    return ProcessLease(
        process_id=process_id,
        owner=OWNER,
        lease_token="t",
        fencing_token=1,
        claimed_at_epoch_ms=1,
        expires_at_epoch_ms=2,
    )


class Renewals:
    """A registry that only renews, as a test tells it."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.sent_at_ms: list[float] = []
        self.error: Exception | None = None
        self.answer: RenewOutcome | None = None

    async def renew_process_leases(self, leases: Sequence[ProcessLease], lease_ttl_ms: int) -> tuple[RenewOutcome, ...]:
        self.batches.append(len(leases))
        self.sent_at_ms.append(own_time_ms())
        if self.error is not None:
            raise self.error
        return tuple(self.answer or Renewed(lease=lease) for lease in leases)


def keeper_over(renewals: Any, ttl_ms: int) -> LeaseKeeper:
    """A keeper over these renewals, in its own thread and loop once it is started."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[ProcessRegistry]:
        yield cast("ProcessRegistry", renewals)

    return LeaseKeeper(cast("ProcessRegistry", renewals), LeaseTimings(ttl_ms), WorkerMetrics(), opened)


@asynccontextmanager
async def started(keeper: LeaseKeeper) -> AsyncGenerator[LeaseKeeper]:
    """The keeper at work."""
    await keeper.start()
    try:
        yield keeper
    finally:
        await keeper.stop()


def keeping(renewals: Any, ttl_ms: int) -> AbstractAsyncContextManager[LeaseKeeper]:
    """A started keeper over these renewals."""
    return started(keeper_over(renewals, ttl_ms))


def count(metrics: WorkerMetrics, name: str, **labels: str) -> float:
    """A sample of the worker's registry."""
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def test_leases_are_renewed_in_batches_of_at_most_200() -> None:
    """Five hundred leases take three calls each interval, no call takes more than 200."""
    renewals = Renewals()
    keeper = keeper_over(renewals, 3_000)
    now = own_time_ms()
    # Held before the thread runs: its first look sees all of them, however slow this machine is.
    kept = [keeper.hold(lease_of(f"p{number}"), now - 1_100, lambda _: None) for number in range(500)]
    async with started(keeper):
        await eventually(lambda: len(renewals.batches) >= 3)

        assert [100, 200, 200] == sorted(renewals.batches[:3])
        await eventually(lambda: all(held.margin_ms > 1_800 for held in kept))


async def test_failing_store_is_no_loss_while_there_is_margin_and_a_loss_before_the_expiry() -> None:
    """One failed renewal costs nothing; at the local deadline the run is told, before the lease could expire."""
    renewals = Renewals()
    renewals.error = StoreUnreachableError("down")
    lost: list[tuple[str, float]] = []
    async with keeping(renewals, 3_000) as keeper:
        sent_at_ms = own_time_ms()
        held = keeper.hold(lease_of("p"), sent_at_ms, lambda reason: lost.append((reason, own_time_ms())))
        await eventually(lambda: len(renewals.batches) >= 2)
        assert not held.lost
        await eventually(lambda: bool(lost))

        reason, at_ms = lost[0]
        assert "deadline" == reason
        assert at_ms < sent_at_ms + 3_000
        assert held.lost
        # Nothing is sent for a lease that is over.
        assert max(renewals.sent_at_ms) < held.deadline_ms


async def test_store_that_comes_back_saves_the_lease() -> None:
    """A transient error while renewing is not a lost lease (hazard 6)."""
    renewals = Renewals()
    renewals.error = StoreUnreachableError("down")
    lost: list[str] = []
    async with keeping(renewals, 1_500) as keeper:
        held = keeper.hold(lease_of("p"), own_time_ms(), lost.append)
        await eventually(lambda: len(renewals.batches) >= 1)
        renewals.error = None
        await eventually(lambda: held.margin_ms > 1_000)

        assert [] == lost
        assert not held.lost


async def test_lease_that_the_store_calls_lost_ends_at_once() -> None:
    """The reason of the store is the reason of the loss."""
    renewals = Renewals()
    renewals.answer = Lost(process_id="p", reason="taken")
    lost: list[str] = []
    async with keeping(renewals, 2_400) as keeper:
        keeper.hold(lease_of("p"), own_time_ms(), lost.append)
        await eventually(lambda: lost == ["taken"])

        assert 0 == keeper.count


async def test_marks_of_a_renewal_are_handed_on() -> None:
    """A cancel whose notice was lost arrives with the next renewal."""
    renewals = Renewals()
    renewals.answer = Renewed(lease=lease_of("p"), cancel_requested=True)
    marks: list[bool] = []
    async with keeping(renewals, 2_400) as keeper:
        keeper.hold(
            lease_of("p"), own_time_ms(), lambda _: None, lambda renewed: marks.append(renewed.cancel_requested)
        )
        await eventually(lambda: bool(marks))

        assert marks[0]


async def test_stopped_process_sees_its_loss_before_anything_is_sent() -> None:
    """After a stop of the whole process the deadline is behind: the lease reads as lost at once, and stays lost."""
    renewals = Renewals()
    keeper = LeaseKeeper(cast("ProcessRegistry", renewals), LeaseTimings(1_000), WorkerMetrics())
    held = keeper.hold(lease_of("p"), own_time_ms() - 5_000, lambda _: None)

    assert held.lost
    held.extend(lease_of("p"), own_time_ms(), 100)
    assert held.lost
    assert "deadline" == held.lost_reason
    assert [] == renewals.batches


async def test_blocked_loop_costs_no_lease() -> None:
    """Code that blocks the main loop for longer than a lease lives keeps its lease."""
    stores = InMemoryStores()
    registry = stores.process_registry
    await registry.register_process(
        ProcessRegistration(
            id="p",
            input=ProcessInput.engine("k"),
            disposition=RecoveryDisposition.RERUNNABLE,
            env_ref=EMPTY_ENV_REF,
        )
    )
    lost: list[str] = []
    async with keeping(registry, 1_500) as keeper:
        sent_at_ms = own_time_ms()
        claimed = await registry.claim_process_lease("p", OWNER, 1_500)
        assert isinstance(claimed, Acquired)
        held = keeper.hold(claimed.lease, sent_at_ms, lost.append)
        time.sleep(2.5)

        assert not held.lost
        assert [] == lost
        rival = await registry.claim_process_lease("p", OWNER.with_incarnation("2"), 1_500)
        assert "busy" == rival.type
