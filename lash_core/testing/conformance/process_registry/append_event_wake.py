"""``append_event``: wakes (contract 1.9, 2.5, decision 5)."""

from __future__ import annotations

import hashlib
import json

from lash_core.model.event import ProcessWakeDelivery
from lash_core.model.scope import CausalRef, ProcessProvenance, SessionScope
from lash_core.testing.conformance.process_registry.arrange import event, registered, registration, scope
from lash_core.testing.conformance.stores import ConformanceStores


def _wake_id(target_scope_id: str, dedupe_key: str) -> str:
    text = json.dumps([target_scope_id, dedupe_key], separators=(",", ":"), ensure_ascii=False)
    return "wake:" + hashlib.sha256(text.encode()).hexdigest()


async def _delivery(
    stores: ConformanceStores, target: SessionScope, event_type: str, payload: object
) -> ProcessWakeDelivery | None:
    record = await registered(stores, registration(wake_target=target))
    return (await stores.process_registry.append_event(record.id, event(event_type, payload))).wake_delivery


async def a_wake_goes_to_the_rows_target(stores: ConformanceStores) -> None:
    """Every field of the delivery follows from the row and the event."""
    target = scope(frame="f1")
    provenance = ProcessProvenance(caused_by=CausalRef.process("parent"))
    record = await registered(stores, registration(wake_target=target, provenance=provenance))

    result = await stores.process_registry.append_event(record.id, event("ping", {"text": "look"}))

    delivery = result.wake_delivery
    assert delivery is not None
    assert _wake_id(target.scope_id, f"{record.id}:1") == delivery.wake_id
    assert (target.session_id, target.scope_id) == (delivery.target_session_id, delivery.target_scope_id)
    assert (record.id, 1, "ping") == (delivery.process_id, delivery.sequence, delivery.event_type)
    assert (f"{record.id}:1", "look") == (delivery.dedupe_key, delivery.input)
    assert result.event.occurred_at_ms == delivery.created_at_ms
    assert CausalRef.process("parent") == delivery.process_caused_by
    assert result.event.invocation == delivery.event_invocation
    assert f"process:{record.id}:event:1:wake" == delivery.source_key
    assert f"Background process wake\nProcess: {record.id}\nEvent: ping #1\nWake input:\nlook" == delivery.model_text


async def the_requests_scope_comes_before_the_rows(stores: ConformanceStores) -> None:
    """A request may name its own target."""
    mine, theirs = scope(), scope()
    record = await registered(stores, registration(wake_target=mine))

    result = await stores.process_registry.append_event(
        record.id, event("ping", {"text": "x"}).with_wake_target_scope(theirs)
    )

    assert result.wake_delivery is not None
    assert theirs.scope_id == result.wake_delivery.target_scope_id


async def without_a_target_the_event_is_recorded(stores: ConformanceStores) -> None:
    """The event stays, nobody is woken, and its wake can be read later."""
    record = await registered(stores)

    result = await stores.process_registry.append_event(record.id, event("ping", {"text": "x"}))

    assert None is result.wake_delivery
    assert result.event.semantics.wake is not None
    assert "x" == result.event.semantics.wake.input
    assert (result.event,) == await stores.process_registry.wake_events_after(record.id, 0)


async def when_decides_and_templates_fill_in(stores: ConformanceStores) -> None:
    """``when`` is truth of a value: zero is true, empty text, list, object and null are false."""
    target = scope()
    for urgent in (0, 1, True, "no", [0], {"a": 1}):
        delivery = await _delivery(stores, target, "ping.when", {"urgent": urgent, "who": "ana"})
        assert delivery is not None, urgent
        assert "ana says hi" == delivery.input
    for calm in (False, None, "", [], {}):
        delivery = await _delivery(stores, target, "ping.when", {"urgent": calm, "who": "ana"})
        assert delivery is None, calm


async def equal_dedupe_keys_make_equal_wake_ids(stores: ConformanceStores) -> None:
    """Two events with one dedupe key and one target are one wake."""
    target = scope()
    record = await registered(stores, registration(wake_target=target))

    deliveries = [
        (await stores.process_registry.append_event(record.id, event(event_type, payload))).wake_delivery
        for event_type, payload in (
            ("ping.topic", {"topic": "disk"}),
            ("ping.topic", {"topic": "disk", "n": 2}),
            ("ping.topic", {"topic": 7}),
            ("ping.const", {}),
            ("ping.const", {"n": 2}),
        )
    ]

    expected = [_wake_id(target.scope_id, key) for key in ("disk", "disk", "7", "only-once", "only-once")]
    assert expected == [delivery.wake_id if delivery else None for delivery in deliveries]


async def inputs_are_stringified(stores: ConformanceStores) -> None:
    """A text is itself; anything else is compact JSON."""
    target = scope()

    topic = await _delivery(stores, target, "ping.topic", {"topic": "t", "n": [1, None]})
    number = await _delivery(stores, target, "ping", {"text": 3})

    assert topic is not None
    assert number is not None
    assert '{"n":[1,null],"topic":"t"}' == topic.input
    assert "3" == number.input


async def a_replay_makes_the_same_wake_again(stores: ConformanceStores) -> None:
    """A retry after a lost enqueue delivers the same wake id, to whoever the retry names."""
    mine, theirs = scope(), scope()
    record = await registered(stores, registration(wake_target=mine))
    request = event("ping", {"text": "x"}, "once")
    first = await stores.process_registry.append_event(record.id, request)

    again = await stores.process_registry.append_event(record.id, request)
    elsewhere = await stores.process_registry.append_event(record.id, request.with_wake_target_scope(theirs))

    assert first.wake_delivery == again.wake_delivery
    assert elsewhere.wake_delivery is not None
    assert _wake_id(theirs.scope_id, f"{record.id}:1") == elsewhere.wake_delivery.wake_id
    assert 1 == len(await stores.process_registry.events_after(record.id, 0))
