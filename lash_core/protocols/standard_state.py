"""What a machine of the standard protocol knows, and its form as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue
from lash_core.model.message import Message
from lash_core.protocols.turn_machine import (
    CancelLlm,
    Checkpoint,
    Emit,
    Finish,
    LlmCall,
    Log,
    MachineEffect,
    Progress,
    SyncEnvironment,
    ToolCalls,
)

PROTOCOL_ID = "standard"
CHECKPOINT_VERSION = 1

_EFFECTS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (SyncEnvironment, LlmCall, CancelLlm, ToolCalls, Checkpoint, Log, Emit, Progress, Finish)
}
_MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])


@dataclass(slots=True)
class StandardState:
    """The state of one turn.

    Attributes:
        turn_id: part of the ids of the messages that the machine makes.
        messages: of the turn so far, transient ones included.
        history_ends_with_tool_result: of what was before them.
        max_turns: model calls of this turn, but for the one that a late delivery adds.
        first_iteration: where this turn began to count.
        iteration: of the model call that is made or was made last.
        asked: how many effects were asked for; names them.
        call_ids: of all tool calls of the turn.
        answer: what the turn will finish with, unless the checkpoint before delivers something.
        queue: effects to ask for, the outstanding one first. An ``LlmCall`` here has no messages: they are the state's.
    """

    turn_id: str
    messages: list[Message]
    history_ends_with_tool_result: bool
    max_turns: int
    first_iteration: int
    iteration: int
    asked: int = 0
    call_ids: set[str] = field(default_factory=set[str])
    answer: str = ""
    queue: list[MachineEffect] = field(default_factory=list[MachineEffect])

    @property
    def last_iteration(self) -> int:
        """The last one within the limit."""
        return self.first_iteration + self.max_turns - 1

    def to_json_value(self) -> dict[str, JsonValue]:
        """The state as JSON."""
        return {
            "protocol": PROTOCOL_ID,
            "v": CHECKPOINT_VERSION,
            "turn_id": self.turn_id,
            "messages": [message.to_json_value() for message in self.messages],
            "history_ends_with_tool_result": self.history_ends_with_tool_result,
            "max_turns": self.max_turns,
            "first_iteration": self.first_iteration,
            "iteration": self.iteration,
            "asked": self.asked,
            "call_ids": sorted(self.call_ids),
            "answer": self.answer,
            "queue": [_effect_json(effect) for effect in self.queue],
        }

    @classmethod
    def from_json_value(cls, value: JsonValue) -> StandardState:
        """The state of its JSON. Raises: InvalidArgumentError: it is none of this protocol and release."""
        if not isinstance(value, dict) or value.get("protocol") != PROTOCOL_ID:
            raise _bad("it is not of the protocol `standard`", value)
        facts: dict[str, Any] = value
        if facts.get("v") != CHECKPOINT_VERSION:
            raise _bad(f"its version is {facts.get('v')!r}, this release reads {CHECKPOINT_VERSION}", facts.get("v"))
        try:
            return cls(
                turn_id=str(facts["turn_id"]),
                messages=_MESSAGES.validate_python(facts["messages"]),
                history_ends_with_tool_result=bool(facts["history_ends_with_tool_result"]),
                max_turns=int(facts["max_turns"]),
                first_iteration=int(facts["first_iteration"]),
                iteration=int(facts["iteration"]),
                asked=int(facts["asked"]),
                call_ids={str(call_id) for call_id in facts["call_ids"]},
                answer=str(facts["answer"]),
                queue=[_EFFECTS[kind].validate_python(one) for kind, one in facts["queue"]],
            )
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            raise _bad(f"{type(error).__name__}: {error}"[:500], None) from error


Make = Callable[[str], MachineEffect]
"""Makes an effect of the id that it is given."""


def _effect_json(effect: MachineEffect) -> list[JsonValue]:
    kind = type(effect).__name__
    return [kind, _EFFECTS[kind].dump_python(effect, mode="json", by_alias=True, exclude_none=True)]


def _bad(reason: str, value: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"this checkpoint cannot be restored: {reason}", field="checkpoint", value=value)
