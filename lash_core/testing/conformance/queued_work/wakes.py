"""Wakes of processes in a session's queue: there when the append returns, once.

``docs/contracts/sessions.md`` 1.10, decision 20.
"""

from __future__ import annotations

from lash_core.model.queued_work import DeliveryPolicy, ProcessWakePayload, SlotPolicy
from lash_core.model.record import ProcessRecord
from lash_core.model.scope import SessionScope
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.process_registry.arrange import event, registered, unique
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    claimed,
    committed,
    enqueued,
    ids_of,
    leased,
    opened,
)


async def a_wake_is_queued_when_its_event_is_there(stores: SessionStores) -> None:
    """Exclusive, at the earliest safe boundary, under the key of its event, behind what was there."""
    store = await opened(stores)
    before = await enqueued(store)
    row = await _waking(stores, store)

    result = await stores.process_registry.append_event(row.id, event("ping", {"text": "look"}))

    first, wake = await store.list_queued_work(store.session_id)
    assert before == first
    assert result.wake_delivery is not None
    assert (ProcessWakePayload(result.wake_delivery.to_json_value()),) == wake.payloads
    assert (DeliveryPolicy.EARLIEST_SAFE_BOUNDARY, SlotPolicy.EXCLUSIVE) == (wake.delivery_policy, wake.slot_policy)
    assert f"process:{row.id}:event:{result.event.sequence}:wake" == wake.source_key


async def a_replayed_event_wakes_nobody_again(stores: SessionStores) -> None:
    """Neither while its wake is queued nor when it was answered; another event of the process is another wake."""
    store = await opened(stores)
    row = await _waking(stores, store)
    told = event("ping", {"text": "look"}, "told")
    for _ in range(2):
        await stores.process_registry.append_event(row.id, told)
    lease = await leased(store)
    claim = await claimed(store, lease)
    assert 1 == len(claim.batches)
    await committed(store, lease, completed_queue_claims=(claim.completion,))

    await stores.process_registry.append_event(row.id, told)
    assert () == await store.list_queued_work(store.session_id)

    await stores.process_registry.append_event(row.id, event("ping", {"text": "again"}))
    assert 1 == len(await store.list_queued_work(store.session_id))


async def each_wake_has_a_turn_of_its_own(stores: SessionStores) -> None:
    """Claimed one after the other, in the order of their events."""
    store = await opened(stores)
    row = await _waking(stores, store)
    for text in ("one", "two"):
        await stores.process_registry.append_event(row.id, event("ping", {"text": text}))
    batches = await store.list_queued_work(store.session_id)
    lease = await leased(store)

    claims = [await claimed(store, lease) for _ in batches]

    assert [[batch.batch_id] for batch in batches] == [ids_of(claim) for claim in claims]


async def a_wake_of_a_session_that_is_not_there_is_noted(stores: SessionStores) -> None:
    """The event stands; the process's audit says what became of its wake."""
    row = await registered(stores, wake_target=SessionScope(session_id=unique("absent")))

    result = await stores.process_registry.append_event(row.id, event("ping", {"text": "look"}))

    assert 1 == result.event.sequence
    assert ["wake_dropped"] == [entry.kind for entry in await stores.process_registry.audit_entries(row.id)]


async def _waking(stores: SessionStores, store: RuntimePersistence) -> ProcessRecord:
    return await registered(stores, wake_target=SessionScope(session_id=store.session_id))
