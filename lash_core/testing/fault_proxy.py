"""A proxy that breaks connections on demand, between a client under test and a real server."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Direction = Literal["to_server", "to_client"]

CHUNK_BYTES = 65_536
_STEP_SECONDS_MAX = 10.0


class FaultProxy:
    """Listens on a port of 127.0.0.1 and passes everything on, until it is told otherwise. Usable from any thread.

    Args:
        upstream: path of a unix socket, or a port of 127.0.0.1.
        tls: certificate and key to speak TLS with; None speaks plain text.
    """

    def __init__(self, upstream: Path | int, *, tls: ssl.SSLContext | None = None) -> None:
        self._upstream = upstream
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self.port = 0
        self.refusing = False
        """New connections are closed at once."""
        self.delay_ms = 0
        """How long each chunk waits, in each direction."""
        self.swallowed: set[Direction] = set()
        """Directions in which nothing passes; the connections stay."""
        self.accepted = 0
        """Connections accepted so far."""
        self.dropped = 0
        """Replies dropped so far."""
        self._drop_reply_to: bytes | None = None
        self._drop_after = 0

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:…``, or ``rediss://localhost:…``."""
        return f"rediss://localhost:{self.port}" if self._tls else f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        """Cut all connections and end. May be called twice."""
        if not self._thread.is_alive():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STEP_SECONDS_MAX)
        self._loop.close()

    def cut(self) -> None:
        """Cut every connection now; new ones are served."""
        self._run(self._cut())

    def drop_reply_to(self, needle: bytes, *, after: int = 0) -> None:
        """Pass on the next request that contains ``needle``, swallow its reply, and cut that connection.

        Args:
            needle: such as ``b"EVALSHA"``.
            after: let this many such requests be answered first.
        """
        self._drop_after = after
        self._drop_reply_to = needle

    def blackhole(self, *directions: Direction) -> None:
        """From now on nothing passes in these directions (both when none is named)."""
        self.swallowed = set(directions) or {"to_server", "to_client"}

    def heal(self) -> None:
        """Serve again. Connections that lost bytes are cut."""
        lossy = bool(self.swallowed)
        self.swallowed = set()
        self.refusing = False
        self.delay_ms = 0
        if lossy:
            self.cut()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(_STEP_SECONDS_MAX)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        links = list(self._links)
        for link in links:
            link.cut()
        await asyncio.gather(*(link.ended.wait() for link in links))

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        if self._server is not None:
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            if isinstance(self._upstream, int):
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            else:
                up_reader, up_writer = await asyncio.open_unix_connection(str(self._upstream))
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, up_writer)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, lambda chunk: self._to_server(link, chunk), link),
                self._pump(up_reader, writer, lambda chunk: self._to_client(link, chunk), link),
            )
        finally:
            link.cut()
            self._links.discard(link)
            link.ended.set()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[bytes], bool],
        link: _Link,
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                if self.delay_ms:
                    await asyncio.sleep(self.delay_ms / 1_000)
                if passes(chunk):
                    writer.write(chunk)
                    await writer.drain()
        except (OSError, ssl.SSLError):
            return
        finally:
            link.cut()

    def _to_server(self, link: _Link, chunk: bytes) -> bool:
        needle = self._drop_reply_to
        if needle is not None and needle in chunk:
            if self._drop_after:
                self._drop_after -= 1
            else:
                self._drop_reply_to = None
                link.drops_reply = True
        return "to_server" not in self.swallowed

    def _to_client(self, link: _Link, chunk: bytes) -> bool:
        if link.drops_reply:
            self.dropped += 1
            link.cut()
            return False
        return "to_client" not in self.swallowed


class _Link:
    """One client's connection and its twin to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._writers = (client, server)
        self.drops_reply = False
        self.ended = asyncio.Event()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
