"""Nodes of a session's history (``docs/contracts/sessions.md`` 1.6)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.message import Message
from lash_core.model.scope import CausalRef


class ConversationEvent(Model):
    """A message."""

    kind: Literal["conversation"] = "conversation"
    message: Message = Field(kw_only=False)


class ProtocolEvent(Model):
    """Something the protocol keeps in the history that is no message. ``body`` is opaque JSON."""

    kind: Literal["protocol"] = "protocol"
    body: JsonValue = Field(default=None, kw_only=False)


class EventPayload(Model):
    """A conversation message or a protocol event."""

    type: Literal["event"] = "event"
    event: Annotated[ConversationEvent | ProtocolEvent, Field(discriminator="kind")] = Field(kw_only=False)


class PluginPayload(Model):
    """What a plugin keeps in the history."""

    type: Literal["plugin"] = "plugin"
    plugin_type: str = Field(kw_only=False)
    body: JsonValue = Field(default=None, kw_only=False)


NodePayload = Annotated[EventPayload | PluginPayload, Field(discriminator="type")]


class SessionNodeRecord(Model):
    """One node. ``timestamp_ms`` is the clock of whoever appended it: for people and for time order, never a fence."""

    node_id: str
    parent_node_id: str | None = None
    caused_by: CausalRef | None = None
    agent_frame_id: str | None = None
    timestamp_ms: int = 0
    payload: NodePayload

    @property
    def message(self) -> Message | None:
        """The message, if it is one."""
        if isinstance(self.payload, EventPayload) and isinstance(self.payload.event, ConversationEvent):
            return self.payload.event.message
        return None
