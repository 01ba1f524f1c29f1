"""Which MCP servers a host uses, and the bounds of talking to them."""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from lash_core.model.base import Model

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")

TOOLS_MAX = 500
"""Tools that are taken of one server: each goes into every prompt."""


class McpTimings(Model):
    """Bounds, in ms.

    Attributes:
        connect_timeout_ms: to connect and read the first listing; also how long a turn or call waits for that.
        call_timeout_ms: one call of a tool.
        list_timeout_ms: one page of a listing.
        reconnect_min_ms: the first wait before the server is tried again; it doubles.
        reconnect_max_ms: the longest such wait.
        refresh_ms: a listing is read again after this time even if nobody said that it changed; 0 = never.
    """

    connect_timeout_ms: int = Field(default=10_000, ge=1, le=120_000)
    call_timeout_ms: int = Field(default=60_000, ge=1, le=3_600_000)
    list_timeout_ms: int = Field(default=10_000, ge=1, le=120_000)
    reconnect_min_ms: int = Field(default=500, ge=1, le=60_000)
    reconnect_max_ms: int = Field(default=30_000, ge=1, le=3_600_000)
    refresh_ms: int = Field(default=300_000, ge=0, le=86_400_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.reconnect_min_ms > self.reconnect_max_ms:
            raise ValueError(
                f"reconnect_min_ms {self.reconnect_min_ms} must not be over reconnect_max_ms {self.reconnect_max_ms}"
            )
        return self


class McpServer(Model):
    """What all servers have.

    Attributes:
        name: in this host; part of tool ids.
        tool_prefix: before the names of its tools; None = ``<name>_``.
        only_tools: the server's names of the tools that are taken; None = all.
        without_tools: those that are left out.
        trust_annotations: believe the server when it says that a tool only reads or may be repeated: then its calls are
            tried again after a connection was lost in the middle.
        timings: bounds.
    """

    # A password in the wrong place must not be shown by the error that says so.
    model_config = ConfigDict(hide_input_in_errors=True)

    name: str
    tool_prefix: str | None = Field(default=None, max_length=40)
    only_tools: tuple[str, ...] | None = None
    without_tools: tuple[str, ...] = ()
    trust_annotations: bool = False
    timings: McpTimings = Field(default_factory=McpTimings)

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("a server's name has 1 to 32 letters, digits, `_` and `-`")
        return value

    @field_validator("tool_prefix")
    @classmethod
    def _check_prefix(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"[A-Za-z0-9_-]*", value):
            raise ValueError("a prefix has letters, digits, `_` and `-`")
        return value

    @property
    def prefix(self) -> str:
        """Before the names of its tools."""
        return f"{self.name}_" if self.tool_prefix is None else self.tool_prefix

    def takes(self, tool: str) -> bool:
        """True when the server's tool of this name is to be offered."""
        return (self.only_tools is None or tool in self.only_tools) and tool not in self.without_tools


class McpStdioServer(McpServer):
    """A program that is started here and spoken to over its standard streams.

    Attributes:
        command: the program.
        args: its arguments.
        env: added to the few variables that it inherits; values are never shown.
        cwd: its working folder.
    """

    type: Literal["stdio"] = "stdio"
    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, SecretStr] = Field(default_factory=dict)
    cwd: str | None = None


class McpHttpServer(McpServer):
    """A server that is spoken to over streamable HTTP.

    Attributes:
        url: its endpoint, without a password.
        headers: sent with every request; values are never shown.
    """

    type: Literal["http"] = "http"
    url: str
    headers: dict[str, SecretStr] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the URL of an MCP server begins with http:// or https:// and names a host")
        if parts.username or parts.password:
            raise ValueError("the URL of an MCP server has no password: put it into `headers`")
        return value


AnyMcpServer = McpStdioServer | McpHttpServer
