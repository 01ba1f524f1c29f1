"""A cold open adopts what is stored, whatever the live tools are: it never fails for missing sources."""

from __future__ import annotations

from lash_core.runtime.tool_registry_errors import ToolUnavailableError
from lash_core.testing.conformance.lifecycle.arrange import Scene, refused, tool
from lash_core.testing.conformance.session_scene import SessionStores, loaded
from lash_core.testing.conformance.tools.arrange import names, opt_out


async def any_generation_is_adopted(stores: SessionStores) -> None:
    """As it is, while the live tools are those of the state; a fresh registry would be at 1."""
    scene = Scene(stores, tools=[tool("a"), tool("b")])
    runtime = await scene.runtime()
    for _ in range(3):
        opt_out(runtime, "b")
    await runtime.park()
    again = await scene.runtime()

    assert (again.tools.generation, names(again)) == (4, ["a"])
    assert again.tools.export_state() == runtime.tools.export_state()


async def other_tools_raise_the_generation_once(stores: SessionStores) -> None:
    """New ones are members."""
    scene = Scene(stores, tools=[tool("a")])
    await scene.settled()
    scene.tools = [tool("a"), tool("new")]
    runtime = await scene.runtime()
    generation = runtime.tools.generation
    await runtime.park()

    assert (generation, names(runtime)) == (2, ["a", "new"])
    assert (await scene.runtime()).tools.generation == 2


async def a_tool_that_vanished_is_kept_as_an_orphan(stores: SessionStores) -> None:
    """In the state, not in the catalog; a call hears that it is unavailable; back with its membership."""
    scene = Scene(stores, tools=[tool("a"), tool("gone"), tool("opted-out")])
    runtime = await scene.runtime()
    opt_out(runtime, "opted-out")
    await runtime.park()
    scene.tools = [tool("a")]
    bare = await scene.runtime()
    entries = bare.tools.export_state().tools
    assert names(bare) == ["a"]
    assert (entries["gone"].orphaned, entries["opted-out"].orphaned) == (True, True)
    async with refused(ToolUnavailableError, "`gone`", "unavailable"):
        bare.tools.resolve("gone")
    await bare.park()
    scene.tools = [tool("a"), tool("gone"), tool("opted-out")]
    again = await scene.runtime()

    assert names(again) == ["a", "gone"]
    assert not again.tools.export_state().tools["opted-out"].orphaned


async def an_orphan_gives_way_to_its_name_under_another_id(stores: SessionStores) -> None:
    """It is dropped, and its opt-out does not pass to the other tool."""
    scene = Scene(stores, tools=[tool("search", "v1")])
    runtime = await scene.runtime()
    opt_out(runtime, "v1")
    await runtime.park()
    scene.tools = [tool("search", "v2")]
    again = await scene.runtime()

    assert names(again) == ["search"]
    assert list(again.tools.export_state().tools) == ["v2"]


async def what_is_stored_names_no_source(stores: SessionStores) -> None:
    """Ids, manifests and memberships; who offers a tool may change between two programs."""
    scene = Scene(stores, tools=[tool("a"), tool("b")])
    runtime = await scene.runtime()
    opt_out(runtime, "b")
    await runtime.park()
    state = (await loaded(await scene.store())).checkpoint.tool_state
    assert state is not None
    stored = state.to_json_value()

    assert stored["generation"] == 2
    assert {tool_id: sorted(entry) for tool_id, entry in stored["tools"].items()} == {
        "a": ["manifest", "member"],
        "b": ["manifest", "member"],
    }
