"""A real MCP server, started by the tests: ``stdio``, or ``http <port>``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import mcp_types
from mcp.server.mcpserver import Context, Image, MCPServer

server = MCPServer("probe", log_level="ERROR")


@server.tool(annotations=mcp_types.ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(structured_output=False)
def words(text: str) -> list[str]:
    return text.split()


@server.tool()
def env(name: str) -> str:
    return os.environ.get(name, "")


@server.tool()
def pid() -> int:
    return os.getpid()


@server.tool()
def broken(text: str) -> str:
    raise LookupError(text)


@server.tool()
async def slow(seconds: float, ctx: Context[Any, Any]) -> str:
    await ctx.report_progress(1, 2, "half way")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        Path(os.environ.get("PROBE_FILE", os.devnull)).write_text("cancelled\n")
        raise
    return "done"


@server.tool(annotations=mcp_types.ToolAnnotations(read_only_hint=True))
def die() -> str:
    os._exit(3)


@server.tool(structured_output=False)
def picture() -> Image:
    return Image(data=b"\x89PNG not really", format="png")


@server.tool()
async def grow(name: str, ctx: Context[Any, Any]) -> str:
    def grown() -> str:
        return name

    server.add_tool(grown, name=name)
    await ctx.notify_tools_changed()
    with contextlib.suppress(Exception):
        await ctx.session.send_tool_list_changed()
    return "grown"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", port=int(sys.argv[2]))
