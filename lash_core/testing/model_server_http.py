"""The little HTTP/1.1 that a model server of tests needs: requests with a length, chunked answers, cuts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

BODY_BYTES_MAX = 16 * 1024 * 1024
HEADERS_MAX = 100


class BadRequestError(Exception):
    """The request cannot be read."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; names of headers are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object. Raises: BadRequestError."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise BadRequestError(f"the body is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise BadRequestError("the body is no JSON object")
        return value


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """The next request of a connection; None when it was closed in between.

    Raises:
        BadRequestError: what came is no HTTP, or too large.
    """
    line = await reader.readline()
    if not line:
        return None
    parts = line.decode("latin-1").split()
    if len(parts) != 3:
        raise BadRequestError("the first line is no request")
    headers: dict[str, str] = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
        if len(headers) > HEADERS_MAX:
            raise BadRequestError(f"more than {HEADERS_MAX} headers")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        raise BadRequestError(f"a body of {length} bytes; the limit is {BODY_BYTES_MAX}")
    path = parts[1].partition("?")[0]
    return HttpRequest(parts[0], path, headers, await reader.readexactly(int(length)))


class HttpResponse:
    """Answers on one connection. ``broken``: nothing more can be sent on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.broken = False

    async def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """One complete answer."""
        body = json.dumps(value).encode()
        self._head(status, {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})})
        self._writer.write(body)
        await self._writer.drain()

    async def begin_events(self) -> None:
        """The head of a stream of server-sent events."""
        self._head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        await self._writer.drain()

    async def send_event(self, value: Any) -> None:
        """One event: text as it is, anything else as JSON."""
        text = value if isinstance(value, str) else json.dumps(value)
        data = f"data: {text}\n\n".encode()
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def end_events(self) -> None:
        """The end of the stream as HTTP has it."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def cut(self) -> None:
        """The connection goes in the middle of the stream, after what was sent has left."""
        await self._writer.drain()
        self.broken = True
        self._writer.close()

    async def until_client_goes(self) -> None:
        """Say nothing until the client closes."""
        self.broken = True
        await self._reader.read(1)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {v}" for name, v in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
