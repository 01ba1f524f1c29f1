"""The ``batch`` tool: several calls of other tools in one call (``docs/contracts/tools.md`` 5)."""

from __future__ import annotations

from typing import Any, cast

from lash_core.errors import NotAvailableError
from lash_core.model.await_output import ToolFailureClass
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.message import ToolCallPart
from lash_core.model.tool_control import tool_control_of
from lash_core.model.tool_output import AnyToolOutput, ToolFailure, ToolSuccess
from lash_core.model.tool_state import ToolArgumentProjectionPolicy, ToolManifest
from lash_core.runtime.tool_turn import InnerToolAnswer
from lash_core.runtime.tools import Tool, ToolContext

BATCH_TOOL = "batch"
BATCH_CALLS_MAX = 25
BATCH_LISTED_MAX = 500
"""Longer lists are refused before anything runs: each call over the maximum has an entry in the answer."""
BATCH_RESULT_BYTES_MAX = 150 * 1024
"""Of all entries together: less than the answer of a tool may have."""

TOO_MANY = f"Maximum of {BATCH_CALLS_MAX} tool calls allowed in batch"
NESTED = "A batch cannot be called within a batch"

_SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {
        "calls": {
            "type": "array",
            "minItems": 1,
            "maxItems": BATCH_CALLS_MAX,
            "items": {
                "type": "object",
                "properties": {
                    "tool": {"type": "string", "description": "The name of the tool."},
                    "args": {"type": "object", "description": "Its arguments."},
                },
                "required": ["tool"],
            },
        }
    },
    "required": ["calls"],
}


def batch_tool() -> Tool:
    """The tool. Each of its calls is recorded under ``<call id>:<index, two digits>`` and fails by itself."""
    manifest = ToolManifest(
        tool_id=BATCH_TOOL,
        name=BATCH_TOOL,
        description=(
            f"Call up to {BATCH_CALLS_MAX} other tools at once. The calls run side by side, so none may need the "
            "result of another. Each has its own result or error, in the order of the calls."
        ),
        input_schema=_SCHEMA,
        # Each call is projected by the policy of its own tool, and a reference to nothing is that call's failure alone.
        argument_projection=ToolArgumentProjectionPolicy.preserve_projected_refs_in_field("calls"),
    )
    return Tool(manifest, _run)


async def _run(context: ToolContext, args: JsonValue) -> AnyToolOutput:
    asked = args.get("calls") if isinstance(args, dict) else None
    if not isinstance(asked, list) or not 1 <= len(asked) <= BATCH_LISTED_MAX:
        return _refused(f"`calls` must be a list of 1 to {BATCH_CALLS_MAX} calls")
    entries: dict[int, dict[str, JsonValue]] = {}
    calls: dict[int, ToolCallPart] = {}
    for index, one in enumerate(cast("list[Any]", asked)):
        name = one.get("tool") if isinstance(one, dict) else None
        shown = name if isinstance(name, str) else ""
        fault = _fault_of(index, name)
        if fault is not None:
            entries[index] = _failed(index, shown, 0, fault)
        else:
            wanted = one.get("args")
            calls[index] = ToolCallPart(f"{context.call_id}:{index:02d}", shown, {} if wanted is None else wanted)
    control: JsonValue = None
    if calls:
        try:
            answers = await context.call_tools(tuple(calls.values()))
        except NotAvailableError as error:
            return _refused(error.message)
        for (index, call), answer in zip(calls.items(), answers, strict=True):
            entries[index] = _entry(index, call.tool_name, answer)
        outputs = (answer.output for answer in answers)
        control = next((one.control for one in outputs if _is_control(one)), None)
    return ToolSuccess(_bounded([entries[index] for index in sorted(entries)]), control=control)


def _fault_of(index: int, name: Any) -> str | None:
    if index >= BATCH_CALLS_MAX:
        return TOO_MANY
    if not isinstance(name, str) or not name:
        return "the call names no tool"
    return NESTED if name == BATCH_TOOL else None


def _entry(index: int, name: str, answer: InnerToolAnswer) -> dict[str, JsonValue]:
    output = answer.output
    if isinstance(output, ToolSuccess):
        return {
            "index": index,
            "tool": name,
            "success": True,
            "duration_ms": answer.duration_ms,
            "result": output.value,
        }
    return _failed(index, name, answer.duration_ms, output.message or output.type)


def _failed(index: int, name: str, duration_ms: int, error: str) -> dict[str, JsonValue]:
    return {"index": index, "tool": name, "success": False, "duration_ms": duration_ms, "error": error}


def _bounded(entries: list[dict[str, JsonValue]]) -> list[dict[str, JsonValue]]:
    """The entries; where they are too large together, those over their share say so instead of their result."""
    sizes = [len(canonical_json_bytes(entry, field="batch")) for entry in entries]
    if sum(sizes) <= BATCH_RESULT_BYTES_MAX:
        return entries
    share = BATCH_RESULT_BYTES_MAX // len(entries)
    return [
        entry
        if size <= share
        else _failed(
            entry["index"],
            str(entry["tool"])[:200],
            entry["duration_ms"],
            f"the result has {size} bytes; the batch has {BATCH_RESULT_BYTES_MAX} for all. Call this tool by itself.",
        )
        for entry, size in zip(entries, sizes, strict=True)
    ]


def _is_control(output: AnyToolOutput) -> bool:
    return isinstance(output, ToolSuccess) and tool_control_of(output.control) is not None


def _refused(message: str) -> ToolFailure:
    return ToolFailure(class_=ToolFailureClass.INVALID_REQUEST, code="tool_args_invalid", message=message)
