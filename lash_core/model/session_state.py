"""The state of a session in memory, and the immutable view that is handed out. No I/O.

``docs/contracts/sessions.md`` 1.4.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lash_core.model.agent_frame import AgentFrameAssignment, AgentFrameRecord, initial_frame_id
from lash_core.model.base import JsonValue
from lash_core.model.message import Message
from lash_core.model.plugin_snapshot import PluginSessionSnapshot
from lash_core.model.session import SessionPolicy
from lash_core.model.session_graph import GraphSnapshot, SessionGraph
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_read_model import SessionReadModel
from lash_core.model.tool_state import ToolState
from lash_core.model.usage import TokenLedgerEntry, TokenUsage

if TYPE_CHECKING:
    from lash_core.model.session_commit import RuntimeCommitResult

DEFAULT_SESSION_ID = "root"


@dataclass(slots=True)
class RuntimeSessionState:
    """What a runtime works on. ``…_ref`` name stored blobs; ``…_snapshot`` are in memory until they are stored.

    Attributes:
        head_revision: None = never stored. Runtime only.
        graph_replace_required: the stored graph no longer is a prefix of this one. Runtime only.
    """

    session_id: str = DEFAULT_SESSION_ID
    policy: SessionPolicy = field(default_factory=SessionPolicy)
    agent_frames: list[AgentFrameRecord] = field(default_factory=list[AgentFrameRecord])
    current_agent_frame_id: str = ""
    session_graph: SessionGraph = field(default_factory=SessionGraph)
    turn_index: int = 0
    token_usage: TokenUsage = field(default_factory=TokenUsage)
    last_prompt_usage: TokenUsage | None = None
    protocol_turn_options: JsonValue = None
    tool_state_ref: str | None = None
    tool_state_generation: int | None = None
    tool_state_snapshot: ToolState | None = None
    plugin_snapshot_ref: str | None = None
    plugin_snapshot_revision: int | None = None
    plugin_snapshot: PluginSessionSnapshot | None = None
    execution_state_ref: str | None = None
    execution_state_snapshot: JsonValue = None
    token_ledger: list[TokenLedgerEntry] = field(default_factory=list[TokenLedgerEntry])
    checkpoint_ref: str | None = None
    head_revision: int | None = None
    graph_replace_required: bool = False

    # -- frames ----------------------------------------------------------------------------------------

    def current_agent_frame(self) -> AgentFrameRecord | None:
        """The record of the current frame."""
        found = (frame for frame in self.agent_frames if frame.frame_id == self.current_agent_frame_id)
        return next(found, None)

    def set_frame(self, frame: AgentFrameRecord) -> None:
        """Put a record in the place of the one with its id."""
        self.agent_frames = [frame if other.frame_id == frame.frame_id else other for other in self.agent_frames]

    def ensure_agent_frame_initialized(self, now_ms: int = 0) -> None:
        """There is a current frame, and a record of it: the active one."""
        if not self.current_agent_frame_id.strip():
            self.current_agent_frame_id = initial_frame_id(self.session_id)
        if self.current_agent_frame() is None:
            self._supersede_frames()
            self.agent_frames.append(
                AgentFrameRecord(
                    frame_id=self.current_agent_frame_id,
                    session_id=self.session_id,
                    created_at_ms=now_ms,
                    assignment=AgentFrameAssignment(policy=self.policy),
                    protocol_turn_options=self.protocol_turn_options,
                    execution_state_ref=self.execution_state_ref,
                    execution_state_snapshot=self.execution_state_snapshot,
                )
            )

    def append_agent_frame(self, frame: AgentFrameRecord) -> None:
        """Make a frame the current one: the one before is superseded, policy, options and execution state are its.

        An id has one record: a frame that is opened once more takes the place of its old record, at the end.
        """
        self.agent_frames = [other for other in self.agent_frames if other.frame_id != frame.frame_id]
        self._supersede_frames()
        self.agent_frames.append(frame.model_copy(update={"status": "active"}))
        self.current_agent_frame_id = frame.frame_id
        self.policy = frame.assignment.policy
        self.protocol_turn_options = frame.protocol_turn_options
        self.execution_state_ref = frame.execution_state_ref
        self.execution_state_snapshot = frame.execution_state_snapshot

    def open_agent_frame(
        self,
        frame_id: str,
        *,
        reason: str,
        seed_nodes: tuple[SessionNodeRecord, ...] = (),
        now_ms: int = 0,
    ) -> bool:
        """Open a frame that inherits assignment and options. False for a blank id or the current one: nothing is done.

        Seed nodes are appended under the new frame; with one of them the stored graph has to be replaced.
        """
        if not frame_id.strip() or frame_id == self.current_agent_frame_id:
            return False
        previous = self.current_agent_frame()
        self.append_agent_frame(
            AgentFrameRecord(
                frame_id=frame_id,
                session_id=self.session_id,
                previous_frame_id=previous.frame_id if previous else None,
                reason=reason,
                created_at_ms=now_ms,
                assignment=previous.assignment if previous else AgentFrameAssignment(policy=self.policy),
                protocol_turn_options=previous.protocol_turn_options if previous else self.protocol_turn_options,
            )
        )
        for node in seed_nodes:
            self.session_graph.append_node(
                node.model_copy(update={"parent_node_id": self.session_graph.leaf_node_id, "agent_frame_id": frame_id})
            )
            self.graph_replace_required = True
        return True

    def effective_policy(self) -> SessionPolicy:
        """The current frame's policy if it is configured, else the state's."""
        frame = self.current_agent_frame()
        if frame is not None and frame.assignment.policy.is_configured:
            return frame.assignment.policy
        return self.policy

    def effective_protocol_turn_options(self) -> JsonValue:
        """The current frame's options if it has any, else the state's."""
        frame = self.current_agent_frame()
        if frame is not None and frame.protocol_turn_options is not None:
            return frame.protocol_turn_options
        return self.protocol_turn_options

    def frame_read_model(self, frame_id: str) -> SessionReadModel:
        """The nodes of one frame; untagged ones belong to a frame without predecessor.

        Costs nothing while all nodes are of that frame, else the length of the active path.
        """
        frame = next((one for one in self.agent_frames if one.frame_id == frame_id), None)
        takes_untagged = frame is None or frame.previous_frame_id is None
        whole = self.session_graph.read_model()
        if whole.frame_ids <= ({frame_id, None} if takes_untagged else {frame_id}):
            return whole
        return SessionReadModel.of_nodes(
            node
            for node in self.session_graph.active_path_nodes()
            if node.agent_frame_id == frame_id or (node.agent_frame_id is None and takes_untagged)
        )

    # -- snapshots -------------------------------------------------------------------------------------

    def discard_runtime_snapshots(self) -> None:
        """Drop the three snapshots from memory; their refs stay."""
        self.tool_state_snapshot = None
        self.plugin_snapshot = None
        self.execution_state_snapshot = None

    def apply_persisted_commit_result(self, result: RuntimeCommitResult) -> None:
        """What is known after a commit of this state: see ``session_persisting.apply_persisted_commit_result``."""
        from lash_core.model import session_persisting  # noqa: PLC0415 - that module builds on this one

        session_persisting.apply_persisted_commit_result(self, result)

    def normalize_session_graph(self) -> None:
        """Heal a leaf that does not resolve; the stored graph then has to be replaced."""
        if self.session_graph.heal_orphaned_leaf():
            self.graph_replace_required = True

    def _supersede_frames(self) -> None:
        self.agent_frames = [
            frame.model_copy(update={"status": "superseded"}) if frame.status == "active" else frame
            for frame in self.agent_frames
        ]

    def copy(self) -> RuntimeSessionState:
        """A state that changes by itself."""
        other = replace(self)
        other.agent_frames = list(self.agent_frames)
        other.token_ledger = list(self.token_ledger)
        other.session_graph = self.session_graph.copy()
        other.protocol_turn_options = copy.deepcopy(self.protocol_turn_options)
        return other


@dataclass(frozen=True, slots=True)
class SessionReadView:
    """An immutable view of a session, to be shared. Copying one costs nothing; lists are made when they are asked for.

    ``graph``, ``leaf_node_id`` and ``read_model`` are the graph as it was.
    """

    session_id: str
    policy: SessionPolicy
    turn_index: int
    token_usage: TokenUsage
    last_prompt_usage: TokenUsage | None
    protocol_turn_options: JsonValue
    read_model: SessionReadModel
    leaf_node_id: str | None
    current_agent_frame_id: str = ""
    _snapshot: GraphSnapshot | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_persisted_state(cls, state: RuntimeSessionState) -> SessionReadView:
        """The view of a state as it is now; later appends do not change it."""
        return cls(
            session_id=state.session_id,
            policy=state.policy,
            turn_index=state.turn_index,
            token_usage=state.token_usage,
            last_prompt_usage=state.last_prompt_usage,
            protocol_turn_options=state.protocol_turn_options,
            read_model=state.session_graph.read_model(),
            leaf_node_id=state.session_graph.leaf_node_id,
            current_agent_frame_id=state.current_agent_frame_id,
            _snapshot=state.session_graph.snapshot(),
        )

    @property
    def graph(self) -> SessionGraph:
        """The graph as it was, as one of the caller's own; O(nodes) for each call.

        A view that came from another process brought the events of its active path only: they are its graph.
        """
        if self._snapshot is None:
            return SessionGraph(self.read_model.active_events, self.leaf_node_id)
        return self._snapshot.graph()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages of the active path."""
        return self.read_model.messages
