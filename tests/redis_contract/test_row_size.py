"""A usual row stays in Redis's compact form: over 64 bytes in one field it would take three times the memory."""

from __future__ import annotations

from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import EffectWrite
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import Acquired, ProcessLease, ReleaseReason
from lash_core.redis_store.stores import RedisStores
from lash_core.store.process_batches import LeasedRelease
from tests.redis_contract.rows import owner, registration


async def held(stores: RedisStores, process_id: str) -> ProcessLease:
    """A lease on that row."""
    outcome = await stores.process_registry.claim_process_lease(process_id, owner(), 30_000)
    assert isinstance(outcome, Acquired)
    return outcome.lease


async def test_a_row_with_five_events_a_cancel_and_an_end_is_a_listpack(stores: RedisStores) -> None:
    """Five keyed events, a journal, a park, a retry, a parent that watches, a cancel request that was seen, an end."""
    registry = stores.process_registry
    record = await registry.register_process(registration())
    lease = await held(stores, record.id)
    await registry.record_first_started(
        record.id, ProcessStarted(owner=owner(), started_at_ms=record.created_at_ms), lease=lease
    )
    for number in range(5):
        request = ProcessEventAppendRequest(event_type="note", payload={"step": number, "text": "x" * 100})
        key = f"process:{record.id}:note:{number}:" + "long" * 20
        await registry.append_event(record.id, request.with_replay_key(key), lease=lease)
    step = EffectWrite("step", EffectKind.DURABLE_STEP, "completed", "ab" * 16, outcome_json=f'"{"x" * 1_000}"')
    await stores.effect_journal.record_effects(lease, [step])
    parent = await registry.register_process(registration())
    await registry.watch_processes(parent.id, [record.id])
    await registry.release_process_leases([LeasedRelease(lease, ReleaseReason(kind="parked"))])
    await registry.retry_process(await held(stores, record.id), delay_ms=0, drop=(), detail="boom")
    lease = await held(stores, record.id)
    cancel = ProcessEventAppendRequest.cancel_requested(record.id, "enough", requested_by="an operator")
    await registry.append_event(record.id, cancel)
    await registry.mark_cancel_seen(lease)
    await registry.complete_process_with_lease(lease, ProcessAwaitOutput.cancelled("enough"))

    key = stores.context.keyspace.of_process(record.id).control(record.id)
    running = stores.context.keyspace.of_process(parent.id).control(parent.id)
    assert "listpack" == await stores.context.connection.execute(running, "OBJECT", "ENCODING", running)
    assert "listpack" == await stores.context.connection.execute(key, "OBJECT", "ENCODING", key)
