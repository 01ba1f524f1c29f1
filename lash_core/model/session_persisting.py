"""From a session's state to a commit, and from a commit's result back to the state. Pure.

``docs/contracts/sessions.md`` 1.4, 1.8.
"""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.model.session_commit import (
    CheckpointDraft,
    CommitManifest,
    GraphReplaceFull,
    GraphUnchanged,
    PersistedSessionConfig,
    RuntimeCommit,
    RuntimeCommitResult,
    TurnState,
)
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.usage import TokenLedgerEntry, merge_ledger


def persisted_state(state: RuntimeSessionState, usage: Sequence[TokenLedgerEntry] = ()) -> RuntimeCommit:
    """The commit of a state: the whole graph when it was never stored or has to be replaced, else its leaf only.

    A state that was never stored expects no revision; a caller that knows that there is no head yet expects 0. New
    nodes of a turn are appended by the turn's own commit. Lease, stamp and claims are the caller's to add.
    """
    graph = state.session_graph
    replaces = state.graph_replace_required or state.head_revision is None
    delta = GraphReplaceFull(tuple(graph.nodes), graph.leaf_node_id) if replaces else GraphUnchanged(graph.leaf_node_id)
    return RuntimeCommit(
        session_id=state.session_id,
        expected_head_revision=state.head_revision,
        config=PersistedSessionConfig.of_policy(state.policy),
        agent_frames=tuple(frame.model_copy(update={"execution_state_snapshot": None}) for frame in state.agent_frames),
        current_agent_frame_id=state.current_agent_frame_id,
        graph=delta,
        checkpoint=checkpoint_draft(state),
        usage_deltas=merge_ledger(usage),
    )


def checkpoint_draft(state: RuntimeSessionState) -> CheckpointDraft:
    """The checkpoint of a state: a snapshot that is in memory is stored anew, else its ref stands."""
    tools, plugins, execution = state.tool_state_snapshot, state.plugin_snapshot, state.execution_state_snapshot
    return CheckpointDraft(
        turn_state=TurnState(
            turn_index=state.turn_index,
            token_usage=state.token_usage,
            last_prompt_usage=state.last_prompt_usage,
            protocol_turn_options=state.protocol_turn_options,
        ),
        tool_state=tools,
        tool_state_ref=None if tools is not None else state.tool_state_ref,
        tool_state_generation=tools.generation if tools is not None else state.tool_state_generation,
        plugin_snapshot=plugins,
        plugin_snapshot_ref=None if plugins is not None else state.plugin_snapshot_ref,
        plugin_snapshot_revision=state.plugin_snapshot_revision,
        execution_state=execution,
        execution_state_ref=None if execution is not None else state.execution_state_ref,
    )


def apply_persisted_commit_result(state: RuntimeSessionState, result: RuntimeCommitResult) -> None:
    """What a state knows after its commit: revision and refs are the stored ones, the snapshots leave memory."""
    manifest: CommitManifest = result.manifest
    state.head_revision = result.head_revision
    state.checkpoint_ref = result.checkpoint_ref
    state.tool_state_ref = manifest.tool_state_ref
    if state.tool_state_snapshot is not None:
        state.tool_state_generation = state.tool_state_snapshot.generation
    state.plugin_snapshot_ref = manifest.plugin_snapshot_ref
    state.execution_state_ref = manifest.execution_state_ref
    frame = state.current_agent_frame()
    if frame is not None and frame.execution_state_ref != manifest.execution_state_ref:
        state.set_frame(frame.model_copy(update={"execution_state_ref": manifest.execution_state_ref}))
    state.graph_replace_required = False
    state.discard_runtime_snapshots()
