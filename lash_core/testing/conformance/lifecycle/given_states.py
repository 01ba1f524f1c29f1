"""A host puts another state in the place of a session's: it is the session until somebody else stores something.

``docs/contracts/sessions.md`` 2.10.
"""

from __future__ import annotations

from lash_core.model.message import Message
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_snapshot import SessionSnapshot
from lash_core.model.session_state import RuntimeSessionState
from lash_core.testing.conformance.lifecycle.arrange import Scene, said, texts_of
from lash_core.testing.conformance.session_scene import SessionStores, chain


async def nodes_of_a_given_state_are_stored(stores: SessionStores) -> None:
    """A copy that the host appended to: its leaf and what leads to it are there afterwards."""
    scene = Scene(stores)
    await scene.settled("a")
    runtime = await scene.runtime()
    state = runtime.state.copy()
    state.session_graph.append_message(Message.user("b", message_id="b"))
    await runtime.set_persisted_state(state)
    await runtime.park()

    assert await scene.messages() == ["a", "b"]


async def edits_build_on_a_given_state(stores: SessionStores) -> None:
    """Of a branch, and of a history that the store has never seen; what was there before stays, as orphans."""
    scene = Scene(stores)
    await scene.settled("a", "b")
    runtime = await scene.runtime()
    branch = runtime.state.copy()
    branch.session_graph.branch_to("a")
    await runtime.set_persisted_state(branch)
    await runtime.append_session_nodes(said("c"), requires_ancestor="a")
    first = await scene.messages()
    await runtime.set_persisted_state(
        RuntimeSessionState(scene.session_id, session_graph=SessionGraph(chain("x", "y"), "y"))
    )
    await runtime.append_session_nodes(said("z"), requires_ancestor="y")
    read = await (await scene.store()).load_session()
    assert read is not None

    assert (first, await scene.messages()) == (["a", "c"], ["x", "y", "z"])
    assert {node.node_id for node in read.nodes} == {"a", "b", "c", "x", "y", "z"}


async def a_snapshot_can_be_given_back(stores: SessionStores) -> None:
    """It has no revision: that of the session goes on, whatever was stored after the snapshot was taken."""
    scene = Scene(stores)
    await scene.settled("a")
    runtime = await scene.runtime()
    snapshot = SessionSnapshot.of_state(runtime.state)
    await runtime.append_session_nodes(said("b"))
    await runtime.set_persisted_state(snapshot.into_state())
    await runtime.park()

    assert (await scene.messages(), await scene.revision()) == (["a"], 3)


async def what_somebody_else_stored_since_wins(stores: SessionStores) -> None:
    """A given state that was not stored yet is no reason to undo another's commit."""
    scene = Scene(stores)
    await scene.settled("a")
    one, two = await scene.runtime(), await scene.runtime()
    await two.append_session_nodes(said("b"))
    await one.set_persisted_state(RuntimeSessionState(scene.session_id, session_graph=SessionGraph(chain("x"), "x")))
    await one.append_session_nodes(said("c"))

    assert texts_of(one) == ["a", "b", "c"]
