"""``append_event``: what is written, and replay (contract 1.9, 2.5); ``append_event_checks`` has the refusals."""

from __future__ import annotations

import asyncio

from lash_core.errors import ReplayKeyConflictError, UnknownProcessError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    completed,
    current,
    event,
    feed_end,
    in_feed,
    note,
    registered,
    scope,
    unique,
    unknown_text,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Nothing is created by an event."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.append_event(process_id, note())

    assert None is await stores.process_registry.get_process(process_id)


async def sequences_start_at_one_and_are_dense(stores: ConformanceStores) -> None:
    """1, 2, 3 per process, independent of other processes."""
    one, two = await registered(stores), await registered(stores)

    sequences = [
        (await stores.process_registry.append_event(record.id, note())).event.sequence
        for record in (one, two, one, one, two)
    ]

    assert [1, 1, 2, 3, 2] == sequences
    assert 3 == (await current(stores, one.id)).last_sequence


async def the_answer_is_the_event_as_stored(stores: ConformanceStores) -> None:
    """Type, payload, time, replay key and invocation are what a reader sees."""
    record = await registered(stores)
    payload = {"text": "grüße", "deep": [{"a": None}, 1.5, True], "big": 2**52}

    result = await stores.process_registry.append_event(record.id, event("note", payload, "key-1"))

    assert ("note", payload, "key-1") == (result.event.event_type, result.event.payload, result.event.replay_key)
    assert not result.replayed
    assert None is result.wake_delivery
    assert result.event.occurred_at_ms >= record.created_at_ms
    assert (result.event,) == await stores.process_registry.events_after(record.id, 0)
    invocation = result.event.invocation
    assert "runtime" == invocation.scope
    assert (record.id, 1, "note") == (
        invocation.subject.process_id,
        invocation.subject.sequence,
        invocation.subject.event_type,
    )
    assert ("process", record.id) == (invocation.caused_by.kind, invocation.caused_by.process_id)
    assert invocation.replay is not None
    assert "key-1" == invocation.replay.key


async def the_row_and_the_feed_move_with_the_event(stores: ConformanceStores) -> None:
    """``updated_at`` is the event's time, and the change feed shows the row."""
    record = await registered(stores)
    end = await feed_end(stores)
    await elapse(stores, 5)

    result = await stores.process_registry.append_event(record.id, note())

    changed = await current(stores, record.id)
    assert result.event.occurred_at_ms == changed.updated_at_ms
    assert changed.updated_at_ms > record.updated_at_ms
    assert record.created_at_ms == changed.created_at_ms
    assert await in_feed(stores, end, record.id)


async def a_replay_answers_with_the_stored_event(stores: ConformanceStores) -> None:
    """The same key with the same content: same sequence, same time, nothing written."""
    record = await registered(stores)
    first = await stores.process_registry.append_event(record.id, note("a", "key-1"))
    await stores.process_registry.append_event(record.id, note("b"))
    before = await current(stores, record.id)
    end = await feed_end(stores)
    await elapse(stores, 5)

    again = await stores.process_registry.append_event(record.id, note("a", "key-1"))

    assert first.event == again.event
    assert again.replayed
    assert before == await current(stores, record.id)
    assert 2 == len(await stores.process_registry.events_after(record.id, 0))
    assert not await in_feed(stores, end, record.id)


async def a_replay_key_belongs_to_one_process(stores: ConformanceStores) -> None:
    """The same key on another process is another event."""
    one, two = await registered(stores), await registered(stores)

    first = await stores.process_registry.append_event(one.id, note("a", "shared"))
    second = await stores.process_registry.append_event(two.id, note("b", "shared"))

    assert (1, 1) == (first.event.sequence, second.event.sequence)
    assert not second.replayed


async def other_content_under_a_key_is_a_conflict(stores: ConformanceStores) -> None:
    """Another payload or another type under a used key is refused and nothing is written."""
    record = await registered(stores)
    await stores.process_registry.append_event(record.id, note("a", "key-1"))

    for request in (note("b", "key-1"), event("ping", {"text": "a"}, "key-1")):
        text = "event replay key `key-1` conflicts with an existing event"
        with refused(ReplayKeyConflictError, text):
            await stores.process_registry.append_event(record.id, request)

    assert 1 == len(await stores.process_registry.events_after(record.id, 0))


async def replay_keys_of_any_shape_are_kept_apart(stores: ConformanceStores) -> None:
    """Long keys, keys that look like other fields, and keys with the process's own prefix stay distinct."""
    record = await registered(stores)
    stem = "x" * 300
    keys = [
        f"process:{record.id}:step:1",
        "step:1",
        f"process:{record.id}:",
        "k:step:1",
        "st",
        stem + "1",
        stem + "2",
        "#" + "a" * 32,
        "ключ",
        "a b\nc",
    ]

    for key in keys:
        await stores.process_registry.append_event(record.id, note(key, key))
    for position, key in enumerate(keys, start=1):
        again = await stores.process_registry.append_event(record.id, note(key, key))
        assert (position, True, key) == (again.event.sequence, again.replayed, again.event.replay_key)

    assert len(keys) == (await current(stores, record.id)).last_sequence
    assert "running" == (await current(stores, record.id)).status.state


async def an_empty_replay_key_is_no_key(stores: ConformanceStores) -> None:
    """Two events with an empty key are two events."""
    record = await registered(stores)

    for _ in range(2):
        await stores.process_registry.append_event(record.id, note("a", ""))

    assert [1, 2] == [item.sequence for item in await stores.process_registry.events_after(record.id, 0)]


async def without_a_key_equal_events_are_two_events(stores: ConformanceStores) -> None:
    """Only a replay key makes an event idempotent."""
    record = await registered(stores)

    for _ in range(3):
        await stores.process_registry.append_event(record.id, note("same"))

    assert [1, 2, 3] == [item.sequence for item in await stores.process_registry.events_after(record.id, 0)]


async def a_replay_wins_on_a_terminal_row(stores: ConformanceStores) -> None:
    """An event that was written before the end is answered after it."""
    record = await registered(stores)
    first = await stores.process_registry.append_event(record.id, event("finished", {"n": 1}, "end"))
    assert "completed" == (await current(stores, record.id)).status.state

    again = await stores.process_registry.append_event(record.id, event("finished", {"n": 1}, "end"))

    assert first.event == again.event
    with refused(ReplayKeyConflictError, "conflicts with an existing event"):
        await stores.process_registry.append_event(record.id, event("finished", {"n": 2}, "end"))


async def plain_events_are_accepted_on_a_terminal_row(stores: ConformanceStores) -> None:
    """A late note is recorded, ages the row anew and is in the feed; the status stays."""
    ended = await completed(stores)
    end = await feed_end(stores)
    await elapse(stores, 5)

    result = await stores.process_registry.append_event(ended.id, note("late"))

    changed = await current(stores, ended.id)
    assert ended.last_sequence + 1 == result.event.sequence
    assert ended.status == changed.status
    assert changed.updated_at_ms > ended.updated_at_ms
    assert await in_feed(stores, end, ended.id)


async def concurrent_appends_are_dense(stores: ConformanceStores) -> None:
    """Forty appends at once: forty sequences without a gap."""
    record = await registered(stores)

    results = await asyncio.gather(*(stores.process_registry.append_event(record.id, note(str(n))) for n in range(40)))

    assert list(range(1, 41)) == sorted(result.event.sequence for result in results)
    stored = await stores.process_registry.events_after(record.id, 0)
    assert list(range(1, 41)) == [item.sequence for item in stored]
    assert {result.event.sequence: result.event.payload for result in results} == {
        item.sequence: item.payload for item in stored
    }


async def concurrent_replays_write_once(stores: ConformanceStores) -> None:
    """Ten equal appends with one key at once: one event."""
    record = await registered(stores)

    results = await asyncio.gather(
        *(stores.process_registry.append_event(record.id, note("a", "once")) for _ in range(10))
    )

    assert {1} == {result.event.sequence for result in results}
    assert 1 == sum(not result.replayed for result in results)


async def a_request_scope_without_wake_semantics_delivers_nothing(stores: ConformanceStores) -> None:
    """A target alone makes no wake."""
    record = await registered(stores)

    result = await stores.process_registry.append_event(record.id, note().with_wake_target_scope(scope()))

    assert None is result.wake_delivery
