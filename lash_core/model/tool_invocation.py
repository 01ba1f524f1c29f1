"""What code gets back of a tool invocation, and what is kept of the call. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from lash_core.model.await_output import ToolFailureClass
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess

TOOL_ERROR = "tool_error"


class ToolCallRecord(Model):
    """One call as it is kept: the caller's call id, the tool's name, what it was given and what it answered."""

    call_id: str = Field(kw_only=False)
    tool: str = Field(kw_only=False)
    args: JsonValue = None
    output: AnyToolOutput


class ToolTriggerEffectOutcome(Model):
    """What an occurrence that a tool emitted led to: one delivery report a subscription, as JSON."""

    source_type: str
    source_key: str
    occurrence_id: str
    idempotency_key: str
    payload: JsonValue = None
    source: JsonValue = None
    deliveries: tuple[JsonValue, ...] = ()


class ToolInvocationReply(Model):
    """The answer of a tool invocation.

    Attributes:
        output: for the caller.
        record: of the call, under the caller's call id; None for what is no call of a tool, such as a child's start.
        trigger_outcomes: what tools emitted meanwhile; each outcome is in one reply only.
    """

    output: AnyToolOutput = Field(kw_only=False)
    record: ToolCallRecord | None = None
    trigger_outcomes: tuple[ToolTriggerEffectOutcome, ...] = ()

    @classmethod
    def success(cls, value: JsonValue = None) -> ToolInvocationReply:
        """A value."""
        return cls(ToolSuccess(value))

    @classmethod
    def error(cls, value: JsonValue) -> ToolInvocationReply:
        """A failure of class ``execution``, code ``tool_error``; ``value`` is its text, or JSON kept as ``raw``."""
        message = value if isinstance(value, str) else canonical_json(value, field="error")
        return cls(ToolFailure(class_=ToolFailureClass.EXECUTION, code=TOOL_ERROR, message=message, raw=value))

    @classmethod
    def cancelled(cls, message: str = "") -> ToolInvocationReply:
        """A call that was cancelled."""
        return cls(ToolCancelled(message))

    @property
    def is_success(self) -> bool:
        """True when the call gave a value."""
        return self.output.type == "success"

    def recorded_as(self, tool: str, call_id: str, args: JsonValue = None) -> ToolInvocationReply:
        """A copy with the record of a call."""
        record = ToolCallRecord(call_id, tool, args=args, output=self.output)
        return self.model_copy(update={"record": record})

    def with_trigger_outcomes(self, outcomes: Sequence[ToolTriggerEffectOutcome]) -> ToolInvocationReply:
        """A copy that carries these outcomes after its own."""
        return self.model_copy(update={"trigger_outcomes": (*self.trigger_outcomes, *outcomes)})
