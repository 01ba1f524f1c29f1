"""Tools of a process's session, called by name from its function."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lash_core.errors import PluginSessionError
from lash_core.model.base import JsonValue
from lash_core.runtime.process.engine import EngineRun
from lash_core.runtime.tools import ToolContext

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


class ProcessTools:
    """Calls tools of the process's session by name."""

    def __init__(self, run: EngineRun) -> None:
        self._run = run
        self._runtime: LashRuntime | None = None
        self._calls = 0
        self._building = asyncio.Lock()

    async def names(self) -> tuple[str, ...]:
        """The member tools, sorted."""
        runtime = await self._built()
        return tuple(manifest.name for manifest in runtime.tools.catalog())

    async def call(self, name: str, args: JsonValue = None) -> Any:
        """Call a tool and return its value.

        Raises:
            ToolUnavailableError: no member tool of that name.
            ToolCallError: the tool answered a failure or was cancelled.
            MissingEnvironmentError, PluginSessionError: the session cannot be rebuilt.
        """
        runtime = await self._built()
        self._calls += 1
        context = ToolContext(
            session_id=runtime.session_id,
            call_id=f"{self._run.process_id}:{self._calls}",
            process_id=self._run.process_id,
            cancellation=self._run.cancellation,
        )
        output = await runtime.call_tool(name, args if args is not None else {}, context)
        if output.type == "success":
            return output.value
        raise ToolCallError(name, output.type if output.type == "cancelled" else output.code, output.message)

    async def _built(self) -> LashRuntime:
        async with self._building:
            if self._runtime is None:
                self._runtime = await self._run.runtime_builder.build()
            return self._runtime


class ToolCallError(PluginSessionError):
    """A tool that was called from a process function failed; ``tool_code`` is its code."""

    code = "tool_call_failed"

    def __init__(self, tool_name: str, tool_code: str, message: str) -> None:
        super().__init__(f"tool `{tool_name}` failed: {tool_code}: {message}", field="tool_name", value=tool_name)
        self.tool_code = tool_code
