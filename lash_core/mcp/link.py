"""One MCP server: kept connected, its listing read, its tools called (``docs/contracts/tools.md`` 6).

All of it runs in the loop of the links. A lost connection is made again, with growing waits; the listing stays as it
was until a newer one is there, so that a server that restarts takes no tool out of a session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx2
import mcp_types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.dispatcher import ProgressFnT

from lash_core.errors import LashError
from lash_core.mcp.server_config import TOOLS_MAX, AnyMcpServer, McpHttpServer

_log = logging.getLogger(__name__)

STOP_AGAIN_SECONDS = 1.0
PAGES_MAX = 50
"""Pages of one listing: a server whose pages never end must not keep its link busy for ever."""


class McpUnavailableError(LashError):
    """The server cannot be reached: nothing was sent."""

    code = "mcp_unavailable"


class McpConnectionLostError(LashError):
    """The connection was lost while a call was under way: it may have been carried out."""

    code = "mcp_connection_lost"


class _Connection:
    """One connection; ``lost`` is set when it cannot be used any more."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lost = asyncio.Event()


class McpLink:
    """Keeps one server. Its coroutines run in one event loop; ``tools`` and ``version`` may be read from any thread.

    Attributes:
        tools: the newest listing; None before the first.
        version: rises with each new listing.
        fault: why the server cannot be reached now; None while it can.
    """

    def __init__(self, server: AnyMcpServer) -> None:
        self.server = server
        self.tools: tuple[mcp_types.Tool, ...] | None = None
        self.version = 0
        self.fault: str | None = "there was no answer yet"
        self._connection: _Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopped = False
        self._was_up = False
        self._tried = asyncio.Event()
        self._up = asyncio.Event()
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Begin to keep the server connected. In the loop; may be called twice."""
        if self._keeper is None and not self._stopped:
            self._keeper = asyncio.ensure_future(self._keep())

    async def stop(self) -> None:
        """End the connection and the program behind it. May be called twice."""
        self._stopped = True
        self._disconnect()
        while self._keeper is not None and not self._keeper.done():
            # More than once: a cancel that meets a failing transport may be lost in the library's own scopes.
            self._keeper.cancel()
            await asyncio.wait((self._keeper,), timeout=STOP_AGAIN_SECONDS)

    async def ready(self) -> bool:
        """Wait until the first try to connect has ended, at most its time limit. True when there is a listing."""
        self.start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), self.server.timings.connect_timeout_ms / 1_000)
        return self.tools is not None

    async def call(self, name: str, args: dict[str, Any], on_progress: ProgressFnT) -> mcp_types.CallToolResult:
        """Call a tool once.

        Raises:
            McpUnavailableError: not connected in time; nothing was sent.
            McpConnectionLostError: lost in the middle.
            TimeoutError: no answer in time. MCPError: the server refused. ValidationError: an answer that is none.
        """
        connection = await self._connected()
        seconds = self.server.timings.call_timeout_ms / 1_000
        call = asyncio.ensure_future(
            connection.client.call_tool(name, args, read_timeout_seconds=seconds, progress_callback=on_progress)
        )
        lost = asyncio.ensure_future(connection.lost.wait())
        try:
            # The library bounds the wait for an answer; this one is for a request that cannot even be sent.
            await asyncio.wait((call, lost), timeout=seconds + 1, return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                return _answer_of(call, connection)
            if connection.lost.is_set():
                raise McpConnectionLostError(
                    f"MCP server `{self.server.name}`: the connection was lost during the call"
                )
            raise TimeoutError
        finally:
            lost.cancel()
            await _ended(call)

    async def _connected(self) -> _Connection:
        self.start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._up.wait(), self.server.timings.connect_timeout_ms / 1_000)
        if self._connection is None:
            raise McpUnavailableError(f"MCP server `{self.server.name}` cannot be reached: {self.fault or 'no answer'}")
        return self._connection

    # -- the keeper ------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        timings = self.server.timings
        wait_ms = timings.reconnect_min_ms
        while not self._stopped:
            self._was_up = False
            try:
                await self._serve_once()
                self.fault = "the connection was lost"
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # The library's own scope was cancelled by its failing transport.
                self.fault = "the connection was lost"
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever a server or its transport does
                self.fault = _fault_of(error)
            self._disconnect()
            self._tried.set()
            if self._was_up:
                wait_ms = timings.reconnect_min_ms
            if not self._stopped:
                _log.warning("MCP server %s: %s; next try in %d ms", self.server.name, self.fault, wait_ms)
                await asyncio.sleep(wait_ms / 1_000)
            wait_ms = min(wait_ms * 2, timings.reconnect_max_ms)

    async def _serve_once(self) -> None:
        """Connect, read the listing, and stay until the connection is lost."""
        limit = asyncio.timeout(self.server.timings.connect_timeout_ms / 1_000)
        async with contextlib.AsyncExitStack() as stack:
            async with limit:
                connection = await self._connect(stack)
                await self._list(connection)
            self.fault = None
            self._connection = connection
            self._was_up = True
            self._up.set()
            self._tried.set()
            listener = asyncio.ensure_future(self._listen(connection))
            try:
                await self._stay(connection)
            finally:
                await _ended(listener)
                self._disconnect()

    async def _connect(self, stack: contextlib.AsyncExitStack) -> _Connection:
        made: list[_Connection] = []

        def lost() -> None:
            for connection in made:
                connection.lost.set()

        async def on_message(message: Any) -> None:
            if isinstance(message, mcp_types.ToolListChangedNotification):
                self._changed.set()

        client = Client(
            _watched(self.server, lost),
            message_handler=on_message,
            read_timeout_seconds=self.server.timings.list_timeout_ms / 1_000,
            client_info=mcp_types.Implementation(name="lash", version="1"),
            cache=None,
        )
        made.append(_Connection(client))
        await stack.enter_async_context(client)
        return made[0]

    async def _stay(self, connection: _Connection) -> None:
        refresh_ms = self.server.timings.refresh_ms
        while not connection.lost.is_set():
            waits = [asyncio.ensure_future(connection.lost.wait()), asyncio.ensure_future(self._changed.wait())]
            try:
                await asyncio.wait(
                    waits, timeout=refresh_ms / 1_000 if refresh_ms else None, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                for wait in waits:
                    wait.cancel()
            if connection.lost.is_set():
                return
            self._changed.clear()
            await self._list(connection)

    async def _list(self, connection: _Connection) -> None:
        found: list[mcp_types.Tool] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await connection.client.list_tools(cursor=cursor)
            found += (tool for tool in page.tools if self.server.takes(tool.name))
            cursor = page.next_cursor
            if cursor is None or len(found) > TOOLS_MAX:
                break
        if cursor is not None or len(found) > TOOLS_MAX:
            _log.warning("MCP server %s lists over %d tools; the rest is left out", self.server.name, TOOLS_MAX)
        listing = tuple(found[:TOOLS_MAX])
        if listing != self.tools:
            self.tools = listing
            self.version += 1

    async def _listen(self, connection: _Connection) -> None:
        """Hear of changes of the listing; a server that cannot tell is asked again by time."""
        try:
            async with connection.client.listen(tools_list_changed=True) as events:
                # What changed between the first listing and now was told to nobody.
                self._changed.set()
                async for _ in events:
                    self._changed.set()
                connection.lost.set()
        except ListenNotSupportedError:
            return
        except SubscriptionLost:
            connection.lost.set()
        except Exception as error:  # noqa: BLE001 - without it the listing is read again by time, or on reconnect
            _log.info("MCP server %s does not tell of changes: %s", self.server.name, _fault_of(error))

    def _disconnect(self) -> None:
        self._up.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost.set()


def _answer_of(call: asyncio.Future[mcp_types.CallToolResult], connection: _Connection) -> mcp_types.CallToolResult:
    try:
        return call.result()
    except MCPError as error:
        if error.code == mcp_types.CONNECTION_CLOSED:
            connection.lost.set()
            raise McpConnectionLostError(f"the MCP server's connection was lost during the call: {error}") from error
        if error.code == mcp_types.REQUEST_TIMEOUT:
            raise TimeoutError from error
        raise
    except asyncio.CancelledError:
        raise McpConnectionLostError("the MCP server's connection was lost during the call") from None


async def _ended(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait until it is over, whatever it raises."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()


@contextlib.asynccontextmanager
async def _watched(server: AnyMcpServer, lost: Callable[[], None]) -> AsyncGenerator[Any]:
    """The transport of a server; ``lost`` is called when nothing more can come from it."""
    async with contextlib.AsyncExitStack() as stack:
        if isinstance(server, McpHttpServer):
            headers = {name: value.get_secret_value() for name, value in server.headers.items()}
            timeout = httpx2.Timeout(
                server.timings.connect_timeout_ms / 1_000, read=server.timings.call_timeout_ms / 1_000 + 60
            )
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=timeout))
            transport: Any = streamable_http_client(server.url, http_client=http)
        else:
            env = {name: value.get_secret_value() for name, value in server.env.items()}
            transport = stdio_client(
                StdioServerParameters(command=server.command, args=list(server.args), env=env or None, cwd=server.cwd)
            )
        try:
            read, write = await stack.enter_async_context(transport)
            yield _WatchedStream(read, lost), write
        finally:
            lost()


class _WatchedStream:
    """A stream of messages whose end is told."""

    def __init__(self, stream: Any, lost: Callable[[], None]) -> None:
        self._stream = stream
        self._lost = lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> Any:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *facts: Any) -> Any:
        self._lost()
        return await self._stream.__aexit__(*facts)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except BaseException:
            self._lost()
            raise


def _fault_of(error: BaseException) -> str:
    """One line; of a group its first error."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:500]
