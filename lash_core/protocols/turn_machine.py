"""The seam between a protocol and the runtime: a machine that asks for effects and is given their results (3.3).

A machine is pure: no clock, no I/O, no randomness. It can be written down (``checkpoint``) and made again
(``restore``); its one outstanding effect is then asked for again, exactly once. The runtime does and journals them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from lash_core.model.base import JsonValue
from lash_core.model.message import Message, ToolCallPart
from lash_core.model.model_call import ModelResponse
from lash_core.model.tool_output import AnyToolOutput
from lash_core.model.turn_activity import TurnEvent
from lash_core.model.turn_input import CheckpointKind
from lash_core.model.turn_outcome import TurnIssue, TurnOutcome


@dataclass(frozen=True, slots=True)
class SyncEnvironment:
    """Bring the execution environment up to date. Result: ``Done``."""

    effect_id: str


@dataclass(frozen=True, slots=True)
class LlmCall:
    """One model call over the session's messages and those of the turn. Result: ``LlmResult``.

    Attributes:
        iteration: from 0; part of its replay key.
        messages: that the turn appended so far, transient ones included.
    """

    effect_id: str
    iteration: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class CancelLlm:
    """Drop the model call that is under way. Result: ``Done``."""

    effect_id: str


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Run calls, all at once as far as their scheduling lets them. Result: ``ToolResults``, in the calls' order."""

    effect_id: str
    iteration: int
    calls: tuple[ToolCallPart, ...]


@dataclass(frozen=True, slots=True)
class ExecCode:
    """Run code of a protocol that has some; the standard one has none. Result: ``CodeResult``."""

    effect_id: str
    iteration: int
    code: str
    language: str = "python"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A safe boundary: what has arrived for the turn is delivered. Result: ``Delivered``."""

    effect_id: str
    iteration: int
    kind: CheckpointKind


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the log. Result: ``Done``."""

    effect_id: str
    level: Literal["debug", "info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class Emit:
    """A live event. Result: ``Done``."""

    effect_id: str
    correlation_id: str
    event: TurnEvent


@dataclass(frozen=True, slots=True)
class Progress:
    """Messages that the turn appends to the history, in order. Result: ``Done``."""

    effect_id: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The turn is over. No result."""

    effect_id: str
    outcome: TurnOutcome
    issues: tuple[TurnIssue, ...] = ()


MachineEffect = (
    SyncEnvironment | LlmCall | CancelLlm | ToolCalls | ExecCode | Checkpoint | Log | Emit | Progress | Finish
)


@dataclass(frozen=True, slots=True)
class Done:
    """It is done."""


@dataclass(frozen=True, slots=True)
class LlmResult:
    """How a model call ended, with all its attempts: a response, an issue, or neither when it was cancelled.

    Attributes:
        text_streamed: prose was streamed live; the machine must not emit it again.
    """

    response: ModelResponse | None = None
    issue: TurnIssue | None = None
    cancelled: bool = False
    text_streamed: bool = False


@dataclass(frozen=True, slots=True)
class ToolResults:
    """Outputs in the order of the calls. ``cancelled``: the turn's token fired while they ran."""

    outputs: tuple[AnyToolOutput, ...]
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class CodeResult:
    """What code gave back."""

    output: JsonValue = None
    issue: TurnIssue | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a checkpoint delivered: messages to append, and transient ones. ``cancelled``: the turn is to end."""

    messages: tuple[Message, ...] = ()
    cancelled: bool = False

    @property
    def is_empty(self) -> bool:
        """True when nothing came."""
        return not self.messages


EffectResult = Done | LlmResult | ToolResults | CodeResult | Delivered


@dataclass(frozen=True, slots=True)
class TurnStart:
    """What a machine begins with.

    Attributes:
        messages: appended by the turn before the machine runs: user message, injected ones.
        last_message_is_tool_result: of the history before them, when ``messages`` is empty.
        max_turns: bound of model calls of this run; None = the machine's own default.
        iteration_offset: iterations that earlier physical turns of the run have used.
        options: the protocol's turn options.
    """

    turn_id: str
    messages: tuple[Message, ...] = ()
    last_message_is_tool_result: bool = False
    max_turns: int | None = None
    iteration_offset: int = 0
    options: JsonValue = None
    facts: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


class TurnMachine(Protocol):
    """One physical turn of a protocol."""

    def next_effect(self) -> MachineEffect:
        """The outstanding effect: the same one until it is resumed. After ``Finish`` always that one."""
        ...

    def resume(self, effect_id: str, result: EffectResult) -> None:
        """Give the result of the outstanding effect.

        Raises:
            InvalidArgumentError: another effect is outstanding, or the result does not fit it.
        """
        ...

    def checkpoint(self) -> JsonValue:
        """The machine as JSON."""
        ...


class ProtocolDriver(Protocol):
    """Makes machines. A plugin session has exactly one (2.14)."""

    @property
    def protocol_id(self) -> str:
        """Stored with what it checkpoints."""
        ...

    def begin(self, start: TurnStart) -> TurnMachine:
        """A machine at the beginning of a turn."""
        ...

    def restore(self, checkpoint: JsonValue) -> TurnMachine:
        """A machine as it was written down.

        Raises:
            InvalidArgumentError: it is none of this protocol's.
        """
        ...
