"""Tools of an MCP server in turns of a session that is parked and resumed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.tool_output import ToolSuccess
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.tool_registry_errors import ToolUnavailableError
from lash_core.runtime.tools import ToolContext
from lash_core.testing.conformance.session_scene import factory_of
from lash_core.testing.conformance.turns.arrange import Scene, words
from lash_core.testing.scripted_provider import ScriptedProvider, calls_tools, says
from tests.mcp_tools.conftest import PROGRAM

mcp = pytest.importorskip("lash_core.mcp", reason="THE EXTRA [mcp] IS NOT INSTALLED")


@dataclass
class McpScene(Scene):
    """A scene whose sessions have the tools of one server program."""

    command: str = sys.executable

    @property
    def environment(self) -> RuntimeEnvironment:
        host = RuntimeHostConfig.from_stores(self.stores)
        host.providers.add(self.provider)
        timings = mcp.McpTimings(connect_timeout_ms=20_000)
        server = mcp.McpStdioServer(name="probe", command=self.command, args=(PROGRAM, "stdio"), timings=timings)
        plugins = PluginHost([mcp.McpToolsFactory([server])])
        return RuntimeEnvironment(host, plugins, session_store_factory=factory_of(self.stores))


async def turn_of(scene: McpScene) -> Any:
    runtime = await scene.runtime()
    try:
        return await runtime.stream_turn(words("go"))
    finally:
        runtime.close()
        runtime.plugins.host.close()


async def test_the_first_turn_has_the_tools_and_a_vanished_server_is_feedback() -> None:
    policy = SessionPolicy(model=ModelSpec("model-1"), provider_id="scripted")
    asks = calls_tools(("probe_add", {"a": 1, "b": 2}))
    scene = McpScene(InMemoryStores(), "s", ScriptedProvider([asks, says("3."), asks, says("Gone.")]), policy=policy)
    turn = await turn_of(scene)
    assert ("3.", {"type": "success", "value": {"result": 3}}) == (turn.final_text, turn.tool_calls[0].output)
    assert "probe_add" in {manifest.name for manifest in scene.provider.requests[0].tools}

    scene.command = "/no/such/program"
    turn = await turn_of(scene)
    assert "Gone." == turn.final_text
    assert "tool_unavailable" == turn.tool_calls[0].output["code"]
    assert "no registered source" in turn.tool_calls[0].output["message"]
    assert () == scene.provider.requests[2].tools


async def test_a_process_that_calls_a_tool_waits_for_its_server() -> None:
    policy = SessionPolicy(model=ModelSpec("model-1"), provider_id="scripted")
    scene = McpScene(InMemoryStores(), "s", ScriptedProvider([]), policy=policy)
    runtime = await scene.runtime()
    try:
        assert () == runtime.tools.catalog(), "the program is still starting"
        output = await runtime.call_tool("probe_add", {"a": 1, "b": 2}, ToolContext("s", "c", process_id="p"))
        assert ToolSuccess({"result": 3}) == output
        with pytest.raises(ToolUnavailableError):
            await runtime.call_tool("nobody", {}, ToolContext("s", "c", process_id="p"))
    finally:
        runtime.close()
        runtime.plugins.host.close()
