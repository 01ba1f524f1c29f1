"""Drives a machine by a script of results, and keeps what it asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lash_core.model.message import Message, MessagePart, TextPart, ToolCallPart
from lash_core.model.model_call import FinishReason, ModelResponse
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.protocols.standard import StandardProtocol
from lash_core.protocols.turn_machine import (
    Checkpoint,
    Delivered,
    Done,
    EffectResult,
    Emit,
    Finish,
    LlmCall,
    LlmResult,
    MachineEffect,
    Progress,
    ToolCalls,
    ToolResults,
    TurnMachine,
    TurnStart,
)

T = TypeVar("T")


def answer(*parts: MessagePart | str, finish_reason: FinishReason = "stop", text_streamed: bool = False) -> LlmResult:
    """A model's answer; text stands for a text part."""
    made = tuple(TextPart(part) if isinstance(part, str) else part for part in parts)
    return LlmResult(ModelResponse(parts=made, finish_reason=finish_reason), text_streamed=text_streamed)


def call(call_id: str = "c1", name: str = "search", args: Any = None) -> ToolCallPart:
    """A tool call."""
    return ToolCallPart(call_id, name, {} if args is None else args)


def start(text: str = "hello", **facts: Any) -> TurnStart:
    """A turn about one user message."""
    return TurnStart("t1", messages=(Message.user(text, message_id="m1"),), **facts)


@dataclass
class Script:
    """Answers effects: models, tools and checkpoints in order, what is left out by a default."""

    models: Iterable[LlmResult] = ()
    tools: Iterable[ToolResults] = ()
    checkpoints: Iterable[Delivered] = ()
    effects: list[MachineEffect] = field(default_factory=list[MachineEffect])

    def run(self, start: TurnStart) -> Finish:
        """The machine to its end."""
        driver = StandardProtocol()
        models, tools, checkpoints = iter(self.models), iter(self.tools), iter(self.checkpoints)
        machine: TurnMachine = driver.begin(start)
        for _ in range(6_000):
            effect = machine.next_effect()
            self.effects.append(effect)
            result: EffectResult
            match effect:
                case Finish():
                    return effect
                case LlmCall():
                    result = next(models)
                case ToolCalls():
                    outputs: tuple[AnyToolOutput, ...] = tuple(ToolSuccess("ok") for _ in effect.calls)
                    result = next(tools, ToolResults(outputs))
                case Checkpoint():
                    result = next(checkpoints, Delivered())
                case _:
                    result = Done()
            machine.resume(effect.effect_id, result)
        raise AssertionError("the machine never ends")

    def of(self, kind: type[T]) -> list[T]:
        """The effects of one kind, in order."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def appended(self) -> list[Message]:
        """What the turn appended to the history."""
        return [message for effect in self.of(Progress) for message in effect.messages]

    @property
    def shown(self) -> list[tuple[str, dict[str, Any]]]:
        """The live events."""
        return [(effect.event.type, effect.event.facts) for effect in self.of(Emit)]

    @property
    def kinds(self) -> list[str]:
        """What was asked for, in order, but for what changes nothing."""
        return [
            f"Checkpoint {effect.kind}" if isinstance(effect, Checkpoint) else type(effect).__name__
            for effect in self.effects
            if isinstance(effect, LlmCall | ToolCalls | Checkpoint | Finish)
        ]
