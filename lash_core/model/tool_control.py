"""What a tool's answer may say about the turn: finish it, fail it, go on in another frame. Pure.

``docs/contracts/sessions.md`` 3.3.

A control rides in the ``control`` of a tool output as JSON. Only that of a successful answer counts, and of several in
one round the first in the order of the calls.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lash_core.model.base import JsonValue, Model
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.turn_outcome import (
    AgentFrameSwitchOutcome,
    FinalValueFinish,
    FinishedOutcome,
    StoppedOutcome,
    ToolValueFinish,
    TurnOutcome,
)


class FinishControl(Model):
    """The turn is over with this value: the tool's (``tool_value``), or with ``final`` the turn's own."""

    type: Literal["finish"] = "finish"
    value: JsonValue = Field(default=None, kw_only=False)
    final: bool = False


class FailControl(Model):
    """The turn is stopped with this error: the tool's (``tool_error``), or with ``submitted`` the turn's own."""

    type: Literal["fail"] = "fail"
    value: JsonValue = Field(default=None, kw_only=False)
    submitted: bool = False


class SwitchFrameControl(Model):
    """The turn goes on in another agent frame with this task. ``initial_nodes`` seed a frame that is opened for it."""

    type: Literal["switch_agent_frame"] = "switch_agent_frame"
    frame_id: str = Field(min_length=1, kw_only=False)
    task: JsonValue = Field(default=None, kw_only=False)
    initial_nodes: tuple[SessionNodeRecord, ...] = ()


AnyToolControl = Annotated[FinishControl | FailControl | SwitchFrameControl, Field(discriminator="type")]

_CONTROL: TypeAdapter[AnyToolControl] = TypeAdapter(AnyToolControl)


def tool_control_of(value: JsonValue) -> AnyToolControl | None:
    """The control of its JSON, or None when it is none."""
    try:
        return None if value is None else _CONTROL.validate_python(value)
    except ValidationError:
        return None


def outcome_of_control(control: AnyToolControl, tool_name: str) -> TurnOutcome:
    """How a turn ends whose tool answered with ``control``."""
    match control:
        case FinishControl(final=True):
            return FinishedOutcome(FinalValueFinish(control.value))
        case FinishControl():
            return FinishedOutcome(ToolValueFinish(tool_name, control.value))
        case FailControl(submitted=True):
            return StoppedOutcome("submitted_error", value=control.value)
        case FailControl():
            return StoppedOutcome("tool_error", value=control.value, tool_name=tool_name)
        case SwitchFrameControl():
            return AgentFrameSwitchOutcome(control.frame_id, control.task, initial_nodes=control.initial_nodes)
