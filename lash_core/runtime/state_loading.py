"""A session's stored state as a runtime works on it (``docs/contracts/sessions.md`` 2.2)."""

from __future__ import annotations

from lash_core.model.session_commit import ActivePath, FullGraph, PersistedSessionRead
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.residency import Residency
from lash_core.store.runtime_persistence import RuntimePersistence


async def load_persisted_session_state(store: RuntimePersistence) -> RuntimeSessionState | None:
    """The state with every node, or None when nothing was committed yet. Raises: as ``load_session``."""
    return _state_of(await store.load_session(FullGraph()))


async def load_persisted_session_state_active_path(
    store: RuntimePersistence, leaf_node_id: str | None = None
) -> RuntimeSessionState | None:
    """The state with the ancestry of a leaf, None = the stored one; None when nothing was committed yet.

    Raises:
        UnsupportedReadScopeError: the store cannot read only that; nothing falls back to the full graph.
    """
    return _state_of(await store.load_session(ActivePath(leaf_node_id)))


async def load_for_residency(store: RuntimePersistence, residency: Residency) -> RuntimeSessionState | None:
    """The state, as much of it as stays in memory.

    A stored leaf that does not exist is healed on all nodes: the state has them then, and whoever heals it trims it.
    """
    if residency is Residency.ACTIVE_PATH_ONLY:
        state = await load_persisted_session_state_active_path(store)
        if state is None or state.session_graph.leaf_node_id is None or state.session_graph.nodes:
            return state
    return await load_persisted_session_state(store)


def state_of_read(read: PersistedSessionRead) -> RuntimeSessionState:
    """The state that a read answered. Provider and model are data: nothing is bound by it."""
    checkpoint = read.checkpoint
    turn = checkpoint.turn_state
    return RuntimeSessionState(
        session_id=read.session_id,
        policy=read.config.policy,
        agent_frames=list(read.agent_frames),
        current_agent_frame_id=read.current_agent_frame_id,
        session_graph=read.graph,
        turn_index=turn.turn_index,
        token_usage=turn.token_usage,
        last_prompt_usage=turn.last_prompt_usage,
        protocol_turn_options=turn.protocol_turn_options,
        tool_state_ref=checkpoint.tool_state_ref,
        tool_state_generation=checkpoint.tool_state_generation,
        tool_state_snapshot=checkpoint.tool_state,
        plugin_snapshot_ref=checkpoint.plugin_snapshot_ref,
        plugin_snapshot_revision=checkpoint.plugin_snapshot_revision,
        plugin_snapshot=checkpoint.plugin_snapshot,
        execution_state_ref=checkpoint.execution_state_ref,
        execution_state_snapshot=checkpoint.execution_state,
        token_ledger=list(read.token_ledger),
        checkpoint_ref=read.checkpoint_ref,
        head_revision=read.head_revision,
    )


def _state_of(read: PersistedSessionRead | None) -> RuntimeSessionState | None:
    return None if read is None else state_of_read(read)
