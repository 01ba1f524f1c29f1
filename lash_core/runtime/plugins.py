"""Plugins: what a host adds to its sessions and workers — tools, state, hooks, a protocol, engines."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lash_core.model.base import JsonValue
from lash_core.model.manifest import KindManifest
from lash_core.model.message import Message
from lash_core.model.plugin_snapshot import PluginSnapshotArtifact
from lash_core.model.session_state import RuntimeSessionState
from lash_core.protocols.turn_machine import ProtocolDriver
from lash_core.runtime.plugin.hooks import BeforeTurn, Compaction, PluginCheckpoint, PluginTurn
from lash_core.runtime.process.engine import ProcessEngine
from lash_core.runtime.tool_sources import ToolSource
from lash_core.runtime.tools import Tool

if TYPE_CHECKING:
    from lash_core.runtime.plugin.host import PluginSession


class PluginLifecycleEvent(StrEnum):
    """What plugins are told of their session; the facts that come with each are in brackets."""

    TURN_FINALIZED = "turn_finalized"
    """A turn ended, its commit comes next (``turn``)."""
    TURN_PERSISTED = "turn_persisted"
    """Its commit went through (``turn``, ``head_revision``)."""
    SESSION_RESTORED = "session_restored"
    """A runtime of the session was built (``read_view``)."""
    SESSION_CONFIG_CHANGED = "session_config_changed"
    """Its policy changed (``previous``, ``current``)."""


@runtime_checkable
class ProtocolSession(Protocol):
    """A protocol's part of one session."""

    async def restore_session(self, context: ProtocolSessionContext, state: RuntimeSessionState) -> None:
        """Take over what the session's execution state holds of the protocol; called before snapshots are dropped."""
        ...


@dataclass(frozen=True, slots=True)
class ProtocolSessionContext:
    """What a protocol session is restored with."""

    session_id: str
    plugins: PluginSession


class StatelessProtocolSession:
    """``ProtocolSession`` of a protocol that keeps nothing between turns."""

    async def restore_session(self, context: ProtocolSessionContext, state: RuntimeSessionState) -> None:
        """Nothing to take over."""


class SessionPlugin:
    """A plugin in one session. Override what you need."""

    priority: int = 0
    """Transforms and compactors of a higher one run first."""

    def tools(self) -> Sequence[Tool]:
        """The tools it offers."""
        return ()

    def tool_sources(self) -> Sequence[ToolSource]:
        """Further sources of tools, with ids of their own: an MCP server, say."""
        return ()

    async def tools_ready(self) -> None:
        """Wait until its sources can list their tools, for a bounded time; a failure is logged and changes nothing.

        Asked when a process calls a tool that is not there; turns ask by ``before_turn``.
        """

    def session_ready(self, session: PluginSession) -> None:
        """All plugins of the session are built and their tools registered; states are restored after this."""

    @property
    def revision(self) -> int:
        """Raise it when ``snapshot()`` would answer something new; equal revisions are not stored again."""
        return 0

    def snapshot(self) -> JsonValue:
        """Its state as JSON."""
        return None

    def snapshot_artifacts(self) -> Sequence[PluginSnapshotArtifact]:
        """Bytes that are stored with its state."""
        return ()

    def restore(self, state: JsonValue) -> None:
        """Take over a stored state; None when there is none."""

    def restore_artifacts(self, artifacts: Sequence[PluginSnapshotArtifact]) -> None:
        """Take over stored bytes, right after ``restore``."""

    async def on_event(self, event: PluginLifecycleEvent, facts: dict[str, Any]) -> None:
        """Be told of the session's life. A failure is logged and changes nothing."""

    def protocol_driver(self) -> ProtocolDriver | None:
        """The protocol that runs the session's turns; exactly one plugin of a session gives one."""
        return None

    def protocol_session(self) -> ProtocolSession | None:
        """The protocol's part of this session; exactly one plugin of a session gives one."""
        return None

    def prompt_contributions(self) -> Sequence[str]:
        """Texts that are added to the instructions of model calls, in the order of plugins."""
        return ()

    def context_transform(self, messages: tuple[Message, ...]) -> Awaitable[tuple[Message, ...]] | None:
        """Change what the model sees of the history; None leaves it. The stored history is never changed by it."""
        return None

    async def before_turn(self, turn: PluginTurn) -> BeforeTurn | None:
        """Inject messages into a turn that begins, or abort it."""
        return None

    async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
        """Messages for the running turn; transient ones are shown to the model and not stored."""
        return ()

    def compact(self, messages: tuple[Message, ...]) -> Awaitable[Compaction | None] | None:
        """Sum a history up that grew too long; None = it is no compactor."""
        return None


class PluginFactory:
    """Makes a plugin for each session. Override what you need; ``plugin_id`` must be set.

    Attributes:
        plugin_id: unique in a host.
        plugin_version: stored with the plugin's state.
        provides_protocol: its plugins give the protocol, so the host adds no built-in one.
    """

    plugin_id: str = ""
    plugin_version: str = "1"
    provides_protocol: bool = False

    def build(self, session_id: str) -> SessionPlugin:
        """The plugin of one session."""
        del session_id
        return SessionPlugin()

    def process_engines(self) -> Sequence[ProcessEngine]:
        """Engines it gives to workers."""
        return ()

    def manifests(self) -> Mapping[str, KindManifest]:
        """Kind → manifest of the process kinds it declares: what children are started by."""
        return {}

    def tool_names(self) -> frozenset[str] | None:
        """The tools its plugins offer, when that is the same in every session; None when it is not known."""
        return None

    def close(self) -> None:
        """Give back what it holds for the whole program. May be called twice."""
