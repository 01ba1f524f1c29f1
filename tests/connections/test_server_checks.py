"""Which servers may hold lash's data, at which level of durability."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from lash_core.errors import OutcomeUnknownError, StoreRefusedError, StoreVersionError
from lash_core.redis_store.commands import Command
from lash_core.testing.servers import DebianRedis, ValkeyServer
from lash_core.testing.waiting import eventually
from tests.connections.conftest import SHORT, Open

FSYNC = SHORT.model_copy(update={"durability": "fsync"})
REPLICATED = SHORT.model_copy(update={"durability": "replicated"})

INFO = "redis_version:{version}\r\nrun_id:abc\r\nrole:master\r\nmaxmemory_policy:{policy}\r\naof_enabled:{aof}\r\n"


@asynccontextmanager
async def pretended_server(info: str, *, config: bytes = b"-ERR unknown command 'CONFIG'\r\n") -> AsyncGenerator[str]:
    """A server that only says INFO, and answers CONFIG as told."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = info.encode()
        while request := await reader.read(4_096):
            for word in request.split(b"\r\n"):
                if word == b"HELLO":
                    writer.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                elif word == b"INFO":
                    writer.write(b"$%d\r\n%s\r\n" % (len(body), body))
                elif word == b"CONFIG":
                    writer.write(config)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()


@pytest.mark.parametrize(
    ("info", "shown"),
    [
        (INFO.format(version="6.2.14", policy="noeviction", aof=1), "Redis 6.2.14"),
        (
            INFO.format(version="7.2.4", policy="noeviction", aof=1) + "server_name:valkey\r\nvalkey_version:7.1.9\r\n",
            "Valkey 7.1.9",
        ),
    ],
)
async def test_an_old_server_is_refused_by_name(info: str, shown: str, connect: Open):
    """The message has the version that is there and the one that is needed; Valkey is known by its own version."""
    async with pretended_server(info) as url:
        with pytest.raises(StoreVersionError, match=f"{shown}; .* or newer is needed"):
            await connect(url)


async def test_where_config_is_refused_info_has_to_do(connect: Open):
    """A managed service without CONFIG is used, and the report says what is unknown."""
    async with pretended_server(INFO.format(version="7.2.0", policy="noeviction", aof=1)) as url:
        connection = await connect(url)
        report = connection.report
        # From Python 3.12 on a server waits for its connections when it is closed.
        await connection.close()

    assert (None, None, True) == (report.appendfsync, report.snapshots, report.aof)
    assert "refuses CONFIG GET" in report.warnings[-1]


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
async def test_a_server_that_evicts_any_key_is_refused(policy: str, connect: Open):
    """It would lose processes without a word."""
    with (
        ValkeyServer(arguments=("--maxmemory-policy", policy)) as server,
        pytest.raises(StoreRefusedError, match=f"maxmemory-policy {policy}") as caught,
    ):
        await connect(server.url)

    assert ("maxmemory-policy", policy, "noeviction") == (caught.value.field, caught.value.value, caught.value.limit)


async def test_a_server_that_evicts_expiring_keys_is_warned_of(connect: Open):
    """No key of lash expires, so this one is harmless and said."""
    with ValkeyServer(arguments=("--maxmemory-policy", "volatile-lru")) as server:
        report = (await connect(server.url)).report

    assert ["volatile-lru" in warning for warning in report.warnings] == [True]


async def test_no_persistence_is_a_warning_or_an_error(connect: Open):
    """A warning on `fast`, an error on the levels that promise more."""
    with ValkeyServer(arguments=("--appendonly", "no")) as server:
        report = (await connect(server.url)).report
        assert "no persistence at all" in report.warnings[0]

        with pytest.raises(StoreRefusedError, match="LASH_DURABILITY=fsync wants `appendonly yes`"):
            await connect(server.url, FSYNC)


@pytest.mark.parametrize("kind", [ValkeyServer, DebianRedis])
async def test_a_sound_server_gives_no_warnings(kind: Callable[[], ValkeyServer], connect: Open):
    """Append-only file, no eviction: nothing to say."""
    with kind() as server:
        report = (await connect(server.url)).report

    assert () == report.warnings
    assert "master" == report.role


async def test_replicated_wants_replicas(server: ValkeyServer, connect: Open):
    """Without a replica no write could be confirmed, so nothing is written at all."""
    with pytest.raises(StoreRefusedError, match="0 connected replicas"):
        await connect(server.url, REPLICATED)


async def test_fsync_confirms_with_waitaof_where_it_exists(server: ValkeyServer, connect: Open):
    """A confirmed write is on disk when the call returns, also the repeat of a write that changes nothing."""
    connection = await connect(server.url, FSYNC.model_copy(update={"call_timeout_ms": 3_000}))

    replies = await connection.pipeline([Command("{a}", ("SET", "{a}", "1"))], durable=True)

    with server.client() as client:
        info = client.info("persistence")
    assert ["OK"] == replies
    assert 0 == info["aof_pending_bio_fsync"]


async def test_an_old_redis_needs_appendfsync_always(connect: Open):
    """Redis 7.0 has no WAITAOF: only a server that syncs each write keeps the promise."""
    with DebianRedis() as server, pytest.raises(StoreRefusedError, match="appendfsync everysec, no WAITAOF"):
        await connect(server.url, FSYNC)
    with DebianRedis(arguments=("--appendfsync", "always")) as server:
        connection = await connect(server.url, FSYNC)
        assert ["OK"] == await connection.pipeline([Command("{a}", ("SET", "{a}", "1"))], durable=True)


async def test_a_missing_confirmation_is_an_unknown_outcome(connect: Open):
    """The replica is gone: the write happened, its copy did not, and that is never called a success."""
    settings = REPLICATED.model_copy(update={"call_timeout_ms": 1_000})
    with ValkeyServer(tcp=True) as master, ValkeyServer() as replica:
        with replica.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", master.port)
        await wait_for_copying(replica)
        connection = await connect(master.url, settings)
        assert ["OK"] == await connection.pipeline([Command("{a}", ("SET", "{a}", "1"))], durable=True)

        replica.pause()
        try:
            with pytest.raises(OutcomeUnknownError, match="copy on a replica was not confirmed in time: 0 of 1"):
                await connection.pipeline([Command("{a}", ("SET", "{a}", "2"))], durable=True)
        finally:
            replica.resume()


async def test_a_repeat_that_writes_nothing_is_confirmed_too(connect: Open):
    """The first try wrote and was not confirmed; the repeat finds it done, and still waits for its copy."""
    settings = REPLICATED.model_copy(update={"call_timeout_ms": 1_000})
    with ValkeyServer(tcp=True) as master, ValkeyServer() as replica:
        with replica.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", master.port)
        await wait_for_copying(replica)
        replica.pause()
        try:
            with master.client() as client:
                client.set("{a}", "1")
            fresh = await connect(master.url, settings)
            with pytest.raises(OutcomeUnknownError, match="not confirmed"):
                await fresh.pipeline([Command("{a}", ("SET", "{a}", "1", "NX"))], durable=True)
        finally:
            replica.resume()


async def test_a_restart_with_other_settings_is_noticed(connect: Open):
    """The check is repeated at each reconnect."""
    with ValkeyServer() as server:
        connection = await connect(server.url)
        server.arguments = ("--maxmemory-policy", "allkeys-lru")
        await asyncio.to_thread(server.restart)
        await asyncio.sleep(0)

        with pytest.raises(StoreRefusedError, match="allkeys-lru"):
            await connection.execute("k", "SET", "k", "1")


async def wait_for_copying(replica: ValkeyServer) -> None:
    def is_copying() -> bool:
        with replica.client() as client:
            return client.info("replication")["master_link_status"] == "up"

    await eventually(is_copying)
