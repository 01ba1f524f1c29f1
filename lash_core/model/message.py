"""Messages of a conversation: who says it, in parts (``docs/contracts/sessions.md`` 1.6, 3.3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model

Role = Literal["system", "user", "assistant"]


class TextPart(Model):
    """Text. ``provider_data`` of a model's answer is opaque: a provider may demand it back."""

    type: Literal["text"] = "text"
    text: str = Field(kw_only=False)
    provider_data: JsonValue = None
    id: str | None = None


class ReasoningPart(Model):
    """What the model thought aloud. ``provider_data`` is opaque: a provider may demand it back."""

    type: Literal["reasoning"] = "reasoning"
    text: str = Field(kw_only=False)
    provider_data: JsonValue = None
    id: str | None = None


class ToolCallPart(Model):
    """The model asks for a tool. ``args`` are what was sent, decoded; unparsable ones are ``{}``.

    ``provider_data`` is opaque: a provider may demand it back.
    """

    type: Literal["tool_call"] = "tool_call"
    call_id: str = Field(kw_only=False)
    tool_name: str = Field(kw_only=False)
    args: JsonValue = Field(default_factory=dict, kw_only=False)
    provider_data: JsonValue = None
    id: str | None = None


class ToolResultPart(Model):
    """What a tool answered, for the model: ``output`` is a tool output's JSON (``lash_core.model.tool_output``)."""

    type: Literal["tool_result"] = "tool_result"
    call_id: str = Field(kw_only=False)
    tool_name: str = Field(kw_only=False)
    output: JsonValue = Field(default=None, kw_only=False)
    id: str | None = None


class AttachmentPart(Model):
    """An attachment: ``reference`` is its ``AttachmentRef`` as JSON, its bytes are in the attachment store."""

    type: Literal["attachment"] = "attachment"
    reference: JsonValue = Field(default=None, kw_only=False)
    id: str | None = None


MessagePart = Annotated[
    TextPart | ReasoningPart | ToolCallPart | ToolResultPart | AttachmentPart, Field(discriminator="type")
]


class Message(Model):
    """One message. ``id`` is unique in a session; a blank one is filled when the message is appended.

    Attributes:
        origin: where an injected message comes from (``plugin:<id>``, ``process_wake``, …); None for ordinary ones.
        transient: shown to the model in this turn only, never stored.
    """

    id: str = ""
    role: Role = Field(kw_only=False)
    parts: tuple[MessagePart, ...] = Field(default=(), kw_only=False)
    origin: str | None = None
    transient: bool = False

    @classmethod
    def user(cls, text: str, *, message_id: str = "") -> Message:
        """A user message of one text."""
        return cls(id=message_id, role="user", parts=(TextPart(text),))

    @classmethod
    def assistant(cls, text: str, *, message_id: str = "") -> Message:
        """An assistant message of one text."""
        return cls(id=message_id, role="assistant", parts=(TextPart(text),))

    @classmethod
    def system(cls, text: str, *, message_id: str = "") -> Message:
        """A system message of one text."""
        return cls(id=message_id, role="system", parts=(TextPart(text),))

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The tool calls in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))
