"""Tools of MCP servers as tools of sessions (``docs/contracts/tools.md`` 6). Needs the extra ``[mcp]``."""

from __future__ import annotations

try:
    import mcp as _library
except ModuleNotFoundError as error:  # pragma: no cover - the tests install the extra
    raise ModuleNotFoundError("tools of MCP servers need the extra: pip install 'lash[mcp]'") from error

from lash_core.mcp.plugin import McpToolsFactory
from lash_core.mcp.server_config import McpHttpServer, McpServer, McpStdioServer, McpTimings

del _library

__all__ = ["McpHttpServer", "McpServer", "McpStdioServer", "McpTimings", "McpToolsFactory"]
