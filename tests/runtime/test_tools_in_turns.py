"""Built-in tools, history, triggers and changing catalogs in real turns over stores in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.message import Message
from lash_core.model.model_call import ModelRequest
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_graph import SessionGraph
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.model.trigger_occurrence import TriggerOccurrence
from lash_core.model.turn_outcome import AgentFrameSwitchOutcome, FinalValueFinish, FinishedOutcome, StoppedOutcome
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.process.runner import ProcessRunner
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.standard_tools import StandardToolsFactory
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.testing.conformance.session_scene import factory_of
from lash_core.testing.conformance.turns.arrange import Scene, words
from lash_core.testing.scripted_provider import ScriptedProvider, calls_tools, says


class Offers(PluginFactory):
    """Offers tools from a list that a test changes."""

    plugin_id = "offers"

    def __init__(self, tools: list[Tool]) -> None:
        self._tools = tools

    def build(self, session_id: str) -> SessionPlugin:
        plugin = SessionPlugin()
        plugin.tools = lambda: tuple(self._tools)
        return plugin


@dataclass
class ToolScene(Scene):
    """A scene with the built-in tools and a list of others."""

    offered: list[Tool] = field(default_factory=list[Tool])

    @property
    def environment(self) -> RuntimeEnvironment:
        host = RuntimeHostConfig.from_stores(self.stores)
        host.providers.add(self.provider)
        plugins = PluginHost([StandardToolsFactory(finish=True, fail=True, switch_frame=True), Offers(self.offered)])
        return RuntimeEnvironment(
            host,
            plugins,
            session_store_factory=factory_of(self.stores),
            process_registry=self.stores.process_registry,
        )


def scene(*replies: Any, stores: InMemoryStores | None = None) -> ToolScene:
    policy = SessionPolicy(model=ModelSpec("model-1"), provider_id="scripted")
    return ToolScene(stores or InMemoryStores(), "s", ScriptedProvider(replies), policy=policy)


def tool(name: str, run: Any) -> Tool:
    async def call(context: ToolContext, args: Any) -> AnyToolOutput:
        return ToolSuccess(await run(context, args))

    return Tool(ToolManifest(name, name), call)


async def turn_of(scene: ToolScene, text: str = "go") -> Any:
    runtime = await scene.runtime()
    try:
        return await runtime.stream_turn(words(text))
    finally:
        runtime.close()


async def test_a_batch_in_a_turn() -> None:
    async def double(context: ToolContext, args: Any) -> Any:
        return args["n"] * 2

    calls = [{"tool": "double", "args": {"n": n}} for n in range(3)]
    played = scene(calls_tools(("batch", {"calls": calls})), says("Done."))
    played.offered.append(tool("double", double))
    turn = await turn_of(played)
    assert "Done." == turn.final_text
    assert [0, 2, 4] == [entry["result"] for entry in turn.tool_calls[0].output["value"]]


async def test_control_tools_end_a_turn() -> None:
    finished = await turn_of(scene(calls_tools(("finish", {"value": {"n": 1}}))))
    assert FinishedOutcome(FinalValueFinish({"n": 1})) == finished.outcome
    failed = await turn_of(scene(calls_tools(("fail", {"error": "no data"}))))
    assert StoppedOutcome("submitted_error", value="no data") == failed.outcome
    refused = await turn_of(scene(calls_tools(("finish", {})), says("Then so.")))
    assert "Then so." == refused.final_text, "a call without its argument is feedback"


async def test_a_switch_goes_on_in_the_new_frame() -> None:
    played = scene(calls_tools(("switch_frame", {"frame_id": "f2", "task": "sum up"})), says("Summed up."))
    turn = await turn_of(played)
    assert not isinstance(turn.outcome, AgentFrameSwitchOutcome)
    assert "Summed up." == turn.final_text


async def test_a_tool_that_is_offered_during_a_turn_is_there_in_the_next_model_call() -> None:
    async def unlock(context: ToolContext, args: Any) -> Any:
        played.offered.append(tool("secret", unlock))
        return "unlocked"

    played = scene(calls_tools(("unlock", {})), says("Done."))
    played.offered.append(tool("unlock", unlock))
    await turn_of(played)
    named = [[manifest.name for manifest in request.tools] for request in played.provider.requests]
    assert ("secret" not in named[0], "secret" in named[1]) == (True, True)


async def test_tools_read_the_history_before_their_turn() -> None:
    async def read(context: ToolContext, args: Any) -> Any:
        view = context.read_view
        return [
            [entry.payload["message"]["role"] for entry in context.history.entries],
            0 if view is None else len(view.messages),
            context.turn_id is not None,
        ]

    played = scene(says("One."), calls_tools(("read", {})), says("Two."))
    played.offered.append(tool("read", read))
    await turn_of(played, "first")
    turn = await turn_of(played, "second")
    roles, seen, in_turn = turn.tool_calls[0].output["value"]
    assert (["user", "assistant", "user"], 3, True) == (roles, seen, in_turn)


async def test_a_tool_of_a_turn_emits_occurrences() -> None:
    async def emits(context: ToolContext, args: Any) -> Any:
        assert context.triggers is not None
        outcome = await context.triggers.emit(
            TriggerOccurrence(source_type="test", source_key="k", idempotency_key="once", payload={"n": 1})
        )
        return outcome.occurrence_id

    played = scene(calls_tools(("emits", {})), says("Done."))
    played.offered.append(tool("emits", emits))
    turn = await turn_of(played)
    assert str(turn.tool_calls[0].output["value"]).startswith("trigger:")


async def test_the_model_gets_results_in_call_order_and_the_history_keeps_them() -> None:
    async def echo(context: ToolContext, args: Any) -> Any:
        return args["n"]

    played = scene(calls_tools(*(("echo", {"n": n}) for n in range(5)), text="Five."), says("Done."))
    played.offered.append(tool("echo", echo))
    await turn_of(played)

    def results(messages: tuple[Message, ...]) -> list[Any]:
        return [getattr(part, "output", {}).get("value") for part in messages[-1].parts]

    request: ModelRequest = played.provider.requests[1]
    assert [0, 1, 2, 3, 4] == results(request.messages)
    assert ["user", "assistant", "user", "assistant"] == [message.role for message in await played.history()]


async def test_a_child_that_a_tool_starts_has_the_history() -> None:
    async def starts(context: ToolContext, args: Any) -> Any:
        reply = await context.execution.start_tool_process("child-1", "later", {})
        return reply.output.to_json_value()

    async def later(context: ToolContext, args: Any) -> Any:
        return [entry.payload["message"]["parts"][0]["text"] for entry in context.history.entries]

    played = scene(says("One."), calls_tools(("starts", {})), says("Two."))
    played.offered += [tool("starts", starts), tool("later", later)]
    await turn_of(played, "first")
    turn = await turn_of(played, "second")
    assert "success" == turn.tool_calls[0].output["value"]["type"], turn.tool_calls[0].output
    record = await played.stores.process_registry.get_process("child-1")
    assert record is not None
    runner = ProcessRunner(Parts(played))
    scoped = played.stores.effect_host.scoped(ExecutionScope.process("child-1"))
    outcome = await runner.run_process(
        record.to_registration(), ProcessExecutionContext.default(), scoped, CancellationToken()
    )
    assert ProcessAwaitOutput.success(["first", "One.", "second"]) == outcome


class Parts:
    """What processes of a scene run on."""

    def __init__(self, played: ToolScene) -> None:
        environment = played.environment
        assert environment.plugin_host is not None
        self.plugin_host = environment.plugin_host
        self.runtime_host = environment.runtime_host
        self.session_policy = played.policy
        self.session_store_factory = factory_of(played.stores)
        self.process_registry = played.stores.process_registry
        self.residency = Residency.KEEP_ALL


def test_a_long_history_is_captured_from_its_end() -> None:
    graph = SessionGraph()
    for n in range(2_000):
        graph.append_message(Message.user(f"{n} " + "x" * 100, message_id=f"m{n}"))
    graph.append_protocol_event({"kind": "note"})
    graph.append_plugin_node("p", {"own": True})
    whole = ChronologicalProjection.of_nodes(graph.read_model().active_events)
    captured = ProcessExecutionEnvSpec().with_history(whole)
    assert len(captured.encode()) < 70 * 1024
    assert (2_001, 2_000) == (len(whole.entries), captured.history.entries[-1].index)
    assert {"type": "protocol_event", "body": {"kind": "note"}} == captured.history.entries[-1].payload
    assert captured.history.entries[0].index == 2_001 - len(captured.history.entries)
    assert ProcessExecutionEnvSpec() == ProcessExecutionEnvSpec().with_history(ChronologicalProjection())
    assert captured == ProcessExecutionEnvSpec.decode(captured.encode())
