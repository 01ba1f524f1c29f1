"""Leases of sessions over Redis: what memory cannot show."""

from __future__ import annotations

import pytest

from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.model.session_lease import SessionLeaseAcquired, SessionLeaseBusy
from lash_core.redis_store.session_leases import SessionLeases
from lash_core.redis_store.stores import RedisStores

ONE = LeaseOwnerIdentity.opaque("one", "a")
OTHER = LeaseOwnerIdentity.opaque("other", "a")


def local(owner_id: str, pid: int) -> LeaseOwnerIdentity:
    """An owner whose death can be proved."""
    liveness = LocalProcessLiveness(host_id="h", boot_id="b", pid_namespace="n", pid=pid, process_start=7)
    return LeaseOwnerIdentity(owner_id, owner_id, liveness)


class EverybodyDied:
    """A process table in which nobody lives."""

    def is_dead(self, pid: int, process_start: int) -> bool:
        """Always."""
        return pid > 0 and process_start == 7


@pytest.fixture
async def leases(stores: RedisStores) -> SessionLeases:
    """Of one session that exists."""
    await stores.session_store_factory.create_store(SessionStoreCreateRequest(session_id="s"))
    return SessionLeases(stores.context, "s")


async def test_one_incarnation_has_a_session_and_comes_in_again(leases: SessionLeases, stores: RedisStores) -> None:
    """Same token and fence, never a shorter life; everybody else is busy; after its end the fence has risen."""
    first = await leases.try_claim_session_execution_lease("s", ONE, 30_000)
    again = await leases.try_claim_session_execution_lease("s", ONE, 10)
    busy = await leases.try_claim_session_execution_lease("s", OTHER, 30_000)
    await stores.advance_clock(30_001)
    taken = await leases.try_claim_session_execution_lease("s", OTHER, 30_000)

    assert isinstance(first, SessionLeaseAcquired)
    assert SessionLeaseAcquired(first.lease, reentrant=True) == again
    assert SessionLeaseBusy(first.lease) == busy
    assert isinstance(taken, SessionLeaseAcquired)
    assert taken.lease.fencing_token > first.lease.fencing_token
    assert taken.lease == await leases.get_session_execution_lease("s")


async def test_a_stale_release_does_nothing_and_a_stale_renewal_is_refused(leases: SessionLeases) -> None:
    """The lease of the second owner stays."""
    first = await leases.try_claim_session_execution_lease("s", ONE, 30_000)
    assert isinstance(first, SessionLeaseAcquired)
    assert await leases.release_session_execution_lease(first.lease.completion)
    second = await leases.try_claim_session_execution_lease("s", OTHER, 30_000)
    assert isinstance(second, SessionLeaseAcquired)

    assert not await leases.release_session_execution_lease(first.lease.completion)
    with pytest.raises(SessionExecutionLeaseExpiredError, match="taken"):
        await leases.renew_session_execution_lease(first.lease.fence, 30_000)
    assert second.lease == await leases.get_session_execution_lease("s")


async def test_a_dead_holder_is_replaced_by_proof_and_only_the_observed_one(
    leases: SessionLeases, stores: RedisStores
) -> None:
    """Without a proof busy; with it the lease passes; who observed the former holder is busy again."""
    first = await leases.try_claim_session_execution_lease("s", local("one", 11), 30_000)
    assert isinstance(first, SessionLeaseAcquired)
    claimant = local("other", 12)
    unproved = await leases.reclaim_session_execution_lease("s", claimant, first.lease.fence, 30_000)
    stores.process_registry.use_process_table(EverybodyDied())

    taken = await leases.reclaim_session_execution_lease("s", claimant, first.lease.fence, 30_000)
    late = await leases.reclaim_session_execution_lease("s", local("third", 13), first.lease.fence, 30_000)

    assert isinstance(unproved, SessionLeaseBusy)
    assert isinstance(taken, SessionLeaseAcquired)
    assert taken.lease.fencing_token > first.lease.fencing_token
    assert SessionLeaseBusy(taken.lease) == late


async def test_a_lease_of_no_time_is_over_at_once(leases: SessionLeases) -> None:
    """Anybody may claim it."""
    await leases.try_claim_session_execution_lease("s", ONE, 0)

    assert await leases.get_session_execution_lease("s") is None
    assert isinstance(await leases.try_claim_session_execution_lease("s", OTHER, 1), SessionLeaseAcquired)
