"""``renew_process_leases``: the batch form of contract 2.8, with the marks a run has to hear of (decision 21)."""

from __future__ import annotations

from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.lease import Lost, ProcessLeaseCompletion, Renewed
from lash_core.testing.conformance.process_registry.arrange import TTL_MS, claimed, registered, running, unique
from lash_core.testing.conformance.stores import ConformanceStores, elapse, short_ttl_ms


async def answers_every_lease_in_order(stores: ConformanceStores) -> None:
    """Live ones are renewed, lost ones say why; one loss stops no other."""
    registry = stores.process_registry
    ttl_ms = await short_ttl_ms(stores)
    expired_row = await registered(stores)
    expired = await claimed(stores, expired_row.id, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    _, good = await running(stores)
    _, released = await running(stores)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(released))
    taken_row, taken = await running(stores)
    await registry.complete_process_lease(ProcessLeaseCompletion.from_lease(taken))
    await claimed(stores, taken_row.id)
    absent = good.model_copy(update={"process_id": unique("absent")})
    _, last = await running(stores)

    outcomes = await registry.renew_process_leases([good, expired, released, taken, absent, last], TTL_MS)

    kinds = [type(outcome) for outcome in outcomes]
    assert [Renewed, Lost, Lost, Lost, Lost, Renewed] == kinds
    reasons = {outcome.process_id: outcome.reason for outcome in outcomes if isinstance(outcome, Lost)}
    assert "expired" == reasons[expired.process_id]
    assert "released" == reasons[released.process_id]
    assert "taken" == reasons[taken.process_id]
    assert absent.process_id in reasons
    first = outcomes[0]
    assert isinstance(first, Renewed)
    assert good.same_acquisition(first.lease)
    assert first.lease.expires_at_epoch_ms >= good.expires_at_epoch_ms
    assert (False, False) == (first.cancel_requested, first.signalled)


async def a_cancel_is_handed_back(stores: ConformanceStores) -> None:
    """The next renewal after a cancel request says so."""
    record, lease = await running(stores)
    await stores.process_registry.append_event(record.id, ProcessEventAppendRequest.cancel_requested(record.id, "stop"))

    (outcome,) = await stores.process_registry.renew_process_leases([lease], TTL_MS)

    assert isinstance(outcome, Renewed)
    assert outcome.cancel_requested


async def a_signal_is_handed_back(stores: ConformanceStores) -> None:
    """The next renewal after a signal says so, and no cancel is invented."""
    record, lease = await running(stores)
    request = ProcessEventAppendRequest.signal(record.id, "approve", {"by": "ops"}, signal_id="s1")
    await stores.process_registry.append_event(record.id, request)

    (outcome,) = await stores.process_registry.renew_process_leases([lease], TTL_MS)

    assert isinstance(outcome, Renewed)
    assert (False, True) == (outcome.cancel_requested, outcome.signalled)


async def the_runs_own_events_are_no_signals(stores: ConformanceStores) -> None:
    """What the run writes itself it need not be told."""
    record, lease = await running(stores)
    request = ProcessEventAppendRequest(event_type="note", payload=1)
    await stores.process_registry.append_event(record.id, request, lease=lease)

    (outcome,) = await stores.process_registry.renew_process_leases([lease], TTL_MS)

    assert isinstance(outcome, Renewed)
    assert (False, False) == (outcome.cancel_requested, outcome.signalled)


async def many_leases_in_one_call(stores: ConformanceStores) -> None:
    """More than one script call takes: still one answer each, in order."""
    queue = unique("queue")
    from_queue = [await running(stores, queue=queue) for _ in range(230)]

    outcomes = await stores.process_registry.renew_process_leases([lease for _, lease in from_queue], TTL_MS)

    renewed = [outcome.lease.process_id for outcome in outcomes if isinstance(outcome, Renewed)]
    assert [record.id for record, _ in from_queue] == renewed


async def an_empty_batch_answers_nothing(stores: ConformanceStores) -> None:
    """No lease, no answer."""
    assert () == await stores.process_registry.renew_process_leases([], TTL_MS)
