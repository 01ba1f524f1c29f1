"""The embedded server dies with the process that started it; whoever notices first starts it again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lash_core.errors import StoreUnreachableError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.embedded_process import answers
from lash_core.settings import StoreSettings
from lash_core.testing.waiting import eventually
from tests.embedded.conftest import Use, UserProcess
from tests.embedded.test_embedded import socket_of, stamp_of

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux ends a child with its parent")


@on_linux
async def test_a_peer_starts_it_again_when_its_parent_is_killed(
    use: Use, other_user: Callable[[], UserProcess], data_dir: Path
):
    """Running work goes on over the same data and the same URL, through the connection that it has."""
    starter = other_user()
    assert starter.url
    mine = use()
    connection = await RedisConnection.open(mine.url, StoreSettings())
    await connection.execute("n", "SET", "n", "kept")
    first_pid = stamp_of(data_dir).pid

    starter.kill()
    await eventually(lambda: not _runs(first_pid))

    assert ["kept"] == await connection.read([Command("n", ("GET", "n"))])
    assert first_pid != stamp_of(data_dir).pid
    await connection.close()


@on_linux
async def test_many_peers_start_one_server(use: Use, other_user: Callable[[], UserProcess], data_dir: Path):
    """All of them notice at once; one takes the lock and the others find its server."""
    starter = other_user()
    assert starter.url
    mine = use()
    connections = [await RedisConnection.open(mine.url, StoreSettings()) for _ in range(10)]
    await connections[0].execute("n", "SET", "n", 0)

    starter.kill()
    reads = [connection.read([Command("n", ("EXISTS", "n"))]) for connection in connections]

    assert [[1]] * 10 == await asyncio.gather(*reads)
    pids = {
        (await connection.execute("n", "INFO", "server")).split("process_id:")[1].split()[0]
        for connection in connections
    }
    assert {str(stamp_of(data_dir).pid)} == pids
    for connection in connections:
        await connection.close()


async def test_a_killed_server_is_started_again(use: Use, data_dir: Path):
    """Also when the server itself is what was killed; the next call waits for it."""
    server = use()
    connection = await RedisConnection.open(server.url, StoreSettings())
    await connection.execute("n", "SET", "n", "kept")
    await eventually(lambda: _is_flushed(data_dir))

    os.kill(stamp_of(data_dir).pid, signal.SIGKILL)
    await eventually(lambda: not answers(socket_of(server.url)))

    assert ["kept"] == await connection.read([Command("n", ("GET", "n"))])
    await connection.close()


async def test_a_closed_server_stays_closed(use: Use):
    """A straggling connection does not start it again."""
    server = use()
    connection = await RedisConnection.open(server.url, StoreSettings(retry_deadline_ms=200))
    await asyncio.to_thread(server.close)

    with pytest.raises(StoreUnreachableError, match="is closed in this process"):
        await connection.execute("n", "GET", "n")
    await connection.close()
    assert not answers(socket_of(server.url))


@on_linux
async def test_it_ends_with_the_last_process(other_user: Callable[[], UserProcess], data_dir: Path):
    """Nobody closed anything: a killed user leaves no server behind."""
    only = other_user()
    path = socket_of(only.url)

    only.kill()

    await eventually(lambda: not answers(path))
    await eventually(lambda: not _runs(stamp_of(data_dir).pid))


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text()


def _is_flushed(data_dir: Path) -> bool:
    return any(path.stat().st_size for path in (data_dir / "appendonlydir").glob("*.incr.aof"))
