"""A usual row stays in Redis's compact form: over 64 bytes in one field it would take three times the memory."""

from __future__ import annotations

from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import Acquired
from lash_core.redis_store.stores import RedisStores
from tests.redis_contract.rows import owner, registration


async def test_a_row_with_five_events_a_cancel_and_an_end_is_a_listpack(stores: RedisStores) -> None:
    """Five keyed events, a cancel request that was seen, a start and a terminal event."""
    registry = stores.process_registry
    record = await registry.register_process(registration())
    outcome = await registry.claim_process_lease(record.id, owner(), 30_000)
    assert isinstance(outcome, Acquired)
    lease = outcome.lease
    await registry.record_first_started(
        record.id, ProcessStarted(owner=owner(), started_at_ms=record.created_at_ms), lease=lease
    )
    for number in range(5):
        request = ProcessEventAppendRequest(event_type="note", payload={"step": number, "text": "x" * 100})
        key = f"process:{record.id}:note:{number}:" + "long" * 20
        await registry.append_event(record.id, request.with_replay_key(key), lease=lease)
    cancel = ProcessEventAppendRequest.cancel_requested(record.id, "enough", requested_by="an operator")
    await registry.append_event(record.id, cancel)
    await registry.mark_cancel_seen(lease)
    await registry.complete_process_with_lease(lease, ProcessAwaitOutput.cancelled("enough"))

    key = stores.context.keyspace.of_process(record.id).control(record.id)
    assert "listpack" == await stores.context.connection.execute(key, "OBJECT", "ENCODING", key)
