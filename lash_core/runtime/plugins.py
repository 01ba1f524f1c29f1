"""Plugins: what a host adds to its sessions and workers — tools, state, engines."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lash_core.errors import PluginSessionError
from lash_core.model.base import JsonValue
from lash_core.model.manifest import KindManifest
from lash_core.model.tool_state import PluginSessionSnapshot, PluginSnapshotEntry
from lash_core.runtime.process_engine import ProcessEngine, ProcessEngineRegistry
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tools import Tool

_log = logging.getLogger(__name__)


class PluginLifecycleEvent(StrEnum):
    """What plugins are told of their session."""

    TURN_FINALIZED = "turn_finalized"
    TURN_PERSISTED = "turn_persisted"
    SESSION_RESTORED = "session_restored"
    SESSION_CONFIG_CHANGED = "session_config_changed"


class SessionPlugin:
    """A plugin in one session. Override what you need."""

    def tools(self) -> Sequence[Tool]:
        """The tools it offers."""
        return ()

    @property
    def revision(self) -> int:
        """Raise it when ``snapshot()`` would answer something new; equal revisions are not stored again."""
        return 0

    def snapshot(self) -> JsonValue:
        """Its state as JSON."""
        return None

    def restore(self, state: JsonValue) -> None:
        """Take over a stored state; None when there is none."""

    async def on_event(self, event: PluginLifecycleEvent, facts: dict[str, Any]) -> None:
        """Be told of the session's life. A failure is logged and changes nothing."""


class PluginFactory:
    """Makes a plugin for each session. Override what you need; ``plugin_id`` must be set.

    Attributes:
        plugin_id: unique in a host.
        plugin_version: stored with the plugin's state.
    """

    plugin_id: str = ""
    plugin_version: str = "1"

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


@dataclass(slots=True, weakref_slot=True, eq=False)
class PluginSession:
    """The plugins of one session and their tools. ``PluginHost.build_session`` makes it."""

    session_id: str
    plugins: dict[str, SessionPlugin]
    versions: dict[str, str]
    tools: ToolRegistry

    def snapshot(self) -> PluginSessionSnapshot:
        """The state of all plugins; one that fails is left out and logged, so that its stored state is kept."""
        entries: dict[str, PluginSnapshotEntry] = {}
        for plugin_id, plugin in self.plugins.items():
            try:
                state = plugin.snapshot()
            except Exception:  # noqa: BLE001 - a plugin is the user's code
                _log.exception("plugin %s could not tell its state", plugin_id)
                continue
            entries[plugin_id] = PluginSnapshotEntry(
                plugin_version=self.versions[plugin_id], revision=plugin.revision, state=state
            )
        return PluginSessionSnapshot(plugins=entries)

    def restore(self, snapshot: PluginSessionSnapshot | None) -> None:
        """Hand each plugin its stored state; one without an entry gets None.

        Raises:
            PluginSessionError: a plugin refused its state.
        """
        entries = snapshot.plugins if snapshot is not None else {}
        for plugin_id, plugin in self.plugins.items():
            entry = entries.get(plugin_id)
            try:
                plugin.restore(None if entry is None else entry.state)
            except Exception as error:
                raise PluginSessionError(f"plugin `{plugin_id}` could not be restored: {error}") from error

    async def emit(self, event: PluginLifecycleEvent, **facts: Any) -> None:
        """Tell every plugin, one after the other; failures are logged."""
        for plugin_id, plugin in self.plugins.items():
            try:
                await plugin.on_event(event, facts)
            except Exception:  # noqa: BLE001 - a plugin is the user's code
                _log.exception("plugin %s failed on %s", plugin_id, event.value)


class PluginHost:
    """The plugins of one program and the engines they bring.

    Args:
        factories: in order; of two with one id the later one wins, so a user's replaces a built-in.

    Raises:
        DuplicateEngineError: two engines of one kind. PluginSessionError: a factory without id.
    """

    def __init__(self, factories: Iterable[PluginFactory] = ()) -> None:
        self._factories: dict[str, PluginFactory] = {}
        for factory in factories:
            if not factory.plugin_id.strip():
                raise PluginSessionError(f"{type(factory).__name__} has no plugin_id", field="plugin_id")
            self._factories[factory.plugin_id] = factory
        self.process_engines = ProcessEngineRegistry(
            engine for factory in self._factories.values() for engine in factory.process_engines()
        )
        self._sessions: weakref.WeakValueDictionary[str, PluginSession] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    @property
    def factories(self) -> tuple[PluginFactory, ...]:
        """The factories in use."""
        return tuple(self._factories.values())

    def tool_names(self) -> frozenset[str] | None:
        """Every tool name a session here has, or None when one factory does not know its own."""
        names: set[str] = set()
        for factory in self._factories.values():
            offered = factory.tool_names()
            if offered is None:
                return None
            names |= offered
        return frozenset(names)

    def manifests(self) -> dict[str, KindManifest]:
        """Kind → manifest of every kind that a factory declares. Raises: SettingsError."""
        return {kind: found for factory in self._factories.values() for kind, found in factory.manifests().items()}

    def build_session(self, session_id: str, *, exclusive: bool = True) -> PluginSession:
        """Build the plugins of a session and register their tools.

        Of exclusive sessions only one of an id lives in a host at a time; one that was dropped or unregistered frees
        its id. Runs of processes rebuild sessions beside others and are not exclusive (docs/adr/0060).

        Raises:
            PluginSessionError: ``already registered``; a plugin could not be built; two tools of one name.
        """
        plugins: dict[str, SessionPlugin] = {}
        tools: list[Tool] = []
        for plugin_id, factory in self._factories.items():
            try:
                plugin = plugins[plugin_id] = factory.build(session_id)
                tools.extend(plugin.tools())
            except Exception as error:
                raise PluginSessionError(f"plugin `{plugin_id}` could not be built: {error}") from error
        versions = {plugin_id: factory.plugin_version for plugin_id, factory in self._factories.items()}
        session = PluginSession(session_id, plugins, versions, ToolRegistry(tools))
        if exclusive:
            with self._lock:
                if session_id in self._sessions:
                    raise PluginSessionError(
                        f"session `{session_id}` is already registered with this plugin host",
                        field="session_id",
                        value=session_id,
                    )
                self._sessions[session_id] = session
        return session

    def unregister_session(self, session: PluginSession) -> None:
        """Free a session's id, if it is this session that has it. Safe to repeat."""
        with self._lock:
            if self._sessions.get(session.session_id) is session:
                del self._sessions[session.session_id]

    def close(self) -> None:
        """Close the factories. May be called twice."""
        for factory in self._factories.values():
            factory.close()


class PluginStack:
    """An ordered list of factories that a host edits before it builds its ``PluginHost``."""

    def __init__(self, factories: Iterable[PluginFactory] = ()) -> None:
        self._factories: list[PluginFactory] = list(factories)

    def push(self, factory: PluginFactory) -> PluginStack:
        """Add one at the end."""
        self._factories.append(factory)
        return self

    def extend(self, factories: Iterable[PluginFactory]) -> PluginStack:
        """Add several at the end."""
        self._factories.extend(factories)
        return self

    def remove(self, plugin_id: str) -> PluginStack:
        """Take out every factory of an id; a missing one is success."""
        return self.retain(lambda factory: factory.plugin_id != plugin_id)

    def replace(self, factory: PluginFactory) -> PluginStack:
        """Put a factory in the place of the one with its id, else at the end."""
        for index, other in enumerate(self._factories):
            if other.plugin_id == factory.plugin_id:
                self._factories[index] = factory
                return self
        return self.push(factory)

    def retain(self, keep: Callable[[PluginFactory], bool]) -> PluginStack:
        """Keep the factories for which ``keep`` answers True."""
        self._factories = [factory for factory in self._factories if keep(factory)]
        return self

    def into_factories(self) -> tuple[PluginFactory, ...]:
        """The factories in order."""
        return tuple(self._factories)
