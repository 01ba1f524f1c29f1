"""What a turn did, collected while it runs, and the assembled turn at its end (``docs/contracts/sessions.md`` 1.12)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lash_core.model.canonical_json import canonical_json
from lash_core.model.message import Message
from lash_core.model.session_commit import RuntimeCommitResult
from lash_core.model.turn_control import TurnCancelEvidence
from lash_core.model.turn_outcome import (
    AgentFrameSwitchOutcome,
    AssembledTurn,
    AssistantMessageFinish,
    AssistantOutput,
    FinalValueFinish,
    FinishedOutcome,
    LlmCallRecord,
    StoppedOutcome,
    ToolValueFinish,
    TurnExecution,
    TurnIssue,
    TurnOutcome,
    TurnToolCall,
)
from lash_core.model.usage import TokenLedgerEntry, TokenUsage, merge_ledger

DEFAULT_USAGE_SOURCE = "turn"

STAMPED_RESULT_BYTES_MAX = 64 * 1024
"""Of a turn's result that its stamp keeps: a session keeps a thousand. A larger one is kept without messages, then
without the arguments and outputs of its tool calls."""


@dataclass(slots=True)
class TurnLog:
    """The evidence of one physical turn. ``messages`` are those it appended."""

    session_id: str
    turn_id: str
    started_at_ms: int
    messages: list[Message] = field(default_factory=list[Message])
    llm_calls: list[LlmCallRecord] = field(default_factory=list[LlmCallRecord])
    tool_calls: list[TurnToolCall] = field(default_factory=list[TurnToolCall])
    issues: list[TurnIssue] = field(default_factory=list[TurnIssue])

    def usage(self) -> TokenUsage:
        """Of all model calls."""
        total = TokenUsage()
        for call in self.llm_calls:
            total += call.usage
        return total

    def ledger(self, source: str | None) -> tuple[TokenLedgerEntry, ...]:
        """One entry a model."""
        name = source or DEFAULT_USAGE_SOURCE
        return merge_ledger(TokenLedgerEntry(name, call.model, call.usage) for call in self.llm_calls)

    def assemble(
        self, outcome: TurnOutcome, *, finished_at_ms: int, cancellation: TurnCancelEvidence | None = None
    ) -> AssembledTurn:
        """The turn as it ended, before its commit."""
        return AssembledTurn(
            session_id=self.session_id,
            turn_id=self.turn_id,
            outcome=outcome,
            assistant_output=assistant_output(outcome, self.messages, self.issues),
            tool_calls=tuple(self.tool_calls),
            errors=tuple(self.issues),
            llm_calls=tuple(self.llm_calls),
            execution=TurnExecution(
                started_at_ms=self.started_at_ms, finished_at_ms=finished_at_ms, iterations=len(self.llm_calls)
            ),
            cancellation=cancellation,
            usage=self.usage(),
            messages=tuple(self.messages),
        )


@dataclass(frozen=True, slots=True)
class CommittedTurn:
    """A turn with what its commit made; None without a store."""

    turn: AssembledTurn
    result: RuntimeCommitResult | None = None


def assistant_output(outcome: TurnOutcome, messages: Iterable[Message], issues: Iterable[TurnIssue]) -> AssistantOutput:
    """What the turn says to its user. Text that was only streamed is not part of it."""
    raw = "\n".join(message.text for message in messages if message.role == "assistant" and message.text)
    safe = _answer_of(outcome)
    if not safe:
        return AssistantOutput(raw_text=raw)
    state = "recovered_from_error" if any(True for _ in issues) else "usable"
    return AssistantOutput(safe_text=safe, raw_text=raw or safe, state=state)


def stamped_result(turn: AssembledTurn) -> AssembledTurn:
    """The turn as its stamp keeps it."""
    return turn_within(turn, STAMPED_RESULT_BYTES_MAX)


def turn_within(turn: AssembledTurn, bytes_max: int) -> AssembledTurn:
    """The turn with as much of its evidence as fits: its messages go first, then what its tools were asked and said.

    At last only its outcome is left, however large that is: a turn that ended well must not fail for its record.
    """
    for smaller in (
        turn,
        turn.model_copy(update={"messages": ()}),
        turn.model_copy(
            update={
                "messages": (),
                "tool_calls": tuple(call.model_copy(update={"args": None, "output": None}) for call in turn.tool_calls),
            }
        ),
    ):
        if len(smaller.model_dump_json().encode()) <= bytes_max:
            return smaller
    return AssembledTurn(
        session_id=turn.session_id,
        turn_id=turn.turn_id,
        outcome=without_nodes(turn.outcome),
        execution=turn.execution,
        cancellation=turn.cancellation,
        usage=turn.usage,
        session_revision=turn.session_revision,
    )


def without_nodes(outcome: TurnOutcome) -> TurnOutcome:
    """An outcome without the nodes of a switch: whoever is told of the end reads them from the session."""
    if isinstance(outcome, AgentFrameSwitchOutcome):
        return outcome.model_copy(update={"initial_nodes": ()})
    return outcome


def _answer_of(outcome: TurnOutcome) -> str:
    match outcome:
        case FinishedOutcome(finish=AssistantMessageFinish(text=text)):
            return text
        case FinishedOutcome(finish=FinalValueFinish() | ToolValueFinish() as finish):
            return finish.value if isinstance(finish.value, str) else canonical_json(finish.value)
        case FinishedOutcome():
            return ""
        case AgentFrameSwitchOutcome() | StoppedOutcome():
            return ""
