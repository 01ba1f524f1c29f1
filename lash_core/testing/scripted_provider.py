"""A model provider that plays a script: for tests of agents without a model (``docs/contracts/providers.md`` 5).

```python
provider = ScriptedProvider([calls_tools(("search", {"query": "mugs"})), says("We have three mugs.")])
...
assert provider.requests[1].messages[-1].role == "user"        # the tool's result
```
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace

from lash_core.model.base import JsonValue
from lash_core.model.message import MessagePart, ReasoningPart, TextPart, ToolCallPart
from lash_core.model.model_call import (
    RETRYABLE_KINDS,
    FinishReason,
    ModelFailure,
    ModelReasoningDelta,
    ModelRequest,
    ModelResponse,
    ModelStreamEvent,
    ModelTextDelta,
    ModelUsageUpdate,
    ProviderFailureKind,
)
from lash_core.model.session import ModelSpec
from lash_core.model.usage import TokenUsage
from lash_core.protocols.providers.model_provider import ModelCallError

DEFAULT_USAGE = TokenUsage(input=10, output=5)
"""Of a scripted answer that says nothing else, in tokens."""


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """What one attempt of a model call gets.

    Attributes:
        events: streamed in order; a complete answer ends with its ``ModelResponse``.
        failure: raised after the events.
        gate: awaited before the first event; a test that holds it decides when the model answers.
        hangs: never ends after its events.
    """

    events: tuple[ModelStreamEvent, ...] = ()
    failure: ModelFailure | None = None
    gate: asyncio.Event | None = None
    hangs: bool = False

    def held_by(self, gate: asyncio.Event) -> ScriptedReply:
        """This reply, begun only once ``gate`` is set."""
        return replace(self, gate=gate)


def says(
    text: str,
    *,
    deltas: Iterable[str] | None = None,
    reasoning: str = "",
    usage: TokenUsage | None = DEFAULT_USAGE,
    finish_reason: FinishReason = "stop",
) -> ScriptedReply:
    """An answer of text. ``deltas`` are how it streams; None = in one piece."""
    thought = (ReasoningPart(reasoning),) if reasoning else ()
    pieces = ([text] if text else []) if deltas is None else deltas
    return ScriptedReply(
        (
            *([ModelReasoningDelta(reasoning)] if reasoning else []),
            *(ModelTextDelta(piece) for piece in pieces),
            ModelResponse(
                parts=(*thought, *([TextPart(text)] if text else [])), usage=usage, finish_reason=finish_reason
            ),
        )
    )


def calls_tools(
    *calls: ToolCallPart | tuple[str, JsonValue], text: str = "", usage: TokenUsage | None = DEFAULT_USAGE
) -> ScriptedReply:
    """An answer that asks for tools: parts, or names with arguments, whose call ids the provider makes."""
    parts: list[MessagePart] = [TextPart(text)] if text else []
    for call in calls:
        parts.append(call if isinstance(call, ToolCallPart) else ToolCallPart("", call[0], call[1]))
    return ScriptedReply(
        (
            *([ModelTextDelta(text)] if text else []),
            ModelResponse(parts=tuple(parts), usage=usage, finish_reason="tool_calls"),
        )
    )


def fails(
    kind: ProviderFailureKind,
    message: str = "scripted failure",
    *,
    retryable: bool | None = None,
    retry_after_ms: int | None = None,
    after: Iterable[str] = (),
    usage: TokenUsage | None = None,
) -> ScriptedReply:
    """A failed attempt: text streamed before it, and usage already told. ``retryable`` None = by its kind."""
    return ScriptedReply(
        (*(ModelTextDelta(piece) for piece in after), *([ModelUsageUpdate(usage)] if usage else [])),
        failure=ModelFailure(
            kind=kind,
            message=message,
            retryable=kind in RETRYABLE_KINDS if retryable is None else retryable,
            retry_after_ms=retry_after_ms,
        ),
    )


def hangs(*, after: Iterable[str] = ()) -> ScriptedReply:
    """An attempt that never ends by itself, after some text."""
    return ScriptedReply(tuple(ModelTextDelta(piece) for piece in after), hangs=True)


Script = Iterable[ScriptedReply] | Callable[[ModelRequest], ScriptedReply]


class ScriptedProvider:
    """``ModelProvider``. Each attempt takes the next reply; one too many fails as ``validation``, never retried.

    Args:
        script: replies in order, or a function that answers any request: what a test needs whose turns may be redone.
        provider_id: what policies name it by.
        efforts: the efforts it knows; None = any.

    Attributes:
        requests: of all attempts, in the order of their begin.
        dropped: attempts that were closed before they ended.
    """

    def __init__(
        self, script: Script = (), *, provider_id: str = "scripted", efforts: Iterable[str] | None = None
    ) -> None:
        self._answer: Callable[[ModelRequest], ScriptedReply] | None = script if callable(script) else None
        self._replies: list[ScriptedReply] = [] if callable(script) else list(script)
        self._provider_id = provider_id
        self._efforts = None if efforts is None else frozenset(efforts)
        self.requests: list[ModelRequest] = []
        self.dropped = 0
        self.closed = False

    @property
    def provider_id(self) -> str:
        """What policies name it by."""
        return self._provider_id

    @property
    def replies_left(self) -> int:
        """Replies of the script that no attempt has taken."""
        return len(self._replies)

    def extend(self, *replies: ScriptedReply) -> None:
        """Add replies at the end."""
        self._replies.extend(replies)

    def check_model(self, model: ModelSpec) -> str | None:
        """Why an effort is refused, or None."""
        if self._efforts is not None and model.variant is not None and model.variant not in self._efforts:
            return f"model `{model.id}` has no effort `{model.variant}`; known: {', '.join(sorted(self._efforts))}"
        return None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
        """Play the next reply. Raises: ModelCallError."""
        self.requests.append(request)
        number = len(self.requests)
        reply = self._next_reply(request, number)
        ended = False
        try:
            if reply.gate is not None:
                await reply.gate.wait()
            for event in reply.events:
                # Real providers give the loop a turn between two pieces; races show only then.
                await asyncio.sleep(0)
                ended = isinstance(event, ModelResponse)
                yield _with_call_ids(event, number) if isinstance(event, ModelResponse) else event
            if reply.hangs:
                await asyncio.Event().wait()
            if reply.failure is not None:
                ended = True
                raise ModelCallError(reply.failure)
        finally:
            self.dropped += not ended

    async def close(self) -> None:
        """Note it. May be called twice."""
        self.closed = True

    def _next_reply(self, request: ModelRequest, number: int) -> ScriptedReply:
        if self._answer is not None:
            return self._answer(request)
        if not self._replies:
            text = f"the script has no reply for request {number}"
            return ScriptedReply(failure=ModelFailure(kind="validation", message=text, code="script_exhausted"))
        return self._replies.pop(0)


def _with_call_ids(response: ModelResponse, number: int) -> ModelResponse:
    parts = tuple(
        part.model_copy(update={"call_id": f"call_{number}_{index}"})
        if isinstance(part, ToolCallPart) and not part.call_id
        else part
        for index, part in enumerate(response.parts)
    )
    return response.model_copy(update={"parts": parts})
