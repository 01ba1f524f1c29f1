"""The plugins of a program, and those of one session built from them (``docs/contracts/sessions.md`` 2.14)."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Iterable
from typing import Any

from lash_core.errors import PluginSessionError
from lash_core.model.manifest import KindManifest
from lash_core.model.plugin_snapshot import (
    PluginSessionSnapshot,
    PluginSnapshotEntry,
    PluginSnapshotMeta,
    plugin_revision_fingerprint,
)
from lash_core.protocols.turn_machine import ProtocolDriver
from lash_core.runtime.plugin.asking import EVENT_MS_MAX, ask_plugins
from lash_core.runtime.plugin.hooks import PluginHooks
from lash_core.runtime.plugins import PluginFactory, PluginLifecycleEvent, ProtocolSession, SessionPlugin
from lash_core.runtime.process.engine import ProcessEngineRegistry
from lash_core.runtime.standard_protocol import StandardProtocolFactory
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tool_registry_errors import ToolRegistryError
from lash_core.runtime.tool_sources import ListedToolSource, ToolSource

_log = logging.getLogger(__name__)


class PluginSession:
    """The plugins of one session, their tools, hooks and protocol. ``PluginHost.build_session`` makes it.

    Attributes:
        host: what it was built by.
        plugins: by id, in the order of the host's factories.
        tools: the session's tools.
        hooks: what the plugins say to turns.
        protocol_driver: makes the machines of the session's turns.
        protocol_session: the protocol's part of this session.
    """

    __slots__ = (
        "__weakref__",
        "_restored",
        "_versions",
        "hooks",
        "host",
        "plugins",
        "protocol_driver",
        "protocol_session",
        "session_id",
        "tools",
    )

    def __init__(
        self,
        host: PluginHost,
        session_id: str,
        plugins: dict[str, SessionPlugin],
        versions: dict[str, str],
        tools: ToolRegistry,
    ) -> None:
        self.host = host
        self.session_id = session_id
        self.plugins = plugins
        self.tools = tools
        self.hooks = PluginHooks(plugins)
        self.protocol_driver: ProtocolDriver = _the_one(
            "protocol driver", {name: plugin.protocol_driver() for name, plugin in plugins.items()}
        )
        self.protocol_session: ProtocolSession = _the_one(
            "protocol session provider", {name: plugin.protocol_session() for name, plugin in plugins.items()}
        )
        self._versions = versions
        self._restored: PluginSessionSnapshot | None = None

    @property
    def revision_fingerprint(self) -> int | None:
        """Changes when a plugin's state does; None when a plugin cannot tell its revision (logged)."""
        try:
            return plugin_revision_fingerprint(
                (plugin_id, self._versions[plugin_id], plugin.revision) for plugin_id, plugin in self.plugins.items()
            )
        except Exception:  # noqa: BLE001 - a plugin is the user's code
            _log.exception("a plugin of session %s could not tell its revision", self.session_id)
            return None

    def snapshot(self) -> PluginSessionSnapshot | None:
        """The state of all plugins, or None when one of them cannot tell it (logged): what is stored is then kept."""
        entries: dict[str, PluginSnapshotEntry] = {}
        for plugin_id, plugin in self.plugins.items():
            try:
                meta = PluginSnapshotMeta(
                    plugin_id=plugin_id,
                    plugin_version=self._versions[plugin_id],
                    revision=plugin.revision,
                    state=plugin.snapshot(),
                )
                entries[plugin_id] = PluginSnapshotEntry(meta=meta, artifacts=tuple(plugin.snapshot_artifacts()))
            except Exception:  # noqa: BLE001 - a plugin is the user's code
                _log.exception("plugin %s could not tell its state", plugin_id)
                return None
        return PluginSessionSnapshot(plugins=entries)

    def restore(self, snapshot: PluginSessionSnapshot | None) -> None:
        """Hand each plugin its stored state and artifacts; one without an entry gets None and none.

        The same snapshot again is not handed out twice.

        Raises:
            PluginSessionError: a plugin refused its state.
        """
        if snapshot is not None and snapshot is self._restored:
            return
        entries = snapshot.plugins if snapshot is not None else {}
        for plugin_id, plugin in self.plugins.items():
            entry = entries.get(plugin_id)
            try:
                plugin.restore(None if entry is None else entry.meta.state)
                plugin.restore_artifacts(() if entry is None else entry.artifacts)
            except Exception as error:
                raise PluginSessionError(f"plugin `{plugin_id}` could not be restored: {error}") from error
        self._restored = snapshot

    def forget_restored(self) -> None:
        """Let go of the snapshot that was restored: it may be large."""
        self._restored = None

    async def tools_ready(self) -> None:
        """Wait until all sources can list their tools, and list them again; failures are logged."""

        async def wait(plugin_id: str, plugin: SessionPlugin) -> None:
            try:
                await plugin.tools_ready()
            except Exception:  # noqa: BLE001 - a plugin is the user's code
                _log.exception("the tools of plugin %s are not ready", plugin_id)

        await asyncio.gather(*(wait(plugin_id, plugin) for plugin_id, plugin in self.plugins.items()))
        try:
            self.tools.refresh_sources()
        except ToolRegistryError as error:
            _log.warning("the tools of session %s could not be listed again: %s", self.session_id, error)

    async def emit(self, event: PluginLifecycleEvent, *, within_ms: int = EVENT_MS_MAX, **facts: Any) -> None:
        """Tell every plugin, all at once; one that fails, or takes longer than ``within_ms``, is logged."""

        async def tell(plugin: SessionPlugin) -> None:
            await plugin.on_event(event, facts)

        told = {plugin_id: tell(plugin) for plugin_id, plugin in self.plugins.items()}
        await ask_plugins(told, f"on {event.value}", within_ms=within_ms)


class PluginHost:
    """The plugins of one program and the engines they bring.

    The built-in protocol ``standard`` comes first, unless a factory provides another one or has its id.

    Args:
        factories: in order; of two with one id the later one wins, so a user's replaces a built-in.

    Raises:
        DuplicateEngineError: two engines of one kind. PluginSessionError: a factory without id; two protocols.
    """

    def __init__(self, factories: Iterable[PluginFactory] = ()) -> None:
        given: dict[str, PluginFactory] = {}
        for factory in factories:
            if not factory.plugin_id.strip():
                raise PluginSessionError(f"{type(factory).__name__} has no plugin_id", field="plugin_id")
            given[factory.plugin_id] = factory
        protocols = [plugin_id for plugin_id, factory in given.items() if factory.provides_protocol]
        if len(protocols) > 1:
            raise PluginSessionError(
                f"two plugins provide a protocol: `{protocols[0]}` and `{protocols[1]}`",
                field="provides_protocol",
                value=protocols[1],
            )
        built_in: dict[str, PluginFactory] = {}
        if not protocols:
            standard = StandardProtocolFactory()
            built_in[standard.plugin_id] = standard
        self._factories = built_in | given
        self.process_engines = ProcessEngineRegistry(
            engine for factory in self._factories.values() for engine in factory.process_engines()
        )
        self._sessions: weakref.WeakValueDictionary[str, PluginSession] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    @property
    def factories(self) -> tuple[PluginFactory, ...]:
        """The factories in use, built-in ones first."""
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

    def build_session(
        self,
        session_id: str,
        snapshot: PluginSessionSnapshot | None = None,
        *,
        exclusive: bool = True,
        extra_factories: Iterable[PluginFactory] = (),
        include_base_tools: bool = True,
    ) -> PluginSession:
        """Build the plugins of a session, register their tools, tell them that all are there, restore their states.

        Of exclusive sessions only one of an id lives in a host at a time; one that was dropped or unregistered frees
        its id. Runs of processes rebuild sessions beside others and are not exclusive (docs/adr/0060).

        Args:
            session_id: the session.
            snapshot: what its plugins keep; None = nothing.
            exclusive: False for a session beside others of its id.
            extra_factories: of this session alone, after the host's.
            include_base_tools: False leaves out the tools of the host's own plugins.

        Raises:
            PluginSessionError: ``already registered``; a plugin could not be built or restored; two tools of one name;
                not exactly one protocol.
        """
        factories = self._factories | {factory.plugin_id: factory for factory in extra_factories}
        plugins: dict[str, SessionPlugin] = {}
        sources: list[ToolSource] = []
        for plugin_id, factory in factories.items():
            try:
                plugin = plugins[plugin_id] = factory.build(session_id)
                if include_base_tools or self._factories.get(plugin_id) is not factory:
                    sources += (ListedToolSource(f"plugin:{plugin_id}", plugin.tools), *plugin.tool_sources())
            except Exception as error:
                raise PluginSessionError(f"plugin `{plugin_id}` could not be built: {error}") from error
        try:
            registry = ToolRegistry(sources=sources)
        except ToolRegistryError as error:
            raise PluginSessionError(f"the tools of session `{session_id}`: {error}") from error
        versions = {plugin_id: factory.plugin_version for plugin_id, factory in factories.items()}
        session = PluginSession(self, session_id, plugins, versions, registry)
        if exclusive:
            self._register(session)
        try:
            for plugin_id, plugin in plugins.items():
                _ready(plugin_id, plugin, session)
            session.restore(snapshot)
        except BaseException:
            self.unregister_session(session)
            raise
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

    def _register(self, session: PluginSession) -> None:
        with self._lock:
            if session.session_id in self._sessions:
                raise PluginSessionError(
                    f"session `{session.session_id}` is already registered with this plugin host",
                    field="session_id",
                    value=session.session_id,
                )
            self._sessions[session.session_id] = session


def _ready(plugin_id: str, plugin: SessionPlugin, session: PluginSession) -> None:
    try:
        plugin.session_ready(session)
    except Exception as error:
        raise PluginSessionError(f"plugin `{plugin_id}` was not ready for its session: {error}") from error


def _the_one(what: str, offered: dict[str, Any]) -> Any:
    """The only thing that is offered."""
    found = {plugin_id: one for plugin_id, one in offered.items() if one is not None}
    if len(found) != 1:
        who = " and ".join(f"`{plugin_id}`" for plugin_id in found) or "none"
        raise PluginSessionError(f"a session needs exactly one {what}; offered by {who}", field="plugins", value=who)
    return next(iter(found.values()))
