"""The tool registry: generations, membership by id, orphans."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.model.base import JsonValue
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.tool_state import ToolEntry, ToolManifest, ToolState
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tool_registry_errors import (
    ToolGenerationError,
    ToolRegistryError,
    ToolUnavailableError,
)
from lash_core.runtime.tools import Tool, ToolContext


def tool(tool_id: str, name: str | None = None) -> Tool:
    async def call(context: ToolContext, args: JsonValue) -> AnyToolOutput:
        return ToolSuccess([tool_id, args])

    return Tool(ToolManifest(tool_id, name or tool_id), call)


def state(generation: int, **entries: dict[str, Any]) -> ToolState:
    return ToolState(
        generation=generation,
        tools={
            tool_id: ToolEntry(manifest=ToolManifest(tool_id, facts.pop("name", tool_id)), **facts)
            for tool_id, facts in entries.items()
        },
    )


def names(registry: ToolRegistry) -> list[str]:
    return [manifest.name for manifest in registry.catalog()]


def test_a_fresh_registry_has_generation_one_and_every_change_raises_it() -> None:
    """What the sources offer at the start is no change."""
    registry = ToolRegistry([tool("a")])
    assert 1 == registry.generation
    registry.register(tool("b"))
    registry.unregister("a")
    registry.unregister("a")

    assert 3 == registry.generation
    assert ["b"] == names(registry)


@pytest.mark.parametrize("second", [tool("a", "other"), tool("other", "a")])
def test_ids_and_names_are_unique(second: Tool) -> None:
    """Either one twice is refused, and the error names it."""
    with pytest.raises(ToolRegistryError, match="duplicate tool"):
        ToolRegistry([tool("a"), second])


def test_restore_adopts_any_generation() -> None:
    """A cold rebuild takes the stored state as it is, although a fresh registry is at 1."""
    registry = ToolRegistry([tool("a"), tool("b")])
    stored = state(7, a={}, b={"member": False})
    report = registry.restore_state(stored)

    assert ((), 7, ["a"]) == (report.orphaned, registry.generation, names(registry))
    assert stored == registry.export_state()


def test_restore_under_other_tools_is_a_new_generation() -> None:
    """New tools are members; tools that nobody offers are kept as orphans and named."""
    registry = ToolRegistry([tool("a"), tool("new")])
    report = registry.restore_state(state(7, a={"member": False}, gone={}))

    assert (("gone",), 8, ["new"]) == (report.orphaned, registry.generation, names(registry))
    assert registry.export_state().tools["gone"].orphaned
    with pytest.raises(ToolUnavailableError, match="tool `gone` is unavailable: no registered source"):
        registry.resolve("gone")
    with pytest.raises(ToolUnavailableError, match="not a member"):
        registry.resolve("a")
    with pytest.raises(ToolUnavailableError, match="unknown tool `x`"):
        registry.resolve("x")


def test_an_orphan_whose_name_is_offered_under_another_id_is_dropped() -> None:
    """Its opt-out does not pass to the other tool."""
    registry = ToolRegistry([tool("new-id", "search")])
    report = registry.restore_state(state(2, **{"old-id": {"name": "search", "member": False}}))

    assert ((), ["search"]) == (report.orphaned, names(registry))


def test_an_orphan_is_bound_again_when_its_source_returns() -> None:
    """It keeps its membership, and the generation rises."""
    registry = ToolRegistry()
    registry.restore_state(state(2, a={"member": False}, b={}))
    before = registry.generation
    registry.register(tool("a"))
    registry.register(tool("b"))

    assert (before + 2, ["b"]) == (registry.generation, names(registry))


def test_an_edit_must_be_of_the_present_generation() -> None:
    """The error names both; nothing is changed."""
    registry = ToolRegistry([tool("a")])
    with pytest.raises(ToolGenerationError) as caught:
        registry.apply_state(state(2, a={"member": False}))

    assert (2, 1) == (caught.value.expected, caught.value.actual)
    assert ["a"] == names(registry)


def test_an_edit_changes_membership_and_raises_the_generation() -> None:
    """A tool that it leaves out stays known and is no member."""
    registry = ToolRegistry([tool("a"), tool("b"), tool("c")])
    registry.apply_state(state(1, a={}, b={"member": False}))

    assert (2, ["a"]) == (registry.generation, names(registry))


def test_an_edit_cannot_invent_tools() -> None:
    """Only what is flagged as an orphan may have no source."""
    registry = ToolRegistry([tool("a")])
    with pytest.raises(ToolRegistryError, match="no source offers the tool `x`"):
        registry.apply_state(state(1, a={}, x={}))
    registry.apply_state(state(1, a={}, x={"orphaned": True}))

    assert registry.export_state().tools["x"].orphaned


def test_an_orphan_never_hides_a_live_tool_of_its_name() -> None:
    """An edit may name orphans; one whose name is offered live is dropped."""
    registry = ToolRegistry([tool("new", "search")])
    registry.apply_state(state(1, old={"name": "search", "orphaned": True}, new={"name": "search"}))

    assert "new" == registry.resolve("search").manifest.tool_id
    assert ["new"] == list(registry.export_state().tools)


async def test_a_resolved_tool_runs() -> None:
    """With the arguments as given."""
    found = ToolRegistry([tool("a", "search")]).resolve("search")

    assert ToolSuccess(["a", {"q": 1}]) == await found.call(ToolContext("s", "call"), {"q": 1})


def test_a_stored_state_leaves_out_what_is_false() -> None:
    """An entry without the flag reads as bound."""
    stored = state(3, a={}, b={"orphaned": True}).to_json_value()

    assert "orphaned" not in stored["tools"]["a"]
    assert stored["tools"]["b"]["orphaned"]
    assert state(3, a={}, b={"orphaned": True}) == ToolState.model_validate(stored)
