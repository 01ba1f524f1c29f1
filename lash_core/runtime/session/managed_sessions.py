"""Child sessions that a runtime opens, runs and closes (``docs/contracts/sessions.md`` 2.11)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lash_core.errors import LashError
from lash_core.errors.session import SessionError, UnknownManagedSessionError
from lash_core.model.session import ChildRelation, SessionStoreCreateRequest
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime import runtime_lifecycle
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.plugin.host import PluginSession
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.runtime_host import EmbeddedRuntimeHost
from lash_core.runtime.session.child_starts import (
    CreateSessionRequest,
    ExistingSessionStart,
    child_state,
    narrow_access,
)
from lash_core.runtime.session.editing import commit_with_fresh_lease
from lash_core.runtime.session.managed_turns import ManagedSession
from lash_core.runtime.shown_attachments import attachment_ids
from lash_core.runtime.state_loading import load_for_residency
from lash_core.runtime.tool_sources import ToolSource
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

_log = logging.getLogger(__name__)

MANAGED_SESSIONS_MAX = 1_000
"""Children of one runtime that are open at once: each costs its plugins and its graph."""
OVERLAY_PLUGIN_ID = "lash.context_overlay"


class ManagedSessions:
    """The children of one runtime, by session id. Belongs to the runtime's event loop."""

    def __init__(self, parent: LashRuntime) -> None:
        self._parent = parent
        self._sessions: dict[str, ManagedSession] = {}
        self._opening: set[str] = set()

    @property
    def session_ids(self) -> tuple[str, ...]:
        """The children that are open, in the order in which they were opened."""
        return tuple(self._sessions)

    def get(self, session_id: str) -> ManagedSession:
        """An open child.

        Raises:
            UnknownManagedSessionError.
        """
        managed = self._sessions.get(session_id)
        if managed is None:
            raise UnknownManagedSessionError(session_id)
        return managed

    async def create_session(self, request: CreateSessionRequest) -> ManagedSession:
        """Open a child: its state is stored before this returns, where sessions are stored.

        Raises:
            SessionError: ``already exists``; too many children; an existing session that is not there.
            PluginSessionError: its plugins cannot be built. SessionBusyError, store errors: nothing is open.
        """
        if len(self._sessions) >= MANAGED_SESSIONS_MAX:
            raise SessionError(
                f"session `{self._parent.session_id}` has {MANAGED_SESSIONS_MAX} open children; that is the limit",
                field="session_id",
                limit=MANAGED_SESSIONS_MAX,
            )
        start = request.start
        if isinstance(start, ExistingSessionStart):
            with self._opened_once(start.session_id, "is open already"):
                return self._managed(request, await self._open_existing(request, start.session_id))
        session_id = request.session_id or str(uuid.uuid4())
        with self._opened_once(session_id, "already exists"):
            return self._managed(request, await self._open_new(request, session_id))

    async def close_session(self, session_id: str) -> None:
        """Park a child, or drop it where nothing is stored.

        Raises:
            SessionError: the current session; one with a running turn; its state could not be stored.
            BackgroundTaskError: a task that is to become the parent's has the id of a live one there.
            UnknownManagedSessionError.
        """
        if session_id == self._parent.session_id:
            raise SessionError(f"session `{session_id}` is the current one", field="session_id", value=session_id)
        managed = self.get(session_id)
        managed.require_idle("closed")
        await self._parent.background_tasks.hand_over_background_tasks(session_id, self._parent.session_id)
        if managed.runtime.store is None:
            managed.runtime.close()
        else:
            await managed.runtime.park()
        del self._sessions[session_id]

    def require_idle(self, what: str) -> None:
        """Refuse while some child runs a turn.

        Raises:
            SessionError: it names the child.
        """
        for managed in self._sessions.values():
            managed.require_idle(what)

    async def close_all(self) -> None:
        """Close every child without a running turn; what fails is logged: a child's last commit is in its store."""
        for session_id, managed in list(self._sessions.items()):
            if managed.is_running:
                continue
            try:
                await self.close_session(session_id)
            except LashError:
                _log.warning("child session %s could not be parked", session_id, exc_info=True)
                managed.runtime.close()
                self._sessions.pop(session_id, None)

    def drop_all(self) -> None:
        """Cancel running turns and free every child's id; nothing is stored."""
        for managed in self._sessions.values():
            managed.drop()
        self._sessions.clear()

    def activate(self, session_id: str) -> None:
        """Make a child the runtime's session; the one before becomes a child of it, open as it was.

        Raises:
            UnknownManagedSessionError. SessionError: a turn runs in one of the two.
        """
        managed = self.get(session_id)
        managed.require_idle("activated")
        if self._parent.turn_memory.is_working:
            raise SessionError(
                f"session `{self._parent.session_id}` runs a turn", field="session_id", value=self._parent.session_id
            )
        before = self._parent.session_id
        del self._sessions[session_id]
        self._parent.swap_session(managed.runtime)
        # What was the current session lives in the other runtime now.
        self._sessions[before] = ManagedSession(self._parent, managed.runtime, _usage_source_of(managed.runtime))

    # -- inside ----------------------------------------------------------------------------------------

    def _managed(self, request: CreateSessionRequest, child: LashRuntime) -> ManagedSession:
        managed = ManagedSession(self._parent, child, request.usage_source or _usage_source_of(child))
        self._sessions[child.session_id] = managed
        return managed

    def _is_taken(self, session_id: str) -> bool:
        return session_id == self._parent.session_id or session_id in self._sessions or session_id in self._opening

    @contextmanager
    def _opened_once(self, session_id: str, refusal: str) -> Generator[None]:
        """Refuse an id that is open here, or that somebody else is opening here just now."""
        if self._is_taken(session_id):
            raise SessionError(f"session `{session_id}` {refusal}", field="session_id", value=session_id)
        self._opening.add(session_id)
        try:
            yield
        finally:
            self._opening.discard(session_id)

    async def _open_new(self, request: CreateSessionRequest, session_id: str) -> LashRuntime:
        parent = self._parent
        factory = parent.host.session_store_factory
        if factory is not None and await factory.open_existing_store(session_id) is not None:
            raise SessionError(f"session `{session_id}` already exists", field="session_id", value=session_id)
        state = await child_state(parent, request, session_id)
        # Before its store: an id whose plugins cannot be built stays free.
        plugins = self._plugins_of(request, state)
        store = None
        if factory is not None and parent.store is not None:
            relation = ChildRelation(parent.session_id, caused_by=request.caused_by)
            try:
                store = await factory.create_store(
                    SessionStoreCreateRequest(session_id, relation=relation, policy=state.policy)
                )
            except BaseException:
                plugins.host.unregister_session(plugins)
                raise
        child = await self._assembled(request, plugins, state, store)
        try:
            await _adopt_attachments(parent, child)
            if store is not None:
                await commit_with_fresh_lease(child, store)
        except BaseException:
            child.close()
            raise
        return child

    async def _open_existing(self, request: CreateSessionRequest, session_id: str) -> LashRuntime:
        factory = self._parent.host.session_store_factory
        store = None if factory is None else await factory.open_existing_store(session_id)
        if store is None:
            raise UnknownManagedSessionError(session_id)
        state = await load_for_residency(store, self._parent.residency)
        state = state or RuntimeSessionState(session_id=session_id)
        narrowed = narrow_access(state, request.tool_access)
        child = await self._assembled(request, self._plugins_of(request, state), state, store)
        child.config_changed = narrowed
        return child

    def _plugins_of(self, request: CreateSessionRequest, state: RuntimeSessionState) -> PluginSession:
        return self._parent.plugins.host.build_session(
            state.session_id,
            state.plugin_snapshot,
            extra_factories=_overlay(request),
            include_base_tools=request.include_base_tools,
        )

    async def _assembled(
        self,
        request: CreateSessionRequest,
        plugins: PluginSession,
        state: RuntimeSessionState,
        store: RuntimePersistence | None,
    ) -> LashRuntime:
        parent = self._parent
        child = await runtime_lifecycle.assemble_runtime(
            type(parent),
            request.policy or parent.policy,
            EmbeddedRuntimeHost(parent.host.core, parent.host.session_store_factory, parent.host.trigger_store),
            plugins,
            state,
            store=store,
            process_registry=parent.host.process_registry,
            residency=parent.residency if store is not None else type(parent.residency).KEEP_ALL,
        )
        child.host.process_work_driver = parent.host.process_work_driver
        child.host.queued_work_driver = parent.host.queued_work_driver
        child.turn_phase_probe = parent.turn_phase_probe
        child.background_scope_id = parent.background_scope_id
        return child


def _usage_source_of(child: LashRuntime) -> str:
    frame = child.state.current_agent_frame()
    return (frame and frame.assignment.usage_source) or f"child:{child.session_id}"


class _OverlayPlugin(SessionPlugin):
    def __init__(self, request: CreateSessionRequest) -> None:
        self._request = request

    def tool_sources(self) -> tuple[ToolSource, ...]:
        return tuple(self._request.tool_sources)

    def prompt_contributions(self) -> tuple[str, ...]:
        return tuple(self._request.prompt_contributions)


class _OverlayFactory(PluginFactory):
    """What one child is given beside its parent's plugins."""

    plugin_id = OVERLAY_PLUGIN_ID

    def __init__(self, request: CreateSessionRequest) -> None:
        self._request = request

    def build(self, session_id: str) -> SessionPlugin:
        del session_id
        return _OverlayPlugin(self._request)


def _overlay(request: CreateSessionRequest) -> tuple[PluginFactory, ...]:
    return (_OverlayFactory(request),) if request.tool_sources or request.prompt_contributions else ()


async def _adopt_attachments(parent: LashRuntime, child: LashRuntime) -> None:
    """A fork refers to what its messages show, in a namespace of its own."""
    ours, theirs = child.attachments, parent.attachments
    if not isinstance(ours, SessionAttachments) or not isinstance(theirs, SessionAttachments):
        return
    shown = attachment_ids(child.state.session_graph.read_model().messages)
    for attachment_id in sorted(shown):
        try:
            await ours.adopt(attachment_id, theirs)
        except LashError:
            _log.warning("attachment %s is not the parent's any more", attachment_id, exc_info=True)
