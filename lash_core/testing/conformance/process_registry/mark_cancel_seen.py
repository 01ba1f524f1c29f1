"""``mark_cancel_seen``: the receipt of a cancel (decision 21)."""

from __future__ import annotations

from lash_core.errors import LeaseLostError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import LOST, current, running
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def the_first_time_stays(stores: ConformanceStores) -> None:
    """When a run saw the request, by the store's clock; seeing it again changes nothing."""
    record, lease = await running(stores)
    request = ProcessEventAppendRequest.cancel_requested(record.id, "stop", requested_by="ops")
    await stores.process_registry.append_event(record.id, request)
    await elapse(stores, 5)

    await stores.process_registry.mark_cancel_seen(lease)
    first = (await current(stores, record.id)).cancel_request
    await elapse(stores, 5)
    await stores.process_registry.mark_cancel_seen(lease)
    second = (await current(stores, record.id)).cancel_request

    assert first is not None
    assert first.seen_at_ms is not None
    assert first.seen_at_ms > first.requested_at_ms
    assert ("ops", "stop") == (first.requested_by, first.reason)
    assert first == second


async def a_lost_lease_marks_nothing(stores: ConformanceStores) -> None:
    """Only the run that holds the row can have seen it."""
    record, lease = await running(stores)
    await stores.process_registry.append_event(record.id, ProcessEventAppendRequest.cancel_requested(record.id, "stop"))

    with refused(LeaseLostError, LOST):
        await stores.process_registry.mark_cancel_seen(lease.model_copy(update={"lease_token": "forged"}))

    request = (await current(stores, record.id)).cancel_request
    assert request is not None
    assert None is request.seen_at_ms


async def without_a_request_nothing_is_seen(stores: ConformanceStores) -> None:
    """There is no receipt for what nobody asked."""
    record, lease = await running(stores)

    await stores.process_registry.mark_cancel_seen(lease)

    assert None is (await current(stores, record.id)).cancel_request
