"""Watching a session with a client, also one whose verbs block."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.client import LashClient
from lash_core.client_loop_thread import LoopThread
from lash_core.client_session_sync import SyncSessionHandle
from lash_core.errors import UnknownSessionError, WrongSessionCursorError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session_observation import (
    QueueChangedPayload,
    SessionObservation,
    SessionObservationEvent,
    SessionQueueEventKind,
)
from lash_core.store.live_replay_store import LiveReplayed


async def _queue_events(stores: InMemoryStores, session_id: str) -> list[tuple[SessionQueueEventKind, tuple[str, ...]]]:
    cursor = (await LashClient(stores).session(session_id).observation()).cursor
    begin = type(cursor).new(session_id, 0, 0)
    replayed = await stores.live_replay.replay_after_cursor(begin)
    assert isinstance(replayed, LiveReplayed)
    payloads = [event.payload for event in replayed.events]
    return [(one.kind, one.batch_ids) for one in payloads if isinstance(one, QueueChangedPayload)]


async def test_inputs_and_their_cancels_are_told() -> None:
    """What could not be cancelled is not told."""
    stores = InMemoryStores()
    session = LashClient(stores).session("chat")
    sent = await session.send("hello")
    await session.cancel_input(sent.batch_id)
    await session.cancel_input(sent.batch_id)

    expected = [
        (SessionQueueEventKind.ENQUEUED, (sent.batch_id,)),
        (SessionQueueEventKind.CANCELLED, (sent.batch_id,)),
    ]
    assert expected == await _queue_events(stores, "chat")


async def test_an_input_is_sent_though_nobody_can_be_told() -> None:
    """A ring that fails fails no input."""
    stores = InMemoryStores()
    await stores.live_replay.close()
    sent = await LashClient(stores).session("chat").send("hello")

    assert [sent.batch_id] == [batch.batch_id for batch in await LashClient(stores).session("chat").queue()]


async def test_a_watch_tells_what_comes() -> None:
    """An observation first, then events."""
    session = LashClient(InMemoryStores()).session("chat")
    await session.create()
    items = session.watch()
    first = await anext(items)
    sent = await session.send("hello")
    event = await anext(items)
    await items.aclose()

    assert isinstance(first, SessionObservation)
    assert isinstance(event, SessionObservationEvent)
    assert QueueChangedPayload(SessionQueueEventKind.ENQUEUED, (sent.batch_id,)) == event.payload
    again = session.watch(first.cursor)
    assert event == await anext(again)
    await again.aclose()


async def test_a_watch_of_nothing_is_an_error() -> None:
    """A foreign cursor at once, an unknown session with its first step."""
    session = LashClient(InMemoryStores()).session("chat")
    with pytest.raises(WrongSessionCursorError):
        session.watch("lashsc1:0:0:other")
    with pytest.raises(UnknownSessionError):
        await anext(session.watch())
    with pytest.raises(UnknownSessionError):
        await session.observation()


def test_a_blocking_client_watches_too() -> None:
    """Step by step; closing it ends its watch."""
    thread = LoopThread()
    try:
        session = SyncSessionHandle(LashClient(InMemoryStores()).session("chat"), thread)
        session.create()
        items = session.watch()
        assert isinstance(next(items), SessionObservation)
        session.send("hello")
        event = next(items)
        items.close()

        assert isinstance(event, SessionObservationEvent)
        assert session.observation().cursor == event.cursor
        tasks = thread.call(_tasks())
        assert [] == [name for name in tasks if "keeper" in name]
    finally:
        thread.stop()


async def _tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks()]
