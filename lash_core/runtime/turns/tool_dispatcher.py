"""Runs the tool calls of a turn: concurrently, each attempt once over all redos (``docs/contracts/tools.md`` 1 and 2).

An attempt is one journaled effect, ``tool:<call id>:attempt:<n>``. The tool is looked up inside it: what was recorded
is answered also when the tool has gone meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lash_core.errors import InvalidArgumentError, RuntimeFailure
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json_bytes, check_json
from lash_core.model.chronological_projection import value_at
from lash_core.model.effect import WRONG_OUTCOME, EffectKind, RuntimeEffectEnvelope
from lash_core.model.message import ToolCallPart
from lash_core.model.session_state import SessionReadView
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.tool_retry import TOOL_ATTEMPTS_MAX
from lash_core.model.tool_state import ToolScheduling
from lash_core.model.turn_activity import TurnEvent
from lash_core.model.turn_outcome import TurnToolCall
from lash_core.protocols.turn_machine import ToolCalls, ToolResults
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.journal.errors import OUTCOME_TOO_LARGE
from lash_core.runtime.local_executors import RuntimeEffectLocalExecutor
from lash_core.runtime.token_race import unless_cancelled
from lash_core.runtime.tool_dispatch import ToolTriggerOutcomeBuffer
from lash_core.runtime.tool_registry import ToolRegistry, ToolUnavailableError
from lash_core.runtime.tool_turn import InnerToolAnswer, ToolTurn
from lash_core.runtime.tools import ToolContext
from lash_core.runtime.turns.call_order import PARALLEL_MAX, run_in_order
from lash_core.runtime.turns.tool_attempt import (
    OUTPUT_TOO_LARGE,
    AttemptOutcome,
    ToolAttempt,
    ToolCutShortError,
    failure_of,
    with_triggers,
)
from lash_core.runtime.turns.turn_effects import NEVER_RECORDED
from lash_core.runtime.turns.turn_scope import TurnScope

ROUND_CALLS_MAX = 500
"""Calls of one round that run; those after them fail: a model that asks for thousands has lost its way."""
ROUND_BYTES_MAX = 768 * 1024
"""Of all results of one round as JSON: they are one message, and stores refuse one over 1 MiB."""

TOO_MANY_CALLS = "tool_calls_too_many"
TOOL_CALLS_PHASE = "tool_calls"
"""Named phase around the calls of one round."""


@dataclass(frozen=True, slots=True)
class Answered:
    """How a call ended. ``cut_short``: by the turn's token, so nothing is recorded of its last attempt."""

    output: AnyToolOutput
    attempts: int = 1
    duration_ms: int = 0
    triggers: tuple[JsonValue, ...] = ()
    cut_short: bool = False


class TurnToolDispatcher:
    """Runs the tool calls of one turn.

    Args:
        scope: whose effects record the attempts, and whose token ends them.
        context: what tools see of the runtime; its effects must be those of ``scope``.
        tools: of the session.
        read_view: the session as it was when the turn began, for tools.
        parallel_max: calls of one round that run at once.
    """

    def __init__(
        self,
        scope: TurnScope,
        context: RuntimeExecutionContext,
        tools: ToolRegistry,
        *,
        read_view: SessionReadView | None = None,
        parallel_max: int = PARALLEL_MAX,
    ) -> None:
        self._scope = scope
        self._context = context
        self._tools = tools
        self._read_view = read_view
        self._parallel_max = parallel_max
        self._values: dict[str, JsonValue] = {}

    async def run(self, calls: ToolCalls) -> tuple[ToolResults, tuple[TurnToolCall, ...]]:
        """Run the calls of one round to their ends; results and records are in the calls' order.

        A tool's failure is its result. When the turn's token fires, tools are told, have a grace, and answer
        ``cancelled``; nothing is recorded of such an attempt.

        Raises:
            RuntimeFailure: the journal was written for another program, or is full.
            SessionLeaseLostError, store errors: nothing more may be recorded, or cannot.
        """
        with self._scope.phase(TOOL_CALLS_PHASE):
            ran = await self._run_all(calls.calls[:ROUND_CALLS_MAX], calls.iteration, inner=False)
        answers = within_round([*ran, *(_one_too_many() for _ in calls.calls[ROUND_CALLS_MAX:])])
        records = tuple(
            TurnToolCall(
                call_id=call.call_id,
                tool_name=call.tool_name,
                args=call.args,
                output=answer.output.to_json_value(),
                attempts=answer.attempts,
                duration_ms=answer.duration_ms,
            )
            for call, answer in zip(calls.calls, answers, strict=True)
        )
        outputs = tuple(answer.output for answer in answers)
        return ToolResults(outputs, cancelled=any(answer.cut_short for answer in answers)), records

    # -- calls -----------------------------------------------------------------------------------------

    async def _run_all(self, calls: Sequence[ToolCallPart], iteration: int, *, inner: bool) -> list[Answered]:
        async def work(index: int) -> Answered:
            return await self._run_call(calls[index], iteration, inner=inner)

        serial = [self._is_serial(call.tool_name) for call in calls]
        return await run_in_order(serial, work, parallel_max=self._parallel_max)

    def _is_serial(self, name: str) -> bool:
        try:
            return self._tools.resolve(name).manifest.scheduling is ToolScheduling.SERIAL
        except ToolUnavailableError:
            return False

    async def _run_call(self, call: ToolCallPart, iteration: int, *, inner: bool) -> Answered:
        live = _Live(self._scope, call)
        duration_ms, triggers, attempt = 0, (), 1
        while True:
            executor = self._executor(call, iteration, attempt, live, inner=inner)
            ran_before, outcome, cut_short = live.ran, None, False
            try:
                outcome = await self._attempt(call, iteration, attempt, executor)
            except ToolCutShortError:
                cut_short = True
            if outcome is not None:
                duration_ms += outcome.duration_ms
                triggers += outcome.triggers
                if outcome.again_ms is None:
                    break
                # An attempt that an earlier run of the turn made was long enough ago.
                ran_now = live.ran > ran_before
                cut_short = ran_now and not await self._rest(outcome.again_ms)
            if cut_short:
                reason = self._scope.cancellation.reason or "cancelled"
                answered = Answered(ToolCancelled(reason), attempt, duration_ms, triggers, cut_short=True)
                await live.completed(answered)
                return answered
            attempt += 1
        answered = Answered(outcome.output, attempt, duration_ms, triggers)
        if isinstance(outcome.output, ToolSuccess):
            self._values[call.call_id] = outcome.output.value
        await live.completed(answered)
        return answered

    async def _attempt(
        self, call: ToolCallPart, iteration: int, attempt: int, executor: RuntimeEffectLocalExecutor
    ) -> AttemptOutcome:
        envelope = self._scope.envelope(
            f"tool:{call.call_id}:attempt:{attempt}",
            EffectKind.TOOL_ATTEMPT,
            {
                "call_id": call.call_id,
                "tool_name": call.tool_name,
                "args": call.args,
                "attempt": attempt,
                # Not the policy's number: a policy that changed is no reason to refuse what was recorded.
                "attempts_max": TOOL_ATTEMPTS_MAX,
            },
            iteration=iteration,
        )
        effects = self._scope.effects
        try:
            recorded = await effects.execute_effect(envelope, executor)
        except NEVER_RECORDED:
            raise
        except RuntimeFailure as error:
            if error.code != OUTCOME_TOO_LARGE or getattr(effects, "mismatch", None) is not None:
                raise
            # The attempt was made and its answer could not be recorded: that is recorded, and the model is told.
            return AttemptOutcome(failure_of("resource_limit", OUTPUT_TOO_LARGE, error.detail))
        try:
            return AttemptOutcome.of(recorded.value)
        except (KeyError, TypeError, ValueError) as error:
            raise RuntimeFailure(WRONG_OUTCOME, f"effect `{envelope.replay_key}` answered no tool attempt") from error

    async def _rest(self, wait_ms: int) -> bool:
        """Wait before the next attempt; False when the turn's token fired first."""
        return await unless_cancelled(self._scope.cancellation, asyncio.sleep(wait_ms / 1_000))

    # -- attempts --------------------------------------------------------------------------------------

    def _executor(
        self, call: ToolCallPart, iteration: int, attempt: int, live: _Live, *, inner: bool
    ) -> RuntimeEffectLocalExecutor:
        async def execute(envelope: RuntimeEffectEnvelope) -> JsonValue:
            emitted = ToolTriggerOutcomeBuffer()
            if self._scope.cancellation.cancelled:
                raise ToolCutShortError(self._scope.cancellation.reason or "the turn is cancelled")
            broken: list[Exception] = []
            inside = None if inner else self._inner_calls(call, iteration, broken)
            context = self._tool_context(call, attempt, envelope, emitted, inside)
            await live.started()
            outcome = await ToolAttempt(self._tools, call, context, self._scope.cancellation, self._find).run()
            if broken:
                # Whatever the tool made of it: a call inside it could not be recorded.
                raise broken[0]
            reports = tuple(one.to_json_value() for one in emitted.drain())
            return with_triggers(outcome, reports).to_json_value()

        return RuntimeEffectLocalExecutor(execute)

    def _inner_calls(
        self, call: ToolCallPart, iteration: int, broken: list[Exception]
    ) -> Callable[[Sequence[ToolCallPart]], Awaitable[tuple[InnerToolAnswer, ...]]]:
        """What the tool calls others with; an end that is not recorded is also put into ``broken``."""
        taken: set[str] = set()

        async def call_tools(calls: Sequence[ToolCallPart]) -> tuple[InnerToolAnswer, ...]:
            _check_inner_ids(call.call_id, calls, taken)
            try:
                answers = await self._run_all(calls, iteration, inner=True)
                if any(answer.cut_short for answer in answers):
                    raise ToolCutShortError(self._scope.cancellation.reason or "the turn is cancelled")
            except (*NEVER_RECORDED, RuntimeFailure) as error:
                broken.append(error)
                raise
            return tuple(InnerToolAnswer(answer.output, answer.duration_ms) for answer in answers)

        return call_tools

    def _tool_context(
        self,
        call: ToolCallPart,
        attempt: int,
        envelope: RuntimeEffectEnvelope,
        emitted: ToolTriggerOutcomeBuffer,
        call_tools: Callable[[Sequence[ToolCallPart]], Awaitable[tuple[InnerToolAnswer, ...]]] | None,
    ) -> ToolContext:
        token = CancellationToken()

        async def report(value: JsonValue) -> None:
            check_json(value, field="progress")
            facts = {"event": "tool_progress", "call_id": call.call_id, "tool_name": call.tool_name, "progress": value}
            await self._scope.send(call.call_id, TurnEvent("plugin_runtime", facts))

        turn = ToolTurn(
            turn_id=self._scope.turn_id,
            tool_name=call.tool_name,
            execution=self._context.with_parent_invocation(envelope.invocation)
            .with_cancellation_token(token)
            .with_history_for_children(),
            read_view=self._read_view,
            report=report,
            call_tools=call_tools,
        )
        return ToolContext(
            session_id=self._scope.session_id,
            call_id=call.call_id,
            attempt=attempt,
            cancellation=token,
            triggers=self._context.tool_triggers(emitted),
            turn=turn,
        )

    def _find(self, ref: str) -> JsonValue:
        """What a projected value stands for: an answer of this turn, else something in the session's history."""
        call_id = ref.removeprefix("call:")
        if call_id != ref and call_id in self._values:
            return self._values[call_id]
        return value_at(self._context.chronological_projection, ref)


def within_round(answers: list[Answered]) -> list[Answered]:
    """The answers; where they are too large together, those over their share say so instead."""
    sizes = [len(canonical_json_bytes(answer.output.to_plain_value(), field="output")) for answer in answers]
    if sum(sizes) <= ROUND_BYTES_MAX:
        return answers
    share = ROUND_BYTES_MAX // len(answers)
    return [
        answer if size <= share else replace(answer, output=_too_large(size))
        for answer, size in zip(answers, sizes, strict=True)
    ]


def _one_too_many() -> Answered:
    text = f"Maximum of {ROUND_CALLS_MAX} tool calls allowed in one answer"
    return Answered(failure_of("resource_limit", TOO_MANY_CALLS, text))


def _too_large(size: int) -> ToolFailure:
    text = f"the result has {size} bytes; the results of one round have {ROUND_BYTES_MAX}. Call this tool by itself."
    return failure_of("resource_limit", OUTPUT_TOO_LARGE, text)


def _check_inner_ids(call_id: str, calls: Sequence[ToolCallPart], taken: set[str]) -> None:
    """Refuse ids that could be those of other calls: each names the effects of its call."""
    for inner in calls:
        if not inner.call_id.startswith(f"{call_id}:") or inner.call_id in taken:
            raise InvalidArgumentError(
                f"the id of a call that `{call_id}` makes must begin with `{call_id}:` and be its own",
                field="call_id",
                value=inner.call_id,
            )
        taken.add(inner.call_id)


class _Live:
    """What is streamed of one call; one that is answered from the journal is told to a ``TurnFollower`` only."""

    def __init__(self, scope: TurnScope, call: ToolCallPart) -> None:
        self._scope = scope
        self._call = call
        self.ran = 0

    async def started(self) -> None:
        """An attempt begins; told once a call."""
        self.ran += 1
        if self.ran == 1:
            await self._send("tool_call_started", {"args": self._call.args})

    async def completed(self, answered: Answered) -> None:
        """The call is over."""
        if not self.ran:
            if not self._scope.tells_again:
                return
            await self._send("tool_call_started", {"args": self._call.args, "recorded": True})
        facts: dict[str, Any] = {
            "output": answered.output.to_json_value(),
            "attempts": answered.attempts,
            "duration_ms": answered.duration_ms,
        }
        if answered.triggers:
            facts["triggers"] = list(answered.triggers)
        await self._send("tool_call_completed", facts)

    async def _send(self, kind: Any, facts: dict[str, JsonValue]) -> None:
        own = {"call_id": self._call.call_id, "tool_name": self._call.tool_name}
        await self._scope.send(self._call.call_id, TurnEvent(kind, own | facts))
