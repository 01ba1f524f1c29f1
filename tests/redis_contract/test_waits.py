"""Waiters are woken by a message, find what they missed by polling, and share one subscription a channel."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.clock import own_time_ms
from lash_core.errors import UnknownProcessError
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.reports import CompletionAuthority
from lash_core.redis_store import process_waits
from lash_core.redis_store.stores import RedisStores
from lash_core.testing.waiting import eventually
from tests.redis_contract.conftest import OpenStores
from tests.redis_contract.rows import registration

WORKFLOW = CompletionAuthority.for_workflow_key("w")
SUCCESS = ProcessAwaitOutput.success(1)


async def listeners(stores: RedisStores, channel: str) -> int:
    """Subscriptions of a channel at the server."""
    reply = await stores.context.connection.execute("", "PUBSUB", "SHARDNUMSUB", channel)
    return int(reply[channel] if isinstance(reply, dict) else reply[1])


async def test_a_waiter_is_woken_by_a_message_not_by_polling(
    stores: RedisStores, open_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With polling as good as off, another client's completion is heard at once."""
    monkeypatch.setattr(process_waits, "POLL_MS", (60_000,))
    record = await stores.process_registry.register_process(registration())
    channel = stores.context.keyspace.of_process(record.id).done_channel(record.id)
    waiters = [asyncio.create_task(stores.process_registry.await_terminal(record.id)) for _ in range(5)]

    async def subscribed() -> bool:
        return await listeners(stores, channel) == 1

    await eventually(subscribed)
    started = own_time_ms()
    async with open_stores() as other:
        await other.process_registry.complete_process(record.id, SUCCESS, WORKFLOW)
    ended = await asyncio.gather(*waiters)

    assert ["completed"] * 5 == [row.status.state for row in ended]
    assert own_time_ms() - started < 5_000
    assert 0 == await listeners(stores, channel)


async def test_an_event_that_is_not_awaited_does_not_end_the_wait(stores: RedisStores) -> None:
    """The first event of the type after the sequence, whatever comes between."""
    record = await stores.process_registry.register_process(registration())
    waiter = asyncio.create_task(stores.process_registry.wait_event_after(record.id, "signal.go", 1))
    for number in range(3):
        await stores.process_registry.append_event(
            record.id, ProcessEventAppendRequest(event_type="note", payload=number)
        )
    signal = ProcessEventAppendRequest.signal(record.id, "go", {"n": 1}, signal_id="one")
    await stores.process_registry.append_event(record.id, signal)

    event = await asyncio.wait_for(waiter, 5)

    assert ("signal.go", 4) == (event.event_type, event.sequence)


async def test_without_messages_polling_finds_the_end(
    stores: RedisStores, open_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost message costs latency only."""
    record = await stores.process_registry.register_process(registration())
    looked = asyncio.Event()
    plain = process_waits.ProcessWaits._ended

    async def ended(self: process_waits.ProcessWaits, process_id: str, key: str) -> object:
        found = await plain(self, process_id, key)
        looked.set()
        return found

    monkeypatch.setattr(process_waits.ProcessWaits, "_ended", ended)
    monkeypatch.setattr("lash_core.redis_store.done_channels.Subscriptions.subscribe", _deaf)
    waiter = asyncio.create_task(stores.process_registry.await_terminal(record.id))
    await looked.wait()
    async with open_stores() as other:
        await other.process_registry.complete_process(record.id, SUCCESS, WORKFLOW)

    assert "completed" == (await asyncio.wait_for(waiter, 5)).status.state


async def _deaf(*_: object) -> None:
    """A subscription on which nothing is heard."""


async def test_a_cancelled_waiter_leaves_no_subscription(stores: RedisStores) -> None:
    """The caller bounds the wait; what it held is given back."""
    record = await stores.process_registry.register_process(registration())
    channel = stores.context.keyspace.of_process(record.id).done_channel(record.id)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stores.process_registry.await_terminal(record.id), 0.1)

    assert 0 == await listeners(stores, channel)


async def test_a_row_that_is_pruned_while_we_wait_is_unknown(stores: RedisStores) -> None:
    """A wait does not outlive its row."""
    record = await stores.process_registry.register_process(registration())
    waiter = asyncio.create_task(stores.process_registry.wait_event_after(record.id, "signal.go", 0))
    await stores.process_registry.complete_process(record.id, SUCCESS, WORKFLOW)
    now_ms = await stores.process_registry.server_time_ms()
    await stores.process_registry.prune_terminal_processes(now_ms + 60_000)

    with pytest.raises(UnknownProcessError):
        await asyncio.wait_for(waiter, 5)
