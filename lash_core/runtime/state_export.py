"""What of a runtime goes into a commit: new nodes, and snapshots that are not stored as they are (1.4; decision 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lash_core.model.session_commit import (
    GraphAppend,
    GraphCommitDelta,
    GraphReplaceFull,
    GraphUnchanged,
    RuntimeCommit,
)
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_persisting import persisted_state
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.usage import TokenLedgerEntry
from lash_core.runtime.shown_attachments import attachments_shown_by

if TYPE_CHECKING:
    from lash_core.runtime.runtime_core import RuntimeCore


def graph_delta(state: RuntimeSessionState, stored_nodes: int) -> GraphCommitDelta:
    """What a commit does to the stored graph: all resident nodes, the new ones, or only the leaf.

    A replacement deletes nothing (decision 13), so where the store is known to have the first nodes, to append the
    others is the same and stays small.

    Args:
        state: the session.
        stored_nodes: how many of its nodes, in append order, the store has already.
    """
    graph = state.session_graph
    if state.head_revision is None or (state.graph_replace_required and stored_nodes == 0):
        return GraphReplaceFull(tuple(graph.nodes), graph.leaf_node_id)
    new = tuple(graph.nodes[stored_nodes:])
    return GraphAppend(new, graph.leaf_node_id) if new else GraphUnchanged(graph.leaf_node_id)


def capture_snapshots(runtime: RuntimeCore) -> bool:
    """Take tool state and plugin snapshot into the state where they are not stored as they are.

    A plugin that cannot tell its state leaves what is stored of all plugins as it is.

    Returns:
        True when the state has a snapshot in memory that is to be stored.
    """
    state, plugins = runtime.state, runtime.plugins
    generation = plugins.tools.generation
    if state.tool_state_ref is None or state.tool_state_generation != generation:
        state.tool_state_snapshot = plugins.tools.export_state()
        state.tool_state_generation = state.tool_state_snapshot.generation
    fingerprint = plugins.revision_fingerprint
    if fingerprint is not None and (state.plugin_snapshot_ref is None or state.plugin_snapshot_revision != fingerprint):
        snapshot = plugins.snapshot()
        if snapshot is not None:
            state.plugin_snapshot = snapshot
            state.plugin_snapshot_revision = snapshot.revision_fingerprint
    if state.execution_state_snapshot is None:
        state.execution_state_snapshot = runtime.unstored_execution_state
    in_memory = (state.tool_state_snapshot, state.plugin_snapshot, state.execution_state_snapshot)
    return any(snapshot is not None for snapshot in in_memory)


def has_something_to_commit(runtime: RuntimeCore) -> bool:
    """True when parking has to commit (decision 14). Captures what is not stored yet."""
    state = runtime.state
    return (
        capture_snapshots(runtime)
        or state.head_revision is None
        or state.graph_replace_required
        or runtime.config_changed
        or len(state.session_graph.nodes) > runtime.stored_node_count
        or bool(runtime.shared_token_ledger)
    )


def export_commit(
    runtime: RuntimeCore,
    *,
    fence: SessionExecutionLeaseFence | None = None,
    release_lease: bool = False,
    usage_deltas: Sequence[TokenLedgerEntry] = (),
) -> RuntimeCommit:
    """The commit of a runtime's state: its new nodes, changed snapshots, frames, counters and usage.

    Args:
        runtime: the session at work.
        fence: the lease that it is written under.
        release_lease: the commit releases that lease too.
        usage_deltas: of this commit; the caller drains ``shared_token_ledger`` into it.
    """
    capture_snapshots(runtime)
    delta = graph_delta(runtime.state, runtime.stored_node_count)
    return persisted_state(runtime.state, usage_deltas).model_copy(
        update={
            # A state that was never stored must not land on what somebody else stored meanwhile.
            "expected_head_revision": runtime.state.head_revision or 0,
            "graph": delta,
            "committed_attachment_ids": attachments_shown_by(delta),
            "session_execution_lease": fence,
            "release_session_execution_lease": fence if release_lease else None,
        }
    )
