"""Built-in tools by which a model ends its turn or hands it on (``docs/contracts/tools.md`` 5)."""

from __future__ import annotations

from collections.abc import Callable

from lash_core.model.await_output import ToolFailureClass
from lash_core.model.base import JsonValue
from lash_core.model.ids import ID_BYTES_MAX
from lash_core.model.tool_control import AnyToolControl, FailControl, FinishControl, SwitchFrameControl
from lash_core.model.tool_output import AnyToolOutput, ToolFailure, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.runtime.tools import Tool, ToolContext

FINISH_TOOL = "finish"
FAIL_TOOL = "fail"
SWITCH_FRAME_TOOL = "switch_frame"


def finish_tool(value_schema: dict[str, JsonValue] | None = None) -> Tool:
    """Ends the turn with a final value. ``value_schema`` is the JSON schema that models are shown of it; None = any."""
    return _tool(
        FINISH_TOOL,
        "End this task with its result. Nothing more is done after it.",
        {"value": value_schema or {"description": "The result."}},
        "value",
        lambda args: FinishControl(args.get("value"), final=True),
    )


def fail_tool() -> Tool:
    """Stops the turn with an error that the model hands in."""
    return _tool(
        FAIL_TOOL,
        "Give this task up and say why it cannot be done.",
        {"error": {"description": "Why it cannot be done."}},
        "error",
        lambda args: FailControl(args.get("error"), submitted=True),
    )


def switch_frame_tool() -> Tool:
    """Hands the turn on to another agent frame with a task."""
    return _tool(
        SWITCH_FRAME_TOOL,
        "Go on in another agent frame: it begins with the task alone.",
        {
            "frame_id": {"type": "string", "minLength": 1, "description": "The frame; a new id opens a new one."},
            "task": {"description": "What is to be done there, with all that is needed for it."},
        },
        "frame_id",
        _switch,
    )


def _switch(args: dict[str, JsonValue]) -> AnyToolControl:
    frame_id = args.get("frame_id")
    if not isinstance(frame_id, str) or not frame_id.strip() or len(frame_id.encode()) > ID_BYTES_MAX:
        raise ValueError(f"`frame_id` must be a text of 1 to {ID_BYTES_MAX} bytes")
    return SwitchFrameControl(frame_id, args.get("task"))


def _tool(
    name: str,
    description: str,
    properties: dict[str, JsonValue],
    required: str,
    control_of: Callable[[dict[str, JsonValue]], AnyToolControl],
) -> Tool:
    async def run(context: ToolContext, args: JsonValue) -> AnyToolOutput:
        del context
        if not isinstance(args, dict) or required not in args:
            return _refused(f"`{required}` is missing")
        try:
            control = control_of(args)
        except ValueError as error:
            return _refused(str(error))
        return ToolSuccess("ok", control=control.to_json_value())

    schema = {"type": "object", "properties": properties, "required": [required]}
    return Tool(ToolManifest(tool_id=name, name=name, description=description, input_schema=schema), run)


def _refused(message: str) -> ToolFailure:
    return ToolFailure(class_=ToolFailureClass.INVALID_REQUEST, code="tool_args_invalid", message=message)
