"""Sources come, change and go; memberships stay with the ids of tools."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.model.tool_output import ToolSuccess
from lash_core.model.tool_state import ToolEntry, ToolManifest
from lash_core.runtime.tool_registry_errors import ToolRegistryError, ToolUnavailableError, UnknownToolSourceError
from lash_core.runtime.tool_sources import ListedToolSource, StaticToolSource, ToolExecutionGrant
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.testing.conformance.lifecycle.arrange import Scene, refused, tool
from lash_core.testing.conformance.session_scene import SessionStores, loaded
from lash_core.testing.conformance.tools.arrange import names, opt_out


async def a_source_that_is_put_again_keeps_memberships(stores: SessionStores) -> None:
    """By id; what it does not offer any more is an orphan until it does."""
    scene = Scene(stores, tools=[])
    runtime = await scene.runtime()
    tools = runtime.tools
    tools.upsert_source(StaticToolSource("s", [tool("a"), tool("b")]))
    opt_out(runtime, "a")
    generation = tools.generation
    tools.upsert_source(StaticToolSource("s", [tool("a"), tool("b")]))
    assert (tools.generation, names(runtime)) == (generation, ["b"])
    tools.upsert_source(StaticToolSource("s", [tool("b"), tool("c")]))
    assert (tools.generation, names(runtime)) == (generation + 1, ["b", "c"])
    tools.upsert_source(StaticToolSource("s", [tool("a"), tool("b"), tool("c")]))

    assert (tools.generation, names(runtime)) == (generation + 2, ["b", "c"])


async def a_refresh_reads_listings_again(stores: SessionStores) -> None:
    """The generation rises only when something changed."""
    scene = Scene(stores, tools=[])
    runtime = await scene.runtime()
    listing: list[Tool] = [tool("a")]
    runtime.tools.upsert_source(ListedToolSource("s", lambda: listing))
    generation = runtime.tools.generation
    runtime.tools.refresh_sources()
    assert runtime.tools.generation == generation
    listing.append(tool("b"))
    runtime.tools.refresh_sources()

    assert (runtime.tools.generation, names(runtime)) == (generation + 1, ["a", "b"])


async def a_removed_source_takes_all_its_tools_along(stores: SessionStores) -> None:
    """Out of catalog and state; an unknown source is an error that names it."""
    scene = Scene(stores, tools=[tool("a")])
    runtime = await scene.runtime()
    runtime.tools.upsert_source(StaticToolSource("s", [tool("b")]))
    runtime.tools.remove_source("s")

    assert (names(runtime), list(runtime.tools.export_state().tools)) == (["a"], ["a"])
    async with refused(UnknownToolSourceError, "unknown tool source `s`"):
        runtime.tools.remove_source("s")


async def a_source_that_fails_can_be_removed(stores: SessionStores) -> None:
    """With its tools; those of other sources stay, also while another one fails."""
    scene = Scene(stores, tools=[tool("a")])
    runtime = await scene.runtime()
    works = True

    def listing() -> Sequence[Tool]:
        if not works:
            raise LookupError("no connection")
        return [tool("b")]

    runtime.tools.upsert_source(ListedToolSource("failing", listing))
    runtime.tools.upsert_source(StaticToolSource("s", [tool("c")]))
    works = False
    runtime.tools.remove_source("s")
    beside = names(runtime)
    runtime.tools.remove_source("failing")
    runtime.tools.refresh_sources()

    assert (beside, names(runtime)) == (["a", "b"], ["a"])
    assert list(runtime.tools.export_state().tools) == ["a"]


async def a_name_is_in_the_catalog_once(stores: SessionStores) -> None:
    """A listed tool has it before one that a source only resolves, now and after the session is opened again."""
    scene = Scene(stores, tools=[])
    runtime = await scene.runtime()
    runtime.tools.upsert_source(StaticToolSource("s", [], [tool("search", "grouped")]))
    state = runtime.tools.export_state()
    entry = ToolEntry(manifest=ToolManifest("grouped", "search"))
    runtime.tools.apply_state(state.model_copy(update={"tools": {"grouped": entry}}))
    kept = runtime.tools.export_state()
    runtime.tools.upsert_source(StaticToolSource("t", [tool("search", "listed")]))
    listed = runtime.tools.resolve("search").manifest.tool_id
    live = names(runtime)
    runtime.tools.restore_state(kept)

    assert (listed, live, names(runtime)) == ("listed", ["search"], ["search"])


async def equal_ids_and_names_are_refused_and_nothing_changes(stores: SessionStores) -> None:
    """Whichever sources list them; a source that cannot list is named."""
    scene = Scene(stores, tools=[tool("a", "id-a")])
    runtime = await scene.runtime()
    before = runtime.tools.export_state()

    def broken() -> Sequence[Tool]:
        raise LookupError("no connection")

    for source, word in (
        (StaticToolSource("s", [tool("b", "id-a")]), "id-a"),
        (StaticToolSource("s", [tool("a", "id-b")]), "`a`"),
        (ListedToolSource("s", broken), "no connection"),
    ):
        async with refused(ToolRegistryError, word):
            runtime.tools.upsert_source(source)

    assert runtime.tools.export_state() == before
    async with refused(UnknownToolSourceError):
        runtime.tools.remove_source("s")


async def an_orphan_is_bound_again_when_its_source_comes(stores: SessionStores) -> None:
    """The generation rises, the membership is the stored one."""
    scene = Scene(stores, tools=[tool("a")])
    runtime = await scene.runtime()
    runtime.tools.upsert_source(StaticToolSource("s", [tool("b"), tool("c")]))
    opt_out(runtime, "c")
    await runtime.park()
    again = await scene.runtime()
    generation = again.tools.generation
    assert names(again) == ["a"]
    again.tools.upsert_source(StaticToolSource("elsewhere", [tool("b"), tool("c")]))

    assert (names(again), again.tools.generation) == (["a", "b"], generation + 1)


class _Late:
    """A source that finds a tool only later."""

    source_id = "late"

    def __init__(self) -> None:
        self.found: dict[str, Tool] = {}

    def tools(self) -> Sequence[Tool]:
        return ()

    def resolve(self, tool_id: str) -> Tool | None:
        return self.found.get(tool_id)


async def an_orphan_is_bound_again_when_somebody_asks_for_it(stores: SessionStores) -> None:
    """``resolve_manifest`` looks, and so does a call."""
    scene = Scene(stores, tools=[tool("a"), tool("b"), tool("c")])
    await scene.settled()
    scene.tools = [tool("a")]
    runtime, late = await scene.runtime(), _Late()
    runtime.tools.upsert_source(late)
    assert runtime.tools.resolve_manifest("b") is None
    late.found = {"b": tool("b"), "c": tool("c")}
    manifest = runtime.tools.resolve_manifest("b")
    assert manifest is not None
    called = runtime.tools.resolve("c")

    assert (manifest.name, called.manifest.name, names(runtime)) == ("b", "c", ["a", "b", "c"])
    assert runtime.tools.resolve_manifest("never") is None


async def a_grant_reaches_a_tool_for_one_call(stores: SessionStores) -> None:
    """Without adding it to state or catalog; another source or an unknown tool is refused."""
    scene = Scene(stores, tools=[tool("a")])
    runtime = await scene.runtime()
    runtime.tools.upsert_source(StaticToolSource("group", grouped=[tool("hammer")]))
    granted = runtime.tools.resolve_granted(ToolExecutionGrant("group", "hammer"))
    answer = await granted.call(ToolContext(scene.session_id, "call"), {})
    await runtime.park()
    state = (await loaded(await scene.store())).checkpoint.tool_state
    assert state is not None

    assert (answer, names(runtime), list(state.tools)) == (ToolSuccess("hammer"), ["a"], ["a"])
    async with refused(UnknownToolSourceError, "`other`"):
        runtime.tools.resolve_granted(ToolExecutionGrant("other", "hammer"))
    async with refused(ToolUnavailableError, "`saw`", "`group`"):
        runtime.tools.resolve_granted(ToolExecutionGrant("group", "saw"))
