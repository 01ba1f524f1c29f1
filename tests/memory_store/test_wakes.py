"""Wakes in memory: an event's wake is in its session's queue when the append returns, once; or dropped with a note."""

from __future__ import annotations

import pytest

from lash_core.errors import LashError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.event import ProcessEventAppendRequest, Replay
from lash_core.model.queued_work import ProcessWakePayload
from lash_core.model.scope import SessionScope
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.store import session_bounds
from tests.redis_contract.rows import registration

WAKE = ProcessEventAppendRequest(event_type="process.wake", payload={"text": "look"}, replay=Replay(key="told"))


async def woken(stores: InMemoryStores) -> list[ProcessWakePayload]:
    store = await stores.session_store_factory.open_existing_store("s")
    assert store is not None
    payloads = [payload for batch in await store.list_queued_work("s") for payload in batch.payloads]
    return [payload for payload in payloads if isinstance(payload, ProcessWakePayload)]


@pytest.fixture
async def stores() -> InMemoryStores:
    made = InMemoryStores()
    await made.session_store_factory.create_store(SessionStoreCreateRequest("s"))
    await made.process_registry.register_process(registration("p", wake_target=SessionScope("s")))
    return made


async def test_a_wake_is_queued_once(stores: InMemoryStores) -> None:
    result = await stores.process_registry.append_event("p", WAKE)
    await stores.process_registry.append_event("p", WAKE)

    assert result.wake_delivery is not None
    assert [result.wake_delivery.to_json_value()] == [payload.delivery for payload in await woken(stores)]


async def test_a_batch_that_is_refused_wakes_nobody(stores: InMemoryStores) -> None:
    bad = ProcessEventAppendRequest(event_type="nobody.declared", payload={})
    with pytest.raises(LashError, match="undeclared"):
        await stores.process_registry.append_events("p", [WAKE, bad])
    assert [] == await woken(stores)

    await stores.process_registry.append_events("p", [WAKE, WAKE.model_copy(update={"replay": Replay(key="again")})])
    assert 2 == len(await woken(stores))


async def test_what_cannot_be_queued_is_noted(stores: InMemoryStores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_bounds, "QUEUED_BATCHES_MAX", 0)
    await stores.process_registry.append_event("p", WAKE)
    await stores.process_registry.register_process(registration("q", wake_target=SessionScope("gone")))
    await stores.process_registry.append_event("q", WAKE)

    notes = [entry for name in ("p", "q") for entry in await stores.process_registry.audit_entries(name)]
    assert [("wake_dropped", "full", "s"), ("wake_dropped", "absent", "gone")] == [
        (note.kind, note.evidence["reason"], note.evidence["session_id"]) for note in notes
    ]
