"""Edits of a session on its handle: state, branch, nodes, configuration, refresh.

``docs/contracts/sessions.md`` 2.10.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lash_core.errors import InvalidArgumentError
from lash_core.errors.session import SessionError, StaleBranchError
from lash_core.model.scope import CausalRef
from lash_core.model.session import SessionPolicy
from lash_core.model.session_node import (
    ConversationEvent,
    EventPayload,
    NodePayload,
    PluginPayload,
    SessionNodeRecord,
)
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.plugins import PluginLifecycleEvent
from lash_core.runtime.session.editing import editing
from lash_core.runtime.session.refresh import take_state, trim_to_residency
from lash_core.runtime.state_loading import load_persisted_session_state_active_path
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.runtime_core import RuntimeCore


async def set_persisted_state(runtime: RuntimeCore, state: RuntimeSessionState) -> None:
    """See ``LashRuntime.set_persisted_state``."""
    if state.session_id != runtime.session_id:
        raise SessionError(
            f"a state of session `{state.session_id}` cannot become that of session `{runtime.session_id}`",
            field="session_id",
            value=state.session_id,
        )
    known, stored = runtime.state, runtime.stored_node_count
    # Where the store is, this runtime knows better: a snapshot has no revision, and a copy may have an old one.
    state.head_revision, state.checkpoint_ref = known.head_revision, known.checkpoint_ref
    replaces = _history_of(state) != _history_of(known) or known.graph_replace_required
    state.graph_replace_required = state.graph_replace_required or replaces
    await take_state(runtime, state)
    if not replaces:
        runtime.stored_node_count = stored
    runtime.config_changed = True


def _history_of(state: RuntimeSessionState) -> tuple[list[str], str | None]:
    return [node.node_id for node in state.session_graph.nodes], state.session_graph.leaf_node_id


async def branch_to_node(runtime: RuntimeCore, node_id: str) -> None:
    """See ``LashRuntime.branch_to_node``."""
    async with editing(runtime):
        state, store = runtime.state, runtime.store
        if store is not None and await _is_tombstoned(runtime, store, node_id):
            raise InvalidArgumentError(f"node `{node_id}` is tombstoned", field="node_id", value=node_id)
        if state.session_graph.find_node(node_id) is None and store is not None:
            branch = await load_persisted_session_state_active_path(store, node_id)
            if branch is not None:
                state.session_graph = branch.session_graph
                runtime.stored_node_count = len(branch.session_graph.nodes)
        state.session_graph.branch_to(node_id)
        runtime.config_changed = True
    trim_to_residency(runtime)


async def _is_tombstoned(runtime: RuntimeCore, store: RuntimePersistence, node_id: str) -> bool:
    """True for a resident node that the store had and hides: tombstones change no revision."""
    stored = runtime.state.session_graph.nodes[: runtime.stored_node_count]
    return any(node.node_id == node_id for node in stored) and await store.load_node(node_id) is None


async def append_session_nodes(
    runtime: RuntimeCore,
    payloads: Sequence[NodePayload],
    *,
    requires_ancestor: str | None = None,
    caused_by: CausalRef | None = None,
) -> tuple[SessionNodeRecord, ...]:
    """See ``LashRuntime.append_session_nodes``."""
    async with editing(runtime):
        state = runtime.state
        graph = state.session_graph
        if requires_ancestor is not None:
            active = {node.node_id for node in graph.active_path_nodes()}
            if requires_ancestor not in active:
                raise StaleBranchError(runtime.session_id, requires_ancestor, graph.leaf_node_id)
        facts: dict[str, Any] = {
            "agent_frame_id": state.current_agent_frame_id or None,
            "caused_by": caused_by,
            "timestamp_ms": runtime.services.clock.now_ms(),
        }
        # On a copy: an append that cannot be committed must not stay.
        state.session_graph = graph = graph.copy()
        added: list[SessionNodeRecord] = []
        for payload in payloads:
            match payload:
                case PluginPayload():
                    added.append(graph.append_plugin_node(payload.plugin_type, payload.body, **facts))
                case EventPayload(event=event):
                    if isinstance(event, ConversationEvent):
                        added.append(graph.append_message(event.message, **facts))
                    else:
                        added.append(graph.append_protocol_event(event.body, **facts))
    return tuple(added)


async def compact_session(runtime: RuntimeCore) -> bool:
    """See ``LashRuntime.compact_session``."""
    async with editing(runtime):
        state, now_ms = runtime.state, runtime.services.clock.now_ms()
        history = state.frame_read_model(state.current_agent_frame_id).messages
        compaction = await runtime.plugins.hooks.compact(history)
        if compaction is None:
            return False
        frame_id = f"{runtime.session_id}:frame:compaction:{uuid.uuid4().hex}"
        state.open_agent_frame(frame_id, reason=compaction.reason, now_ms=now_ms)
        for message in compaction.messages:
            state.session_graph.append_message(message, agent_frame_id=frame_id, timestamp_ms=now_ms)
        runtime.config_changed = True
    return True


async def update_session_config(runtime: RuntimeCore, changes: dict[str, Any]) -> bool:
    """See ``LashRuntime.update_session_config``."""
    previous = current = runtime.policy
    async with editing(runtime):
        previous = runtime.policy
        current = _changed(previous, changes)
        if current != previous:
            _set_policy(runtime, current)
    if current == previous:
        return False
    await runtime.plugins.emit(
        PluginLifecycleEvent.SESSION_CONFIG_CHANGED,
        session_id=runtime.session_id,
        previous=previous,
        current=current,
    )
    return True


def _changed(policy: SessionPolicy, changes: dict[str, Any]) -> SessionPolicy:
    try:
        changed = SessionPolicy.model_validate({**policy.to_json_value(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidArgumentError(
            f"session config: {first['msg']}", field=".".join(map(str, first["loc"])), value=first.get("input")
        ) from error
    if not changed.model.id.strip():
        raise InvalidArgumentError("session policy missing model spec", field="model.id", value=changed.model.id)
    return changed


def _set_policy(runtime: RuntimeCore, policy: SessionPolicy) -> None:
    state = runtime.state
    state.policy = runtime.policy = policy
    frame = state.current_agent_frame()
    if frame is not None:
        assignment = frame.assignment.model_copy(update={"policy": policy})
        state.set_frame(frame.model_copy(update={"assignment": assignment}))
    runtime.config_changed = True
