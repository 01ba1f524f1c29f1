"""What a reader sees of a session: messages and events of the active path, and the view that is handed out (1.6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lash_core.model.message import Message
from lash_core.model.session_node import SessionNodeRecord


class _Shared:
    """Lists that grow together with a read model and are shared by all its versions."""

    __slots__ = ("events", "frame_ids", "message_ids", "messages")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.events: list[SessionNodeRecord] = []
        self.message_ids: set[str] = set()
        self.frame_ids: set[str | None] = set()


@dataclass(frozen=True, slots=True)
class SessionReadModel:
    """A version of the active path: the first so many of lists that only grow, so a copy costs nothing.

    A message id appears once, by its first node; transient messages are left out.
    """

    _shared: _Shared = field(default_factory=_Shared)
    _messages: int = 0
    _events: int = 0

    @classmethod
    def of_nodes(cls, nodes: Iterable[SessionNodeRecord]) -> SessionReadModel:
        """The model of an active path."""
        model = cls()
        for node in nodes:
            model = model.extended(node)
        return model

    def extended(self, node: SessionNodeRecord) -> SessionReadModel:
        """One node more. O(1) where this is the newest version, else a copy."""
        shared = self._shared
        if len(shared.events) != self._events or len(shared.messages) != self._messages:
            shared = _Shared()
            shared.events += self.active_events
            shared.messages += self.messages
            shared.message_ids.update(message.id for message in shared.messages)
            shared.frame_ids.update(event.agent_frame_id for event in shared.events)
        message = node.message
        if message is not None and (message.transient or message.id in shared.message_ids):
            return SessionReadModel(shared, self._messages, self._events)
        shared.events.append(node)
        shared.frame_ids.add(node.agent_frame_id)
        if message is not None:
            shared.message_ids.add(message.id)
            shared.messages.append(message)
        return SessionReadModel(shared, len(shared.messages), len(shared.events))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages in order."""
        return tuple(self._shared.messages[: self._messages])

    @property
    def active_events(self) -> tuple[SessionNodeRecord, ...]:
        """The nodes in order, without repeated and transient messages."""
        return tuple(self._shared.events[: self._events])

    @property
    def frame_ids(self) -> frozenset[str | None]:
        """Frames that nodes of the newest version belong to; None = untagged ones."""
        return frozenset(self._shared.frame_ids)

    @property
    def message_count(self) -> int:
        """How many messages there are; O(1)."""
        return self._messages

    def has_message(self, message_id: str) -> bool:
        """True when the newest version has the message; O(1)."""
        return message_id in self._shared.message_ids
