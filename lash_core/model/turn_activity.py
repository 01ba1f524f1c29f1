"""What a turn streams while it runs. Live only: nothing here is durable, and losing one costs nothing but freshness."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model

TurnEventKind = Literal[
    "queued_work_started",
    "model_request_started",
    "assistant_prose_delta",
    "reasoning_delta",
    "model_attempt_reset",
    "code_block_started",
    "code_block_completed",
    "tool_call_started",
    "tool_call_completed",
    "final_value",
    "tool_value",
    "usage",
    "child_usage",
    "retry_status",
    "plugin_runtime",
    "queued_input_accepted",
    "queued_messages_committed",
    "error",
]


class TurnEvent(Model):
    """One thing that happened in a turn: its kind, and the facts of that kind as JSON."""

    type: TurnEventKind = Field(kw_only=False)
    facts: dict[str, JsonValue] = Field(default_factory=dict, kw_only=False)

    def to_json_value(self) -> dict[str, Any]:
        """The facts beside the type."""
        return {**self.facts, "type": self.type}


class TurnActivity(Model):
    """An event on its way to whoever watches; what belongs together has one ``correlation_id``."""

    id: str
    correlation_id: str
    event: TurnEvent

    def to_json_value(self) -> dict[str, Any]:
        """Id and correlation beside the event's facts."""
        return {**self.event.to_json_value(), "id": self.id, "correlation_id": self.correlation_id}
