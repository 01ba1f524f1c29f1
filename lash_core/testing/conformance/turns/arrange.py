"""Sessions with a scripted model and two tools, built over any set of stores: each scene has its own session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lash_core.errors import Failure
from lash_core.model.base import JsonValue
from lash_core.model.message import Message, ToolResultPart
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_lease import SessionLeaseTimings
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.tool_control import FinishControl, SwitchFrameControl
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.model.turn_activity import TurnActivity
from lash_core.model.turn_input import TurnInput
from lash_core.model.turn_outcome import AssembledTurn, StoppedOutcome
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.state_loading import load_for_residency, load_persisted_session_state
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.store.effect_host import EffectHost
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import SessionStores, factory_of, opened
from lash_core.testing.conformance.stores import elapse, short_ttl_ms
from lash_core.testing.scripted_provider import Script, ScriptedProvider, ScriptedReply, calls_tools, says

TTL_MS = 600_000
"""A lease that no case outlives by accident; a case that wants its end moves the clock."""

ToolCall = Callable[[ToolContext, JsonValue], Any]


@dataclass
class Bench:
    """The tools of a scene: ``add`` adds, ``finish`` ends the turn, ``switch`` goes on in another frame.

    Attributes:
        calls: what ``add`` was called with.
        before: awaited by ``add`` before it answers.
    """

    calls: list[JsonValue] = field(default_factory=list[JsonValue])
    before: ToolCall | None = None

    def tools(self) -> Sequence[Tool]:
        """The tools."""
        return [Tool(ToolManifest(name, name), call) for name, call in self._functions().items()]

    def _functions(self) -> dict[str, ToolCall]:
        async def add(context: ToolContext, args: Any) -> AnyToolOutput:
            self.calls.append(args)
            if self.before is not None:
                await self.before(context, args)
            return ToolSuccess(args["a"] + args["b"])

        async def broken(_context: ToolContext, _args: Any) -> AnyToolOutput:
            raise Failure("execution", "out_of_order", "the machine is out of order")

        async def finish(_context: ToolContext, args: Any) -> AnyToolOutput:
            return ToolSuccess("done", control=FinishControl(args["value"], final=True).to_json_value())

        async def switch(_context: ToolContext, args: Any) -> AnyToolOutput:
            control = SwitchFrameControl(args["frame_id"], args["task"])
            return ToolSuccess("switching", control=control.to_json_value())

        return {"add": add, "broken": broken, "finish": finish, "switch": switch}


class BenchFactory(PluginFactory):
    """Gives each session the bench and, where a case has one, another plugin's hooks."""

    plugin_id = "bench"

    def __init__(self, bench: Bench, plugin: Callable[[], SessionPlugin] | None = None) -> None:
        self._bench = bench
        self._plugin = plugin

    def build(self, session_id: str) -> SessionPlugin:
        """The plugin of one session."""
        del session_id
        plugin = SessionPlugin() if self._plugin is None else self._plugin()
        plugin.tools = self._bench.tools
        return plugin


@dataclass
class Scene:
    """One session. ``provider`` and ``bench`` are shared by all runtimes of the scene, so they count over redos.

    Attributes:
        activities: what the turns streamed.
        ttl_ms: life of the leases of its runtimes.
    """

    stores: Any
    session_id: str
    provider: ScriptedProvider
    bench: Bench = field(default_factory=Bench)
    policy: SessionPolicy = field(default_factory=SessionPolicy)
    plugin: Callable[[], SessionPlugin] | None = None
    effect_host: EffectHost | None = None
    ttl_ms: int = TTL_MS
    residency: Residency = Residency.KEEP_ALL
    activities: list[TurnActivity] = field(default_factory=list[TurnActivity])

    @property
    def environment(self) -> RuntimeEnvironment:
        """What its runtimes are built from; a new plugin host each time, as in another program."""
        host = RuntimeHostConfig.from_stores(self.stores)
        host.providers.add(self.provider)
        host.session_lease_timings = SessionLeaseTimings.from_ttl(self.ttl_ms)
        if self.effect_host is not None:
            host.control.effect_host = self.effect_host
        return RuntimeEnvironment(
            host,
            PluginHost([BenchFactory(self.bench, self.plugin)]),
            session_store_factory=factory_of(self.stores),
            residency=self.residency,
        )

    async def outlive_leases(self) -> None:
        """Let the time of a dead owner's lease pass."""
        await elapse(self.stores, self.ttl_ms + 1)

    async def store(self) -> RuntimePersistence:
        """The session's store, opened anew."""
        return await opened(self.stores, self.session_id)

    async def runtime(self, store: RuntimePersistence | None = None) -> LashRuntime:
        """A runtime as another program would build it."""
        store = store or await self.store()
        state = await load_for_residency(store, self.residency)
        state = state or RuntimeSessionState(session_id=self.session_id)
        return await LashRuntime.from_environment(self.environment, self.policy, state, store)

    async def hear(self, activity: TurnActivity) -> None:
        """A sender."""
        self.activities.append(activity)

    @property
    def heard(self) -> list[str]:
        """Kinds of what was streamed."""
        return [activity.event.type for activity in self.activities]

    async def history(self) -> list[Message]:
        """The messages as stored."""
        state = await load_persisted_session_state(await self.store())
        return [] if state is None else list(state.session_graph.read_model().messages)

    async def revision(self) -> int:
        """The head's."""
        read = await (await self.store()).load_session()
        return 0 if read is None else read.head_revision


def scene_of(
    stores: SessionStores,
    script: Script,
    *,
    plugin: Callable[[], SessionPlugin] | None = None,
    max_turns: int | None = None,
    effect_host: EffectHost | None = None,
) -> Scene:
    """A fresh session whose model plays a script."""
    session_id = unique("session")
    policy = SessionPolicy(model=ModelSpec("model-1"), provider_id="scripted", max_turns=max_turns)
    return Scene(stores, session_id, ScriptedProvider(script), policy=policy, plugin=plugin, effect_host=effect_host)


async def mortal_scene(stores: SessionStores, script: Script) -> Scene:
    """A scene whose owners die: its leases are as short as a case can outlive."""
    scene = scene_of(stores, script)
    scene.ttl_ms = await short_ttl_ms(stores)
    return scene


def adding(request: Any) -> ScriptedReply:
    """Any number of redos: asks ``add`` once for the newest input, then says what it answered."""
    newest = [message for message in request.messages if message.role != "system"][-1]
    results = [part for part in newest.parts if isinstance(part, ToolResultPart)]
    if results:
        return says(f"it is {results[-1].output['value']}")
    return calls_tools(("add", {"a": 1, "b": len(request.messages)}))


def texts_of(messages: Sequence[Message]) -> list[str]:
    """Role and text of each message; of tool parts their types."""
    return [f"{message.role}: {message.text or [part.type for part in message.parts]}" for message in messages]


def words(text: str) -> TurnInput:
    """An input of one text."""
    return TurnInput.text(text)


def stopped(turn: AssembledTurn | None, reason: str) -> AssembledTurn:
    """The turn, which must have been stopped for this reason."""
    assert turn is not None, f"expected a turn stopped by {reason}, there was none"
    assert isinstance(turn.outcome, StoppedOutcome), f"expected a stop, got {turn.outcome!r}"
    assert reason == turn.outcome.reason, f"expected {reason}, got {turn.outcome!r} {turn.errors!r}"
    return turn


def finished(turn: AssembledTurn | None) -> str:
    """The text of the turn, which must have finished with an answer."""
    assert turn is not None, "expected an answer, there was no turn"
    assert turn.final_text is not None, f"expected an answer, got {turn.outcome!r} {turn.errors!r}"
    return turn.final_text
