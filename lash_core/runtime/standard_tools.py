"""Built-in tools as a plugin, for hosts that want them (``docs/contracts/tools.md`` 5)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.model.base import JsonValue
from lash_core.runtime.batch_tool import batch_tool
from lash_core.runtime.control_tools import fail_tool, finish_tool, switch_frame_tool
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.tools import Tool


class StandardToolsFactory(PluginFactory):
    """Gives sessions ``batch``, and the control tools that are asked for.

    Args:
        batch: several calls in one.
        finish: a tool that ends the turn with a final value.
        finish_schema: the JSON schema of that value, for models; None = any.
        fail: a tool that gives the task up.
        switch_frame: a tool that goes on in another agent frame.
    """

    plugin_id = "standard_tools"

    def __init__(
        self,
        *,
        batch: bool = True,
        finish: bool = False,
        finish_schema: dict[str, JsonValue] | None = None,
        fail: bool = False,
        switch_frame: bool = False,
    ) -> None:
        wanted = (
            (batch, batch_tool()),
            (finish, finish_tool(finish_schema)),
            (fail, fail_tool()),
            (switch_frame, switch_frame_tool()),
        )
        self._tools = tuple(tool for is_wanted, tool in wanted if is_wanted)

    def build(self, session_id: str) -> SessionPlugin:
        """The plugin of one session."""
        del session_id
        return _StandardTools(self._tools)

    def tool_names(self) -> frozenset[str]:
        """The same in every session."""
        return frozenset(tool.manifest.name for tool in self._tools)


class _StandardTools(SessionPlugin):
    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools

    def tools(self) -> Sequence[Tool]:
        """The tools."""
        return self._tools
