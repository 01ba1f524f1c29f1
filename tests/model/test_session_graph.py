"""The graph of a session's history: appended, branched, healed, read (``docs/contracts/sessions.md`` 1.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import InvalidArgumentError
from lash_core.model.message import Message
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_read_model import SessionReadModel


def _graph(*texts: str) -> SessionGraph:
    graph = SessionGraph()
    for text in texts:
        graph.append_message(Message.user(text, message_id=text))
    return graph


def _ids(nodes: list[SessionNodeRecord]) -> list[str]:
    return [node.node_id for node in nodes]


def test_the_active_path_leads_from_the_root_to_the_leaf() -> None:
    """Parents from the leaf, reversed; what branches off stays, as an orphan."""
    graph = _graph("a", "b", "c")
    graph.branch_to("a")
    graph.append_message(Message.user("d", message_id="d"))

    assert ["a", "d"] == _ids(graph.active_path_nodes())
    assert ["a", "b", "c"] == _ids(graph.active_path_nodes("c"))
    assert ["b", "c"] == graph.orphaned_node_ids()
    assert ["a", "b", "c", "d"] == _ids(list(graph.nodes))


def test_a_parent_that_is_not_there_ends_the_path() -> None:
    """So does one that would lead round in a circle."""
    nodes = _graph("a", "b", "c").nodes
    assert ["b", "c"] == _ids(SessionGraph(nodes[1:], "c").active_path_nodes())

    circle = [nodes[0].model_copy(update={"parent_node_id": "b"}), nodes[1]]
    assert ["a", "b"] == _ids(SessionGraph(circle, "b").active_path_nodes())


def test_a_message_gives_its_id_to_its_node() -> None:
    """If that is free, else a name of its own; a blank id is filled."""
    graph = _graph("m1")
    again = [graph.append_message(Message.user("x", message_id="m1")) for _ in range(3)]
    blank = graph.append_message(Message.user("y"))

    assert ["message:m1", "message:m1:2", "message:m1:3"] == _ids(again)
    assert blank.message is not None
    assert blank.message.id == blank.node_id
    assert blank.node_id.startswith("m")


def test_other_nodes_have_names_of_their_kind() -> None:
    """Unless they are given one."""
    graph = SessionGraph()

    assert graph.append_protocol_event({}).node_id.startswith("protocol:")
    assert graph.append_plugin_node("t", {}).node_id.startswith("plugin:")
    assert "own" == graph.append_plugin_node("t", {}, node_id="own").node_id


def test_a_taken_id_is_refused() -> None:
    """Nothing is rewritten."""
    graph = _graph("a")

    with pytest.raises(InvalidArgumentError, match="exists already"):
        graph.append_node(graph.nodes[0])

    assert 1 == len(graph.nodes)


def test_a_leaf_that_does_not_resolve_is_healed() -> None:
    """The last message in the order of the appends, or none; one that resolves, and none at all, are left."""
    graph = _graph("a", "b")
    graph.append_protocol_event({})
    for leaf, healed, expected in (("gone", True, "b"), ("a", False, "a"), (None, False, None)):
        other = SessionGraph(graph.nodes, leaf)
        assert healed == other.heal_orphaned_leaf()
        assert expected == other.leaf_node_id

    empty = SessionGraph((), "gone")
    assert empty.heal_orphaned_leaf()
    assert empty.leaf_node_id is None


def test_a_fork_has_the_active_path_only() -> None:
    """And grows by itself."""
    graph = _graph("a", "b")
    graph.branch_to("a")
    fork = graph.fork_current_path()
    fork.append_message(Message.user("c", message_id="c"))

    assert (["a", "c"], "c") == (_ids(list(fork.nodes)), fork.leaf_node_id)
    assert (["a", "b"], "a") == (_ids(list(graph.nodes)), graph.leaf_node_id)
    with pytest.raises(InvalidArgumentError, match="nowhere"):
        graph.branch_to("nowhere")


def test_the_read_model_has_each_message_once_and_no_transient_one() -> None:
    """By its first node."""
    graph = _graph("a")
    graph.append_message(Message.user("again", message_id="a"))
    graph.append_message(Message.user("for now", message_id="t").model_copy(update={"transient": True}))
    graph.append_protocol_event({}, node_id="p")

    model = graph.read_model()

    assert ["a"] == [message.text for message in model.messages]
    assert ["a", "p"] == _ids(list(model.active_events))
    assert (1, True, False) == (model.message_count, model.has_message("a"), model.has_message("t"))


STEPS = st.lists(
    st.tuples(st.sampled_from(("append", "append", "branch", "read", "transient")), st.integers(0, 5)), max_size=25
)


@given(STEPS)
def test_a_read_model_that_grew_is_the_one_made_anew(steps: list[tuple[str, int]]) -> None:
    """Whatever the order of appends, branches and reads; versions that were handed out never change."""
    graph = SessionGraph()
    versions: list[tuple[SessionReadModel, tuple[Message, ...]]] = []
    for step, number in steps:
        if step == "branch" and graph.nodes:
            graph.branch_to(graph.nodes[number % len(graph.nodes)].node_id)
        elif step == "read":
            model = graph.read_model()
            versions.append((model, model.messages))
        elif step != "branch":
            message = Message.user("x", message_id=f"m{number}")
            graph.append_message(message.model_copy(update={"transient": step == "transient"}))

    anew = SessionReadModel.of_nodes(graph.active_path_nodes())
    assert anew.messages == graph.read_model().messages
    assert anew.active_events == graph.read_model().active_events
    assert all(model.messages == messages for model, messages in versions)
