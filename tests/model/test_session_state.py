"""State of a session in memory: frames, effective policy, views (``docs/contracts/sessions.md`` 1.4, 1.5)."""

from __future__ import annotations

from lash_core.model.agent_frame import AgentFrameAssignment, AgentFrameRecord
from lash_core.model.message import Message
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_state import RuntimeSessionState, SessionReadView

ONE, TWO = SessionPolicy(model=ModelSpec("one")), SessionPolicy(model=ModelSpec("two"))


def _state() -> RuntimeSessionState:
    state = RuntimeSessionState(session_id="s", policy=ONE, protocol_turn_options={"n": 1})
    state.ensure_agent_frame_initialized(7)
    return state


def _seed(text: str) -> SessionNodeRecord:
    return SessionGraph().append_message(Message.user(text, message_id=text))


def test_the_first_frame_has_the_states_settings() -> None:
    """Its id is the session's; asked again nothing changes."""
    state = _state()
    state.ensure_agent_frame_initialized(9)

    (frame,) = state.agent_frames
    assert ("s:frame:initial", "initial", None, "active", 7) == (
        frame.frame_id,
        frame.reason,
        frame.previous_frame_id,
        frame.status,
        frame.created_at_ms,
    )
    assert (ONE, {"n": 1}) == (frame.assignment.policy, frame.protocol_turn_options)
    assert "s:frame:initial" == state.current_agent_frame_id


def test_a_current_frame_without_a_record_supersedes_the_others() -> None:
    """Exactly one frame is active, also in a state whose current frame's record is missing."""
    state = _state()
    state.current_agent_frame_id = "lost"

    state.ensure_agent_frame_initialized()

    assert [("s:frame:initial", "superseded"), ("lost", "active")] == [
        (frame.frame_id, frame.status) for frame in state.agent_frames
    ]


def test_a_frame_that_is_opened_supersedes_the_one_before() -> None:
    """It inherits assignment and options; exactly one is active."""
    state = _state()

    assert state.open_agent_frame("f2", reason="compaction", now_ms=8)

    first, second = state.agent_frames
    assert ("superseded", "active") == (first.status, second.status)
    assert (first.frame_id, first.assignment, {"n": 1}) == (
        second.previous_frame_id,
        second.assignment,
        second.protocol_turn_options,
    )
    assert "f2" == state.current_agent_frame_id
    assert not state.graph_replace_required


def test_opening_is_safe_to_repeat() -> None:
    """A blank id, and the current frame's, open nothing."""
    state = _state()
    state.open_agent_frame("f2", reason="x")
    before = list(state.agent_frames)

    assert [False, False, False] == [state.open_agent_frame(name, reason="y") for name in ("f2", "", " ")]
    assert before == state.agent_frames


def test_seed_nodes_stand_under_their_frame() -> None:
    """The stored graph no longer is a prefix then."""
    state = _state()
    state.session_graph.append_message(Message.user("old", message_id="old"), agent_frame_id="s:frame:initial")

    state.open_agent_frame("f2", reason="compaction", seed_nodes=(_seed("a"), _seed("b")))

    assert state.graph_replace_required
    assert [("old", "s:frame:initial"), ("a", "f2"), ("b", "f2")] == [
        (node.node_id, node.agent_frame_id) for node in state.session_graph.active_path_nodes()
    ]
    assert ["a", "b"] == [message.text for message in state.frame_read_model("f2").messages]


def test_untagged_nodes_belong_to_a_frame_without_predecessor() -> None:
    """As histories have them that are older than frames."""
    state = _state()
    state.session_graph.append_message(Message.user("old", message_id="old"))
    state.open_agent_frame("f2", reason="x")
    state.session_graph.append_message(Message.user("new", message_id="new"), agent_frame_id="f2")

    assert ["old"] == [message.id for message in state.frame_read_model("s:frame:initial").messages]
    assert ["new"] == [message.id for message in state.frame_read_model("f2").messages]


def test_the_only_frame_has_its_own_nodes_alone() -> None:
    """Nodes of a frame that has no record are not its, nor untagged ones when it had a predecessor."""
    state, frame = _state(), "s:frame:initial"
    for text, tag in (("untagged", None), ("own", frame), ("other", "elsewhere")):
        state.session_graph.append_message(Message.user(text, message_id=text), agent_frame_id=tag)

    assert ["untagged", "own"] == [message.id for message in state.frame_read_model(frame).messages]
    state.set_frame(state.agent_frames[0].model_copy(update={"previous_frame_id": "before"}))
    assert ["own"] == [message.id for message in state.frame_read_model(frame).messages]


def test_a_frame_that_is_opened_once_more_is_current_again() -> None:
    """Its id has one record, and that is the active one."""
    state = _state()
    for name in ("f2", "f3", "f2"):
        assert state.open_agent_frame(name, reason=f"to {name}")

    assert ["s:frame:initial", "f3", "f2"] == [frame.frame_id for frame in state.agent_frames]
    assert ["f2"] == [frame.frame_id for frame in state.agent_frames if frame.status == "active"]
    current = state.current_agent_frame()
    assert current is not None
    assert ("active", "f3") == (current.status, current.previous_frame_id)


def test_a_frames_settings_win_when_they_are_configured() -> None:
    """Else the state's count."""
    state = _state()
    state.append_agent_frame(
        AgentFrameRecord(
            frame_id="f2",
            session_id="s",
            assignment=AgentFrameAssignment(policy=TWO),
            protocol_turn_options={"n": 2},
        )
    )
    assert (TWO, {"n": 2}) == (state.effective_policy(), state.effective_protocol_turn_options())
    assert (TWO, {"n": 2}) == (state.policy, state.protocol_turn_options)

    state.append_agent_frame(AgentFrameRecord(frame_id="f3", session_id="s"))
    state.policy, state.protocol_turn_options = ONE, {"n": 3}
    assert (ONE, {"n": 3}) == (state.effective_policy(), state.effective_protocol_turn_options())


def test_a_view_does_not_change_with_its_state() -> None:
    """Later appends are another view's."""
    state = _state()
    state.session_graph.append_message(Message.user("a", message_id="a"))
    view = SessionReadView.from_persisted_state(state)
    state.session_graph.append_message(Message.user("b", message_id="b"))
    state.turn_index = 9

    assert (["a"], "a", 0) == ([message.id for message in view.messages], view.leaf_node_id, view.turn_index)
    assert 2 == SessionReadView.from_persisted_state(state).read_model.message_count


def test_a_views_graph_is_the_graph_as_it_was() -> None:
    """With its branches off the path, and as one of the reader's own."""
    state = _state()
    for name in ("a", "b"):
        state.session_graph.append_message(Message.user(name, message_id=name))
    state.session_graph.branch_to("a")
    view = SessionReadView.from_persisted_state(state)
    state.session_graph.append_message(Message.user("c", message_id="c"))
    view.graph.append_message(Message.user("d", message_id="d"))

    assert ["a", "b"] == [node.node_id for node in view.graph.nodes]
    assert ("a", ["b"]) == (view.graph.leaf_node_id, view.graph.orphaned_node_ids())
    assert view.graph.find_node("c") is None


def test_a_copy_changes_by_itself() -> None:
    """Graph, frames, ledger and options."""
    state = _state()
    other = state.copy()
    other.protocol_turn_options["n"] = 5
    other.session_graph.append_message(Message.user("a"))
    other.open_agent_frame("f2", reason="x")

    assert ([], 1, {"n": 1}) == (list(state.session_graph.nodes), len(state.agent_frames), state.protocol_turn_options)


def test_a_leaf_that_does_not_resolve_asks_for_a_new_graph() -> None:
    """One that resolves does not."""
    state = _state()
    state.normalize_session_graph()
    assert not state.graph_replace_required

    state.session_graph.leaf_node_id = "gone"
    state.normalize_session_graph()

    assert state.graph_replace_required
