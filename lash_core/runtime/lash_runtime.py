"""A session at work, small: policy, plugins, tools, and their state in the session's store.

The graph, frames and turns join here.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field, replace
from typing import Protocol

from lash_core.errors import PluginSessionError
from lash_core.model.base import JsonValue
from lash_core.model.session import SessionPolicy
from lash_core.model.tool_output import AnyToolOutput
from lash_core.model.tool_state import PluginSessionSnapshot, ToolState
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugins import PluginHost, PluginLifecycleEvent, PluginSession
from lash_core.runtime.process_engine import ProcessEngineRegistry
from lash_core.runtime.residency import Residency
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tools import ToolContext
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.session_store import RuntimeCommit, RuntimePersistence, SessionStoreFactory

_log = logging.getLogger(__name__)


class RuntimeParts(Protocol):
    """What runtimes are built from; a worker's configuration is one."""

    @property
    def plugin_host(self) -> PluginHost | None:
        """Plugins and engines; None only where no runtime is built."""
        ...

    @property
    def runtime_host(self) -> RuntimeHostConfig:
        """Effects and stores."""
        ...

    @property
    def session_store_factory(self) -> SessionStoreFactory | None:
        """Opens stores of further sessions."""
        ...

    @property
    def process_registry(self) -> ProcessRegistry | None:
        """The processes."""
        ...

    @property
    def residency(self) -> Residency:
        """How much stays in memory."""
        ...


@dataclass(slots=True)
class RuntimeEnvironment:
    """``RuntimeParts`` shared by all runtimes of a program: building one costs its plugins, not the infrastructure."""

    runtime_host: RuntimeHostConfig
    plugin_host: PluginHost | None = None
    session_store_factory: SessionStoreFactory | None = None
    process_registry: ProcessRegistry | None = None
    residency: Residency = Residency.KEEP_ALL


@dataclass(frozen=True, slots=True)
class RuntimeSessionState:
    """What a runtime starts from. ``head_revision`` None = never stored."""

    session_id: str = ""
    policy: SessionPolicy = field(default_factory=SessionPolicy)
    tool_state: ToolState | None = None
    plugin_snapshot: PluginSessionSnapshot | None = None
    head_revision: int | None = None


@dataclass(frozen=True, slots=True)
class ParkedSession:
    """A session that left memory: id, policy and where its state is."""

    session_id: str
    store: RuntimePersistence
    policy: SessionPolicy


class LashRuntime:
    """One session in memory. Build it with ``from_environment``, ``resume`` or ``EmbeddedRuntimeBuilder``."""

    def __init__(
        self, state: RuntimeSessionState, parts: RuntimeParts, plugins: PluginSession, store: RuntimePersistence | None
    ) -> None:
        self._state = state
        self._parts = parts
        self._plugins = plugins
        self._store = store

    @property
    def session_id(self) -> str:
        """The session."""
        return self._state.session_id

    @property
    def policy(self) -> SessionPolicy:
        """Its policy; ``policy.require_model()`` is for turns and model calls."""
        return self._state.policy

    @property
    def tools(self) -> ToolRegistry:
        """Its tools."""
        return self._plugins.tools

    @property
    def plugins(self) -> PluginSession:
        """Its plugins."""
        return self._plugins

    @property
    def store(self) -> RuntimePersistence | None:
        """Its store, or None."""
        return self._store

    @property
    def host(self) -> RuntimeHostConfig:
        """Effects and stores of the host."""
        return self._parts.runtime_host

    @property
    def session_store_factory(self) -> SessionStoreFactory | None:
        """Opens the stores of other sessions; None where there are none."""
        return self._parts.session_store_factory

    @property
    def process_engines(self) -> ProcessEngineRegistry | None:
        """The engines of this program's plugins."""
        return None if self._parts.plugin_host is None else self._parts.plugin_host.process_engines

    @classmethod
    async def from_environment(
        cls,
        env: RuntimeParts,
        policy: SessionPolicy,
        state: RuntimeSessionState,
        store: RuntimePersistence | None = None,
        *,
        exclusive: bool = True,
    ) -> LashRuntime:
        """Build a runtime from shared parts, a session's stored state and its store.

        A blank session id gets a fresh one; an unconfigured policy in ``state`` is filled from ``policy``. Orphaned
        tools are logged by name, never an error. ``exclusive`` False allows
        other runtimes of the session beside it.

        Raises:
            PluginSessionError: no plugin host; active-path residency without a store; a store bound to another
                session; a plugin that cannot be built or restored.
        """
        if env.plugin_host is None:
            raise PluginSessionError("RuntimeEnvironment.plugin_host is required to build a runtime")
        if env.residency is Residency.ACTIVE_PATH_ONLY and store is None:
            raise PluginSessionError(
                "Residency::ActivePathOnly requires a persistent store: what is trimmed could not be read again"
            )
        session_id = state.session_id.strip() or str(uuid.uuid4())
        if store is not None and store.session_id != session_id:
            raise PluginSessionError(
                f"the store is bound to session `{store.session_id}`, not to `{session_id}`",
                field="session_id",
                value=session_id,
            )
        effective = state.policy if state.policy.is_configured else policy
        plugins = env.plugin_host.build_session(session_id, exclusive=exclusive)
        try:
            if state.tool_state is not None:
                report = plugins.tools.restore_state(state.tool_state)
                if report.orphaned:
                    _log.warning("session %s has orphaned tools: %s", session_id, ", ".join(report.orphaned))
            plugins.restore(state.plugin_snapshot)
        except BaseException:
            env.plugin_host.unregister_session(plugins)
            raise
        runtime = cls(replace(state, session_id=session_id, policy=effective), env, plugins, store)
        await plugins.emit(PluginLifecycleEvent.SESSION_RESTORED, session_id=session_id)
        return runtime

    @classmethod
    async def resume(cls, parked: ParkedSession, env: RuntimeParts) -> LashRuntime:
        """Build a parked session again from its store.

        Raises:
            PluginSessionError: as ``from_environment``. CorruptRecordError: the stored state cannot be decoded.
        """
        state = await load_state(parked.store, parked.policy)
        return await cls.from_environment(env, parked.policy, state, parked.store)

    async def call_tool(self, name: str, args: JsonValue, context: ToolContext) -> AnyToolOutput:
        """Call one member tool. Raises: ToolUnavailableError, and what the tool's code raises outside its answer."""
        return await self.tools.resolve(name).call(context, args)

    async def park(self) -> ParkedSession:
        """Store what changed and drop the session from memory.

        Raises:
            PluginSessionError: there is no store. HeadRevisionConflictError: somebody else committed; nothing stored.
        """
        if self._store is None:
            raise PluginSessionError("park() requires a persistent runtime (store is not set)")
        await self._store_changes(self._store)
        self.close()
        return ParkedSession(self.session_id, self._store, self.policy)

    def close(self) -> None:
        """Free the session's id in the plugin host. May be called twice."""
        if self._parts.plugin_host is not None:
            self._parts.plugin_host.unregister_session(self._plugins)

    async def _store_changes(self, store: RuntimePersistence) -> None:
        state = self._state
        if state.head_revision is None:
            stored = await store.load_session()
            state = replace(state, head_revision=None if stored is None else stored.head_revision)
        tool_state, snapshot = self.tools.export_state(), self._plugins.snapshot()
        commit = RuntimeCommit(
            session_id=self.session_id,
            expected_head_revision=state.head_revision or 0,
            tool_state=tool_state if tool_state != state.tool_state else None,
            plugin_snapshot=snapshot if snapshot != state.plugin_snapshot else None,
        )
        if commit.changed_parts():
            result = await store.commit_runtime_state(commit)
            state = replace(state, head_revision=result.head_revision)
        self._state = replace(state, tool_state=tool_state, plugin_snapshot=snapshot)


async def load_state(store: RuntimePersistence, policy: SessionPolicy) -> RuntimeSessionState:
    """A session's stored state; a session that is not stored starts from ``policy``."""
    stored = await store.load_session()
    if stored is None:
        return RuntimeSessionState(session_id=store.session_id, policy=policy)
    return RuntimeSessionState(
        session_id=stored.session_id,
        policy=stored.policy,
        tool_state=stored.tool_state,
        plugin_snapshot=stored.plugin_snapshot,
        head_revision=stored.head_revision,
    )
