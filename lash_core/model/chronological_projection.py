"""A session's history in the order in which it happened, as tools and children read it: an immutable value."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.session_node import ConversationEvent, EventPayload, SessionNodeRecord

CAPTURED_BYTES_MAX = 64 * 1024
"""Of the history that a child is started with, as JSON: it travels in the child's environment (256 KB)."""


class ChronologicalEntry(Model):
    """One entry; ``index`` is its place in the history, from 0.

    Its payload is ``{"type": "message", "message": …, "at_ms": …}`` or ``{"type": "protocol_event", "body": …, "at_ms":
    …}``; ``at_ms`` is the clock of whoever appended it, for people. Children are started with entries without times.
    """

    index: int = Field(ge=0, kw_only=False)
    payload: JsonValue = Field(default=None, kw_only=False)


class ChronologicalProjection(Model):
    """Entries in order. A run sees the one that it started with, whatever the session does meanwhile."""

    entries: tuple[ChronologicalEntry, ...] = Field(default=(), kw_only=False)

    @property
    def is_empty(self) -> bool:
        """True when nothing has happened."""
        return not self.entries

    @classmethod
    def of_nodes(cls, nodes: Iterable[SessionNodeRecord]) -> ChronologicalProjection:
        """The messages and protocol events of an active path, without transient ones and what plugins keep there."""
        payloads = (_payload(node) for node in nodes)
        shown = (payload for payload in payloads if payload is not None)
        return cls(tuple(ChronologicalEntry(index, payload) for index, payload in enumerate(shown)))

    def timeless(self) -> ChronologicalProjection:
        """The same entries without their times."""
        return ChronologicalProjection(
            tuple(entry.model_copy(update={"payload": _without_time(entry.payload)}) for entry in self.entries)
        )

    def newest(self, bytes_max: int = CAPTURED_BYTES_MAX) -> ChronologicalProjection:
        """The newest entries that fit; each keeps its place, so a first index above 0 says how many are missing."""
        kept: list[ChronologicalEntry] = []
        left = bytes_max
        for entry in reversed(self.entries):
            left -= len(canonical_json_bytes(entry.to_plain_value(), field="history")) + 1
            if left < 0:
                break
            kept.append(entry)
        return self if len(kept) == len(self.entries) else ChronologicalProjection(tuple(reversed(kept)))


def value_at(projection: ChronologicalProjection, ref: str) -> JsonValue:
    """What a reference into the history stands for: ``history:<index>`` or ``call:<call id>``.

    The value of a call is what its newest successful result holds.

    Raises:
        KeyError: nothing.
    """
    kind, _, name = ref.partition(":")
    if kind == "history" and name.isascii() and name.isdigit():
        for entry in projection.entries:
            if entry.index == int(name[:12]):
                return entry.payload
    if kind == "call" and name:
        for entry in reversed(projection.entries):
            for part in _parts(entry.payload):
                output = part.get("output") if part.get("call_id") == name else None
                if isinstance(output, dict) and part.get("type") == "tool_result" and output.get("type") == "success":
                    return output.get("value")
    raise KeyError(ref)


def _payload(node: SessionNodeRecord) -> JsonValue:
    if not isinstance(node.payload, EventPayload):
        return None
    event = node.payload.event
    if isinstance(event, ConversationEvent):
        if event.message.transient:
            return None
        return {"type": "message", "message": event.message.to_json_value(), "at_ms": node.timestamp_ms}
    return {"type": "protocol_event", "body": event.body, "at_ms": node.timestamp_ms}


def _without_time(payload: JsonValue) -> JsonValue:
    return {name: value for name, value in payload.items() if name != "at_ms"} if isinstance(payload, dict) else payload


def _parts(payload: JsonValue) -> Iterable[dict[str, JsonValue]]:
    message = payload.get("message") if isinstance(payload, dict) else None
    parts = message.get("parts", ()) if isinstance(message, dict) else ()
    return (part for part in parts if isinstance(part, dict))
