"""The app behind a real server: its address, its end, readers that do not read, a thousand of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import trustme

from lash_core.errors import SettingsError
from lash_core.testing.waiting import eventually
from lash_core.web import WebConfig, WebLimits, session_app
from lash_core.web.server import Certificate, WebServer, check_bind
from tests.web.kit import TOKEN, Event, Web, events_of, say, web_app

WATCHERS = 1_000
TEXT = "x" * 50_000
"""Some forty of them fill a ring; some hundred fill what lies between a server and who does not read."""


@asynccontextmanager
async def served(config: WebConfig | None = None) -> AsyncGenerator[tuple[Web, WebServer]]:
    """An app over stores in memory behind a server of this loop."""
    async with web_app(config) as web, WebServer(web.app) as server:
        yield web, server


class Reader:
    """A browser's connection to a stream, read by hand."""

    def __init__(self, server: WebServer, *, receive_buffer: int | None = None) -> None:
        self._port = int(server.url.rpartition(":")[2])
        self._receive_buffer = receive_buffer
        self._parts: list[str] = []
        self.over = False

    @property
    def text(self) -> str:
        """All that has come."""
        self._parts[:] = ["".join(self._parts)]
        return self._parts[0]

    async def open(self, path: str, *headers: str) -> Reader:
        """Ask for a stream."""
        connection = socket.socket()
        if self._receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        connection.settimeout(0)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._port))
        except OSError:
            connection.close()
            raise
        self.reader, self.writer = await asyncio.open_connection(sock=connection, limit=1 << 24)
        lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", *headers, "", "")
        self.writer.write("\r\n".join(lines).encode())
        return self

    async def until(self, word: str) -> None:
        """Read until the text has come, or the stream is over."""
        seen = self.text
        async with asyncio.timeout(30):
            while word not in seen and not self.over:
                part = await self.reader.read(1 << 20)
                self.over = not part
                self._parts.append(part.decode())
                seen = seen[-len(word) :] + self._parts[-1]

    @property
    def events(self) -> list[Event]:
        """The events so far; each was one chunk or several together."""
        body = self.text.partition("\r\n\r\n")[2]
        lines = [line for line in body.split("\r\n") if not _is_size(line)]
        return [event for event in events_of("".join(lines)) if event.type != "message"]

    def close(self) -> None:
        """Go."""
        self.writer.close()


def _is_size(line: str) -> bool:
    with contextlib.suppress(ValueError):
        return len(line) < 7 and int(line, 16) >= 0
    return not line


async def test_it_serves_at_the_address_that_it_names() -> None:
    """A free port by default."""
    async with served() as (web, server), httpx2.AsyncClient(base_url=server.url) as http:
        await web.lash.session("chat").create()
        assert 200 == (await http.get("/healthz")).status_code
        assert ["chat"] == [row["id"] for row in (await http.get("/sessions")).json()["items"]]
        assert "server" not in (await http.get("/sessions")).headers
        assert 421 == (await http.get("/sessions", headers={"Host": "evil.test"})).status_code


async def test_its_end_is_told_to_those_who_watch() -> None:
    """At once, and nobody is left connected; twice is once."""
    async with served() as (web, server):
        await web.lash.session("chat").create()
        reader = await Reader(server).open("/sessions/chat/events")
        await reader.until("event: observation")
        await server.stop()
        await server.stop()
        await reader.until("no such text")
        assert reader.over
        assert {"type": "ended", "session_id": "chat", "reason": "shutdown"} == reader.events[-1].data
        reader.close()
        with pytest.raises(ConnectionRefusedError):
            await Reader(server).open("/healthz")


async def test_what_cannot_be_listened_at_is_said() -> None:
    """A port that is taken, a name that is none, a certificate that is none."""
    async with served() as (web, server):
        port = int(server.url.rpartition(":")[2])
        for broken in (
            WebServer(web.app, "127.0.0.1", port),
            WebServer(session_app(web.lash, WebConfig(token=TOKEN)), "no-such-name.invalid"),
            WebServer(web.app, certificate=Certificate(__file__)),
        ):
            with pytest.raises(SettingsError):
                await broken.start()


@pytest.mark.parametrize(
    ("host", "bound"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "192.0.2.7", "example.com", "")],
    ],
)
def test_without_a_token_only_the_loopback_is_bound(host: str, bound: bool) -> None:
    """With one, anything."""
    check_bind(host, WebConfig(token=TOKEN))
    with contextlib.nullcontext() if bound else pytest.raises(SettingsError, match="LASH_WEB_TOKEN"):
        check_bind(host, WebConfig(allow_write=True))


async def test_https(tmp_path: Path) -> None:
    """The cookie of a login is for https alone."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(files[0])
    issued.private_key_pem.write_to_path(files[1])
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with web_app(WebConfig(token=TOKEN)) as web:
        server = WebServer(web.app, certificate=Certificate(str(files[0]), str(files[1])))
        async with server, httpx2.AsyncClient(verify=context) as http:
            url = server.url.replace("127.0.0.1", "localhost")
            reply = await http.post(f"{url}/login", json={"token": TOKEN}, headers={"Origin": url})
            assert 200 == reply.status_code, reply.text
            assert "Secure" in reply.headers["set-cookie"].split("; ")


async def test_a_connection_that_does_not_read_holds_nobody_up() -> None:
    """The others hear all; it gets a gap when it reads again."""
    async with served() as (web, server):
        await web.lash.session("chat").create()
        slow = await Reader(server, receive_buffer=4_096).open("/sessions/chat/events")
        quick = await Reader(server).open("/sessions/chat/events")
        await asyncio.gather(slow.until("event: observation"), quick.until("event: observation"))
        told = 0
        stuck = 0
        while stuck < 60:
            told += len(await say(web, "chat", *[TEXT] * 10))
            await say(web, "chat", f"mark {told}.")
            await quick.until(f"mark {told}.")
            # More than the ring holds, after the connection was full.
            stuck += 10 * any(watcher.is_writing for watcher in web.state.watchers)
            assert told < 5_000
        assert "event: gap" not in quick.text
        await slow.until("event: gap")
        assert "event: gap" in slow.text
        slow.close()
        quick.close()
        await eventually(lambda: 0 == len(web.state.watchers))


async def test_a_connection_without_a_request_is_given_up() -> None:
    """One that says nothing, one that stops in the middle of a head, one that does so after an answer; no other."""
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    async with served(WebConfig(limits=WebLimits(body_ms_max=1_000))) as (web, server):
        await web.lash.session("chat").create()
        watching = await Reader(server).open("/sessions/chat/events")
        await watching.until("event: observation")
        port = int(server.url.rpartition(":")[2])

        async def answered(begun: bytes) -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            async with asyncio.timeout(20):
                count = (await reader.read()).count(b'{"status":"ok"}')
            writer.close()
            return count

        begun = (b"", head, head + b"\r\n", head + b"\r\n" + head)
        assert [0, 0, 1, 1] == await asyncio.gather(*map(answered, begun))
        # Its own head came in time, and it has been silent for longer.
        await say(web, "chat", "still there")
        await watching.until("still there")
        assert "still there" in watching.text
        watching.close()


async def test_a_connection_that_never_reads_is_cut() -> None:
    """Closed alone it would stay, with all that waits for it."""
    async with served(WebConfig(limits=WebLimits(stall_ms=400))) as (web, server):
        await web.lash.session("chat").create()
        loop = asyncio.get_running_loop()
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            stuck.settimeout(0)
            await loop.sock_connect(stuck, ("127.0.0.1", int(server.url.rpartition(":")[2])))
            await loop.sock_sendall(stuck, b"GET /sessions/chat/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await eventually(lambda: 1 == len(web.state.watchers))
            async with asyncio.timeout(20):
                while server.connections:
                    await say(web, "chat", TEXT)
                    await asyncio.sleep(0)
            await eventually(lambda: 0 == len(web.state.watchers))


async def test_a_thousand_watch_one_session() -> None:
    """All hear the same in the same order; when they go, nothing is left of them."""
    async with served(WebConfig(limits=WebLimits(watchers_max=WATCHERS))) as (web, server):
        await web.lash.session("chat").create()
        readers = [Reader(server) for _ in range(WATCHERS)]
        for start in range(0, WATCHERS, 100):
            await asyncio.gather(*(one.open("/sessions/chat/events") for one in readers[start : start + 100]))
        await asyncio.gather(*(reader.until("event: observation") for reader in readers))
        assert WATCHERS == len(web.state.watchers)
        late = await Reader(server).open("/sessions/chat/events")
        await late.until("\r\n\r\n")
        assert "429" in late.text.partition("\r\n")[0]

        cursors = [(await say(web, "chat", f"{n},"))[0] for n in range(20)]
        await asyncio.gather(*(reader.until(cursors[-1]) for reader in readers))
        for reader in readers[:: WATCHERS // 20]:
            assert cursors == [event.id for event in reader.events if event.type == "turn_activity"]
        assert all(reader.text.count("event: turn_activity") == 20 for reader in readers)
        for reader in (*readers, late):
            reader.close()
        await eventually(lambda: 0 == len(web.state.watchers))
