"""Promises as stored: ``p`` or ``t`` while pending (t = turn control), then the resolution's JSON. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from lash_core.errors import CorruptRecordError
from lash_core.model.await_event import AwaitEventKey, Resolution
from lash_core.model.canonical_json import canonical_json
from lash_core.redis_store.keys import scope_hash

PENDING = ("p", "t")
REVOKED = "revoked"
"""Field of a session's hash: its tombstone."""


def promise_field(key: AwaitEventKey) -> str:
    """Field of a promise: half of the key id; in a session's hash after the scope, so that one scope can be swept."""
    short = key.key_id[:32]
    return short if key.scope.session_id is None else f"{scope_hash(key.scope)[:16]}:{short}"


def pending_mark(key: AwaitEventKey) -> str:
    """What stands for a pending promise; sweeps leave turn control alone."""
    return "t" if key.wait.is_turn_control else "p"


def encode_resolution(resolution: Resolution) -> str:
    """Canonical JSON without absent parts. Raises: InvalidJsonError."""
    facts: dict[str, Any] = {"type": resolution.type}
    for name in ("value", "code", "message"):
        value = getattr(resolution, name)
        if value is not None:
            facts[name] = value
    return canonical_json(facts, field="resolution")


def decode_resolution(text: str | None, *, key: str) -> Resolution | None:
    """The resolution behind a stored value; None while pending or absent. Raises: CorruptRecordError."""
    if text is None or text in PENDING:
        return None
    try:
        return Resolution.model_validate_json(text)
    except ValidationError as error:
        raise CorruptRecordError(f"{key} has an unreadable resolution", key=key) from error
