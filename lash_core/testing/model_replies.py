"""What a model server answers: replies, faults, and how they look on the wire (OpenAI's chat completions)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HttpFault:
    """An HTTP error in place of an answer."""

    status: int
    message: str = "scripted fault"
    code: str | None = None
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CutStream:
    """The connection goes after some events. ``cleanly``: the response ends as if it were complete."""

    after_events: int = 2
    cleanly: bool = False


@dataclass(frozen=True, slots=True)
class SlowFirstToken:
    """Headers at once, the first event late."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An error inside a stream that had begun."""

    after_events: int = 1
    message: str = "scripted error event"
    code: str | None = "server_error"


@dataclass(frozen=True, slots=True)
class NeverAnswers:
    """Not even headers, until the client goes. ``after_headers``: those, and then nothing."""

    after_headers: bool = False


Fault = HttpFault | CutStream | SlowFirstToken | ErrorEvent | NeverAnswers


@dataclass(frozen=True, slots=True)
class ToolAsk:
    """The model asks for a tool. ``arguments`` are text as the model writes it; it need not be JSON."""

    name: str
    arguments: str = "{}"
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What the model answers.

    Attributes:
        text: streamed word by word.
        tools: asked for after the text.
        finish_reason: None = by whether it asks for tools.
        usage: prompt and completion tokens; None = counted in words.
        piece_delay_ms: between two events.
        fault: happens to this answer.
    """

    text: str = ""
    tools: tuple[ToolAsk, ...] = ()
    reasoning: str = ""
    finish_reason: str | None = None
    usage: tuple[int, int] | None = None
    piece_delay_ms: int = 0
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class ModelAsk:
    """One request as the server got it: the decoded body."""

    body: Json
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def messages(self) -> list[Json]:
        """The conversation."""
        return self.body.get("messages", [])

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Tools that the model may ask for."""
        return tuple(tool["function"]["name"] for tool in self.body.get("tools", []))

    @property
    def last_user_text(self) -> str:
        """What the user said last, or an empty text."""
        return next((text_of(entry) for entry in reversed(self.messages) if entry["role"] == "user"), "")


def text_of(message: Json) -> str:
    """The text of a message, whose content is text, parts or nothing."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def error_body(message: str, kind: str, code: str | None = None) -> Json:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "code": code}}


def _usage(ask: ModelAsk, reply: ModelReply) -> Json:
    counted = (sum(len(text_of(entry).split()) for entry in ask.messages), len(reply.text.split()) + len(reply.tools))
    prompt, completion = reply.usage or counted
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _finish(reply: ModelReply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tools else "stop")


def _tool_calls(reply: ModelReply, number: int) -> list[Json]:
    return [
        {
            "index": index,
            "id": ask.call_id or f"call_{number}_{index}",
            "type": "function",
            "function": {"name": ask.name, "arguments": ask.arguments},
        }
        for index, ask in enumerate(reply.tools)
    ]


def _envelope(ask: ModelAsk, kind: str, number: int) -> Json:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": 1, "model": ask.body.get("model", "local")}


def events_of(ask: ModelAsk, reply: ModelReply, number: int) -> Iterator[Json]:
    """The events of a streamed answer, without the mark of its end."""

    def event(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**_envelope(ask, "chat.completion.chunk", number), "choices": [choice]}

    yield event({"role": "assistant", "content": ""})
    for piece in _pieces(reply.reasoning):
        yield event({"reasoning_content": piece})
    for piece in _pieces(reply.text):
        yield event({"content": piece})
    for call in _tool_calls(reply, number):
        # Arguments come in two pieces: a cut between them leaves half a call.
        arguments = call["function"]["arguments"]
        half = len(arguments) // 2
        yield event({"tool_calls": [{**call, "function": {**call["function"], "arguments": arguments[:half]}}]})
        yield event({"tool_calls": [{"index": call["index"], "function": {"arguments": arguments[half:]}}]})
    yield event({}, _finish(reply))
    if (ask.body.get("stream_options") or {}).get("include_usage"):
        yield {
            **_envelope(ask, "chat.completion.chunk", number),
            "choices": [],
            "usage": _usage(ask, reply),
        }


def _pieces(text: str) -> Iterator[str]:
    words = text.split(" ")
    yield from (word + " " for word in words[:-1])
    if words[-1]:
        yield words[-1]


def whole_answer(ask: ModelAsk, reply: ModelReply, number: int) -> Json:
    """An answer that is not streamed."""
    calls = [{key: value for key, value in call.items() if key != "index"} for call in _tool_calls(reply, number)]
    message: Json = {"role": "assistant", "content": reply.text or None}
    if calls:
        message["tool_calls"] = calls
    return {
        **_envelope(ask, "chat.completion", number),
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(reply)}],
        "usage": _usage(ask, reply),
    }
