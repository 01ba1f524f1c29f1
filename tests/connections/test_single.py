"""One server: order of replies, errors in place, limits of time, refusals in words."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path

import pytest
from redis.credentials import UsernamePasswordCredentialProvider
from redis.exceptions import ResponseError

from lash_core.errors import (
    OutcomeUnknownError,
    StoreAuthError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnreachableError,
)
from lash_core.redis_store.commands import Command
from lash_core.settings import StoreSettings
from lash_core.testing.servers import TlsProxy, ValkeyServer, free_port
from lash_core.testing.waiting import eventually
from tests.connections.conftest import SHORT, Open


async def test_replies_come_in_order_with_errors_in_place(server: ValkeyServer, connect: Open):
    """A refused command does not hide the replies around it."""
    connection = await connect(server.url)

    first, second, third = await connection.pipeline(
        [Command("k", ("SET", "k", "1")), Command("k", ("LPUSH", "k", "x")), Command("k", ("GET", "k"))]
    )

    assert ("OK", "1") == (first, third)
    assert isinstance(second, ResponseError)
    assert str(second).startswith("WRONGTYPE")


async def test_callers_share_a_connection_and_get_their_own_replies(server: ValkeyServer, connect: Open):
    """A thousand callers at once, each with its own key."""
    connection = await connect(server.url)

    async def round_trip(number: int) -> bool:
        key = f"k{number}"
        replies = await connection.pipeline([Command(key, ("SET", key, number)), Command(key, ("GET", key))])
        return replies == ["OK", str(number)]

    assert [True] * 1_000 == list(await asyncio.gather(*(round_trip(number) for number in range(1_000))))
    with server.client() as client:
        assert 2 == client.info("clients")["connected_clients"]


async def test_a_cancelled_caller_does_not_shift_the_replies_of_others(server: ValkeyServer, connect: Open):
    """Its replies are thrown away when they come."""
    connection = await connect(server.url)
    tasks = [asyncio.create_task(connection.execute("k", "ECHO", number)) for number in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()

    done = await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(number) for number in range(1, 50, 2)] == list(done[1::2])


async def test_raw_replies_are_bytes(server: ValkeyServer, connect: Open):
    """Bytes that are no text come back as they were written."""
    connection = await connect(server.url)
    await connection.execute("k", "SET", "k", b"\xff\x00")

    assert b"\xff\x00" == await connection.execute("k", "GET", "k", raw=True)
    assert [b"\xff\x00", "OK"] == [
        (await connection.read([Command("k", ("GET", "k"))], raw=True))[0],
        await connection.execute("k", "SET", "k", "x"),
    ]


async def test_a_large_pipeline_passes_in_both_directions(server: ValkeyServer, connect: Open):
    """Megabytes of requests and replies, more than the kernel's buffers hold."""
    connection = await connect(server.url)
    value = "x" * 200_000
    commands = [Command("k", ("SET", f"k{number}", value)) for number in range(40)]
    await connection.pipeline(commands)

    replies = await connection.read([Command("k", ("GET", f"k{number}")) for number in range(40)])

    assert [value] * 40 == replies


async def test_an_unreachable_server_is_named_within_the_time_limit(connect: Open):
    """Nothing was written, and the message says where nobody answered."""
    port = free_port()
    started = time.monotonic()

    with pytest.raises(StoreUnreachableError, match=f"127.0.0.1:{port} cannot be reached"):
        await connect(f"redis://127.0.0.1:{port}", SHORT.model_copy(update={"connect_timeout_ms": 300}))

    assert time.monotonic() - started < 2


async def test_a_server_that_accepts_and_says_nothing_is_given_up(connect: Open):
    """The time limit of the connect covers the greeting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(StoreUnreachableError, match="no answer in time"):
            await connect(f"redis://127.0.0.1:{port}", SHORT.model_copy(update={"connect_timeout_ms": 200}))


async def test_a_server_that_speaks_something_else_is_named_so(connect: Open):
    """A wrong port answers with HTTP; that is said and not retried into a hang."""

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(1_000)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(StoreUnreachableError, match="does not speak the Redis protocol"):
            await connect(f"redis://127.0.0.1:{port}", SHORT.model_copy(update={"connect_timeout_ms": 200}))
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


async def test_a_wrong_password_is_refused_at_once_and_never_shown(connect: Open):
    """The error says which setting is wrong and repeats neither user nor password."""
    with ValkeyServer(tcp=True, arguments=("--requirepass", "right-pw")) as server:
        url = f"redis://default:wr0ng-pw@127.0.0.1:{server.port}/0"

        with pytest.raises(StoreAuthError, match="check user and password of LASH_REDIS_URL") as caught:
            await connect(url)

        error: BaseException | None = caught.value
        while error is not None:
            assert "wr0ng-pw" not in repr(error)
            assert "wr0ng-pw" not in str(vars(error))
            error = error.__cause__ or error.__context__
        good = await connect(f"redis://:right-pw@127.0.0.1:{server.port}/0")
        assert "right-pw" not in repr(vars(good))
        assert "PONG" == await good.execute("k", "PING")


async def test_a_missing_password_is_refused(connect: Open):
    """A server that wants a password and got none."""
    with ValkeyServer(arguments=("--requirepass", "right-pw")) as server, pytest.raises(StoreAuthError):
        await connect(server.url)


async def test_a_credential_provider_is_asked_at_each_connect(server: ValkeyServer, connect: Open):
    """Short-lived tokens work: a reconnect asks again."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">token-1", "~*", "&*", "+@all")
    provider = UsernamePasswordCredentialProvider("app", "token-1")
    connection = await connect(server.url, SHORT, credential_provider=provider)

    provider.password = "token-2"
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", ">token-2", "<token-1")
        client.execute_command("CLIENT", "KILL", "USER", "app")

    assert ["app"] == await connection.read([Command("k", ("ACL", "WHOAMI"))])


async def test_a_missing_permission_names_the_command(server: ValkeyServer, connect: Open):
    """NOPERM is an error of permissions, with what the server said."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "+info")
    connection = await connect(f"unix://reader:pw@{server.socket}")

    with pytest.raises(StoreAuthError, match=r"permission missing .*set"):
        await connection.execute("k", "SET", "k", "1")


async def test_a_full_server_is_told_apart(connect: Open):
    """OOM: nothing was written by the refused command, and the message says what still works."""
    with ValkeyServer(arguments=("--maxmemory", "2mb")) as server:
        connection = await connect(server.url)
        commands = [Command("k", ("SET", f"k{number}", "x" * 50_000)) for number in range(200)]
        assert any(isinstance(reply, ResponseError) for reply in await connection.pipeline(commands))

        with pytest.raises(StoreFullError, match="out of memory"):
            await connection.execute("k", "SET", "k", "x" * 50_000)


async def test_a_read_only_replica_is_refused_at_the_start(connect: Open):
    """A replica takes no writes; the message names the way out."""
    with ValkeyServer(tcp=True) as master, ValkeyServer() as replica:
        with replica.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", master.port)

        with pytest.raises(StoreReadOnlyError, match="read-only replica"):
            await connect(replica.url)


async def test_a_server_that_becomes_a_replica_refuses_writes(server: ValkeyServer, connect: Open):
    """READONLY of a running connection is reported at once."""
    connection = await connect(server.url)
    with server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())

    with pytest.raises(StoreReadOnlyError):
        await connection.execute("k", "SET", "k", "1")


async def test_the_database_of_the_url_is_used(server: ValkeyServer, connect: Open):
    """`?db=3` writes to database 3."""
    connection = await connect(f"{server.url}?db=3")
    await connection.execute("k", "SET", "k", "here")

    with server.client(db=3) as client:
        assert "here" == client.get("k")


async def test_connections_are_closed_for_good(server: ValkeyServer, connect: Open):
    """Closing twice is fine; afterwards nothing is sent, and nobody waits for it."""
    connection = await connect(server.url)
    started = time.monotonic()
    await connection.close()
    await connection.close()

    with pytest.raises(StoreUnreachableError, match="closed by this process"):
        await connection.execute("k", "GET", "k")
    assert time.monotonic() - started < 1
    with server.client() as client:
        await eventually(lambda: client.info("clients")["connected_clients"] == 1)


async def test_tls_verifies_certificate_and_host_name(server: ValkeyServer, connect: Open, tmp_path: Path):
    """Only a certificate of a trusted authority for the very host is accepted; `insecure_tls` is an explicit choice."""
    trustme = pytest.importorskip("trustme")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "other-ca.pem"))
    identity = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(identity))
    with TlsProxy(server.socket, certificate=identity, key=identity) as proxy:
        trusted = await connect(f"{proxy.url}?ssl_ca_certs={tmp_path}/ca.pem")
        assert "PONG" == await trusted.execute("k", "PING")

        for url in (
            proxy.url,
            f"{proxy.url}?ssl_ca_certs={tmp_path}/other-ca.pem",
            f"{proxy.url}?ssl_ca_certs={tmp_path}/ca.pem".replace("localhost", "127.0.0.1"),
        ):
            with pytest.raises(StoreRefusedError, match="certificate was not accepted"):
                await connect(url)

        insecure = await connect(proxy.url, SHORT.model_copy(update={"insecure_tls": True}))
        assert "PONG" == await insecure.execute("k", "PING")


async def test_a_call_has_a_time_limit(server: ValkeyServer, connect: Open):
    """A stopped server costs one time limit; a write then may or may not have happened."""
    connection = await connect(server.url, SHORT.model_copy(update={"call_timeout_ms": 200}))
    server.pause()
    try:
        with pytest.raises(OutcomeUnknownError, match="did not answer in time"):
            await connection.execute("k", "SET", "k", "1")
    finally:
        server.resume()


async def test_the_pool_of_confirmed_writes_is_bounded(server: ValkeyServer, connect: Open):
    """At most `connections_max` connections exist, whatever the number of callers."""
    settings = StoreSettings(durability="fsync", connections_max=4, call_timeout_ms=10_000)
    connection = await connect(server.url, settings)
    peak = 0

    async def watch() -> None:
        nonlocal peak
        with server.client() as client:
            while True:
                peak = max(peak, client.info("clients")["connected_clients"] - 1)
                await asyncio.sleep(0.005)

    watcher = asyncio.create_task(watch())
    calls = (connection.pipeline([Command("{a}", ("INCR", "{a}"))], durable=True) for _ in range(20))
    await asyncio.gather(*calls)
    watcher.cancel()

    assert ["20"] == await connection.read([Command("{a}", ("GET", "{a}"))])
    assert 1 < peak <= 4
