"""Nodes that are not in memory, and nodes that nobody needs any more.

``docs/contracts/sessions.md`` 2.8; decisions 10, 13.
"""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError
from lash_core.errors.session import SessionError
from lash_core.model.session_commit import GraphUnchanged
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.residency import Residency
from lash_core.testing.conformance.lifecycle.arrange import POLICY, Scene, refused, said, texts_of
from lash_core.testing.conformance.session_scene import SessionStores, commit_of, leased, loaded


async def _branched(stores: SessionStores) -> Scene:
    """``a`` with the branches ``b`` and ``c``; the session stands on ``c``."""
    scene = Scene(stores)
    await scene.settled("a", "b")
    runtime = await scene.runtime()
    await runtime.branch_to_node("a")
    await runtime.append_session_nodes(said("c"))
    await runtime.park()
    return scene


async def historic_nodes_come_from_the_store(stores: SessionStores) -> None:
    """Resident or not; an unknown or tombstoned one is None."""
    scene = await _branched(stores)
    runtime = await scene.runtime(residency=Residency.ACTIVE_PATH_ONLY)
    assert runtime.state.session_graph.find_node("b") is None
    old, resident = await runtime.get_historic_node("b"), await runtime.get_historic_node("c")
    assert old is not None
    assert resident is not None
    await (await scene.store()).tombstone_nodes(["b"])

    assert (old.node_id, resident.node_id) == ("b", "c")
    assert await runtime.get_historic_node("b") is None
    assert await runtime.get_historic_node("never") is None


async def orphans_are_what_the_leaf_does_not_reach(stores: SessionStores) -> None:
    """Those of the store, also when they are not resident; none in a session that was never stored."""
    scene = await _branched(stores)
    runtime = await scene.runtime(residency=Residency.ACTIVE_PATH_ONLY)

    assert await runtime.orphaned_node_ids() == ["b"]
    assert await (await Scene(stores).runtime()).orphaned_node_ids() == []


async def trimming_memory_loses_no_durable_node(stores: SessionStores) -> None:
    """A graph that is replaced under active-path residency leaves what is not resident as orphans (decision 13)."""
    scene = await _branched(stores)
    runtime = await scene.runtime(residency=Residency.ACTIVE_PATH_ONLY)
    runtime.state.graph_replace_required = True
    await runtime.park()
    read = await (await scene.store()).load_session()

    assert read is not None
    assert sorted(node.node_id for node in read.nodes) == ["a", "b", "c"]
    assert await scene.messages() == ["a", "c"]


async def an_orphan_may_be_stood_on_again(stores: SessionStores) -> None:
    """Also when it is not resident."""
    scene = await _branched(stores)
    runtime = await scene.runtime(residency=Residency.ACTIVE_PATH_ONLY)
    await runtime.branch_to_node("b")

    assert (texts_of(runtime), await scene.messages()) == (["a", "b"], ["a", "b"])


async def a_branch_leaves_only_its_path_in_memory(stores: SessionStores) -> None:
    """Under active-path residency; the store keeps the rest."""
    scene = await _branched(stores)
    runtime = await scene.runtime(residency=Residency.ACTIVE_PATH_ONLY)
    await runtime.branch_to_node("a")
    resident = [node.node_id for node in runtime.state.session_graph.nodes]
    await runtime.append_session_nodes(said("d"))
    await runtime.branch_to_node("c")

    assert (resident, await scene.messages()) == (["a"], ["a", "c"])
    assert await runtime.orphaned_node_ids() == ["b", "d"]


async def a_tombstoned_node_cannot_be_stood_on(stores: SessionStores) -> None:
    """Also while a runtime has it in memory: the session would end there for everybody else."""
    scene = await _branched(stores)
    runtime = await scene.runtime()
    await (await scene.store()).tombstone_nodes(["b"])
    async with refused(InvalidArgumentError, "b"):
        await runtime.branch_to_node("b")

    assert (texts_of(runtime), await scene.messages()) == (["a", "c"], ["a", "c"])


async def a_stored_leaf_that_does_not_exist_is_healed_on_all_nodes(stores: SessionStores) -> None:
    """Before memory is trimmed, also where only the active path is read otherwise."""
    scene = await _branched(stores)
    store = await scene.store()
    lease = await leased(store)
    read = await loaded(store)
    await store.commit_runtime_state(
        commit_of(
            store,
            lease,
            expected_head_revision=read.head_revision,
            config=read.config,
            agent_frames=read.agent_frames,
            current_agent_frame_id=read.current_agent_frame_id,
            graph=GraphUnchanged("gone"),
            release_session_execution_lease=lease.completion,
        )
    )
    runtime = await scene.runtime(residency=Residency.ACTIVE_PATH_ONLY)
    resident = [node.node_id for node in runtime.state.session_graph.nodes]
    await runtime.park()

    assert (resident, await scene.messages()) == (["a", "c"], ["a", "c"])


async def without_a_store_both_are_errors(stores: SessionStores) -> None:
    """They say that they require a persistent runtime (decision 10)."""
    scene = Scene(stores)
    runtime = await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState(scene.session_id))
    async with refused(SessionError, "get_historic_node() requires a persistent runtime"):
        await runtime.get_historic_node("x")
    async with refused(SessionError, "orphaned_node_ids() requires a persistent runtime"):
        await runtime.orphaned_node_ids()
