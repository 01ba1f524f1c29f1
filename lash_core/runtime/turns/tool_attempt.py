"""One attempt of a tool call: find the tool, project its arguments, run it, check what it answers.

``docs/contracts/sessions.md`` 3.3.

Whatever is wrong with the call is its answer: the model is told and goes on. What is recorded says all that a redone
turn needs: the answer, how long it took, and whether another attempt follows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from lash_core.errors import InvalidArgumentError, InvalidJsonError, LashError
from lash_core.model.await_output import ToolFailureClass
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.message import ToolCallPart
from lash_core.model.projected_value import FindValue, project_arguments
from lash_core.model.tool_control import tool_control_of
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess, tool_output_of
from lash_core.model.tool_retry import NO_TOOL_RETRIES, ToolRetryPolicy, wait_before_retry
from lash_core.model.tool_state import ToolManifest
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.failure_texts import bounded, text_of
from lash_core.runtime.journal.errors import NotRecordedError
from lash_core.runtime.tool_registry import ToolRegistry, ToolUnavailableError
from lash_core.runtime.tools import ToolContext
from lash_core.runtime.turns.bounded_call import CallEnd, call_bounded

OUTPUT_BYTES_MAX = 192 * 1024
"""Of one answer as JSON: with what is recorded beside it, it fits the payload limit of a journal."""

TOOL_FAILED = "tool_failed"
TOOL_TIMEOUT = "tool_timeout"
TOOL_UNAVAILABLE = "tool_unavailable"
ARGS_INVALID = "tool_args_invalid"
OUTPUT_INVALID = "tool_output_invalid"
OUTPUT_TOO_LARGE = "tool_output_too_large"
CONTROL_INVALID = "tool_control_invalid"


class ToolCutShortError(NotRecordedError):
    """The turn's token ended the attempt: nothing is recorded, a turn that is redone runs it again."""


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """What is recorded of an attempt.

    Attributes:
        output: what it answered.
        duration_ms: how long it ran, by this machine's monotonic clock.
        again_ms: the wait before the next attempt; None = this was the last.
        triggers: reports of occurrences that the tool emitted, as JSON.
    """

    output: AnyToolOutput
    duration_ms: int = 0
    again_ms: int | None = None
    triggers: tuple[JsonValue, ...] = ()

    def to_json_value(self) -> dict[str, JsonValue]:
        """As recorded; what says nothing is left out."""
        facts: dict[str, JsonValue] = {"output": self.output.to_json_value(), "duration_ms": self.duration_ms}
        if self.again_ms is not None:
            facts["again_ms"] = self.again_ms
        if self.triggers:
            facts["triggers"] = list(self.triggers)
        return facts

    @classmethod
    def of(cls, value: JsonValue) -> AttemptOutcome:
        """Of what was recorded. Raises: ValidationError, KeyError, TypeError: it is none."""
        facts: dict[str, Any] = value
        again_ms = facts.get("again_ms")
        return cls(
            tool_output_of(facts["output"]),
            int(facts.get("duration_ms", 0)),
            None if again_ms is None else int(again_ms),
            tuple(facts.get("triggers", ())),
        )


class ToolAttempt:
    """One attempt of one call.

    Args:
        tools: of the session.
        call: as the model asked.
        context: what the tool is given; its token is the call's own.
        turn_token: of the turn; an attempt that it ends is not recorded.
        find: resolves projected values.
    """

    def __init__(
        self,
        tools: ToolRegistry,
        call: ToolCallPart,
        context: ToolContext,
        turn_token: CancellationToken,
        find: FindValue,
    ) -> None:
        self._tools = tools
        self._call = call
        self._context = context
        self._turn_token = turn_token
        self._find = find

    async def run(self) -> AttemptOutcome:
        """Run it.

        Raises:
            ToolCutShortError: the turn's token ended it.
            STORE_ERRORS: the session's own store failed in a service of the tool's, and that left the tool.
            asyncio.CancelledError: the caller was cancelled.
        """
        if self._turn_token.cancelled:
            raise ToolCutShortError(self._turn_token.reason or "the turn is cancelled")
        began = time.monotonic()
        forget = self._turn_token.on_cancel(self._hand_on)
        policy = NO_TOOL_RETRIES
        try:
            tool = self._tools.resolve(self._call.tool_name)
            policy = tool.manifest.retry
            args = project_arguments(self._call.args, tool.manifest.argument_projection, self._find)
            end = await call_bounded(
                _as_coroutine(tool.call(self._context, args)), self._context.cancellation, tool.manifest.timeout_ms
            )
            output = self._checked(self._answer(end, tool.manifest))
        except ToolUnavailableError as error:
            output = failure_of("unavailable", TOOL_UNAVAILABLE, error.message)
        except InvalidArgumentError as error:
            output = failure_of("invalid_request", ARGS_INVALID, error.message)
        finally:
            forget()
        return self._ended(output, policy, int((time.monotonic() - began) * 1_000))

    def _hand_on(self) -> None:
        self._context.cancellation.cancel(self._turn_token.reason)

    def _answer(self, end: CallEnd, manifest: ToolManifest) -> Any:
        """What the code answered or what became of it.

        Once it was told to end, only a success counts as its answer: whatever else it says may be because of that.
        """
        cut_short = self._turn_token.cancelled
        if end.how == "returned" and (isinstance(end.value, ToolSuccess) or not (cut_short or end.timed_out)):
            return end.value
        if cut_short or isinstance(end.error, ToolCutShortError):
            raise ToolCutShortError(self._turn_token.reason or "the turn is cancelled")
        if end.timed_out:
            text = f"tool `{manifest.name}` did not end within {manifest.timeout_ms} ms"
            return failure_of("timeout", TOOL_TIMEOUT, text)
        if end.error is not None:
            if self._context.turn is not None and self._context.turn.is_of_its_store(end.error):
                raise end.error
            text = end.error.message if isinstance(end.error, LashError) else text_of(end.error)
            return failure_of("execution", TOOL_FAILED, text)
        return ToolCancelled("the tool ended itself")

    def _checked(self, output: Any) -> AnyToolOutput:
        if not isinstance(output, ToolSuccess | ToolFailure | ToolCancelled):
            return failure_of("internal", OUTPUT_INVALID, f"the tool answered a {type(output).__name__}, no output")
        refusal = refusal_of(output, "tool")
        if refusal is not None:
            return refusal
        if output.control is not None and tool_control_of(output.control) is None:
            return failure_of("internal", CONTROL_INVALID, "the tool's answer carries a control that is none")
        return output

    def _ended(self, output: AnyToolOutput, policy: ToolRetryPolicy, duration_ms: int) -> AttemptOutcome:
        attempt = self._context.attempt
        wish = output.retry if isinstance(output, ToolFailure) else None
        again_ms = wait_before_retry(policy, wish, attempt)
        if isinstance(output, ToolFailure) and output.is_safe_to_retry and again_ms is None and policy.attempts_max > 1:
            exhausted = output.retry.model_copy(update={"disposition": "exhausted"}) if output.retry else None
            output = output.model_copy(update={"retry": exhausted})
        return AttemptOutcome(output, duration_ms, again_ms)


def refusal_of(output: AnyToolOutput, who: str) -> ToolFailure | None:
    """Why an output cannot be stored: no JSON, or over ``OUTPUT_BYTES_MAX``; ``who`` answered it. None: it can be."""
    try:
        size = len(canonical_json_bytes(output.to_plain_value(), field="output"))
    except InvalidJsonError as error:
        return failure_of("internal", OUTPUT_INVALID, error.message)
    if size > OUTPUT_BYTES_MAX:
        text = f"the {who}'s answer has {size} bytes; the limit is {OUTPUT_BYTES_MAX}"
        return failure_of("resource_limit", OUTPUT_TOO_LARGE, text)
    return None


def failure_of(class_: str, code: str, message: str) -> ToolFailure:
    """A failure whose text can always be stored."""
    return ToolFailure.model_validate({"class": ToolFailureClass(class_), "code": code, "message": bounded(message)})


async def _as_coroutine(answer: Any) -> Any:
    return await answer


def with_triggers(outcome: AttemptOutcome, triggers: tuple[JsonValue, ...]) -> AttemptOutcome:
    """The outcome with what the tool emitted."""
    return replace(outcome, triggers=triggers)
