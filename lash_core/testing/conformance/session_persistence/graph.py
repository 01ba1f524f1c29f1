"""Nodes of a session: appended, read whole or by path, hidden, revived, removed (2.2; decisions 11, 13, 24)."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError
from lash_core.model.message import Message
from lash_core.model.session_commit import (
    ActivePath,
    FullGraph,
    GraphAppend,
    GraphReplaceFull,
    GraphUnchanged,
    SessionReadScope,
    VacuumReport,
)
from lash_core.model.session_graph import SessionGraph
from lash_core.model.turn_input import TurnInputCancelTarget
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    appending,
    chain,
    committed,
    enqueued,
    loaded,
    opened,
    put_in,
)


async def nothing_is_loaded_before_the_first_commit(stores: SessionStores) -> None:
    """There is a session, and no head."""
    store = await opened(stores)

    assert await store.load_session() is None
    assert await store.load_session(ActivePath()) is None
    assert await store.load_session_head() is None
    assert await store.load_node("a") is None


async def the_head_says_whether_a_session_changed(stores: SessionStores) -> None:
    """Without its nodes: revision, leaf and checkpoint, as a whole read has them."""
    store = await opened(stores)
    for number in (1, 2):
        await committed(store, graph=appending(f"n{number}", after=None if number == 1 else "n1"))
        head, read = await store.load_session_head(), await loaded(store)

        assert head is not None
        assert (number, f"n{number}") == (head.head_revision, head.leaf_node_id)
        assert (head.head_revision, head.checkpoint_ref) == (read.head_revision, read.checkpoint_ref)


async def nodes_come_back_as_they_were(stores: SessionStores) -> None:
    """Messages, protocol events and plugin nodes, with ids and texts of every form, in the order of their append."""
    store = await opened(stores)
    graph = SessionGraph()
    graph.append_message(Message.user("hi\n;", message_id="m;1\n"), agent_frame_id="f", timestamp_ms=7)
    graph.append_protocol_event({"kind": "x", "n": [1, None, True]}, node_id="protocol:\u00e9")
    graph.append_plugin_node("note", {"text": "{}"}, node_id="12;34")
    graph.append_message(Message.assistant("", message_id="m2"))

    await committed(store, graph=GraphAppend(tuple(graph.nodes), graph.leaf_node_id))

    read = await loaded(store)
    assert (tuple(graph.nodes), graph.leaf_node_id) == (read.nodes, read.leaf_node_id)
    assert read.nodes == tuple([await store.load_node(node.node_id) for node in graph.nodes])
    assert graph.read_model().messages == read.graph.read_model().messages


async def appends_go_on_behind(stores: SessionStores) -> None:
    """Each commit's nodes after those of the one before; a commit without nodes may move the leaf."""
    store = await opened(stores)
    await committed(store, graph=appending("a", "b"))
    await committed(store, graph=appending("c", after="a"))
    assert (["a", "b", "c"], "c") == await _read(store)

    await committed(store, graph=GraphUnchanged("b"))

    assert (["a", "b", "c"], "b") == await _read(store)
    await committed(store, graph=GraphUnchanged())
    assert (["a", "b", "c"], None) == await _read(store)


async def a_path_leads_from_the_root_to_a_leaf(stores: SessionStores) -> None:
    """The stored leaf's, or an explicit one's; what branches off is not on it."""
    store = await opened(stores)
    await committed(store, graph=appending("a", "b", "c"))
    await committed(store, graph=appending("d", "e", after="b"))

    assert (["a", "b", "d", "e"], "e") == await _read(store, ActivePath())
    assert (["a", "b", "c"], "c") == await _read(store, ActivePath("c"))
    assert (["a"], "a") == await _read(store, ActivePath("a"))
    assert (["a", "b", "c", "d", "e"], "e") == await _read(store)
    await committed(store, graph=GraphUnchanged())
    assert ([], None) == await _read(store, ActivePath())


async def an_unknown_explicit_leaf_is_an_error(stores: SessionStores) -> None:
    """It names the leaf; nobody falls back to another read (decision 24)."""
    store = await opened(stores)
    await committed(store, graph=appending("a"))

    with refused(InvalidArgumentError, "nowhere"):
        await store.load_session(ActivePath("nowhere"))


async def large_graphs_are_read_whole(stores: SessionStores) -> None:
    """Over several pages of 500 nodes, in both scopes (decision 11)."""
    store = await opened(stores)
    names = [f"n{n}" for n in range(1_203)]
    await committed(store, graph=appending(*names))

    assert (names, names[-1]) == await _read(store)
    assert (names, names[-1]) == await _read(store, ActivePath())
    assert (names[:700], names[699]) == await _read(store, ActivePath(names[699]))


async def a_replaced_graph_keeps_what_is_not_resident(stores: SessionStores) -> None:
    """It writes the resident nodes and moves the leaf; the others stay, as orphans (decision 13)."""
    store = await opened(stores)
    await committed(store, graph=appending("a", "b", "c"))
    resident = (*chain("a"), *chain("x", after="a"))

    await committed(store, graph=GraphReplaceFull(resident, "x"))

    assert (["a", "b", "c", "x"], "x") == await _read(store)
    assert (["a", "x"], "x") == await _read(store, ActivePath())
    assert ["b", "c"] == (await loaded(store)).graph.orphaned_node_ids()


async def a_replaced_graph_may_be_the_first_commit(stores: SessionStores) -> None:
    """As a session that was never stored commits."""
    store = await opened(stores)

    await committed(store, graph=GraphReplaceFull(chain("a", "b"), "b"))

    assert (["a", "b"], "b") == await _read(store)


async def tombstoned_nodes_are_hidden(stores: SessionStores) -> None:
    """From every read; a path ends there, its ancestors stay reachable by their ids (decision 24)."""
    store = await opened(stores)
    await committed(store, graph=appending("a", "b", "c"))

    assert 1 == await store.tombstone_nodes(["b", "nowhere"])
    assert 0 == await store.tombstone_nodes(["b"])
    assert 0 == await store.tombstone_nodes([])

    assert (["a", "c"], "c") == await _read(store)
    assert (["c"], "c") == await _read(store, ActivePath())
    assert (["a"], "a") == await _read(store, ActivePath("a"))
    assert await store.load_node("b") is None
    assert await store.load_node("a") is not None


async def a_tombstoned_leaf_is_no_leaf(stores: SessionStores) -> None:
    """None is reported, before and after a vacuum."""
    store = await opened(stores)
    await committed(store, graph=appending("a", "b"))
    await store.tombstone_nodes(["b"])

    assert (["a"], None) == await _read(store)
    assert ([], None) == await _read(store, ActivePath())
    await store.vacuum()
    assert (["a"], None) == await _read(store)


async def a_commit_revives_a_tombstoned_node(stores: SessionStores) -> None:
    """Whoever writes it again wants it."""
    store = await opened(stores)
    await committed(store, graph=appending("a", "b"))
    await store.tombstone_nodes(["a", "b"])

    await committed(store, graph=GraphReplaceFull(chain("a", "b"), "b"))

    assert (["a", "b"], "b") == await _read(store, ActivePath())
    assert 0 == (await store.vacuum()).removed_node_count


async def vacuum_removes_what_is_hidden(stores: SessionStores) -> None:
    """Tombstoned nodes and inputs that are over; it reports what this call removed, so a repeat reports nothing."""
    store = await opened(stores)
    await committed(store, graph=appending("a", "b", "c"))
    await store.tombstone_nodes(["a", "b"])
    rows = [await put_in(store, f"{n}", source_key=f"{n}") for n in range(3)]
    targets = [TurnInputCancelTarget(input_id=row.input_id) for row in rows[:2]]
    await store.cancel_pending_turn_inputs(store.session_id, targets)

    report = await store.vacuum()

    assert VacuumReport(removed_node_count=2, removed_pending_turn_input_tombstone_count=2) == report
    assert VacuumReport() == await store.vacuum()
    assert (["c"], "c") == await _read(store)
    assert (rows[2],) == await store.list_pending_turn_inputs(store.session_id)
    assert rows[0].input_id != (await put_in(store, "new", source_key="0")).input_id


async def vacuum_forgets_receipts_of_source_keys(stores: SessionStores) -> None:
    """A key is answered from its receipt until then (decision 20); what is queued still is answered."""
    store = await opened(stores)
    dropped, queued = await enqueued(store, source_key="a"), await enqueued(store, source_key="b")
    await store.cancel_queued_work_batch(store.session_id, dropped.batch_id)
    await store.vacuum()

    again = await enqueued(store, "new", source_key="a")

    assert again.enqueue_seq > queued.enqueue_seq
    assert again.batch_id != dropped.batch_id
    assert queued == await enqueued(store, source_key="b")


async def reads_are_the_readers_own(stores: SessionStores) -> None:
    """Who changes a value that was read changes nobody else's."""
    store = await opened(stores)
    graph = SessionGraph()
    graph.append_protocol_event({"list": [1]}, node_id="p")
    await committed(store, graph=GraphAppend(tuple(graph.nodes), "p"))
    (node,) = (await loaded(store)).nodes
    node.payload.event.body["list"].append(2)  # type: ignore[union-attr]

    again = await store.load_node("p")

    assert again is not None
    assert {"list": [1]} == again.payload.event.body  # type: ignore[union-attr]


async def _read(store: RuntimePersistence, scope: SessionReadScope | None = None) -> tuple[list[str], str | None]:
    read = await store.load_session(scope or FullGraph())
    assert read is not None
    return [node.node_id for node in read.nodes], read.leaf_node_id
