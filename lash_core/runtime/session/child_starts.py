"""What a child session begins with: nothing, a fork of its parent, another session, or a snapshot.

``docs/contracts/sessions.md`` 2.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lash_core.errors.session import SessionError
from lash_core.model.agent_frame import AgentFrameAssignment, AgentFrameRecord, ToolAccess, initial_frame_id
from lash_core.model.base import JsonValue
from lash_core.model.scope import CausalRef
from lash_core.model.session import SessionPolicy
from lash_core.model.session_commit import ActivePath
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.usage import TokenUsage
from lash_core.runtime.tool_sources import ToolSource

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

_NO_EXECUTION_STATE = {"execution_state_ref": None, "execution_state_snapshot": None}


@dataclass(frozen=True, slots=True)
class EmptyStart:
    """Nothing was said yet."""


@dataclass(frozen=True, slots=True)
class CurrentSessionStart:
    """The parent's active path and tool state as they are now; the two go on by themselves."""


@dataclass(frozen=True, slots=True)
class ExistingSessionStart:
    """A session that exists: it is opened, not copied."""

    session_id: str


@dataclass(frozen=True, slots=True)
class SnapshotStart:
    """A state that the caller has."""

    state: RuntimeSessionState


ChildStart = EmptyStart | CurrentSessionStart | ExistingSessionStart | SnapshotStart


@dataclass(frozen=True, slots=True)
class CreateSessionRequest:
    """A child session.

    Attributes:
        session_id: fresh when None; one that exists is refused.
        start: what it begins with.
        policy: the parent's when None.
        tool_access: which tools it has; hidden names are neither members nor executable, also after a rebuild.
            A session that exists has no more than this and what it had: nothing is unhidden.
        include_base_tools: False: it has the tools of ``tool_sources`` alone, while it is in this program.
        tool_sources: further tools, live: they are gone when another program opens the child.
        prompt_contributions: further texts of its instructions, live as well.
        plugin_options: opaque, for plugins.
        plugin_source: ``current_session_fork``: its plugins begin with the state of the parent's.
        usage_source: under which its tokens are counted in the parent's ledger; when None the one it was created
            with, else ``child:<session id>``.
        subagent: opaque, of whoever opens it.
        caused_by: what it was opened for.
    """

    session_id: str | None = None
    start: ChildStart = field(default_factory=EmptyStart)
    policy: SessionPolicy | None = None
    tool_access: ToolAccess = field(default_factory=ToolAccess)
    include_base_tools: bool = True
    tool_sources: Sequence[ToolSource] = ()
    prompt_contributions: Sequence[str] = ()
    plugin_options: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    plugin_source: Literal["current_host_fresh", "current_session_fork"] = "current_host_fresh"
    usage_source: str | None = None
    subagent: JsonValue = None
    caused_by: CausalRef | None = None


async def child_state(parent: LashRuntime, request: CreateSessionRequest, session_id: str) -> RuntimeSessionState:
    """The state that a new child begins with: never stored, its graph is stored whole.

    Raises:
        SessionError: a state of another kind of start.
    """
    match request.start:
        case EmptyStart():
            state = RuntimeSessionState(session_id=session_id)
        case CurrentSessionStart():
            state = await _fork(parent, session_id)
        case SnapshotStart(state=given):
            state = _copied(given, session_id)
        case ExistingSessionStart():
            raise SessionError("an existing session is opened as it is stored", field="start")
    _take_assignment(parent, request, state)
    if request.plugin_source == "current_session_fork":
        state.plugin_snapshot = parent.plugins.snapshot()
    state.graph_replace_required = True
    return state


async def _fork(parent: LashRuntime, session_id: str) -> RuntimeSessionState:
    source = parent.state
    state = _copied(source, session_id)
    state.tool_state_snapshot = parent.tools.export_state()
    state.execution_state_snapshot = source.execution_state_snapshot or parent.unstored_execution_state
    stored = source.execution_state_ref is not None and state.execution_state_snapshot is None
    if stored and parent.store is not None:
        # The blob lives with the parent; the child keeps one of its own.
        read = await parent.store.load_session(ActivePath())
        state.execution_state_snapshot = None if read is None else read.checkpoint.execution_state
    return state


def narrow_access(state: RuntimeSessionState, access: ToolAccess) -> bool:
    """Let a session that exists have no more tools than it is opened with; what was hidden in it stays hidden.

    Returns:
        True when its frame has another access now.
    """
    state.ensure_agent_frame_initialized()
    frame = state.current_agent_frame()
    if frame is None:
        return False
    had = frame.assignment.tool_access
    hidden = tuple(dict.fromkeys((*had.hidden_tools, *access.hidden_tools)))
    tools = had.tools if access.tools is None else access.tools
    narrowed = ToolAccess(tools=tools, hidden_tools=hidden)
    if narrowed == had:
        return False
    assignment = frame.assignment.model_copy(update={"tool_access": narrowed})
    state.set_frame(frame.model_copy(update={"assignment": assignment}))
    return True


def _copied(source: RuntimeSessionState, session_id: str) -> RuntimeSessionState:
    """The active path under another session id; refs name blobs of where it came from, usage was spent there.

    What the model sees of the source is in the child's first frame; what earlier frames had stays theirs.
    """
    state = source.copy()
    state.session_id = session_id
    state.tool_state_ref = state.plugin_snapshot_ref = state.execution_state_ref = state.checkpoint_ref = None
    state.tool_state_generation = state.plugin_snapshot_revision = state.head_revision = None
    state.token_usage, state.token_ledger = TokenUsage(), []
    seen = {node.node_id for node in source.frame_read_model(source.current_agent_frame_id).active_events}
    first = initial_frame_id(session_id)
    nodes = [
        node.model_copy(update={"agent_frame_id": first}) if node.node_id in seen else node
        for node in source.session_graph.active_path_nodes()
    ]
    state.session_graph = SessionGraph(nodes, nodes[-1].node_id if nodes else None)
    others = {node.agent_frame_id for node in nodes} - {first}
    state.agent_frames = [
        frame.model_copy(update={"session_id": session_id, "status": "superseded", **_NO_EXECUTION_STATE})
        for frame in source.agent_frames
        if frame.frame_id in others
    ]
    return state


def _take_assignment(parent: LashRuntime, request: CreateSessionRequest, state: RuntimeSessionState) -> None:
    policy = request.policy or (state.policy if state.policy.is_configured else parent.policy)
    state.policy = policy.model_copy(update={"session_id": None})
    state.current_agent_frame_id = initial_frame_id(state.session_id)
    state.agent_frames = [
        *state.agent_frames,
        AgentFrameRecord(
            frame_id=state.current_agent_frame_id,
            session_id=state.session_id,
            caused_by=request.caused_by,
            created_at_ms=parent.services.clock.now_ms(),
            assignment=AgentFrameAssignment(
                policy=state.policy,
                plugin_options=request.plugin_options,
                plugin_source=request.plugin_source,
                tool_access=request.tool_access,
                subagent=request.subagent,
                usage_source=request.usage_source,
            ),
            protocol_turn_options=state.protocol_turn_options,
        ),
    ]
