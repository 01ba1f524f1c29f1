"""What the cases of tools ask of a runtime's registry."""

from __future__ import annotations

from lash_core.model.tool_state import ToolState
from lash_core.runtime.lash_runtime import LashRuntime


def names(runtime: LashRuntime) -> list[str]:
    """The catalog's names."""
    return [manifest.name for manifest in runtime.tools.catalog()]


def opt_out(runtime: LashRuntime, tool_id: str) -> None:
    """Let the host take a tool's membership away."""
    runtime.tools.apply_state(without(runtime.tools.export_state(), tool_id))


def without(state: ToolState, tool_id: str) -> ToolState:
    """The state with this tool as no member."""
    entry = state.tools[tool_id].model_copy(update={"member": False})
    return state.model_copy(update={"tools": {**state.tools, tool_id: entry}})
