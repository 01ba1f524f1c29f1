"""Bounds of a log (DESIGN 3.3 rule 11): the end and a cancel always fit."""

from __future__ import annotations

from lash_core.errors import LimitExceededError
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import SUCCESS, current, event, note, running
from lash_core.testing.conformance.stores import ConformanceStores

EVENTS_MAX = 10_000
LOG_BYTES_MAX = 16 * 1024 * 1024
PAYLOAD_BYTES_MAX = 256 * 1024


async def the_number_of_events_is_bounded(stores: ConformanceStores) -> None:
    """10,000 events of one process; then a cancel and the outcome still go in."""
    record, lease = await running(stores)
    for _ in range(EVENTS_MAX // 200):
        await stores.process_registry.append_events(record.id, [event("note", 1)] * 200, lease=lease)

    with refused(LimitExceededError, str(EVENTS_MAX)) as refusal:
        await stores.process_registry.append_event(record.id, note(), lease=lease)

    assert EVENTS_MAX == refusal.error.limit
    assert EVENTS_MAX == (await current(stores, record.id)).last_sequence
    await stores.process_registry.append_event(record.id, ProcessEventAppendRequest.cancel_requested(record.id, "stop"))
    ended = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    assert ("completed", EVENTS_MAX + 2) == (ended.status.state, ended.last_sequence)


async def the_bytes_of_a_log_are_bounded(stores: ConformanceStores) -> None:
    """16 MB of log of one process; then a cancel and the outcome still go in."""
    record, lease = await running(stores)
    payload = "x" * (PAYLOAD_BYTES_MAX - 2)
    accepted = 0
    with refused(LimitExceededError, str(LOG_BYTES_MAX)):
        for _ in range(LOG_BYTES_MAX // PAYLOAD_BYTES_MAX + 1):
            await stores.process_registry.append_event(record.id, event("note", payload), lease=lease)
            accepted += 1

    assert accepted in (63, 64)
    await stores.process_registry.append_event(record.id, ProcessEventAppendRequest.cancel_requested(record.id, "stop"))
    ended = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    assert ("completed", accepted + 2) == (ended.status.state, ended.last_sequence)


async def a_payload_of_exactly_the_limit_fits(stores: ConformanceStores) -> None:
    """The bound is on the canonical JSON in UTF-8, quotes included."""
    record, _ = await running(stores)
    payload = "é" * (PAYLOAD_BYTES_MAX // 2 - 1)

    await stores.process_registry.append_event(record.id, event("note", payload))

    with refused(LimitExceededError, str(PAYLOAD_BYTES_MAX)):
        await stores.process_registry.append_event(record.id, event("note", payload + "x"))
    (stored,) = await stores.process_registry.events_after(record.id, 0)
    assert payload == stored.payload


async def an_outcome_over_the_payload_limit_is_refused(stores: ConformanceStores) -> None:
    """The run then still holds its lease and can end as failed."""
    record, lease = await running(stores)
    large = SUCCESS.model_copy(update={"value": "x" * PAYLOAD_BYTES_MAX})

    with refused(LimitExceededError, str(PAYLOAD_BYTES_MAX)):
        await stores.process_registry.complete_process_with_lease(lease, large)

    assert "running" == (await current(stores, record.id)).status.state
    ended = await stores.process_registry.complete_process_with_lease(lease, SUCCESS)
    assert "completed" == ended.status.state
