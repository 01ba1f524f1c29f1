"""The public serialisation of a session: without what is the runtime's own and without blobs.

``docs/contracts/sessions.md`` 1.4.
"""

from __future__ import annotations

from pydantic import Field

from lash_core.model.agent_frame import AgentFrameRecord
from lash_core.model.base import JsonValue, Model
from lash_core.model.session import SessionPolicy
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.usage import TokenLedgerEntry, TokenUsage


class SessionSnapshot(Model):
    """A session as JSON. After a round trip revision, replace mark and the three snapshots are empty."""

    session_id: str
    policy: SessionPolicy = Field(default_factory=SessionPolicy)
    agent_frames: tuple[AgentFrameRecord, ...] = ()
    current_agent_frame_id: str = ""
    nodes: tuple[SessionNodeRecord, ...] = ()
    leaf_node_id: str | None = None
    turn_index: int = 0
    token_usage: TokenUsage = Field(default_factory=TokenUsage)
    last_prompt_usage: TokenUsage | None = None
    protocol_turn_options: JsonValue = None
    tool_state_ref: str | None = None
    tool_state_generation: int | None = None
    plugin_snapshot_ref: str | None = None
    plugin_snapshot_revision: int | None = None
    execution_state_ref: str | None = None
    token_ledger: tuple[TokenLedgerEntry, ...] = ()
    checkpoint_ref: str | None = None

    @classmethod
    def of_state(cls, state: RuntimeSessionState) -> SessionSnapshot:
        """The snapshot of a state."""
        return cls(
            session_id=state.session_id,
            policy=state.policy,
            agent_frames=tuple(
                frame.model_copy(update={"execution_state_snapshot": None}) for frame in state.agent_frames
            ),
            current_agent_frame_id=state.current_agent_frame_id,
            nodes=tuple(state.session_graph.nodes),
            leaf_node_id=state.session_graph.leaf_node_id,
            **{name: getattr(state, name) for name in _SAME},
            token_ledger=tuple(state.token_ledger),
        )

    def into_state(self) -> RuntimeSessionState:
        """A state that starts from the snapshot."""
        return RuntimeSessionState(
            session_id=self.session_id,
            policy=self.policy,
            agent_frames=list(self.agent_frames),
            current_agent_frame_id=self.current_agent_frame_id,
            session_graph=SessionGraph(self.nodes, self.leaf_node_id),
            **{name: getattr(self, name) for name in _SAME},
            token_ledger=list(self.token_ledger),
        )


_SAME = (
    "turn_index",
    "token_usage",
    "last_prompt_usage",
    "protocol_turn_options",
    "tool_state_ref",
    "tool_state_generation",
    "plugin_snapshot_ref",
    "plugin_snapshot_revision",
    "execution_state_ref",
    "checkpoint_ref",
)
"""Fields that are the same on both sides."""
