"""MCP servers as a plugin: their tools are tools of the host's sessions (``docs/contracts/tools.md`` 6)."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Sequence
from typing import Any

import mcp_types
from mcp import MCPError

from lash_core.errors import SettingsError
from lash_core.mcp.link import McpConnectionLostError, McpLink, McpUnavailableError
from lash_core.mcp.own_loop import OwnLoop
from lash_core.mcp.server_config import AnyMcpServer
from lash_core.mcp.tool_forms import failed, manifests_of, may_repeat, output_of, refusal
from lash_core.model.await_output import ToolFailureClass
from lash_core.model.base import JsonValue
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled
from lash_core.runtime.plugin.hooks import BeforeTurn, PluginTurn
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.token_race import unless_cancelled
from lash_core.runtime.tool_sources import ToolSource
from lash_core.runtime.tools import Tool, ToolContext

_log = logging.getLogger(__name__)

MCP_TIMEOUT = "mcp_timeout"
ARGS_INVALID = "tool_args_invalid"


class McpToolsFactory(PluginFactory):
    """Offers the tools of MCP servers to all sessions of a host, over one connection a server.

    A server is connected to when the first session is built. A turn waits for the first try to connect, no longer than
    the server's ``connect_timeout_ms``; a server that cannot be reached then is simply not there.

    Args:
        servers: names are unique.
        plugin_id: another one for a second set of servers in one host.

    Raises:
        SettingsError: two servers of one name.
    """

    def __init__(self, servers: Sequence[AnyMcpServer], *, plugin_id: str = "mcp") -> None:
        self.plugin_id = plugin_id
        names = [server.name for server in servers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise SettingsError(f"two MCP servers are named `{twice}`", field="servers", value=twice)
        self._loop = OwnLoop(f"lash-{plugin_id}")
        self._sources = tuple(McpToolSource(server, self._loop) for server in servers)

    def build(self, session_id: str) -> SessionPlugin:
        """The plugin of one session; begins to connect. Does not wait."""
        for source in self._sources:
            source.start()
        return McpToolsPlugin(self._sources)

    async def ready(self) -> dict[str, str | None]:
        """Connect unless that was tried, wait for it, and say of each server why it cannot be reached, or None."""
        await asyncio.gather(*(source.ready() for source in self._sources))
        return {source.server.name: source.fault for source in self._sources}

    def close(self) -> None:
        """End the connections and the programs that were started. May be called twice."""
        self._loop.stop([source.stop for source in self._sources])


class McpToolsPlugin(SessionPlugin):
    """The servers' tools in one session."""

    def __init__(self, sources: Sequence[McpToolSource]) -> None:
        self._sources = tuple(sources)

    def tool_sources(self) -> Sequence[ToolSource]:
        """One source a server."""
        return self._sources

    async def before_turn(self, turn: PluginTurn) -> BeforeTurn | None:
        """Wait for the first try to connect: a turn right after the start of a program has all tools."""
        await self.tools_ready()
        return None

    async def tools_ready(self) -> None:
        """Wait for the first try to connect."""
        await asyncio.gather(*(source.ready() for source in self._sources))


class McpToolSource:
    """``ToolSource`` of one server. Its listing is what the server said last."""

    def __init__(self, server: AnyMcpServer, loop: OwnLoop) -> None:
        self.server = server
        self._loop = loop
        self._link = McpLink(server)
        self._made: tuple[int, tuple[Tool, ...]] = (0, ())

    @property
    def source_id(self) -> str:
        """``mcp:<server>``."""
        return f"mcp:{self.server.name}"

    @property
    def fault(self) -> str | None:
        """Why the server cannot be reached now, or None."""
        return self._link.fault

    def tools(self) -> Sequence[Tool]:
        """The newest listing; none before the first."""
        version, listed = self._link.version, self._link.tools or ()
        if version != self._made[0]:
            manifests = manifests_of(self.server, listed)
            self._made = (
                version,
                tuple(Tool(manifests[tool.name], functools.partial(self._call, tool)) for tool in listed),
            )
        return self._made[1]

    def resolve(self, tool_id: str) -> Tool | None:
        """A listed tool."""
        return next((tool for tool in self.tools() if tool.manifest.tool_id == tool_id), None)

    def start(self) -> None:
        """Begin to connect. Does not wait."""
        self._loop.submit(_started(self._link))

    async def stop(self) -> None:
        """End the connection; in the loop of the links."""
        await self._link.stop()

    async def ready(self) -> bool:
        """Wait for the first try to connect. True when there is a listing."""
        return self._link.tools is not None or await self._loop.run(self._link.ready())

    async def _call(self, tool: mcp_types.Tool, context: ToolContext, args: JsonValue) -> AnyToolOutput:
        """Call it once; whatever goes wrong is the failure of the call."""
        if not isinstance(args, dict):
            return failed(ToolFailureClass.INVALID_REQUEST, ARGS_INVALID, "the arguments must be an object")
        repeatable = self.server.trust_annotations and may_repeat(tool)
        try:
            result = await self._answer(tool.name, args, context)
        except McpUnavailableError as error:
            return failed(ToolFailureClass.UNAVAILABLE, error.code, error.message, safe=True)
        except McpConnectionLostError as error:
            return failed(ToolFailureClass.EXTERNAL, error.code, error.message, safe=repeatable)
        except MCPError as error:
            return refusal(error)
        except TimeoutError:
            text = f"the MCP server did not answer within {self.server.timings.call_timeout_ms} ms"
            return failed(ToolFailureClass.TIMEOUT, MCP_TIMEOUT, text, safe=repeatable)
        if result is None:
            return ToolCancelled(context.cancellation.reason or "cancelled")
        return await output_of(result, context)

    async def _answer(self, name: str, args: dict[str, Any], context: ToolContext) -> mcp_types.CallToolResult | None:
        """The server's answer, or None when the call's token fired first: the server is told, too."""
        here = asyncio.get_running_loop()
        found: list[mcp_types.CallToolResult] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            facts = {"progress": progress, "total": total, "message": message}
            value = {key: fact for key, fact in facts.items() if fact is not None}
            if not here.is_closed():
                asyncio.run_coroutine_threadsafe(context.progress(value), here)

        async def call() -> None:
            found.append(await self._loop.run(self._link.call(name, args, on_progress)))

        return found[0] if await unless_cancelled(context.cancellation, call()) else None


async def _started(link: McpLink) -> None:
    link.start()
