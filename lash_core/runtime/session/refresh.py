"""A runtime takes over a state: the store's newer one, or one that a host gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.residency import apply_residency_on_load
from lash_core.runtime.runtime_lifecycle import (
    restore_parts,
    settle_state,
    stored_nodes_of,
    unstored_execution_state_of,
)
from lash_core.runtime.state_loading import load_for_residency

if TYPE_CHECKING:
    from lash_core.runtime.runtime_core import RuntimeCore


async def refresh(runtime: RuntimeCore) -> bool:
    """See ``RuntimeCore.refresh``."""
    if runtime.store is None:
        return False
    head, ours = await runtime.store.load_session_head(), runtime.state
    if head is None or (ours.head_revision, ours.session_graph.leaf_node_id, ours.checkpoint_ref) == (
        head.head_revision,
        head.leaf_node_id,
        head.checkpoint_ref,
    ):
        return False
    if ours.graph_replace_required and (ours.head_revision, ours.checkpoint_ref) == (
        head.head_revision,
        head.checkpoint_ref,
    ):
        # Nobody stored anything since: the other leaf is what was healed or put in place here, and not stored yet.
        return False
    stored = await load_for_residency(runtime.store, runtime.residency)
    if stored is None:
        return False
    # Plugins and tools that nobody else changed stay as they are here: what they have not stored yet is not lost.
    if stored.tool_state_ref == ours.tool_state_ref:
        stored.tool_state_snapshot = None
    if stored.plugin_snapshot_ref == ours.plugin_snapshot_ref:
        stored.plugin_snapshot = None
    await take_state(runtime, stored)
    return True


async def take_state(runtime: RuntimeCore, state: RuntimeSessionState) -> None:
    """Heal a state, restore tools, plugins and protocol from it, trim it, and make it the runtime's own."""
    stored_nodes, execution_state = stored_nodes_of(state), unstored_execution_state_of(state)
    settle_state(state, runtime.policy)
    await restore_parts(state, runtime.plugins)
    before = len(state.session_graph.nodes)
    apply_residency_on_load(state, runtime.residency)
    kept = len(state.session_graph.nodes)
    runtime.state = state
    runtime.policy = state.policy
    runtime.stored_node_count = stored_nodes if kept == before else min(stored_nodes, kept)
    runtime.unstored_execution_state = execution_state
    runtime.turn_memory.generation = None


def trim_to_residency(runtime: RuntimeCore) -> None:
    """Let go of nodes that are not to stay in memory. Call it when all of them are stored."""
    apply_residency_on_load(runtime.state, runtime.residency)
    runtime.stored_node_count = min(runtime.stored_node_count, len(runtime.state.session_graph.nodes))
