"""How a turn ended, and all that is known of it (``docs/contracts/sessions.md`` 1.12)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.message import Message
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.turn_control import TurnCancelEvidence
from lash_core.model.usage import TokenUsage


class AssistantMessageFinish(Model):
    """The model answered."""

    type: Literal["assistant_message"] = "assistant_message"
    text: str = Field(kw_only=False)


class FinalValueFinish(Model):
    """A control tool gave the final value."""

    type: Literal["final_value"] = "final_value"
    value: JsonValue = Field(default=None, kw_only=False)


class ToolValueFinish(Model):
    """A tool's answer is the turn's."""

    type: Literal["tool_value"] = "tool_value"
    tool_name: str = Field(kw_only=False)
    value: JsonValue = Field(default=None, kw_only=False)


TurnFinish = Annotated[AssistantMessageFinish | FinalValueFinish | ToolValueFinish, Field(discriminator="type")]

StopReason = Literal[
    "cancelled",
    "incomplete",
    "invalid_input",
    "max_turns",
    "tool_failure",
    "provider_error",
    "plugin_abort",
    "runtime_error",
    "submitted_error",
    "tool_error",
]


class FinishedOutcome(Model):
    """The turn came to its end."""

    type: Literal["finished"] = "finished"
    finish: TurnFinish = Field(kw_only=False)


class AgentFrameSwitchOutcome(Model):
    """The turn goes on in another frame with this task."""

    type: Literal["agent_frame_switch"] = "agent_frame_switch"
    frame_id: str = Field(kw_only=False)
    task: JsonValue = Field(default=None, kw_only=False)
    initial_nodes: tuple[SessionNodeRecord, ...] = ()


class StoppedOutcome(Model):
    """The turn was stopped. ``value`` belongs to ``submitted_error`` and ``tool_error``, the name to the latter."""

    type: Literal["stopped"] = "stopped"
    reason: StopReason = Field(kw_only=False)
    value: JsonValue = None
    tool_name: str | None = None


TurnOutcome = Annotated[FinishedOutcome | AgentFrameSwitchOutcome | StoppedOutcome, Field(discriminator="type")]


class TurnIssue(Model):
    """Something that went wrong in a turn. ``kind``: ``llm_provider``, ``plugin``, ``runtime``, ``input``, ``tool``."""

    kind: str
    code: str | None = None
    terminal_reason: str | None = None
    message: str = ""
    raw: JsonValue = None
    retryable: bool | None = None
    provider_failure_kind: str | None = None


class LlmAttempt(Model):
    """One attempt of a model call. ``usage`` of a failed one is kept as evidence."""

    attempt: int
    outcome: Literal["completed", "failed", "cancelled"]
    duration_ms: int = 0
    usage: TokenUsage | None = None
    error: TurnIssue | None = None


class LlmCallRecord(Model):
    """One model call with all its attempts."""

    call_id: str
    iteration: int
    model: str
    attempts: tuple[LlmAttempt, ...] = ()
    usage: TokenUsage = Field(default_factory=TokenUsage)
    finish_reason: str | None = None


class TurnToolCall(Model):
    """One tool call of a turn: what was asked and answered. ``output`` is a tool output's JSON."""

    call_id: str
    tool_name: str
    args: JsonValue = None
    output: JsonValue = None
    attempts: int = 1
    duration_ms: int = 0


class AssistantOutput(Model):
    """What the turn says to its user. ``safe_text`` is fit to show; ``raw_text`` is all prose of the turn."""

    safe_text: str = ""
    raw_text: str = ""
    state: Literal["usable", "empty_output", "traceback_only", "recovered_from_error"] = "empty_output"


class TurnExecution(Model):
    """When it ran, by the clock of its worker."""

    started_at_ms: int = 0
    finished_at_ms: int = 0
    iterations: int = 0


class AssembledTurn(Model):
    """A turn that ended. ``messages`` are those it appended, in order."""

    session_id: str
    turn_id: str
    outcome: TurnOutcome
    assistant_output: AssistantOutput = Field(default_factory=AssistantOutput)
    tool_calls: tuple[TurnToolCall, ...] = ()
    errors: tuple[TurnIssue, ...] = ()
    llm_calls: tuple[LlmCallRecord, ...] = ()
    execution: TurnExecution = Field(default_factory=TurnExecution)
    cancellation: TurnCancelEvidence | None = None
    usage: TokenUsage = Field(default_factory=TokenUsage)
    messages: tuple[Message, ...] = ()
    session_revision: int | None = None

    @property
    def final_text(self) -> str | None:
        """The text of an answer that finished the turn, else None."""
        if isinstance(self.outcome, FinishedOutcome) and isinstance(self.outcome.finish, AssistantMessageFinish):
            return self.outcome.finish.text
        return None
