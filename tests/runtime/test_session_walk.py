"""Random walks: what several runtimes do to one session loses nothing, and all agree on where it stands."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lash_core.memory_store.stores import InMemoryStores
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.residency import Residency
from lash_core.testing.conformance.lifecycle.arrange import Scene, notes_of, said, texts_of

RUNTIMES = 3
STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, RUNTIMES - 1), st.integers(1, 3)),
    st.tuples(st.just("branch"), st.integers(0, RUNTIMES - 1), st.integers(0, 50)),
    st.tuples(st.just("park"), st.integers(0, RUNTIMES - 1), st.integers(0, 1)),
    st.tuples(st.just("count"), st.integers(0, RUNTIMES - 1), st.integers(1, 9)),
    st.tuples(st.just("limit"), st.integers(0, RUNTIMES - 1), st.integers(1, 9)),
)


class Walk:
    """The session as it should be: parent of each node, and where it stands."""

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {}
        self.leaf: str | None = None
        self.limit: int | None = None

    def append(self, count: int) -> list[str]:
        """New messages."""
        names = [f"m{len(self.parents) + number}" for number in range(count)]
        for name in names:
            self.parents[name] = self.leaf
            self.leaf = name
        return names

    @property
    def path(self) -> list[str]:
        """From root to leaf."""
        path: list[str] = []
        at = self.leaf
        while at is not None:
            path.append(at)
            at = self.parents[at]
        return path[::-1]


@given(steps=st.lists(STEPS, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_runtimes_of_one_session_agree(steps: list[tuple[str, int, int]]) -> None:
    """Edits, branches and parks by runtimes of both residencies; each sees what the others stored."""
    asyncio.run(_walk(steps))


async def _walk(steps: list[tuple[str, int, int]]) -> None:
    scene, walk = Scene(InMemoryStores()), Walk()
    await scene.settled()
    runtimes = [await _opened(scene, number) for number in range(RUNTIMES)]
    for step, number, amount in steps:
        runtime = runtimes[number]
        match step:
            case "append":
                await runtime.append_session_nodes(said(*walk.append(amount)))
            case "branch" if walk.parents:
                walk.leaf = sorted(walk.parents)[amount % len(walk.parents)]
                await runtime.branch_to_node(walk.leaf)
            case "count":
                notes_of(runtime).count += amount
                continue
            case "limit":
                walk.limit = amount
                await runtime.update_session_config(max_turns=amount)
            case "park":
                # What only this runtime knows may be refused when somebody else stored meanwhile; then it is read anew.
                await runtime.refresh()
                await runtime.park()
                runtime = runtimes[number] = await _opened(scene, number)
            case _:
                continue
        assert walk.path == texts_of(runtime), (step, number, amount)
    for runtime in runtimes:
        await runtime.refresh()

    assert [walk.path] * RUNTIMES == [texts_of(runtime) for runtime in runtimes]
    assert [walk.limit] * RUNTIMES == [runtime.policy.max_turns for runtime in runtimes]
    assert sorted(set(walk.parents) - set(walk.path)) == sorted(await runtimes[0].orphaned_node_ids())
    read = await (await scene.store()).load_session()
    assert read is not None
    assert walk.parents == {node.node_id: node.parent_node_id for node in read.nodes}


async def _opened(scene: Scene, number: int) -> LashRuntime:
    return await scene.runtime(residency=Residency.ACTIVE_PATH_ONLY if number % 2 else Residency.KEEP_ALL)
