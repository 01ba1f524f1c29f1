"""``claim_process_lease``: contract 2.8, decisions 3, 9, 16 and 30."""

from __future__ import annotations

import asyncio

from lash_core.errors import InvalidArgumentError, UnknownProcessError
from lash_core.model.lease import Acquired, Busy, ProcessLeaseCompletion
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    SUCCESS,
    TTL_MS,
    claimed,
    completed,
    current,
    external,
    registered,
    registration,
    running,
    unique,
    unknown_text,
    worker,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """There is nothing to run."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.claim_process_lease(process_id, worker(), TTL_MS)


async def a_free_row_is_acquired(stores: ConformanceStores) -> None:
    """Owner, times, token and fence of the lease; the store remembers exactly it."""
    record = await registered(stores)
    liveness = LocalProcessLiveness(host_id="h", boot_id="b", pid_namespace="4026531836", pid=42, process_start=7)
    owner = LeaseOwnerIdentity(owner_id=unique("worker"), incarnation_id=unique("boot"), liveness=liveness)

    outcome = await stores.process_registry.claim_process_lease(record.id, owner, 5_000)

    assert isinstance(outcome, Acquired)
    lease = outcome.lease
    assert (record.id, owner) == (lease.process_id, lease.owner)
    assert lease.claimed_at_epoch_ms + 5_000 == lease.expires_at_epoch_ms
    assert lease.claimed_at_epoch_ms >= record.created_at_ms
    assert "" != lease.lease_token
    assert 0 < lease.fencing_token < 2**53
    assert (record.queue, 0) == (lease.queue, lease.fenced_writes)
    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert lease.same_acquisition(held)
    assert lease.expires_at_epoch_ms == held.expires_at_epoch_ms


async def a_live_lease_of_another_is_busy(stores: ConformanceStores) -> None:
    """Contention is an answer that names the holder; the holder's lease does not change."""
    record, lease = await running(stores)

    outcome = await stores.process_registry.claim_process_lease(record.id, worker(), TTL_MS)

    assert isinstance(outcome, Busy)
    assert lease.same_acquisition(outcome.holder)
    assert lease.expires_at_epoch_ms == outcome.holder.expires_at_epoch_ms


async def another_incarnation_of_the_same_owner_is_another(stores: ConformanceStores) -> None:
    """A restarted worker does not own what its predecessor held."""
    record, lease = await running(stores)

    outcome = await stores.process_registry.claim_process_lease(
        record.id, lease.owner.with_incarnation(unique("reboot")), TTL_MS
    )

    assert isinstance(outcome, Busy)


async def the_own_live_lease_is_extended(stores: ConformanceStores) -> None:
    """Same incarnation: token, fence and claim time stay, the expiry moves; liveness is not compared."""
    record = await registered(stores)
    owner = worker()
    first = await claimed(stores, record.id, owner, ttl_ms=60_000)
    await elapse(stores, 5)
    liveness = LocalProcessLiveness(host_id="h", boot_id="b", pid_namespace="1", pid=1, process_start=1)

    outcome = await stores.process_registry.claim_process_lease(
        record.id, owner.model_copy(update={"liveness": liveness}), 120_000
    )

    assert isinstance(outcome, Acquired)
    assert (first.lease_token, first.fencing_token) == (outcome.lease.lease_token, outcome.lease.fencing_token)
    assert first.claimed_at_epoch_ms == outcome.lease.claimed_at_epoch_ms
    assert outcome.lease.expires_at_epoch_ms >= first.expires_at_epoch_ms + 60_000


async def the_own_live_lease_is_never_shortened(stores: ConformanceStores) -> None:
    """A re-claim with a shorter TTL keeps the later expiry (decision 30)."""
    record = await registered(stores)
    owner = worker()
    first = await claimed(stores, record.id, owner, ttl_ms=120_000)

    outcome = await stores.process_registry.claim_process_lease(record.id, owner, 1_000)

    assert isinstance(outcome, Acquired)
    assert first.expires_at_epoch_ms == outcome.lease.expires_at_epoch_ms


async def fences_only_rise(stores: ConformanceStores) -> None:
    """Over release, expiry and completion; tokens never repeat."""
    record = await registered(stores)
    ttl_ms = await short_ttl_ms(stores)
    leases = [await claimed(stores, record.id)]
    await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(leases[0]))
    leases.append(await claimed(stores, record.id, ttl_ms=ttl_ms))
    await elapse(stores, ttl_ms + 50)
    leases.append(await claimed(stores, record.id))
    await stores.process_registry.complete_process_with_lease(leases[2], SUCCESS)
    leases.append(await claimed(stores, record.id))

    fences = [lease.fencing_token for lease in leases]
    assert sorted(set(fences)) == fences
    assert 4 == len({lease.lease_token for lease in leases})


async def an_expired_lease_is_free_for_anyone(stores: ConformanceStores) -> None:
    """Also for the same incarnation, which then gets a new lease and not the old one."""
    record = await registered(stores)
    owner = worker()
    ttl_ms = await short_ttl_ms(stores)
    first = await claimed(stores, record.id, owner, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)

    second = await claimed(stores, record.id, owner)

    assert second.fencing_token > first.fencing_token
    assert first.lease_token != second.lease_token


async def a_ttl_of_zero_is_expired_at_once(stores: ConformanceStores) -> None:
    """Live means strictly before the expiry."""
    record = await registered(stores)
    first = await claimed(stores, record.id, ttl_ms=0)

    second = await claimed(stores, record.id)

    assert second.fencing_token > first.fencing_token


async def bad_ttls_are_refused(stores: ConformanceStores) -> None:
    """Negative and absurdly long leases are refused with field and limit."""
    record = await registered(stores)

    for ttl_ms in (-1, 2**53):
        with refused(InvalidArgumentError) as refusal:
            await stores.process_registry.claim_process_lease(record.id, worker(), ttl_ms)
        assert "lease_ttl_ms" == refusal.error.field

    assert None is await stores.process_registry.get_process_lease(record.id)


async def rows_of_every_kind_can_be_claimed_by_name(stores: ConformanceStores) -> None:
    """Terminal, delayed and externally owned rows too: the caller re-reads under the lease and decides."""
    ended = await completed(stores)
    delayed = await registered(stores, registration(delay_ms=3_600_000))
    outside = await registered(stores, external())

    for record in (ended, delayed, outside):
        lease = await claimed(stores, record.id)
        await stores.process_registry.complete_process_lease(ProcessLeaseCompletion.from_lease(lease))

    assert ended == await current(stores, ended.id)


async def of_racing_claims_one_wins(stores: ConformanceStores) -> None:
    """Ten workers at once: one lease, nine times its holder."""
    record = await registered(stores)

    outcomes = await asyncio.gather(
        *(stores.process_registry.claim_process_lease(record.id, worker(), TTL_MS) for _ in range(10))
    )

    won = [outcome.lease for outcome in outcomes if isinstance(outcome, Acquired)]
    held = [outcome.holder for outcome in outcomes if isinstance(outcome, Busy)]
    assert (1, 9) == (len(won), len(held))
    assert all(won[0].same_acquisition(holder) for holder in held)


async def the_row_is_not_touched(stores: ConformanceStores) -> None:
    """A claim is no change of the row: no event, no new time."""
    record = await registered(stores)
    await elapse(stores, 5)

    await claimed(stores, record.id)

    row = await current(stores, record.id)
    assert (record.updated_at_ms, 0, "running") == (row.updated_at_ms, row.last_sequence, row.status.state)
    assert () == await stores.process_registry.events_after(record.id, 0)
