"""Subscriptions over one server."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.errors import StoreAuthError
from lash_core.redis_store.subscriptions import Subscriptions
from lash_core.testing.servers import FaultProxy, ValkeyServer
from lash_core.testing.waiting import eventually
from tests.connections.conftest import Open


def ignore(channel: str, message: str) -> None:
    """A callback for tests that do not listen."""


async def test_every_callback_of_a_channel_is_called(server: ValkeyServer, connect: Open):
    """Two waiters on one channel do not know of each other; one leaving leaves the other."""
    connection = await connect(server.url)
    subscriptions = Subscriptions(connection)
    first: list[str] = []
    second: list[str] = []

    def remember_first(_: str, message: str) -> None:
        first.append(message)

    await subscriptions.subscribe("{a}:c", remember_first)
    await subscriptions.subscribe("{a}:c", lambda _, message: second.append(message))
    await connection.execute("{a}:c", "SPUBLISH", "{a}:c", "one")
    await eventually(lambda: first == second == ["one"])
    await subscriptions.unsubscribe("{a}:c", remember_first)
    await connection.execute("{a}:c", "SPUBLISH", "{a}:c", "two")
    await eventually(lambda: second == ["one", "two"])
    await subscriptions.unsubscribe("{a}:c")

    assert 0 == await connection.execute("{a}:c", "SPUBLISH", "{a}:c", "three")
    assert ["one"] == first
    await subscriptions.close()
    await subscriptions.close()


async def test_many_subscribe_and_leave_at_once(server: ValkeyServer, connect: Open):
    """Confirmations find their callers."""
    connection = await connect(server.url)
    subscriptions = Subscriptions(connection)
    channels = [f"{{a}}:{number}" for number in range(200)]

    async def visit(channel: str) -> None:
        await subscriptions.subscribe(channel, ignore)
        await subscriptions.unsubscribe(channel)

    await asyncio.gather(*(visit(channel) for channel in channels))

    assert [] == await connection.execute("{a}", "PUBSUB", "SHARDCHANNELS")
    await subscriptions.close()


async def test_a_failing_callback_hurts_nobody_else(
    server: ValkeyServer, connect: Open, caplog: pytest.LogCaptureFixture
):
    """It is logged; the next callback is called, and the connection lives."""
    connection = await connect(server.url)
    subscriptions = Subscriptions(connection)
    heard: list[str] = []

    def fail(_: str, message: str) -> None:
        raise ValueError(message)

    await subscriptions.subscribe("{a}:c", fail)
    await subscriptions.subscribe("{a}:c", lambda _, message: heard.append(message))
    await connection.execute("{a}:c", "SPUBLISH", "{a}:c", "x")

    await eventually(lambda: heard == ["x"])
    assert "a callback of channel {a}:c failed" in caplog.text
    await subscriptions.close()


async def test_subscriptions_come_back_after_a_cut(proxy: FaultProxy, connect: Open):
    """Subscribed to again, and the owner is told that messages may have been missed."""
    connection = await connect(proxy.url)
    subscriptions = Subscriptions(connection)
    heard: list[str] = []
    again: list[bool] = []
    subscriptions.on_reconnect = lambda: again.append(True)
    await subscriptions.subscribe("{a}:c", lambda _, message: heard.append(message))

    await asyncio.to_thread(proxy.cut)
    await eventually(lambda: again == [True])
    await connection.execute("{a}:c", "SPUBLISH", "{a}:c", "back")

    await eventually(lambda: heard == ["back"])
    await subscriptions.close()


async def test_a_heartbeat_meets_a_connection_that_is_closing(server: ValkeyServer, connect: Open):
    """Its end is on its way: whoever keeps the others goes on."""
    subscriptions = Subscriptions(await connect(server.url))
    await subscriptions.subscribe("closing", ignore)
    (line,) = subscriptions._lines.values()
    assert line.wire is not None
    assert line.wire._transport is not None
    line.wire._transport.close()
    assert line.is_open

    await subscriptions._heartbeat()

    await eventually(lambda: line.is_open and "closing" in line.channels)
    await subscriptions.close()


async def test_a_missing_permission_to_listen_is_said(server: ValkeyServer, connect: Open):
    """A channel that the user may not listen to."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "resetchannels", "+@all")
    subscriptions = Subscriptions(await connect(f"unix://app:pw@{server.socket}"))

    with pytest.raises(StoreAuthError, match="permission missing"):
        await subscriptions.subscribe("{a}:c", ignore)
    await subscriptions.close()
