"""A session leaves memory and comes back, stored when there is something to store.

``docs/contracts/sessions.md`` 2.8; decisions 3, 14.
"""

from __future__ import annotations

from itertools import pairwise

from lash_core.errors.session import SessionError
from lash_core.model.session_commit import ActivePath, FullGraph, SessionReadScope
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.residency import Residency
from lash_core.testing.conformance.lifecycle.arrange import POLICY, Scene, notes_of, refused, said, texts_of, tool
from lash_core.testing.conformance.session_scene import SessionStores, leased, opened


async def a_session_that_was_never_stored_is_stored(stores: SessionStores) -> None:
    """Its first commit makes revision 1 and leaves no lease behind."""
    scene = Scene(stores)
    parked = await (await scene.runtime()).park()

    assert (parked.session_id, parked.policy, await scene.revision()) == (scene.session_id, POLICY, 1)
    assert await parked.store.get_session_execution_lease(scene.session_id) is None


async def a_settled_session_parks_without_a_commit(stores: SessionStores) -> None:
    """However often, here or elsewhere."""
    scene = Scene(stores)
    await scene.settled("hi")
    before = await scene.revision()
    for _ in range(2):
        await (await scene.runtime()).park()

    assert await scene.revision() == before


async def each_thing_that_is_not_stored_makes_one_commit(stores: SessionStores) -> None:
    """A tool generation, a plugin's revision, a graph that has to be replaced: one commit each, nothing more."""
    scene = Scene(stores)
    await scene.settled("hi")
    revisions = [await scene.revision()]
    runtime = await scene.runtime()
    runtime.tools.register(tool("new"))
    await runtime.park()
    revisions.append(await scene.revision())
    scene.tools.append(tool("new"))
    runtime = await scene.runtime()
    notes_of(runtime).count += 1
    await runtime.park()
    revisions.append(await scene.revision())
    runtime = await scene.runtime()
    runtime.state.graph_replace_required = True
    await runtime.park()
    revisions.append(await scene.revision())

    assert [later - earlier for earlier, later in pairwise(revisions)] == [1, 1, 1]
    assert await scene.messages() == ["hi"]


async def a_parked_session_comes_back_with_all_it_was(stores: SessionStores) -> None:
    """History, tools, plugins, policy: in another program."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    await runtime.append_session_nodes(said("a", "b"))
    notes_of(runtime).count = 4
    generation = runtime.tools.generation
    parked = await runtime.park()
    again = await LashRuntime.resume(parked, scene.environment())

    assert (texts_of(again), notes_of(again).count) == (["a", "b"], 4)
    assert (again.tools.generation, again.policy) == (generation, POLICY)
    assert again.runtime_scope_id != runtime.runtime_scope_id


async def a_resume_reads_what_stays_in_memory(stores: SessionStores) -> None:
    """The full graph, or exactly the active path; there is no falling back."""
    scene = Scene(stores)
    await scene.settled("a", "b")
    runtime = await scene.runtime()
    await runtime.branch_to_node("a")
    await runtime.append_session_nodes(said("c"))
    parked = await runtime.park()
    asked: list[SessionReadScope] = []
    load = parked.store.load_session

    async def watched(read_scope: SessionReadScope = FullGraph()) -> object:  # noqa: B008 - immutable
        asked.append(read_scope)
        return await load(read_scope)

    parked.store.load_session = watched  # pyright: ignore[reportAttributeAccessIssue]
    full = await LashRuntime.resume(parked, scene.environment())
    path = await LashRuntime.resume(parked, scene.environment(residency=Residency.ACTIVE_PATH_ONLY))

    assert asked == [FullGraph(), ActivePath()]
    assert [node.node_id for node in full.state.session_graph.nodes] == ["a", "b", "c"]
    assert [node.node_id for node in path.state.session_graph.nodes] == ["a", "c"]
    assert texts_of(full) == texts_of(path) == ["a", "c"]


async def a_resume_of_what_was_never_stored_starts_with_the_parked_policy(stores: SessionStores) -> None:
    """And under the parked id."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    store = await opened(stores)
    parked = type(await runtime.park())(store.session_id, store, POLICY)
    again = await LashRuntime.resume(parked, scene.environment())

    assert (again.session_id, again.policy, again.state.head_revision) == (store.session_id, POLICY, None)


async def park_needs_a_store(stores: SessionStores) -> None:
    """It says so; the runtime lives on."""
    scene = Scene(stores)
    runtime = await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState(scene.session_id))
    async with refused(SessionError, "park() requires a persistent runtime (store is not set)"):
        await runtime.park()


async def a_busy_session_is_not_parked(stores: SessionStores) -> None:
    """Somebody else writes it: nothing is stored, and the runtime may try again."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    store = await scene.store()
    lease = await leased(store)
    async with refused(
        SessionError,
        "failed to persist runtime state",
        f"session execution lease for session `{scene.session_id}` is busy",
    ):
        await runtime.park()
    assert await scene.revision() == 0
    await store.release_session_execution_lease(lease.completion)
    await runtime.park()

    assert await scene.revision() == 1


async def a_park_over_somebody_elses_commit_is_refused(stores: SessionStores) -> None:
    """Neither is lost silently, also when both began before the first commit."""
    scene = Scene(stores)
    one, two = await scene.runtime(), await scene.runtime()
    await one.park()
    async with refused(SessionError, "failed to persist runtime state", "head revision conflict"):
        await two.park()
    three, four = await scene.runtime(), await scene.runtime()
    notes_of(three).count, notes_of(four).count = 5, 6
    await three.park()
    async with refused(SessionError, "failed to persist runtime state", "head revision conflict"):
        await four.park()

    assert notes_of(await scene.runtime()).count == 5
    assert await (await scene.store()).get_session_execution_lease(scene.session_id) is None


async def a_state_of_another_session_names_both(stores: SessionStores) -> None:
    """A binding that changed under the runtime is found by its commit."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    runtime.state.session_id = "somebody-else"
    async with refused(SessionError, "failed to persist runtime state", "somebody-else", scene.session_id):
        await runtime.park()
