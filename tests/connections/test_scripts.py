"""Scripts are found by digest, sent in full when a server has forgotten them, and refused in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lash_core.errors import StoreReadOnlyError, StoreRefusedError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.scripts import Call, Scripts, script_text
from lash_core.testing.servers import DebianRedis, ValkeyServer, free_port
from tests.connections.conftest import Open

NOW = """-- read_now: the clock.
--- @include now
return {F(now_us), F(now_ms), #KEYS}
"""


async def test_a_forgotten_script_is_sent_in_full_once(
    server: ValkeyServer, connect: Open, add_script: Callable[[str, str], str]
):
    """SCRIPT FLUSH (or a promoted replica) costs one more round trip and no error, each time."""
    scripts = Scripts(await connect(server.url))
    name = add_script("count_flushed", "return redis.call('INCR', KEYS[1])\n")
    counts: list[int] = []
    with server.client() as client:
        for _ in range(3):
            client.script_flush()
            counts += await scripts.run([Call(name, ("{a}",), ()), Call(name, ("{a}",), ())])

    assert [1, 2, 3, 4, 5, 6] == sorted(counts)


async def test_replies_come_in_the_order_of_the_calls(
    server: ValkeyServer, connect: Open, add_script: Callable[[str, str], str]
):
    """Also when some of the scripts were unknown to the server."""
    scripts = Scripts(await connect(server.url))
    echo, shout = add_script("echo_known", "return ARGV[1]"), add_script("echo_new", "return ARGV[1] .. '!'")
    await scripts.run([Call(echo, ("{a}",), ("warm",))])

    replies = await scripts.run([Call(shout if n % 2 else echo, ("{a}",), (n,)) for n in range(5)])

    assert ["0", "1!", "2", "3!", "4"] == replies


async def test_a_refused_call_is_an_error_of_ours(
    server: ValkeyServer, connect: Open, add_script: Callable[[str, str], str]
):
    """`run` raises the first refusal; `run_each` leaves it in its place, and the other calls are done."""
    scripts = Scripts(await connect(server.url))
    name = add_script("push", "return redis.call('LPUSH', KEYS[1], 'x')")
    await scripts.run([Call(name, ("{list}",), ())])
    with server.client() as client:
        client.set("{text}", "1")
    calls = [Call(name, ("{text}",), ()), Call(name, ("{list}",), ())]

    with pytest.raises(StoreRefusedError, match="WRONGTYPE"):
        await scripts.run(calls)
    refused, done = await scripts.run_each(calls)

    assert isinstance(refused, StoreRefusedError)
    assert 3 == done


async def test_a_read_only_server_refuses_scripts_in_words(
    server: ValkeyServer, connect: Open, add_script: Callable[[str, str], str]
):
    """The place in the script is no part of the message."""
    scripts = Scripts(await connect(server.url))
    name = add_script("count_replica", "return redis.call('INCR', KEYS[1])")
    with server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())

    with pytest.raises(StoreReadOnlyError) as caught:
        await scripts.run([Call(name, ("{a}",), ())])

    assert "user_script" not in str(caught.value)


@pytest.mark.parametrize("kind", [ValkeyServer, DebianRedis])
async def test_the_clock_is_the_servers(kind: type[ValkeyServer], connect: Open, add_script: Callable[[str, str], str]):
    """`now` gives TIME with all its digits, in µs and ms, and adds nothing to KEYS."""
    name = add_script("read_now", NOW)
    with kind() as server:
        connection = await connect(server.url)
        seconds, micros = (await connection.read([Command("{a}", ("TIME",))]))[0]
        now_us, now_ms, keys = (await Scripts(connection).run([Call(name, ("{a}",), ())]))[0]

    server_us = int(seconds) * 1_000_000 + int(micros)
    assert 0 <= int(now_us) - server_us < 5_000_000
    assert (int(now_us) // 1_000, 1) == (int(now_ms), keys)


async def test_the_test_clock_is_moved_by_its_key(
    server: ValkeyServer, connect: Open, add_script: Callable[[str, str], str]
):
    """Only the test loader's clock reads the offset, and the script sees the keys it was given."""
    name = add_script("read_test_now", NOW)
    connection = await connect(server.url)
    await connection.execute("{a}:off", "SET", "{a}:off", 3_600_000_000)
    call = Call(name, ("{a}:p",), ())

    moved = (await Scripts(connection, test_clock=True).run([call]))[0]
    real = (await Scripts(connection).run([call]))[0]

    assert 3_590_000 < int(moved[1]) - int(real[1]) < 3_610_000
    assert 1 == moved[2]


def test_comments_stay_at_home(add_script: Callable[[str, str], str]):
    """The server gets no comments, so they cost nothing."""
    name = add_script("with_comments", "-- with_comments: a sentence.\nreturn 1\n")

    assert "return 1\n" == script_text(name, test_clock=False)
