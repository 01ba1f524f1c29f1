"""What happened to a request is always known: done, not done, or unknown; only what may be repeated is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lash_core.errors import OutcomeUnknownError, StoreUnreachableError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.scripts import Call, Scripts
from lash_core.testing.servers import FaultProxy, ValkeyServer
from tests.connections.conftest import SHORT, Open

COUNT = "return redis.call('INCR', KEYS[1])\n"


async def test_a_lost_reply_does_not_double_a_script_that_may_not_be_repeated(
    server: ValkeyServer, proxy: FaultProxy, connect: Open, add_script: Callable[[str, str], str]
):
    """The script ran once, and the caller hears that the outcome is unknown."""
    scripts = Scripts(await connect(proxy.url))
    name = add_script("count_once", COUNT)
    await scripts.run([Call(name, ("{a}",), ())])
    proxy.drop_reply_to(b"EVALSHA")

    with pytest.raises(OutcomeUnknownError, match="the reply was lost"):
        await scripts.run([Call(name, ("{a}",), ())], repeatable=False)

    with server.client() as client:
        assert ("2", 1) == (client.get("{a}"), proxy.dropped)


async def test_a_lost_reply_repeats_a_script_that_may_be_repeated(
    server: ValkeyServer, proxy: FaultProxy, connect: Open, add_script: Callable[[str, str], str]
):
    """The same call is sent again, and its caller sees one answer."""
    scripts = Scripts(await connect(proxy.url))
    name = add_script("count_again", COUNT)
    await scripts.run([Call(name, ("{a}",), ())])
    proxy.drop_reply_to(b"EVALSHA")

    assert [3] == await scripts.run([Call(name, ("{a}",), ())])
    assert 1 == proxy.dropped


async def test_a_pipeline_is_not_repeated(server: ValkeyServer, proxy: FaultProxy, connect: Open):
    """Plain commands are never sent twice."""
    connection = await connect(proxy.url)
    proxy.drop_reply_to(b"INCR")

    with pytest.raises(OutcomeUnknownError):
        await connection.pipeline([Command("n", ("INCR", "n"))])

    with server.client() as client:
        assert "1" == client.get("n")


async def test_reads_are_repeated(proxy: FaultProxy, connect: Open):
    """A read whose reply was lost is read again."""
    connection = await connect(proxy.url)
    await connection.execute("k", "SET", "k", "v")
    proxy.drop_reply_to(b"GET")

    assert ["v"] == await connection.read([Command("k", ("GET", "k"))])


async def test_a_cut_connection_is_made_anew(proxy: FaultProxy, connect: Open):
    """The next call connects again; nothing was in flight, so nothing is unknown."""
    connection = await connect(proxy.url)
    await asyncio.to_thread(proxy.cut)
    await asyncio.sleep(0)

    assert "OK" == await connection.execute("k", "SET", "k", "v")
    assert 2 == proxy.accepted


async def test_a_restarted_server_is_found_again(server: ValkeyServer, connect: Open):
    """Calls made while the server is down wait for it, within their deadline, and are done once."""
    connection = await connect(server.url)
    await connection.execute("n", "INCR", "n")
    await asyncio.to_thread(server.kill)
    waiting = asyncio.create_task(connection.execute("n", "INCR", "n"))
    await asyncio.to_thread(server.start)

    assert 2 <= await waiting


async def test_nothing_was_sent_to_a_server_that_is_gone(server: ValkeyServer, connect: Open):
    """After the deadline the error says that nothing was written."""
    connection = await connect(server.url, SHORT.model_copy(update={"retry_deadline_ms": 300}))
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(0)

    with pytest.raises(StoreUnreachableError, match="cannot be reached"):
        await connection.execute("k", "SET", "k", "v")


async def test_silence_is_an_unknown_outcome(proxy: FaultProxy, connect: Open):
    """A network that swallows packets: the call ends at its time limit, and the next one works after healing."""
    connection = await connect(proxy.url, SHORT.model_copy(update={"call_timeout_ms": 150}))
    proxy.blackhole("to_client")

    with pytest.raises(OutcomeUnknownError, match="did not answer in time"):
        await connection.execute("k", "SET", "k", "v")

    await asyncio.to_thread(proxy.heal)
    assert ["v"] == await connection.read([Command("k", ("GET", "k"))])


async def test_replies_that_came_before_the_loss_are_kept(connect: Open, add_script: Callable[[str, str], str]):
    """Of two calls in one write only the one without a reply is sent again."""
    requests: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(4_096):
            if b"HELLO" in chunk:
                writer.write(b"+OK\r\n")
            elif b"INFO" in chunk:
                writer.write(b"+redis_version:7.2.0\r\n-ERR no CONFIG\r\n")
            elif b"EVALSHA" in chunk:
                requests.append(chunk.count(b"EVALSHA"))
                writer.write(b":%d\r\n" % len(requests))
                if len(requests) == 1:
                    break
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as stub:
        connection = await connect(f"redis://127.0.0.1:{stub.sockets[0].getsockname()[1]}")
        scripts = Scripts(connection)
        name = add_script("answered_in_part", COUNT)

        replies = await scripts.run([Call(name, ("{a}",), ()), Call(name, ("{b}",), ())])
        # From Python 3.12 on a server waits for its connections when it is closed.
        await connection.close()

    assert [1, 2] == replies
    assert [2, 1] == requests


async def test_a_busy_server_is_waited_for(server: ValkeyServer, connect: Open):
    """A server that is busy with a script refuses commands for a while; they are sent again until it answers."""
    connection = await connect(server.url)
    with server.client() as client:
        client.config_set("busy-reply-threshold", 20)

    def spin() -> None:
        with server.client() as client:
            client.eval("local n = 0 while n < 30000000 do n = n + 1 end", 0)

    spinning = asyncio.create_task(asyncio.to_thread(spin))
    replies = [await connection.execute("k", "INCR", "k") for _ in range(20)]
    await spinning

    assert list(range(1, 21)) == replies
