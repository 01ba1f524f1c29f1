"""MCP's form of tools and answers, and ours: pure but for attachments that an answer carries."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Any

import mcp_types
from mcp import MCPError

from lash_core.errors import NotAvailableError
from lash_core.mcp.server_config import AnyMcpServer
from lash_core.model.await_output import ToolFailureClass
from lash_core.model.base import JsonValue
from lash_core.model.tool_output import AnyToolOutput, ToolFailure, ToolSuccess
from lash_core.model.tool_retry import ToolRetryDisposition, ToolRetryPolicy
from lash_core.model.tool_state import ToolManifest
from lash_core.runtime.failure_texts import bounded, storable
from lash_core.runtime.tools import ToolContext

NAME_CHARACTERS_MAX = 64
"""Of a tool's name as models see it: the least that providers take."""
DESCRIPTION_CHARACTERS_MAX = 4_000
"""Of a description: a server's text goes into every prompt."""

TOOL_ERROR = "mcp_tool_error"
SERVER_ERROR = "mcp_error"

_RETRIES = ToolRetryPolicy(attempts_max=3)
"""Failures that are declared safe only: nothing was sent, or the call may be repeated."""

_CLASSES = {
    mcp_types.INVALID_PARAMS: ToolFailureClass.INVALID_REQUEST,
    mcp_types.METHOD_NOT_FOUND: ToolFailureClass.UNAVAILABLE,
}


def manifests_of(server: AnyMcpServer, tools: Iterable[mcp_types.Tool]) -> dict[str, ToolManifest]:
    """The server's name of a tool → its manifest. Names are made fit for models, and unique among the server's."""
    manifests: dict[str, ToolManifest] = {}
    taken: set[str] = set()
    for tool in tools:
        name = _model_name(f"{server.prefix}{tool.name}", taken)
        taken.add(name)
        manifests[tool.name] = ToolManifest(
            tool_id=f"mcp:{server.name}:{tool.name}",
            name=name,
            description=bounded(tool.description or tool.title or "", DESCRIPTION_CHARACTERS_MAX),
            input_schema=tool.input_schema,
            retry=_RETRIES,
        )
    return manifests


def may_repeat(tool: mcp_types.Tool) -> bool:
    """True when the server says that calling the tool twice does no more than calling it once."""
    hints = tool.annotations
    return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


async def output_of(result: mcp_types.CallToolResult, context: ToolContext) -> AnyToolOutput:
    """What the tool answered: structured content as it is, else text; bytes become attachments of the session."""
    blocks = [await _block(block, context) for block in result.content]
    texts = [block for block in blocks if isinstance(block, str)]
    if result.is_error:
        text = bounded("\n".join(texts)) or "the tool failed and said nothing"
        raw = None if result.structured_content is None else storable(result.structured_content)
        return ToolFailure(class_=ToolFailureClass.EXECUTION, code=TOOL_ERROR, message=text, raw=raw)
    others = [block for block in blocks if not isinstance(block, str)]
    structured = result.structured_content
    if structured is not None:
        return ToolSuccess({"result": structured, "content": others} if others else structured)
    if others:
        return ToolSuccess(blocks)
    return ToolSuccess("\n".join(texts))


def refusal(error: MCPError) -> ToolFailure:
    """A server's error as the call's failure."""
    return ToolFailure(
        class_=_CLASSES.get(error.code, ToolFailureClass.EXTERNAL),
        code=SERVER_ERROR,
        message=bounded(error.message),
        raw=storable({"code": error.code, "data": error.data}),
    )


def failed(class_: ToolFailureClass, code: str, message: str, *, safe: bool = False) -> ToolFailure:
    """A failure; ``safe`` declares that the call may be tried again."""
    retry = ToolRetryDisposition("safe") if safe else None
    return ToolFailure(class_=class_, code=code, message=bounded(message), retry=retry)


async def _block(block: Any, context: ToolContext) -> JsonValue:
    match block:
        case mcp_types.TextContent():
            return block.text
        case mcp_types.ImageContent() | mcp_types.AudioContent():
            return await _bytes(block.data, block.mime_type, context)
        case mcp_types.EmbeddedResource(resource=mcp_types.TextResourceContents() as resource):
            return {"type": "resource", "uri": str(resource.uri), "text": resource.text}
        case mcp_types.EmbeddedResource(resource=mcp_types.BlobResourceContents() as resource):
            found = await _bytes(resource.blob, resource.mime_type or "application/octet-stream", context)
            return {"type": "resource", "uri": str(resource.uri), "content": found}
        case mcp_types.ResourceLink():
            return {"type": "resource_link", "uri": str(block.uri), "name": block.name}
        case _:
            return {"type": str(getattr(block, "type", "unknown"))}


async def _bytes(data: str, media_type: str, context: ToolContext) -> JsonValue:
    """The bytes as an attachment of the session where there is a turn, else only a word about them."""
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return {"type": "attachment_unreadable", "media_type": media_type}
    try:
        reference = await context.attachments.put(content, media_type=media_type)
    except NotAvailableError:
        return {"type": "attachment_left_out", "media_type": media_type, "size_bytes": len(content)}
    return {"type": "attachment", "reference": reference.to_json_value()}


def _model_name(name: str, taken: set[str]) -> str:
    fit = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    if len(fit) > NAME_CHARACTERS_MAX or fit != name or fit in taken:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        fit = f"{fit[: NAME_CHARACTERS_MAX - 9]}_{digest}"
    return fit
