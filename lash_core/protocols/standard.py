"""The standard protocol: call the model, run the tools that it asks for, until it answers.

``docs/contracts/sessions.md`` 3.3.

One iteration is one model call. An answer without tool calls ends the turn, unless the checkpoint before its end
delivers something; tool calls run as one batch, and their results go back to the model. Pure: ``TurnMachine`` says what
the runtime does with the effects.
"""

from __future__ import annotations

from dataclasses import replace

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue
from lash_core.model.message import Message, ToolCallPart
from lash_core.model.model_call import ModelResponse
from lash_core.model.tool_control import AnyToolControl, FinishControl, outcome_of_control
from lash_core.model.turn_activity import TurnEvent
from lash_core.model.turn_input import CheckpointKind
from lash_core.model.turn_outcome import (
    AssistantMessageFinish,
    FinishedOutcome,
    StoppedOutcome,
    StopReason,
    TurnIssue,
    TurnOutcome,
)
from lash_core.protocols import standard_rules as rules
from lash_core.protocols.standard_state import PROTOCOL_ID, Make, StandardState
from lash_core.protocols.turn_machine import (
    Checkpoint,
    Delivered,
    Done,
    EffectResult,
    Emit,
    Finish,
    LlmCall,
    LlmResult,
    Log,
    MachineEffect,
    Progress,
    SyncEnvironment,
    ToolCalls,
    ToolResults,
    TurnMachine,
    TurnStart,
)

MAX_TURNS_DEFAULT = 500
"""Model calls of a turn whose policy names no limit: an agent that goes round in circles ends some day."""


class StandardProtocol:
    """``ProtocolDriver`` of the standard protocol. Keeps nothing: one serves all sessions."""

    @property
    def protocol_id(self) -> str:
        """``standard``."""
        return PROTOCOL_ID

    def begin(self, start: TurnStart) -> TurnMachine:
        """A machine at the beginning of a turn."""
        return StandardMachine.begin(start)

    def restore(self, checkpoint: JsonValue) -> TurnMachine:
        """A machine as it was written down. Raises: InvalidArgumentError: it is none of this protocol and release."""
        return StandardMachine(StandardState.from_json_value(checkpoint))


class StandardMachine:
    """One turn of the standard protocol; a ``TurnMachine``."""

    def __init__(self, state: StandardState) -> None:
        self._state = state
        self._asked: MachineEffect | None = None

    @classmethod
    def begin(cls, start: TurnStart) -> StandardMachine:
        """A machine at the beginning of a turn. Raises: InvalidArgumentError: a limit below 1."""
        max_turns = MAX_TURNS_DEFAULT if start.max_turns is None else start.max_turns
        if max_turns < 1:
            raise InvalidArgumentError("max_turns must be at least 1", field="max_turns", value=max_turns, limit=1)
        machine = cls(
            StandardState(
                turn_id=start.turn_id,
                messages=list(start.messages),
                history_ends_with_tool_result=start.last_message_is_tool_result,
                max_turns=max_turns,
                first_iteration=start.iteration_offset,
                iteration=start.iteration_offset,
            )
        )
        machine._call_model()
        return machine

    # -- the seam --------------------------------------------------------------------------------------

    def next_effect(self) -> MachineEffect:
        """See ``TurnMachine``."""
        if self._asked is None:
            head = self._state.queue[0]
            if isinstance(head, LlmCall):
                head = replace(head, messages=tuple(self._state.messages))
            self._asked = head
        return self._asked

    def resume(self, effect_id: str, result: EffectResult) -> None:
        """See ``TurnMachine``."""
        effect = self.next_effect()
        if isinstance(effect, Finish) or effect.effect_id != effect_id:
            raise InvalidArgumentError(
                f"effect `{effect_id}` is not outstanding, `{effect.effect_id}` is", field="effect_id", value=effect_id
            )
        _check_fits(effect, result)
        self._state.queue.pop(0)
        self._asked = None
        match effect, result:
            case LlmCall(), LlmResult():
                self._on_model(result)
            case ToolCalls(), ToolResults():
                self._on_tools(effect.calls, result)
            case Checkpoint(), Delivered():
                self._on_checkpoint(effect.kind, result)
            case _:
                pass

    def checkpoint(self) -> JsonValue:
        """See ``TurnMachine``."""
        return self._state.to_json_value()

    # -- the loop --------------------------------------------------------------------------------------

    def _call_model(self) -> None:
        iteration = self._state.iteration
        self._ask("sync", SyncEnvironment)
        self._ask("llm", lambda effect_id: LlmCall(effect_id, iteration, ()))

    def _on_model(self, result: LlmResult) -> None:
        if result.cancelled:
            return self._stop("cancelled")
        if result.issue is not None or result.response is None:
            issue = result.issue or TurnIssue(
                kind=rules.PROVIDER_ISSUE, message="the model call ended without an answer"
            )
            return self._fail(rules.provider_issue(issue))
        response = result.response
        cut_short = rules.issue_of_finish(response)
        if cut_short is not None:
            return self._fail(cut_short)
        if response.finish_reason == "output_limit":
            return self._on_truncated(response, streamed=result.text_streamed)
        if any(isinstance(part, ToolCallPart) for part in response.parts):
            return self._on_calls(response, streamed=result.text_streamed)
        return self._on_answer(response, streamed=result.text_streamed)

    def _on_truncated(self, response: ModelResponse, *, streamed: bool) -> None:
        """Prose stays; calls do not run: the last one may lack half of its arguments."""
        fault = rules.fault_of_parts(rules.spoken_parts(response))
        if fault is not None:
            return self._fail(rules.provider_issue(fault))
        calls = sum(isinstance(part, ToolCallPart) for part in response.parts)
        if calls:
            text = f"the answer was cut off at the output limit: its {calls} tool calls are not run"
            self._ask("log", lambda effect_id: Log(effect_id, "warning", text))
        self._say(response, streamed=streamed)
        return self._stop("incomplete")

    def _on_answer(self, response: ModelResponse, *, streamed: bool) -> None:
        state = self._state
        fault = rules.fault_of_parts(rules.spoken_parts(response))
        if fault is not None:
            return self._fail(rules.provider_issue(fault))
        said = self._say(response, streamed=streamed)
        if not said and not rules.ends_with_tool_result(state.messages, before=state.history_ends_with_tool_result):
            return self._fail(TurnIssue(kind=rules.PROVIDER_ISSUE, code="empty_response", message=rules.EMPTY_RESPONSE))
        state.answer = rules.text_of(state.messages[-1].parts) if said else ""
        if state.iteration > state.last_iteration:
            # The one extra call is used up. What arrives now is left for the next turn: this one could not answer it.
            return self._finish(_answered(state.answer))
        return self._at_boundary("before_completion")

    def _on_calls(self, response: ModelResponse, *, streamed: bool) -> None:
        state = self._state
        parts = rules.assistant_parts(response, state.call_ids, state.iteration)
        fault = rules.fault_of_parts(parts)
        if fault is not None:
            return self._fail(rules.provider_issue(fault))
        if not streamed:
            self._show(rules.text_of(parts))
        self._append(Message(id=self._message_id("a"), role="assistant", parts=parts))
        calls = tuple(part for part in parts if isinstance(part, ToolCallPart))
        iteration = state.iteration
        return self._ask("tools", lambda effect_id: ToolCalls(effect_id, iteration, calls))

    def _on_tools(self, calls: tuple[ToolCallPart, ...], result: ToolResults) -> None:
        state = self._state
        parts = rules.result_parts(calls, result.outputs)
        self._append(Message(id=self._message_id("r"), role="user", parts=parts))
        if result.cancelled:
            return self._stop("cancelled")
        found = rules.first_control(calls, result.outputs)
        if found is not None:
            return self._on_control(*found)
        if state.iteration >= state.last_iteration:
            text = rules.turn_limit_text(state.max_turns)
            self._append(Message.system(text, message_id=self._message_id("limit")))
            return self._stop("max_turns")
        return self._at_boundary("after_work")

    def _on_control(self, call: ToolCallPart, control: AnyToolControl) -> None:
        if isinstance(control, FinishControl):
            event = (
                TurnEvent("final_value", {"value": control.value})
                if control.final
                else TurnEvent("tool_value", {"tool_name": call.tool_name, "value": control.value})
            )
            self._ask("emit", lambda effect_id: Emit(effect_id, call.call_id, event))
        self._finish(outcome_of_control(control, call.tool_name))

    def _on_checkpoint(self, kind: CheckpointKind, result: Delivered) -> None:
        state = self._state
        if result.cancelled:
            return self._stop("cancelled")
        seen = {message.id for message in state.messages if message.id}
        fresh = rules.unseen(result.messages, seen)
        if kind == "before_completion" and not fresh:
            return self._finish(_answered(state.answer))
        if fresh:
            first = len(state.messages)
            self._append(
                *(
                    message if message.id else message.model_copy(update={"id": self._message_id(f"d{first + offset}")})
                    for offset, message in enumerate(fresh)
                )
            )
        state.iteration += 1
        return self._call_model()

    # -- steps -----------------------------------------------------------------------------------------

    def _say(self, response: ModelResponse, *, streamed: bool) -> bool:
        """Append an answer's prose; False when it has none."""
        parts = rules.spoken_parts(response)
        if not parts:
            return False
        if not streamed:
            self._show(rules.text_of(parts))
        self._append(Message(id=self._message_id("a"), role="assistant", parts=parts))
        return True

    def _show(self, text: str) -> None:
        if text:
            event = TurnEvent("assistant_prose_delta", {"text": text})
            correlation_id = f"llm:{self._state.iteration}"
            self._ask("emit", lambda effect_id: Emit(effect_id, correlation_id, event))

    def _append(self, *messages: Message) -> None:
        self._state.messages += messages
        stored = tuple(message for message in messages if not message.transient)
        if stored:
            self._ask("progress", lambda effect_id: Progress(effect_id, stored))

    def _at_boundary(self, kind: CheckpointKind) -> None:
        iteration = self._state.iteration
        self._ask(f"checkpoint:{kind}", lambda effect_id: Checkpoint(effect_id, iteration, kind))

    def _fail(self, issue: TurnIssue) -> None:
        event = TurnEvent("error", {"kind": issue.kind, "message": issue.message})
        correlation_id = f"llm:{self._state.iteration}"
        self._ask("emit", lambda effect_id: Emit(effect_id, correlation_id, event))
        self._stop("provider_error", issue)

    def _stop(self, reason: StopReason, *issues: TurnIssue) -> None:
        self._finish(StoppedOutcome(reason), *issues)

    def _finish(self, outcome: TurnOutcome, *issues: TurnIssue) -> None:
        self._ask("finish", lambda effect_id: Finish(effect_id, outcome, issues))

    def _ask(self, name: str, make: Make) -> None:
        state = self._state
        state.asked += 1
        state.queue.append(make(f"{name}:{state.iteration}:{state.asked}"))

    def _message_id(self, suffix: str) -> str:
        """The same in every run of the turn: a redone turn names the same prompt to its journal."""
        return f"m_{self._state.turn_id}_{self._state.iteration}_{suffix}"


def _answered(text: str) -> TurnOutcome:
    return FinishedOutcome(AssistantMessageFinish(text))


def _check_fits(effect: MachineEffect, result: EffectResult) -> None:
    match effect:
        case LlmCall():
            fits = isinstance(result, LlmResult)
        case ToolCalls():
            fits = isinstance(result, ToolResults) and len(result.outputs) == len(effect.calls)
        case Checkpoint():
            fits = isinstance(result, Delivered)
        case _:
            fits = isinstance(result, Done)
    if not fits:
        raise InvalidArgumentError(
            f"the result of effect `{effect.effect_id}` does not fit it", field="result", value=type(result).__name__
        )
