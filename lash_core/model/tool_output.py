"""What a tool answers, and how it stands to the outcome of a process (contract 1.8). Pure.

The mapping is one to one both ways, but for an abandoned process: a tool reports it as a failure, and no tool can
report an abandonment of its own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, TypeAdapter

from lash_core.model.await_output import (
    ABANDON_MESSAGES,
    AbandonedOutput,
    AnyAwaitOutput,
    CancelledOutput,
    FailureOutput,
    ProcessAwaitOutput,
    Success,
    ToolFailureClass,
)
from lash_core.model.base import JsonValue, Model
from lash_core.model.tool_retry import ToolRetryDisposition

ABANDONED_CODE = "process_abandoned"


class ToolSuccess(Model):
    """The tool answered."""

    type: Literal["success"] = "success"
    value: JsonValue = Field(default=None, kw_only=False)
    control: JsonValue = None


class ToolFailure(Model):
    """The tool failed. ``retry`` says whether another attempt is safe; None = it is not. A process keeps none of it."""

    type: Literal["failure"] = "failure"
    class_: ToolFailureClass = Field(validation_alias=AliasChoices("class", "class_"), serialization_alias="class")
    code: str
    message: str
    raw: JsonValue = None
    control: JsonValue = None
    retry: ToolRetryDisposition | None = None

    @property
    def is_safe_to_retry(self) -> bool:
        """True when the failure declares that another attempt does no harm."""
        return self.retry is not None and self.retry.disposition == "safe"


class ToolCancelled(Model):
    """The call was cancelled."""

    type: Literal["cancelled"] = "cancelled"
    message: str = Field(default="", kw_only=False)
    raw: JsonValue = None
    control: JsonValue = None


AnyToolOutput = Annotated[ToolSuccess | ToolFailure | ToolCancelled, Field(discriminator="type")]

_OUTPUT: TypeAdapter[AnyToolOutput] = TypeAdapter(AnyToolOutput)


def tool_output_of(value: JsonValue) -> AnyToolOutput:
    """The output of its JSON. Raises: ValidationError: it is none."""
    return _OUTPUT.validate_python(value)


def to_tool_output(output: AnyAwaitOutput) -> AnyToolOutput:
    """What a tool that awaited a process answers."""
    match output:
        case Success():
            return ToolSuccess(value=output.value, control=output.control)
        case FailureOutput():
            return ToolFailure(
                class_=output.class_,
                code=output.code,
                message=output.message,
                raw=output.raw,
                control=output.control,
            )
        case CancelledOutput():
            return ToolCancelled(message=output.message, raw=output.raw, control=output.control)
        case AbandonedOutput():
            return ToolFailure(
                class_=ToolFailureClass.EXTERNAL,
                code=ABANDONED_CODE,
                message=ABANDON_MESSAGES[output.evidence.writer],
                raw=output.evidence.to_json_value(),
                control=output.control,
            )


def from_tool_output(output: AnyToolOutput) -> AnyAwaitOutput:
    """The outcome of a process that ran one tool call. A failure stays one, whatever its code says."""
    match output:
        case ToolSuccess():
            return ProcessAwaitOutput.success(output.value, control=output.control)
        case ToolFailure():
            return ProcessAwaitOutput.failure(
                output.class_, output.code, output.message, raw=output.raw, control=output.control
            )
        case ToolCancelled():
            return ProcessAwaitOutput.cancelled(output.message, raw=output.raw, control=output.control)
