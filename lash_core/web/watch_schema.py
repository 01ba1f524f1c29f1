"""The events of a watch as a JSON schema, for ``openapi.json`` (``docs/contracts/web.md`` 2)."""

from __future__ import annotations

from typing import Any

_INT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_MESSAGES = {"type": "array", "items": {"type": "object"}}
_VIEW = {
    "turn_index": _INT,
    "token_usage": {"type": "object"},
    "current_agent_frame_id": _TEXT,
    "message_count": _INT,
    "first": _INT,
    "messages": _MESSAGES,
}
_QUEUED = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["batch_id", "enqueued_at_ms", "text"],
        "properties": {"batch_id": _TEXT, "enqueued_at_ms": _INT, "text": _TEXT},
    },
}
_OBSERVATION = {
    "type": "object",
    "required": ["policy", *_VIEW, "queued"],
    "properties": {
        "policy": {
            "type": "object",
            "required": ["model", "provider_id"],
            "properties": {"model": _TEXT, "provider_id": _TEXT},
        },
        **_VIEW,
        "queued": _QUEUED,
    },
}
_IDS = {"type": "array", "items": _TEXT}


def _event(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    properties = {"type": {"const": kind}, "session_id": _TEXT, "revision": _INT, "cursor": _TEXT, **facts}
    return {"type": "object", "required": list(properties), "properties": properties}


WATCH_EVENT: dict[str, Any] = {
    "oneOf": [
        _event("observation", {"observation": _OBSERVATION}),
        _event("committed", _VIEW),
        _event("turn_activity", {"activity": {"type": "object", "required": ["type", "id", "correlation_id"]}}),
        _event("agent_frame_switched", {"frame_id": _TEXT}),
        _event("queue_changed", {"kind": {"enum": ["enqueued", "cancelled"]}, "batch_ids": _IDS}),
        _event("process_changed", {"kind": {"enum": ["started", "cancelled"]}, "process_ids": _IDS}),
        _event(
            "gap",
            {
                "reason": {"enum": ["trimmed", "unavailable"]},
                "requested_cursor": _TEXT,
                "latest_cursor": _TEXT,
                "latest_revision": _INT,
                "observation": _OBSERVATION,
            },
        ),
        {"type": "object", "required": ["type"], "properties": {"type": {"const": "alive"}}},
        {
            "type": "object",
            "required": ["type", "session_id", "reason"],
            "properties": {
                "type": {"const": "ended"},
                "session_id": _TEXT,
                "reason": {"enum": ["shutdown", "deleted", "failed", "refused"]},
                "error": {"type": "object"},
            },
        },
    ]
}
