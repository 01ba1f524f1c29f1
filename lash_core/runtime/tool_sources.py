"""Where a session's tools come from: sources, each with a listing and tools that it resolves by id.

``docs/contracts/sessions.md`` 2.13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lash_core.runtime.tools import Tool


@runtime_checkable
class ToolSource(Protocol):
    """Offers tools. Nothing here waits: a source that asks a server keeps what it was answered last."""

    @property
    def source_id(self) -> str:
        """Unique in a registry; it is never stored."""
        ...

    def tools(self) -> Sequence[Tool]:
        """The listing: tools that are members unless somebody opted out."""
        ...

    def resolve(self, tool_id: str) -> Tool | None:
        """A tool by id, also one that the listing leaves out; None when it is not this source's."""
        ...


class StaticToolSource:
    """A source of tools that are given; equal ids or names are refused where they are registered.

    Args:
        source_id: of the source.
        tools: its listing.
        grouped: further tools, by their ids: not listed, only resolved.
    """

    def __init__(self, source_id: str, tools: Iterable[Tool] = (), grouped: Iterable[Tool] = ()) -> None:
        self._source_id = source_id
        self._tools = tuple(tools)
        self._by_id = {tool.manifest.tool_id: tool for tool in (*grouped, *self._tools)}

    @property
    def source_id(self) -> str:
        """Its id."""
        return self._source_id

    def tools(self) -> Sequence[Tool]:
        """Its listing."""
        return self._tools

    def resolve(self, tool_id: str) -> Tool | None:
        """A listed or grouped tool."""
        return self._by_id.get(tool_id)


class ListedToolSource:
    """A source whose listing is asked for anew with each refresh of its registry.

    Args:
        source_id: of the source.
        listing: answers the tools.
    """

    def __init__(self, source_id: str, listing: Callable[[], Sequence[Tool]]) -> None:
        self._source_id = source_id
        self._listing = listing
        self._by_id: dict[str, Tool] = {}

    @property
    def source_id(self) -> str:
        """Its id."""
        return self._source_id

    def tools(self) -> Sequence[Tool]:
        """Its listing as it is now."""
        tools = tuple(self._listing())
        self._by_id = {tool.manifest.tool_id: tool for tool in tools}
        return tools

    def resolve(self, tool_id: str) -> Tool | None:
        """A tool of the last listing."""
        return self._by_id.get(tool_id)


@dataclass(frozen=True, slots=True)
class ToolExecutionGrant:
    """Lets one call reach a tool of a source that is in neither state nor catalog."""

    source_id: str
    tool_id: str
