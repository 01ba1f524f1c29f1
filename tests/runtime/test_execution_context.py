"""What a context knows, its copies, its tools, its live parts (contract 4.1)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from lash_core.errors import MissingEnvironmentError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.base import JsonValue
from lash_core.model.chronological_projection import ChronologicalEntry, ChronologicalProjection
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import EffectKind, EffectSubject, RuntimeInvocation, RuntimeScope
from lash_core.model.environment import EMPTY_ENV_REF, ProcessExecutionEnvSpec, process_env_session_id
from lash_core.model.process_command import ProcessSpawnProvenance, ProcessStartOptions
from lash_core.model.process_handle import process_handle_json
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessOriginator, ProcessProvenance, SessionScope
from lash_core.model.session import SessionPolicy
from lash_core.model.tool_invocation import ToolInvocationReply, ToolTriggerEffectOutcome
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.tool_state import ToolArgumentProjectionPolicy, ToolManifest, ToolScheduling, ToolState
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.engine_context import execution_context_of_run
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.process.engine import EngineRun
from lash_core.runtime.process.start import ProcessStarts
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.runtime.turn_context import ProtocolTurnExtensionHandle, TurnContext
from tests.runtime.contexts import context_of
from tests.runtime.test_process_runner import Parts

OWNER = SessionScope("owner")


def registration(process_id: str = "p", **facts: Any) -> ProcessRegistration:
    """A process of the chain of ``owner``."""
    given: dict[str, Any] = {
        "id": process_id,
        "input": ProcessInput.engine("job"),
        "disposition": RecoveryDisposition.RERUNNABLE,
        "env_ref": EMPTY_ENV_REF,
        "provenance": ProcessProvenance.for_session(OWNER),
        "wake_target": SessionScope("woken"),
    }
    return ProcessRegistration(**(given | facts))


async def answer(_: ToolContext, args: JsonValue) -> AnyToolOutput:
    """What tools here do."""
    return ToolSuccess(args)


def tools(*manifests: ToolManifest) -> ToolRegistry:
    """A registry with these tools."""
    return ToolRegistry(Tool(manifest, answer) for manifest in manifests)


# -- facts ------------------------------------------------------------------------------------------------


def test_a_session_context_speaks_for_its_session() -> None:
    """It registers triggers as the session and wakes it; it has no chain to hand on."""
    context = context_of()

    assert ("s", "turn-1", SessionScope("s")) == (
        context.session_id,
        context.execution_scope_id,
        context.session_scope,
    )
    assert ProcessOriginator.session(SessionScope("s")) == context.trigger_registration_originator
    assert SessionScope("s") == context.trigger_registration_wake_target
    assert (None, None, None) == (context.process_spawn_provenance, context.runtime_process_id, context.trigger_store)


def test_a_frame_is_a_scope_of_its_own() -> None:
    """Blank means the session."""
    context = context_of()
    framed = context._with(_dispatch=replace(context._dispatch, agent_frame_id="f"))

    assert SessionScope.for_agent_frame("s", "f") == framed.session_scope
    assert ("f", None) == (framed.process_scope().agent_frame_id, context.process_scope().agent_frame_id)


def test_a_process_context_speaks_for_its_chain() -> None:
    """Never for the ephemeral session that runs it; without a wake target only its triggers wake that one."""
    context = context_of(session_id="process-env:p").with_process_registration_context(registration())
    mute = context.with_process_registration_context(registration(wake_target=None))

    assert ProcessOriginator.session(OWNER) == context.trigger_registration_originator
    assert SessionScope("woken") == context.trigger_registration_wake_target
    assert ProcessSpawnProvenance(ProcessOriginator.session(OWNER), SessionScope("woken")) == (
        context.process_spawn_provenance
    )
    assert "p" == context.runtime_process_id
    assert SessionScope("process-env:p") == mute.trigger_registration_wake_target
    assert ProcessSpawnProvenance(ProcessOriginator.session(OWNER), None) == mute.process_spawn_provenance


def test_a_copy_shares_what_was_started_and_nothing_else() -> None:
    """Builders answer copies."""
    context = context_of()
    token, spec = CancellationToken(), ProcessExecutionEnvSpec(plugin_options={"a": 1})
    parent = RuntimeInvocation(scope=RuntimeScope("s"), subject=EffectSubject("e", EffectKind.DIRECT))

    copy = context.with_cancellation_token(token).with_execution_env_spec(spec).with_parent_invocation(parent)
    copy.record_started_process("child")

    assert (token, parent) == (copy.cancellation_token, copy.parent_invocation)
    assert context.parent_invocation is None
    assert context.cancellation_token is not token
    assert (True, False) == (context.is_run_local_process("child"), context_of().is_run_local_process("child"))


def test_builders_are_keywords_of_the_constructor_too() -> None:
    """One way to say each of them."""
    token = CancellationToken()
    context = context_of(process_registration=registration(), cancellation_token=token)

    assert ("p", token) == (context.runtime_process_id, context.cancellation_token)


def test_a_projection_is_a_value() -> None:
    """The run sees the history that it started with."""
    history = ChronologicalProjection((ChronologicalEntry(0, {"text": "hello"}),))

    assert history is context_of(chronological_projection=history).chronological_projection
    assert context_of().chronological_projection.is_empty
    with pytest.raises(ValueError, match="frozen"):
        history.entries = ()


# -- live parts -------------------------------------------------------------------------------------------


class Interpreter:
    """A live object of a protocol."""


class Other:
    """Another one."""


def test_a_live_extension_is_found_by_its_type() -> None:
    """None for another type, and for a context that has none."""
    live = Interpreter()
    context = context_of(protocol_extension=ProtocolTurnExtensionHandle(live))

    assert live is context.protocol_extension(Interpreter)
    assert context.protocol_extension(Other) is None
    assert context_of().protocol_extension(Interpreter) is None


def test_live_inputs_of_plugins_are_found_by_their_type() -> None:
    """The newest of a type."""
    first, second, other = Interpreter(), Interpreter(), Other()
    turn = TurnContext().with_input(first).with_input(other).with_input(second)

    found = context_of(turn_context=turn).turn_context
    assert (second, other) == (found.get(Interpreter), found.get(Other))
    assert context_of().turn_context.is_empty
    assert context_of().turn_context.get(Other) is None


class Probe:
    """Notes phases."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def begin_named(self, phase: str) -> None:
        """It begins."""
        self.seen.append(f"+{phase}")

    def end_named(self, phase: str) -> None:
        """It ends."""
        self.seen.append(f"-{phase}")


async def test_phases_are_told_to_the_probe() -> None:
    """Each begins once and ends once, however it is left; a child's start is one."""
    probe = Probe()
    context = context_of().with_turn_phase_probe(probe)

    with pytest.raises(LookupError), context.named_phase("one"):
        raise LookupError
    two = context.named_phase("two")
    two.end()
    two.end()
    await context.start_child_process(registration(), "job")
    with context_of().named_phase("nobody hears of it"):
        pass

    assert ["+one", "-one", "+two", "-two", "+process.start_child", "-process.start_child"] == probe.seen


async def test_turn_activity_goes_to_whoever_listens(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody has to; a listener that fails changes nothing."""
    heard = asyncio.Queue[TurnActivity]()
    event = TurnEvent("assistant_prose_delta", {"text": "hi"})

    async def broken(_: TurnActivity) -> None:
        raise LookupError("gone")

    await context_of().emit_turn_activity("c", event)
    with caplog.at_level(logging.ERROR):
        await context_of().with_turn_event_sender(broken).emit_turn_activity("c", event)
    await context_of().with_turn_event_sender(heard.put).emit_turn_activity("c", event)

    activity = heard.get_nowait()
    assert {"type": "assistant_prose_delta", "text": "hi", "correlation_id": "c", "id": activity.id} == (
        activity.to_json_value()
    )
    assert "no listener" in caplog.text


# -- tools ------------------------------------------------------------------------------------------------


def test_the_argument_projection_policy_is_the_tools() -> None:
    """Unknown tools materialize, as does one that says nothing."""
    policy = ToolArgumentProjectionPolicy.preserve_projected_refs_in_field("seed")
    seedy = ToolManifest("tool:seedy", "seedy", argument_projection=policy)
    context = context_of(tools=tools(seedy, ToolManifest("tool:plain", "plain")))

    materialize = ToolArgumentProjectionPolicy.materialize_projected_values()
    assert [policy, materialize, materialize] == [
        context.tool_argument_projection_policy(name) for name in ("seedy", "plain", "missing")
    ]
    assert "materialize_projected_values" == materialize.kind


def test_callable_tools_are_the_members_when_the_run_began() -> None:
    """Later registrations and orphans are not among them."""
    serial = ToolManifest("tool:edit", "edit", scheduling=ToolScheduling.SERIAL)
    registry = tools(serial, ToolManifest("tool:gone", "gone"))
    registry.unregister("tool:gone")
    context = context_of(tools=registry)
    registry.register(Tool(ToolManifest("tool:late", "late"), answer))

    assert (serial,) == context.tool_catalog.manifests
    assert [serial, None, None] == [context.callable_tool_manifest(name) for name in ("edit", "gone", "late")]
    assert [serial, None] == [context.callable_tool_manifest_by_id(id_) for id_ in ("tool:edit", "edit")]
    assert ["serial", "parallel"] == [context.tool_scheduling(name) for name in ("edit", "missing")]


def test_a_stored_manifest_says_only_what_is_new() -> None:
    """The release before reads the states of this one."""
    plain = ToolManifest("tool:plain", "plain")
    serial = ToolManifest("tool:edit", "edit", scheduling=ToolScheduling.SERIAL)
    state = tools(plain, serial).export_state()

    stored = state.to_json_value()["tools"]

    assert {"tool_id", "name", "description", "input_schema"} == set(stored["tool:plain"]["manifest"])
    assert "serial" == stored["tool:edit"]["manifest"]["scheduling"]
    assert state == ToolState.model_validate(state.to_json_value())


def test_trigger_outcomes_are_drained_once() -> None:
    """Into the reply that is made next."""
    context = context_of()
    outcomes = [
        ToolTriggerEffectOutcome(
            source_type="mail", source_key="inbox", occurrence_id=f"trigger:{n}", idempotency_key=str(n)
        )
        for n in range(3)
    ]
    for outcome in outcomes:
        context._dispatch.trigger_outcomes.enqueue(outcome)

    reply = ToolInvocationReply.success(1).with_trigger_outcomes(context.drain_tool_trigger_outcomes())

    assert tuple(outcomes) == reply.trigger_outcomes
    assert () == context.drain_tool_trigger_outcomes()


async def test_a_runtime_without_processes_says_so() -> None:
    """As a reply, or an error where there is none."""
    context = context_of(processes=False)

    reply = await context.start_child_process(registration(), "job")
    waited = await context.await_process("c", process_handle_json("p"))

    assert ["processes are unavailable in this runtime"] * 2 == [
        each.output.message  # type: ignore[union-attr]
        for each in (reply, waited)
    ]


# -- engines ----------------------------------------------------------------------------------------------


class SearchPlugin(SessionPlugin):
    """Offers one tool."""

    def tools(self) -> tuple[Tool, ...]:
        """It."""
        return (Tool(ToolManifest("tool:search", "search"), answer),)


class SearchFactory(PluginFactory):
    """Its factory, with an engine."""

    plugin_id = "search"

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def build(self, session_id: str) -> SessionPlugin:
        """One a session."""
        del session_id
        return SearchPlugin()

    def process_engines(self) -> tuple[Any, ...]:
        """The engine."""
        return (self._engine,)


class Engine:
    """Builds its context, starts a child, and says what it has seen."""

    kind = "job"

    def __init__(self) -> None:
        self.contexts: list[RuntimeExecutionContext] = []

    async def run(self, run: EngineRun) -> Any:
        """Once."""
        context = await execution_context_of_run(run)
        self.contexts.append(context)
        child = registration("child", env_ref=None, input=ProcessInput.engine("other"))
        reply = await context.start_child_process(child, "other")
        return ProcessAwaitOutput.success(
            [reply.output.to_json_value()["value"], [tool.name for tool in context.tool_catalog.manifests]]
        )


async def test_a_context_needs_an_environment_store() -> None:
    """Whatever it starts is captured there."""
    parts = Parts(PluginHost([SearchFactory(Engine())]))
    parts.runtime_host.durability.process_env_store = None
    started = registration(env_ref=None)

    with pytest.raises(MissingEnvironmentError, match="no environment store"):
        await parts.run(started)
    with pytest.raises(MissingEnvironmentError, match="this host has no environment store"):
        await ProcessStarts("s").command(
            "s",
            registration(env_ref="process-env:sha256:" + "0" * 64),
            ProcessStartOptions(),
            context_of().process_scope(),
        )


async def test_an_engine_builds_the_context_of_its_run() -> None:
    """Its tools, its chain, its environment, no live extension; once a run."""
    stores, engine = InMemoryStores(), Engine()
    spec = ProcessExecutionEnvSpec(plugin_options={"creator": 1})
    await stores.env_store.put(spec.env_ref, spec.encode())
    started = registration(env_ref=spec.env_ref)

    output = await Parts(PluginHost([SearchFactory(engine)]), stores).run(started)

    (context,) = engine.contexts
    assert [process_handle_json("child"), ["search"]] == output.to_json_value()["value"]
    assert (process_env_session_id("p"), "p", "p") == (
        context.session_id,
        context.runtime_process_id,
        context.execution_scope_id,
    )
    assert context.protocol_extension(Interpreter) is None
    child = await stores.process_registry.get_process("child")
    assert child is not None
    assert (spec.env_ref, started.wake_target) == (child.env_ref, child.wake_target)
    assert SessionPolicy().to_json_value() == context._execution_env_spec.policy
