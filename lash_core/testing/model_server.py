"""A model server on this machine: the OpenAI-compatible streaming protocol (``docs/contracts/providers.md`` 6).

Standard library only, so that an example can bring it. What it answers is a function of the request, so that a redo
gets the same answer; faults come from a script, one for each request, or from that function.

```python
async with ModelServer(lambda ask: ModelReply("hello")) as server:
    server.fault(HttpFault(429, retry_after_ms=10))
    ...  # a client of server.base_url gets a 429, then the answer
```
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Self

from lash_core.testing.model_replies import (
    CutStream,
    ErrorEvent,
    Fault,
    HttpFault,
    ModelAsk,
    ModelReply,
    NeverAnswers,
    SlowFirstToken,
    error_body,
    events_of,
    whole_answer,
)
from lash_core.testing.model_server_http import BadRequestError, HttpRequest, HttpResponse, read_request

REQUESTS_KEPT = 1_000
"""Newest requests that a server remembers."""
IDLE_SECONDS = 60
"""After it a connection without a request is closed."""

Answer = Callable[[ModelAsk], ModelReply]


class ModelServer:
    """Serves ``POST /v1/chat/completions`` and ``GET /v1/models`` on 127.0.0.1.

    Args:
        answer: what the model says; must not wait.
        port: 0 = a free one.
        models: names for ``/v1/models``; any model is served.

    Attributes:
        requests: the newest, oldest first.
        served: requests in all.
        waiting: clients that wait for an answer which never comes.
    """

    def __init__(self, answer: Answer, *, port: int = 0, models: tuple[str, ...] = ("local",)) -> None:
        self._answer = answer
        self._port = port
        self._models = models
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._faults: deque[Fault | None] = deque()
        self._numbers = itertools.count(1)
        self.requests: deque[ModelAsk] = deque(maxlen=REQUESTS_KEPT)
        self.served = 0
        self.waiting = 0

    def fault(self, *faults: Fault | None) -> None:
        """What happens to the next requests, in order; None = nothing."""
        self._faults.extend(faults)

    @property
    def base_url(self) -> str:
        """What a client is given, ``http://127.0.0.1:<port>/v1``."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def start(self) -> Self:
        """Listen. Raises: OSError: the port is taken."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Stop at once, whoever is served. May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        response = HttpResponse(reader, writer)
        try:
            while not response.broken:
                async with asyncio.timeout(IDLE_SECONDS):
                    request = await read_request(reader)
                if request is None:
                    return
                await self._respond(request, response)
        except BadRequestError as error:
            await response.send_json(400, error_body(str(error), "invalid_request_error"))
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _respond(self, request: HttpRequest, response: HttpResponse) -> None:
        match request.method, request.path:
            case "GET", "/v1/models":
                await response.send_json(
                    200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self._models]}
                )
            case "POST", "/v1/chat/completions":
                await self._complete(request, response)
            case _:
                await response.send_json(404, error_body(f"no {request.method} {request.path} here", "not_found_error"))

    async def _complete(self, request: HttpRequest, response: HttpResponse) -> None:
        ask = ModelAsk(request.json(), request.headers)
        self.requests.append(ask)
        self.served += 1
        reply = self._answer(ask)
        if self._faults:
            reply = replace(reply, fault=self._faults.popleft())
        match reply.fault:
            case HttpFault(status, message, code, retry_after_ms):
                headers = {} if retry_after_ms is None else {"retry-after-ms": str(retry_after_ms)}
                await response.send_json(status, error_body(message, "scripted", code), headers)
            case NeverAnswers(after_headers=False):
                await self._keep_waiting(response)
            case _ if not ask.body.get("stream"):
                await response.send_json(200, whole_answer(ask, reply, next(self._numbers)))
            case fault:
                await self._stream(ask, reply, fault, response)

    async def _keep_waiting(self, response: HttpResponse) -> None:
        self.waiting += 1
        try:
            await response.until_client_goes()
        finally:
            self.waiting -= 1

    async def _stream(self, ask: ModelAsk, reply: ModelReply, fault: Fault | None, response: HttpResponse) -> None:
        await response.begin_events()
        match fault:
            case NeverAnswers():
                await self._keep_waiting(response)
                return
            case SlowFirstToken(delay_ms):
                await asyncio.sleep(delay_ms / 1_000)
            case _:
                pass
        for number, event in enumerate(events_of(ask, reply, next(self._numbers))):
            match fault:
                case CutStream(after_events, cleanly) if number >= after_events:
                    await (response.end_events() if cleanly else response.cut())
                    return
                case ErrorEvent(after_events, message, code) if number >= after_events:
                    await response.send_event(error_body(message, "server_error", code))
                    await response.end_events()
                    return
                case _:
                    await response.send_event(event)
            if reply.piece_delay_ms:
                await asyncio.sleep(reply.piece_delay_ms / 1_000)
        await response.send_event("[DONE]")
        await response.end_events()


@contextlib.contextmanager
def model_server_thread(server: ModelServer) -> Generator[ModelServer]:
    """Run a server in a thread with a loop of its own: for programs that have none, or block theirs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="model-server", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
