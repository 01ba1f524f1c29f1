"""Which tools a session or a frame of it may have: hidden names, and a closed list.

``docs/contracts/sessions.md`` 2.11, 2.13.
"""

from __future__ import annotations

from lash_core.model.agent_frame import ToolAccess
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.tool_registry_errors import ToolUnavailableError
from lash_core.runtime.tool_sources import StaticToolSource, ToolExecutionGrant
from lash_core.testing.conformance.lifecycle.arrange import Scene, refused, tool
from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.tools.arrange import names


async def _with_access(scene: Scene, access: ToolAccess) -> LashRuntime:
    """A runtime of the session after its frame was given this access."""
    runtime = await scene.runtime()
    frame = runtime.state.current_agent_frame()
    assert frame is not None
    assignment = frame.assignment.model_copy(update={"tool_access": access})
    runtime.state.set_frame(frame.model_copy(update={"assignment": assignment}))
    await runtime.park()
    return await scene.runtime()


async def hidden_names_are_recorded_and_never_executable(stores: SessionStores) -> None:
    """By name, by id, by a grant: also when another source offers the name later."""
    scene = Scene(stores, tools=[tool("a"), tool("secret", "id-1")])
    runtime = await _with_access(scene, ToolAccess(hidden_tools=("secret", "later")))
    tools = runtime.tools
    tools.upsert_source(StaticToolSource("s", [tool("later", "id-2")], grouped=[tool("secret", "id-3")]))

    assert names(runtime) == ["a"]
    assert {"id-1", "id-2"} <= set(tools.export_state().tools)
    assert not any(tools.export_state().tools[tool_id].is_member for tool_id in ("id-1", "id-2"))
    for name in ("secret", "later"):
        async with refused(ToolUnavailableError, name):
            tools.resolve(name)
    for tool_id in ("id-1", "id-2"):
        assert tools.resolve_manifest(tool_id) is None
        async with refused(ToolUnavailableError):
            tools.resolve_by_id(tool_id)
    async with refused(ToolUnavailableError):
        tools.resolve_granted(ToolExecutionGrant("s", "id-3"))


async def an_edit_makes_no_member_of_a_hidden_name(stores: SessionStores) -> None:
    """The host's edit goes through, the name stays hidden."""
    scene = Scene(stores, tools=[tool("a"), tool("secret")])
    runtime = await _with_access(scene, ToolAccess(hidden_tools=("secret",)))
    state = runtime.tools.export_state()
    wanted = state.tools["secret"].model_copy(update={"member": True})
    runtime.tools.apply_state(state.model_copy(update={"tools": {**state.tools, "secret": wanted}}))

    assert names(runtime) == ["a"]
    assert not runtime.tools.export_state().tools["secret"].is_member


async def a_closed_list_leaves_other_tools_out(stores: SessionStores) -> None:
    """Those that come later too."""
    scene = Scene(stores, tools=[tool("a"), tool("b")])
    runtime = await _with_access(scene, ToolAccess(tools=("a", "c")))
    runtime.tools.upsert_source(StaticToolSource("s", [tool("c"), tool("d")]))

    assert names(runtime) == ["a", "c"]
    async with refused(ToolUnavailableError, "not a member"):
        runtime.tools.resolve("d")
