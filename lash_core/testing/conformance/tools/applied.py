"""A host's edit is of the present generation, names tools that exist, and changes memberships only."""

from __future__ import annotations

from lash_core.model.tool_state import ToolEntry, ToolManifest
from lash_core.runtime.tool_registry_errors import ToolGenerationError, ToolValidationError
from lash_core.runtime.tool_sources import StaticToolSource
from lash_core.testing.conformance.lifecycle.arrange import Scene, refused, tool
from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.tools.arrange import names, without


async def an_edit_of_another_generation_is_refused(stores: SessionStores) -> None:
    """The error names both; a cold restore of the same state would be taken."""
    scene = Scene(stores, tools=[tool("a")])
    runtime = await scene.runtime()
    edit = without(runtime.tools.export_state(), "a").model_copy(update={"generation": 5})
    async with refused(ToolGenerationError, "5", "1") as caught:
        runtime.tools.apply_state(edit)
    error = caught[0]
    assert isinstance(error, ToolGenerationError)
    assert ((error.expected, error.actual), names(runtime), runtime.tools.generation) == ((5, 1), ["a"], 1)
    runtime.tools.restore_state(edit)

    assert (names(runtime), runtime.tools.generation) == ([], 5)


async def an_edit_raises_the_generation_by_one(stores: SessionStores) -> None:
    """Also one that changes nothing; what it leaves out is known still, and no member."""
    scene = Scene(stores, tools=[tool("a"), tool("b")])
    runtime = await scene.runtime()
    runtime.tools.apply_state(runtime.tools.export_state())
    assert (runtime.tools.generation, names(runtime)) == (2, ["a", "b"])
    state = runtime.tools.export_state()
    runtime.tools.apply_state(state.model_copy(update={"tools": {"a": state.tools["a"]}}))

    assert (runtime.tools.generation, names(runtime)) == (3, ["a"])
    assert sorted(runtime.tools.export_state().tools) == ["a", "b"]


async def an_edit_cannot_invent_tools(stores: SessionStores) -> None:
    """An id that nobody offers must be flagged as an orphan."""
    scene = Scene(stores, tools=[tool("a")])
    runtime = await scene.runtime()
    state = runtime.tools.export_state()
    invented = ToolEntry(manifest=ToolManifest("x", "x"))
    async with refused(ToolValidationError, "no source offers the tool `x`"):
        runtime.tools.apply_state(state.model_copy(update={"tools": {**state.tools, "x": invented}}))
    assert runtime.tools.export_state() == state
    flagged = invented.model_copy(update={"orphaned": True})
    runtime.tools.apply_state(state.model_copy(update={"tools": {**state.tools, "x": flagged}}))

    assert (names(runtime), runtime.tools.export_state().tools["x"].is_member) == (["a"], False)


async def an_edit_may_take_in_what_a_source_only_resolves(stores: SessionStores) -> None:
    """From one source; what two sources resolve is nobody's."""
    scene = Scene(stores, tools=[tool("a")])
    runtime = await scene.runtime()
    one = StaticToolSource("one", grouped=[tool("hammer"), tool("saw")])
    runtime.tools.upsert_source(one)
    runtime.tools.upsert_source(StaticToolSource("two", grouped=[tool("saw")]))
    state = runtime.tools.export_state()
    hammer, saw = (ToolEntry(manifest=ToolManifest(name, name)) for name in ("hammer", "saw"))
    runtime.tools.apply_state(state.model_copy(update={"tools": {**state.tools, "hammer": hammer}}))
    assert names(runtime) == ["a", "hammer"]
    state = runtime.tools.export_state()
    async with refused(ToolValidationError, "two sources offer the tool `saw`"):
        runtime.tools.apply_state(state.model_copy(update={"tools": {**state.tools, "saw": saw}}))

    assert names(runtime) == ["a", "hammer"]
