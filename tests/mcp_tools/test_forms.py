"""MCP's tools and answers in our form, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lash_core.model.tool_output import ToolFailure, ToolSuccess
from lash_core.runtime.tools import ToolContext

forms = pytest.importorskip("lash_core.mcp.tool_forms", reason="THE EXTRA [mcp] IS NOT INSTALLED")
mcp_types = pytest.importorskip("mcp_types")
config = pytest.importorskip("lash_core.mcp.server_config")

SERVER = config.McpStdioServer(name="files", command="x")
CONTEXT = ToolContext("s", "c")


def tool(name: str, **facts: Any) -> Any:
    return mcp_types.Tool(name=name, input_schema={"type": "object"}, **facts)


def result(*content: Any, **facts: Any) -> Any:
    return mcp_types.CallToolResult(content=list(content), **facts)


def text(value: str) -> Any:
    return mcp_types.TextContent(type="text", text=value)


def test_names_are_fit_for_models_and_stay_apart() -> None:
    names = ["read", "list/all", "list.all", "x" * 100, "x" * 99]
    manifests = forms.manifests_of(SERVER, [tool(name) for name in names])
    made = [manifests[name].name for name in names]
    assert "files_read" == made[0]
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in made)
    assert len(set(made)) == len(names)
    assert made == [one.name for one in forms.manifests_of(SERVER, [tool(name) for name in names]).values()]
    assert [f"mcp:files:{name}" for name in names] == [manifests[name].tool_id for name in names]


def test_a_long_description_is_cut() -> None:
    (manifest,) = forms.manifests_of(SERVER, [tool("a", description="d" * 10_000)]).values()
    assert 4_000 == len(manifest.description)


@pytest.mark.parametrize(
    ("hints", "repeatable"),
    [(None, False), ({}, False), ({"read_only_hint": True}, True), ({"idempotent_hint": True}, True)],
)
def test_what_a_server_says_of_repeating(hints: dict[str, bool] | None, repeatable: bool) -> None:
    annotations = None if hints is None else mcp_types.ToolAnnotations(**hints)
    assert repeatable == forms.may_repeat(tool("a", annotations=annotations))


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (result(text("a"), text("b")), "a\nb"),
        (result(), ""),
        (result(text("{}"), structured_content={"n": 1}), {"n": 1}),
    ],
)
async def test_values_of_answers(answer: Any, value: Any) -> None:
    assert ToolSuccess(value) == await forms.output_of(answer, CONTEXT)


async def test_other_blocks_keep_their_place() -> None:
    link = mcp_types.ResourceLink(type="resource_link", uri="file:///a", name="a")
    unreadable = mcp_types.ImageContent(type="image", data="%%", mime_type="image/png")
    output = await forms.output_of(result(text("see"), link, unreadable), CONTEXT)
    assert isinstance(output, ToolSuccess)
    assert "see" == output.value[0]
    assert {"type": "resource_link", "uri": "file:///a", "name": "a"} == output.value[1]
    assert {"type": "attachment_unreadable", "media_type": "image/png"} == output.value[2]
    json.dumps(output.to_json_value())


async def test_an_error_of_a_tool_is_a_failure_that_is_not_repeated() -> None:
    output = await forms.output_of(result(text("no"), is_error=True, structured_content={"why": 1}), CONTEXT)
    assert isinstance(output, ToolFailure)
    assert ("execution", "mcp_tool_error", "no", {"why": 1}, None) == (
        output.class_.value,
        output.code,
        output.message,
        output.raw,
        output.retry,
    )


@pytest.mark.parametrize(
    ("code", "class_"), [(-32602, "invalid_request"), (-32601, "unavailable"), (-32603, "external"), (7, "external")]
)
def test_a_servers_refusal_is_a_failure_of_its_class(code: int, class_: str) -> None:
    mcp = pytest.importorskip("mcp")
    output = forms.refusal(mcp.MCPError(code, "no", {"x": 1}))
    assert (class_, "mcp_error", {"code": code, "data": {"x": 1}}) == (output.class_.value, output.code, output.raw)
