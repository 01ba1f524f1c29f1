"""A state becomes a commit, and knows what its commit made (``docs/contracts/sessions.md`` 1.4, 1.8)."""

from __future__ import annotations

from lash_core.model.message import Message
from lash_core.model.session_commit import (
    CommitManifest,
    GraphReplaceFull,
    GraphUnchanged,
    RuntimeCommit,
    RuntimeCommitResult,
)
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.tool_state import ToolState
from lash_core.model.usage import TokenLedgerEntry, TokenUsage


def _state() -> RuntimeSessionState:
    state = RuntimeSessionState(session_id="s")
    state.ensure_agent_frame_initialized()
    state.session_graph.append_message(Message.user("a", message_id="a"))
    return state


def test_the_whole_graph_is_committed_until_it_is_stored() -> None:
    """Without a revision, and after a heal; else the leaf alone, on the revision that the state is of."""
    state = _state()
    fresh = RuntimeCommit.persisted_state(state)
    state.head_revision = 4
    settled = RuntimeCommit.persisted_state(state, [TokenLedgerEntry("turn", "m", TokenUsage(input=1))])
    state.graph_replace_required = True
    healed = RuntimeCommit.persisted_state(state)

    assert [None, 4, 4] == [commit.expected_head_revision for commit in (fresh, settled, healed)]
    assert [GraphReplaceFull, GraphUnchanged, GraphReplaceFull] == [
        type(commit.graph) for commit in (fresh, settled, healed)
    ]
    assert ["a", "a", "a"] == [commit.graph.leaf_node_id for commit in (fresh, settled, healed)]
    assert ((), 1) == (fresh.usage_deltas, settled.usage_deltas[0].usage.input)


def test_a_state_knows_what_its_commit_made() -> None:
    """Revision, checkpoint and refs; the tool generation is the snapshot's; nothing is left to store."""
    state = _state()
    state.graph_replace_required = True
    state.tool_state_generation = 2
    state.tool_state_snapshot, state.execution_state_snapshot = ToolState(generation=7), {"n": 1}
    manifest = CommitManifest(tool_state_ref="t", plugin_snapshot_ref="p", execution_state_ref="e")

    state.apply_persisted_commit_result(RuntimeCommitResult(head_revision=3, checkpoint_ref="c", manifest=manifest))

    assert (3, "c", 7, False) == (
        state.head_revision,
        state.checkpoint_ref,
        state.tool_state_generation,
        state.graph_replace_required,
    )
    assert ("t", "p", "e") == (state.tool_state_ref, state.plugin_snapshot_ref, state.execution_state_ref)
    assert [None, None, None] == [state.tool_state_snapshot, state.plugin_snapshot, state.execution_state_snapshot]
    frame = state.current_agent_frame()
    assert frame is not None
    assert "e" == frame.execution_state_ref
