"""Taking back what an owner that is gone has told."""

from __future__ import annotations

import pytest

from lash_core.errors.observation import LiveReplayFailedError
from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import CommittedPayload, LiveReplayConfig, TurnActivityPayload
from lash_core.runtime.observation.retraction import LOST, open_correlations, retract, retract_taken_over
from lash_core.store.live_replay_store import LiveAppend, LiveReplayed, LiveReplayResult
from tests.runtime.watching.kit import committed, doing, observed, saying, view_of


async def told(store: InMemoryLiveReplayStore) -> list[tuple[str, str]]:
    """What is in the ring: types and correlation ids."""
    tail = (await store.current_cursor("chat", 0)).parse().live_position
    for position in range(tail):
        cursor = type(observed().cursor).new("chat", 0, position)
        replayed = await store.replay_after_cursor(cursor)
        if isinstance(replayed, LiveReplayed):
            return [
                (event.payload.activity.event.type, event.payload.activity.correlation_id)
                for event in replayed.events
                if isinstance(event.payload, TurnActivityPayload)
            ]
    return []


async def tell(store: InMemoryLiveReplayStore, *correlations: str, generation: int = 1) -> None:
    payloads = tuple(saying("x", correlation).payload for correlation in correlations)
    revision, _ = await store.last_commit("chat")
    await store.append_many([LiveAppend("chat", revision, payloads, generation=generation)])


def test_what_was_taken_back_is_not_open() -> None:
    """Unless it was told again."""
    events = (
        saying("x", "a", position=1),
        doing("tool_call_started", "b", position=2),
        committed(position=3),
        doing("model_attempt_reset", "a", position=4),
        saying("x", "c", position=5),
        saying("x", "a", position=6),
    )
    assert ("b", "c", "a") == open_correlations(events)
    assert ("b",) == open_correlations(events, before=5)
    assert () == open_correlations(())


async def test_all_that_was_told_behind_the_last_commit_is_reset_once() -> None:
    """What a commit ended needs no reset."""
    store = InMemoryLiveReplayStore()
    await tell(store, "old")
    await store.append_commit_once("chat", 1, CommittedPayload(view_of("one")))
    await tell(store, "a", "b", "a")

    assert 2 == await retract(store, "chat", 1, 2)
    assert [("model_attempt_reset", "a"), ("model_attempt_reset", "b")] == (await told(store))[-2:]
    assert 0 == await retract(store, "chat", 1, 2)


async def test_nothing_is_appended_where_nothing_was_told() -> None:
    """Not even a ring is made."""
    store = InMemoryLiveReplayStore()
    assert 0 == await retract(store, "chat", 0, 2)
    assert 0 == (await store.current_cursor("chat", 0)).parse().live_position


async def test_what_is_no_longer_in_the_ring_becomes_a_gap() -> None:
    """Whoever saw it is told that it is void, since nobody knows its ids any more."""
    store = InMemoryLiveReplayStore(LiveReplayConfig(max_events_per_session=2))
    await tell(store, "a", "b", "c")
    seen = type(observed().cursor).new("chat", 0, 3)
    assert 1 == await retract(store, "chat", 0, 2)
    assert not isinstance(await store.replay_after_cursor(seen), LiveReplayed)
    assert [("model_attempt_reset", LOST)] == await told(store)


async def test_a_text_of_the_former_owner_between_read_and_append_is_taken_back_too() -> None:
    """It lost its lease, and had something left to say."""
    store = InMemoryLiveReplayStore()
    await tell(store, "a")
    read = store.replay_after_cursor

    async def slow_read(cursor: SessionCursor) -> LiveReplayResult:
        answer = await read(cursor)
        store.replay_after_cursor = read
        await tell(store, "late")
        return answer

    store.replay_after_cursor = slow_read
    assert 2 == await retract(store, "chat", 0, 2)
    kinds = await told(store)
    assert [("model_attempt_reset", "a"), ("model_attempt_reset", "late")] == kinds[-2:]


async def test_a_takeover_takes_back_what_came_before_it() -> None:
    """And nothing of the one that took over."""
    store = InMemoryLiveReplayStore()
    await tell(store, "a")
    append = LiveAppend("chat", 0, (saying("y", "mine").payload,), generation=2)
    await store.append_many([append])
    await retract_taken_over(store, append, 2)
    assert [("model_attempt_reset", "a")] == (await told(store))[2:]


async def test_a_ring_that_fails_is_an_error_of_whoever_asked() -> None:
    """It decides what to make of it."""
    store = InMemoryLiveReplayStore()
    await tell(store, "a")

    async def fail(_appends: object) -> tuple[LiveReplayFailedError]:
        return (LiveReplayFailedError("no"),)

    store.append_many = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(LiveReplayFailedError):
        await retract(store, "chat", 0, 2)
