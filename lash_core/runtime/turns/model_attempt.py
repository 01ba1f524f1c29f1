"""One attempt of a model call: read by a task of its own, and ended from outside when its time is over.

The provider's code is not trusted to end: whoever waits here watches the clock and the cancel token, and leaves a
reader behind that does not let itself be cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from lash_core.model.fast_build import fast_build
from lash_core.model.model_call import (
    ModelFailure,
    ModelReasoningDelta,
    ModelRequest,
    ModelResponse,
    ModelStreamEvent,
    ModelTextDelta,
    ModelUsageUpdate,
)
from lash_core.model.turn_activity import TurnEvent
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.model_provider import ModelCallError, ModelProvider
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.failure_texts import bounded, text_of

NEVER_BEGAN = "first_token_timeout"
STREAM_STALLED = "stream_stalled"
ATTEMPT_TIMEOUT = "attempt_timeout"
STREAM_INCOMPLETE = "stream_incomplete"
RESPONSE_TOO_LARGE = "response_too_large"

STREAMED_CHARACTERS_MAX = 4 * 1024 * 1024
"""Text and reasoning of one attempt: a provider that repeats itself for ever fills no memory."""
DROP_GRACE_MS = 1_000
"""How long a dropped attempt may take to clean up; the teardown of a turn has two seconds in all."""
LISTENER_LOOK_MS = 250
"""Between two looks at the clock while a live listener holds the attempt back."""

Send = Callable[[TurnEvent], Awaitable[None]]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class AttemptEnd:
    """How an attempt ended.

    Attributes:
        response: of a completed one; its ``usage`` is the final one, else the last that was streamed.
        failure: of a failed one.
        usage: the last that is known, of any end.
        text_streamed: prose was sent live.
        anything_streamed: prose or reasoning was: a failed attempt has something to take back.
    """

    outcome: Literal["completed", "failed", "cancelled"]
    response: ModelResponse | None = None
    failure: ModelFailure | None = None
    usage: TokenUsage | None = None
    text_streamed: bool = False
    anything_streamed: bool = False


class ModelAttempt:
    """One attempt.

    Args:
        provider: is asked once.
        request: what it is asked.
        policy: the bounds of time.
        send: takes live events; time spent in it is not the provider's.
    """

    def __init__(
        self, provider: ModelProvider, request: ModelRequest, policy: ModelRetryPolicy, send: Send | None
    ) -> None:
        self._provider = provider
        self._request = request
        self._policy = policy
        self._send = send
        self._end = AttemptEnd("cancelled")
        self._characters = 0
        self._loop = asyncio.get_running_loop()
        self._begun = self._heard = self._loop.time()
        self._heard_anything = False
        self._in_listener = False
        self._dropped = False

    async def run(self, token: CancellationToken) -> AttemptEnd:
        """Attempt it. When the token is fired the call is dropped at once, and the end is ``cancelled``.

        Raises:
            asyncio.CancelledError: the caller was cancelled; the call is dropped, too.
        """
        loop = self._loop
        fired: asyncio.Future[None] = loop.create_future()
        reader = asyncio.create_task(self._read())
        forget = token.on_cancel(lambda: _tell(loop, fired))
        timed_out: ModelFailure | None = None
        try:
            while not (reader.done() or fired.done()):
                timed_out = self._overdue(loop.time())
                if timed_out is not None:
                    break
                await asyncio.wait(
                    {reader, fired}, timeout=self._next_look(loop.time()), return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            forget()
            fired.cancel()
            if not reader.done():
                self._dropped = True
                await _drop(reader)
        if timed_out is None and reader.done():
            self._take_end(reader)
        elif timed_out is not None:
            self._end.outcome, self._end.failure = "failed", timed_out
        return self._end

    def _take_end(self, reader: asyncio.Task[ModelResponse | None]) -> None:
        end = self._end
        if reader.cancelled():
            if not self._dropped:
                end.outcome, end.failure = "failed", _failure_of(asyncio.CancelledError())
            return
        error = reader.exception()
        response = None if error is not None else reader.result()
        if response is None:
            end.outcome, end.failure = "failed", _failure_of(error)
        else:
            end.outcome, end.usage = "completed", response.usage or end.usage
            end.response = response.model_copy(update={"usage": end.usage})

    async def _read(self) -> ModelResponse | None:
        stream = self._provider.stream(self._request)
        try:
            async for event in stream:
                self._heard, self._heard_anything = self._loop.time(), True
                match event:
                    case ModelTextDelta(text=text) if text:
                        self._end.text_streamed = True
                        await self._live("assistant_prose_delta", text)
                    case ModelReasoningDelta(text=text) if text:
                        await self._live("reasoning_delta", text)
                    case ModelUsageUpdate(usage=usage):
                        self._end.usage = usage
                    case ModelResponse():
                        return event
                    case _:
                        pass
        finally:
            await _close(stream)
        return None

    async def _live(self, kind: Literal["assistant_prose_delta", "reasoning_delta"], text: str) -> None:
        self._characters += len(text)
        if self._characters > STREAMED_CHARACTERS_MAX:
            message = f"the model streamed more than {STREAMED_CHARACTERS_MAX} characters"
            raise ModelCallError(ModelFailure(kind="server", message=message, code=RESPONSE_TOO_LARGE))
        self._end.anything_streamed = True
        if self._send is None:
            return
        # Unchecked: a busy worker makes thousands of them a second.
        event = fast_build(TurnEvent, {"type": kind, "facts": {"text": encodable(text)}})
        before, self._in_listener = self._heard, True
        try:
            await self._send(event)
        finally:
            self._in_listener = False
            self._heard = self._loop.time()
            self._begun += self._heard - before

    # -- time -----------------------------------------------------------------------------------------

    def _deadlines(self) -> tuple[tuple[float, str, int], ...]:
        policy = self._policy
        if self._heard_anything:
            code, limit_ms = STREAM_STALLED, policy.silence_timeout_ms
        else:
            code, limit_ms = NEVER_BEGAN, policy.first_token_timeout_ms
        return (
            (self._heard + limit_ms / 1_000, code, limit_ms),
            (self._begun + policy.attempt_timeout_ms / 1_000, ATTEMPT_TIMEOUT, policy.attempt_timeout_ms),
        )

    def _next_look(self, now: float) -> float:
        if self._in_listener:
            return LISTENER_LOOK_MS / 1_000
        nearest = min(deadline for deadline, _, _ in self._deadlines()) - now
        # The first event puts a nearer deadline in the place of the one that was waited for.
        return min(max(0.0, nearest), self._policy.silence_timeout_ms / 1_000)

    def _overdue(self, now: float) -> ModelFailure | None:
        if self._in_listener:
            return None
        deadline, code, limit_ms = min(self._deadlines())
        if now < deadline:
            return None
        message = f"{_WHAT[code]} within {limit_ms} ms"
        return ModelFailure(kind="timeout", message=message, code=code, retryable=True)


_WHAT = {
    NEVER_BEGAN: "the model did not begin to answer",
    STREAM_STALLED: "the model's answer did not go on",
    ATTEMPT_TIMEOUT: "the model's answer did not end",
}


def encodable(text: str) -> str:
    """``text`` with lone surrogates, which no store takes, written out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _failure_of(error: BaseException | None) -> ModelFailure:
    if error is None:
        text = "the model's stream ended without an answer"
        return ModelFailure(kind="connection", message=text, code=STREAM_INCOMPLETE, retryable=True)
    if isinstance(error, ModelCallError):
        return error.failure.model_copy(update={"message": bounded(error.failure.message, 2_000)})
    return ModelFailure(kind="unknown", message=bounded(text_of(error), 2_000), code="provider_raised")


async def _drop(reader: asyncio.Task[ModelResponse | None]) -> None:
    reader.cancel()
    await asyncio.wait({reader}, timeout=DROP_GRACE_MS / 1_000)
    if not reader.done():
        _log.warning("a model call did not end within %d ms of being dropped", DROP_GRACE_MS)
    # What a dropped call still raises is nobody's business; reading it keeps the loop quiet.
    reader.add_done_callback(lambda task: task.cancelled() or task.exception())


async def _close(stream: AsyncIterator[ModelStreamEvent]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def _tell(loop: asyncio.AbstractEventLoop, fired: asyncio.Future[None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: fired.done() or fired.set_result(None))
