"""How a runtime comes to be: the order of construction, and the one place where its parts are put together.

``docs/contracts/sessions.md`` 2.7. Every way in — live open, rebuild by a worker, child session, branch — goes through
``assemble_runtime``, so that wiring and residency cannot drift between them.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from lash_core.errors import LashError
from lash_core.errors.session import SessionBindingMismatchError, SessionError
from lash_core.model.base import JsonValue
from lash_core.model.session import SessionPolicy
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.plugin.host import PluginSession
from lash_core.runtime.plugins import PluginLifecycleEvent, ProtocolSessionContext
from lash_core.runtime.residency import Residency, apply_residency_on_load
from lash_core.runtime.runtime_host import EmbeddedRuntimeHost, ProcessRuntimeHost, RuntimeHost
from lash_core.runtime.runtime_services import RuntimeServices
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

_log = logging.getLogger(__name__)

ACTIVE_PATH_NEEDS_STORE = (
    "Residency::ActivePathOnly requires a persistent store: what is trimmed could not be read again"
)


async def assemble_runtime(  # noqa: PLR0913 - a runtime's parts, and whether a model is needed
    cls: type[LashRuntime],
    policy: SessionPolicy,
    embedded_host: EmbeddedRuntimeHost,
    plugin_session: PluginSession,
    state: RuntimeSessionState,
    *,
    store: RuntimePersistence | None = None,
    process_registry: ProcessRegistry | None = None,
    residency: Residency = Residency.KEEP_ALL,
    requires_model: bool = True,
) -> LashRuntime:
    """Put a runtime together of parts that are there: the constructor of its (store, registry) pair, and residency.

    The leaf is healed on the full set of nodes before anything is trimmed. A session whose construction fails is
    unregistered from its plugin host.

    Raises:
        SessionError: active-path residency without a store, a store of another session; what the constructor refuses.
    """
    try:
        _check_parts(state, store, residency)
        state.normalize_session_graph()
        apply_residency_on_load(state, residency)
        services = RuntimeServices(plugin_session, store, requires_model=requires_model)
        runtime = await _constructed(cls, policy, embedded_host, services, process_registry, state)
    except BaseException:
        plugin_session.host.unregister_session(plugin_session)
        raise
    runtime.residency = residency
    return runtime


async def _constructed(
    cls: type[LashRuntime],
    policy: SessionPolicy,
    embedded_host: EmbeddedRuntimeHost,
    services: RuntimeServices,
    process_registry: ProcessRegistry | None,
    state: RuntimeSessionState,
) -> LashRuntime:
    kept = services.into_persistent()
    match kept, process_registry:
        case None, None:
            return await cls.from_embedded_state(policy, embedded_host, services, state)
        case None, registry:
            host = ProcessRuntimeHost(embedded_host, registry)
            return await cls.from_background_state(policy, host, services, state)
        case _, None:
            return await cls.from_persistent_embedded_state(policy, embedded_host, kept, state)
        case _, registry:
            host = ProcessRuntimeHost(embedded_host, registry)
            return await cls.from_persistent_background_state(policy, host, kept, state)


def _check_parts(state: RuntimeSessionState, store: RuntimePersistence | None, residency: Residency) -> None:
    if residency is Residency.ACTIVE_PATH_ONLY and store is None:
        raise SessionError(ACTIVE_PATH_NEEDS_STORE, field="residency", value=residency.value)
    if store is not None and state.session_id and store.session_id != state.session_id:
        raise _wrong_binding(store, state.session_id)


async def from_host_state(
    cls: type[LashRuntime],
    policy: SessionPolicy,
    host: RuntimeHost,
    services: RuntimeServices,
    state: RuntimeSessionState,
) -> LashRuntime:
    """Build a runtime in the order of ``docs/contracts/sessions.md`` 2.7. ``state`` becomes the runtime's own.

    Raises:
        SessionError: no model is named; a store of another session; a plugin or the protocol refuses its state.
    """
    stored_node_count, execution_state = stored_nodes_of(state), unstored_execution_state_of(state)
    name_session(state, services.store)
    settle_state(state, policy)
    _check_model(state, services)
    if services.store is not None and services.store.session_id != state.session_id:
        raise _wrong_binding(services.store, state.session_id)
    services = _services_of(services, host, state.session_id)
    plugins = services.plugin_session
    await restore_parts(state, plugins)
    view = SessionReadView.from_persisted_state(state)
    await plugins.emit(PluginLifecycleEvent.SESSION_RESTORED, session_id=state.session_id, read_view=view)
    runtime = cls(state, state.policy, host, services)
    runtime.stored_node_count, runtime.unstored_execution_state = stored_node_count, execution_state
    return runtime


def name_session(state: RuntimeSessionState, store: RuntimePersistence | None) -> None:
    """Step 1: a blank id becomes the one that the store is bound to, without a store a fresh one."""
    if not state.session_id.strip():
        state.session_id = str(uuid.uuid4()) if store is None else store.session_id


def settle_state(state: RuntimeSessionState, policy: SessionPolicy) -> None:
    """Steps 2 to 5: a policy, a frame that has it, what is in effect, and a leaf that exists."""
    if not state.policy.is_configured:
        state.policy = policy
    state.ensure_agent_frame_initialized()
    frame = state.current_agent_frame()
    if frame is not None and not frame.assignment.policy.is_configured:
        assignment = frame.assignment.model_copy(update={"policy": state.policy})
        state.set_frame(frame.model_copy(update={"assignment": assignment}))
    state.policy = state.effective_policy()
    state.protocol_turn_options = state.effective_protocol_turn_options()
    state.normalize_session_graph()


async def restore_parts(state: RuntimeSessionState, plugins: PluginSession) -> None:
    """Steps 9 to 13: tools, catalog, plugins and protocol take over their states, which then leave memory.

    Raises:
        SessionError, PluginSessionError: a plugin, a tool source or the protocol refuses.
    """
    try:
        take_tool_access(state, plugins)
        if state.tool_state_snapshot is not None:
            # A cold rebuild adopts the stored generation; ``apply_state`` would demand the fresh registry's own.
            report = plugins.tools.restore_state(state.tool_state_snapshot)
            if report.orphaned:
                _log.warning("session %s has orphaned tools: %s", state.session_id, ", ".join(report.orphaned))
        plugins.tools.refresh_catalog()
        if state.plugin_snapshot is not None:
            plugins.restore(state.plugin_snapshot)
        await plugins.protocol_session.restore_session(ProtocolSessionContext(state.session_id, plugins), state)
    except LashError:
        raise
    except Exception as error:
        raise SessionError(f"session `{state.session_id}` could not be restored: {error}") from error
    state.discard_runtime_snapshots()
    plugins.forget_restored()


def stored_nodes_of(state: RuntimeSessionState) -> int:
    """How many nodes of a state the store has: all of one that it answered, none of one from elsewhere."""
    if state.head_revision is None or state.graph_replace_required:
        return 0
    return len(state.session_graph.nodes)


def unstored_execution_state_of(state: RuntimeSessionState) -> JsonValue:
    """The execution state that a state brings and that no store has: nobody could export it anew, as tools can."""
    return state.execution_state_snapshot if state.execution_state_ref is None else None


def take_tool_access(state: RuntimeSessionState, plugins: PluginSession) -> None:
    """The tools of a session are those that its current frame may have; call it again when the frame changes."""
    frame = state.current_agent_frame()
    if frame is not None:
        plugins.tools.set_access(frame.assignment.tool_access)


def _check_model(state: RuntimeSessionState, services: RuntimeServices) -> None:
    if services.requires_model and not state.policy.model.id.strip():
        raise SessionError(
            "session policy missing model spec; hosts must supply explicit model metadata",
            field="policy.model.id",
            value=state.policy.model.id,
        )


def _services_of(services: RuntimeServices, host: RuntimeHost, session_id: str) -> RuntimeServices:
    """With a store every put of an attachment notes its reference first: a crash leaves an intent, never lost bytes."""
    durability = host.core.durability
    attachments = durability.attachment_store
    if services.store is not None:
        attachments = SessionAttachments(session_id, durability.attachment_store, durability.attachment_manifest)
    return (
        services.with_attachment_store(attachments)
        .with_process_env_store(durability.process_env_store)
        .with_clock(host.core.clock)
    )


def _wrong_binding(store: RuntimePersistence, session_id: str) -> SessionError:
    mismatch = SessionBindingMismatchError(store.session_id, session_id)
    return SessionError(mismatch.message, field="session_id", value=session_id)
