"""A wake is delivered once, or dropped with a note; a crash between event and delivery loses nothing (hazard 3)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.queued_work import ProcessWakePayload
from lash_core.model.scope import SessionScope
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.redis_store import queued_work
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.session_factory import RedisSessionStoreFactory
from lash_core.redis_store.stores import RedisStores
from tests.redis_contract.rows import registration, unique
from tests.redis_contract.test_grants_crash import Cut, deliver, entries

WAKE = ProcessEventAppendRequest(event_type="process.wake", payload={"text": "look"})


async def existing_session(stores: RedisStores) -> SessionScope:
    """A session that exists."""
    scope = SessionScope(session_id=unique("session"))
    await RedisSessionStoreFactory(stores.context).create_store(SessionStoreCreateRequest(session_id=scope.session_id))
    return scope


async def queued(stores: RedisStores, scope: SessionScope) -> list[dict[str, Any]]:
    """Deliveries that wait for a session."""
    batches = await RedisRuntimePersistence(stores.context, scope.session_id).list_queued_work(scope.session_id)
    payloads = [payload for batch in batches for payload in batch.payloads]
    return [dict(payload.delivery) for payload in payloads if isinstance(payload, ProcessWakePayload)]


async def dropped(stores: RedisStores) -> int:
    """Wakes given up, of all partitions."""
    counts = [
        await stores.context.connection.execute(keys.meta, "HGET", keys.meta, "n:wake_dropped")
        for keys in stores.context.keyspace.partitions
    ]
    return sum(int(count or 0) for count in counts)


async def test_a_wake_waits_in_the_queue_of_its_session(stores: RedisStores) -> None:
    """It is there when the append returns, with the facts of its event."""
    scope = await existing_session(stores)
    record = await stores.process_registry.register_process(registration(wake_target=scope))

    result = await stores.process_registry.append_event(record.id, WAKE)

    assert result.wake_delivery is not None
    (delivery,) = await queued(stores, scope)
    assert (result.wake_delivery.wake_id, "look", 1) == (delivery["wake_id"], delivery["input"], delivery["sequence"])
    assert [] == await entries(stores)


async def test_a_wake_cut_off_from_its_event_is_delivered_by_the_outbox_once(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event and the step are one write; carrying the step out again queues nothing twice."""
    scope = await existing_session(stores)
    record = await stores.process_registry.register_process(registration(wake_target=scope))
    with Cut(monkeypatch, "enqueue_queued_work"):
        result = await stores.process_registry.append_event(record.id, WAKE)
    assert 1 == result.event.sequence
    assert [] == await queued(stores, scope)
    (entry,) = await entries(stores)

    await deliver(stores)
    await stores.process_registry.carry_out([entry])

    assert 1 == len(await queued(stores, scope))
    assert 0 == await dropped(stores)


async def test_a_wake_to_a_session_that_does_not_exist_is_dropped_counted_and_noted(stores: RedisStores) -> None:
    """The append succeeds; nothing is created for the session; the row's audit says what happened."""
    scope = SessionScope(session_id=unique("gone"))
    record = await stores.process_registry.register_process(registration(wake_target=scope))

    await stores.process_registry.append_event(record.id, WAKE)

    assert [] == await queued(stores, scope)
    assert 1 == await dropped(stores)
    (entry,) = await stores.process_registry.audit_entries(record.id)
    assert ("wake_dropped", {"reason": "absent", "sequence": 1, "session_id": scope.session_id}) == (
        entry.kind,
        entry.evidence,
    )
    assert [] == await entries(stores)


async def test_the_queue_of_a_session_is_bounded(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that nobody works off does not fill the server: what does not fit is dropped and counted."""
    monkeypatch.setattr(queued_work, "QUEUED_BATCHES_MAX", 2)
    scope = await existing_session(stores)
    record = await stores.process_registry.register_process(registration(wake_target=scope))

    for _ in range(4):
        await stores.process_registry.append_event(record.id, WAKE)

    assert [1, 2] == [delivery["sequence"] for delivery in await queued(stores, scope)]
    assert 2 == await dropped(stores)


async def test_a_drop_is_counted_once(stores: RedisStores) -> None:
    """Two workers giving the same wake up at the same time count one."""
    scope = SessionScope(session_id=unique("gone"))
    record = await stores.process_registry.register_process(registration(wake_target=scope))
    keys = stores.context.keyspace.of_process(record.id)
    step = json.dumps({"op": "wake", "p": record.id, "s": scope.session_id})
    await stores.process_registry.append_event(record.id, ProcessEventAppendRequest(event_type="note"))
    await stores.context.connection.execute(keys.outbox, "XADD", keys.outbox, "*", "o", step, "q", 1)
    (entry,) = await entries(stores)

    await asyncio.gather(*(stores.process_registry.carry_out([entry]) for _ in range(4)))

    assert 1 == await dropped(stores)
    assert 1 == len(await stores.process_registry.audit_entries(record.id))


async def test_deleting_a_session_drops_the_wakes_that_wait_for_it(stores: RedisStores) -> None:
    """No queue outlives its session."""
    scope = await existing_session(stores)
    record = await stores.process_registry.register_process(registration(wake_target=scope))
    await stores.process_registry.append_event(record.id, WAKE)
    assert 1 == len(await queued(stores, scope))

    await stores.session_store_factory.delete_session(scope.session_id)

    assert [] == await queued(stores, scope)
