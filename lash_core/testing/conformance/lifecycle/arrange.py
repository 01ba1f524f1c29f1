"""Sessions whose plugins write down what is done to them; every runtime has a plugin host of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from lash_core.errors import LashError
from lash_core.model.base import JsonValue
from lash_core.model.message import Message
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_node import ConversationEvent, EventPayload
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost, PluginSession
from lash_core.runtime.plugins import (
    PluginFactory,
    PluginLifecycleEvent,
    ProtocolSession,
    ProtocolSessionContext,
    SessionPlugin,
)
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.standard_protocol import StandardProtocolPlugin
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import factory_of, opened

POLICY = SessionPolicy(model=ModelSpec("model-1"), provider_id="provider-1")
OTHER_POLICY = SessionPolicy(model=ModelSpec("model-2"), provider_id="provider-2")


def tool(name: str, tool_id: str | None = None) -> Tool:
    """A tool that answers its own name."""

    async def call(_context: ToolContext, _args: JsonValue) -> AnyToolOutput:
        return ToolSuccess(name)

    return Tool(ToolManifest(tool_id or name, name), call)


class Notes(StandardProtocolPlugin):
    """The protocol, and a plugin with a number as its state; it writes down what it is asked."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.count = 0
        self.cannot_tell = False

    def tools(self) -> Sequence[Tool]:
        """The scene's."""
        return tuple(self._scene.tools)

    def session_ready(self, session: PluginSession) -> None:
        """Noted."""
        self._scene.log.append(f"ready {session.session_id == self._scene.session_id}")

    @property
    def revision(self) -> int:
        """Its number."""
        return self.count

    def snapshot(self) -> JsonValue:
        """Its number, unless it cannot tell."""
        if self.cannot_tell:
            raise LookupError("not now")
        return {"count": self.count}

    def restore(self, state: JsonValue) -> None:
        """Noted."""
        self.count = 0 if state is None else state["count"]
        self._scene.log.append(f"restore {state}")

    def protocol_session(self) -> ProtocolSession:
        """Writes down when it is restored."""
        return _Protocol(self._scene)

    async def on_event(self, event: PluginLifecycleEvent, facts: dict[str, Any]) -> None:
        """Noted."""
        self._scene.log.append(event.value)
        self._scene.facts[event.value] = facts


class _Protocol:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def restore_session(self, context: ProtocolSessionContext, state: RuntimeSessionState) -> None:
        tools = ",".join(manifest.name for manifest in context.plugins.tools.catalog())
        kept = state.tool_state_snapshot is not None or state.plugin_snapshot is not None
        self._scene.log.append(f"protocol with {tools}, snapshots {kept}")


class NotesFactory(PluginFactory):
    """Makes ``Notes``: the protocol of these sessions."""

    plugin_id = "notes"
    provides_protocol = True

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def build(self, session_id: str) -> SessionPlugin:
        """The plugin of one session."""
        return Notes(self._scene)


@dataclass
class Scene:
    """One session, built over and over.

    Attributes:
        log: what its plugins were asked, over all builds.
        facts: of the last lifecycle event of each kind.
        tools: what its plugin offers.
    """

    stores: Any
    session_id: str = field(default_factory=lambda: unique("session"))
    policy: SessionPolicy = POLICY
    log: list[str] = field(default_factory=list[str])
    facts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    tools: list[Tool] = field(default_factory=lambda: [tool("add")])
    residency: Residency = Residency.KEEP_ALL

    @property
    def host(self) -> RuntimeHostConfig:
        """The host of the stores."""
        return RuntimeHostConfig.from_stores(self.stores)

    def environment(self, **changes: Any) -> RuntimeEnvironment:
        """Shared parts with a new plugin host, as in another program."""
        facts: dict[str, Any] = {
            "runtime_host": self.host,
            "plugin_host": PluginHost([NotesFactory(self)]),
            "session_store_factory": factory_of(self.stores),
            "residency": self.residency,
        }
        return RuntimeEnvironment(**{**facts, **changes})

    async def store(self) -> RuntimePersistence:
        """The session's store, opened anew."""
        return await opened(self.stores, self.session_id)

    async def runtime(self, **changes: Any) -> LashRuntime:
        """A runtime of the session as it is stored."""
        environment = self.environment(**changes)
        builder = EmbeddedRuntimeBuilder(
            session_id=self.session_id,
            plugin_host=environment.plugin_host or PluginHost(),
            runtime_host=environment.runtime_host,
            policy=self.policy,
            session_store_factory=environment.session_store_factory,
            process_registry=environment.process_registry,
            residency=environment.residency,
            store=await self.store(),
            process_work_driver=environment.process_work_driver,
            queued_work_driver=environment.queued_work_driver,
        )
        return await builder.build()

    async def settled(self, *texts: str) -> None:
        """Store the session once, with these messages."""
        runtime = await self.runtime()
        await runtime.append_session_nodes(said(*texts))
        await runtime.park()

    async def revision(self) -> int:
        """The head's; 0 when there is none."""
        read = await (await self.store()).load_session()
        return 0 if read is None else read.head_revision

    async def messages(self) -> list[str]:
        """Texts of the stored active path."""
        read = await (await self.store()).load_session()
        return [] if read is None else [message.text for message in read.graph.read_model().messages]


def notes_of(runtime: LashRuntime) -> Notes:
    """The runtime's plugin."""
    plugin = runtime.plugins.plugins["notes"]
    assert isinstance(plugin, Notes)
    return plugin


def said(*texts: str) -> list[EventPayload]:
    """User messages; their ids are their texts."""
    return [EventPayload(ConversationEvent(Message.user(text, message_id=text))) for text in texts]


def texts_of(runtime: LashRuntime) -> list[str]:
    """Texts of the active path in memory."""
    return [message.text for message in runtime.read_view().messages]


@asynccontextmanager
async def refused(kind: type[LashError], *words: str) -> AsyncGenerator[list[LashError]]:
    """What is within must be refused with this error, whose text has these words."""
    caught: list[LashError] = []
    try:
        yield caught
    except kind as error:
        for word in words:
            assert word in str(error), f"expected `{word}` in: {error}"
        caught.append(error)
    else:
        raise AssertionError(f"expected {kind.__name__}")


class Pokes:
    """A driver that notes what it is told."""

    def __init__(self, answer: Callable[[], None] = lambda: None) -> None:
        self.told: list[tuple[str, str]] = []
        self._answer = answer

    async def poke_session(self, session_id: str, reason: str) -> None:
        """Queued work."""
        self.told.append((session_id, reason))
        self._answer()

    async def poke_process(self, process_id: str) -> None:
        """A process."""
        self.told.append((process_id, ""))
