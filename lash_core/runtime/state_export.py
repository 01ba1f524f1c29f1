"""What of a session goes into a commit, and what a commit changes in memory (contract 1.4, 1.8; decision 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lash_core.model.session_commit import (
    CheckpointDraft,
    GraphAppend,
    GraphCommitDelta,
    GraphReplaceFull,
    GraphUnchanged,
    PersistedSessionConfig,
    RuntimeCommit,
    RuntimeCommitResult,
    TurnState,
)
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.usage import TokenLedgerEntry, merge_ledger

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


def persisted_state(state: RuntimeSessionState, usage_deltas: Sequence[TokenLedgerEntry] = ()) -> RuntimeCommit:
    """The commit of a state as it is: all nodes where the stored graph has to be replaced, else none.

    Snapshots that the state has in memory are stored, the others stay by their refs.
    """
    graph = state.session_graph
    if state.graph_replace_required or state.head_revision is None:
        return _commit_of(state, GraphReplaceFull(tuple(graph.nodes), graph.leaf_node_id), usage_deltas)
    return _commit_of(state, GraphUnchanged(graph.leaf_node_id), usage_deltas)


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


def capture_snapshots(runtime: LashRuntime) -> bool:
    """Take tool state and plugin snapshot into the state where they are not stored as they are; True when one was.

    A plugin that cannot tell its state leaves what is stored of all plugins as it is.
    """
    state, plugins = runtime.state, runtime.plugins
    captured = state.execution_state_snapshot is not None
    tools = plugins.tools
    if state.tool_state_ref is None or state.tool_state_generation != tools.generation:
        state.tool_state_snapshot = tools.export_state()
        captured = True
    fingerprint = plugins.revision_fingerprint
    if fingerprint is not None and (state.plugin_snapshot_ref is None or state.plugin_snapshot_revision != fingerprint):
        snapshot = plugins.snapshot()
        if snapshot is not None:
            state.plugin_snapshot = snapshot
            captured = True
    return captured


def has_something_to_commit(runtime: LashRuntime) -> bool:
    """True when parking has to commit (decision 14). Captures what is not stored yet."""
    state = runtime.state
    captured = capture_snapshots(runtime)
    return (
        captured
        or runtime.config_changed
        or state.head_revision is None
        or state.graph_replace_required
        or len(state.session_graph.nodes) > runtime.stored_node_count
        or bool(runtime.shared_token_ledger)
    )


def export_commit(
    runtime: LashRuntime,
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
    state = runtime.state
    commit = _commit_of(state, graph_delta(state, runtime.stored_node_count), usage_deltas)
    return commit.model_copy(
        update={
            # A session that was never stored must not be there now: somebody else may have begun it meanwhile.
            "expected_head_revision": state.head_revision or 0,
            "session_execution_lease": fence,
            "release_session_execution_lease": fence if release_lease else None,
        }
    )


def apply_persisted_commit_result(
    state: RuntimeSessionState, commit: RuntimeCommit, result: RuntimeCommitResult
) -> None:
    """Take over what a commit made: revision, refs, its usage in the ledger; the snapshots leave memory."""
    manifest = result.manifest
    if commit.checkpoint.tool_state is not None:
        state.tool_state_generation = commit.checkpoint.tool_state.generation
    if commit.checkpoint.plugin_snapshot is not None:
        state.plugin_snapshot_revision = commit.checkpoint.plugin_snapshot.revision_fingerprint
    if commit.usage_deltas:
        state.token_ledger = list(merge_ledger((*state.token_ledger, *commit.usage_deltas)))
    state.head_revision = result.head_revision
    state.checkpoint_ref = result.checkpoint_ref
    state.tool_state_ref = manifest.tool_state_ref
    state.plugin_snapshot_ref = manifest.plugin_snapshot_ref
    state.execution_state_ref = manifest.execution_state_ref
    frame = state.current_agent_frame()
    if frame is not None and (
        frame.execution_state_ref != state.execution_state_ref or frame.execution_state_snapshot is not None
    ):
        state.set_frame(
            frame.model_copy(
                update={"execution_state_ref": state.execution_state_ref, "execution_state_snapshot": None}
            )
        )
    state.graph_replace_required = False
    state.discard_runtime_snapshots()


def _commit_of(
    state: RuntimeSessionState, graph: GraphCommitDelta, usage_deltas: Sequence[TokenLedgerEntry]
) -> RuntimeCommit:
    plugin_snapshot = state.plugin_snapshot
    return RuntimeCommit(
        session_id=state.session_id,
        expected_head_revision=state.head_revision,
        config=PersistedSessionConfig.of_policy(state.policy),
        agent_frames=tuple(state.agent_frames),
        current_agent_frame_id=state.current_agent_frame_id,
        graph=graph,
        checkpoint=CheckpointDraft(
            turn_state=TurnState(
                turn_index=state.turn_index,
                token_usage=state.token_usage,
                last_prompt_usage=state.last_prompt_usage,
                protocol_turn_options=state.protocol_turn_options,
            ),
            tool_state=state.tool_state_snapshot,
            tool_state_ref=None if state.tool_state_snapshot is not None else state.tool_state_ref,
            tool_state_generation=(
                state.tool_state_generation
                if state.tool_state_snapshot is None
                else state.tool_state_snapshot.generation
            ),
            plugin_snapshot=plugin_snapshot,
            plugin_snapshot_ref=None if plugin_snapshot is not None else state.plugin_snapshot_ref,
            plugin_snapshot_revision=(
                state.plugin_snapshot_revision if plugin_snapshot is None else plugin_snapshot.revision_fingerprint
            ),
            execution_state=state.execution_state_snapshot,
            execution_state_ref=None if state.execution_state_snapshot is not None else state.execution_state_ref,
        ),
        usage_deltas=tuple(usage_deltas),
    )
