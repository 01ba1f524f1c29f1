"""The session store, small: meta, policy, tool state, plugin snapshot under one head revision.

The full model of a session (frames, graph, queue, checkpoints) has its place beside these fields: ``RuntimeCommit`` and
``PersistedSession`` grow, the two protocols stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from pydantic import ValidationError

from lash_core.errors import CorruptRecordError, InvalidArgumentError, NewerRecordError, NotDoneError
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.disposition import DurabilityTier
from lash_core.model.plugin_snapshot import PluginSessionSnapshot
from lash_core.model.session import SessionMeta, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.tool_state import ToolState

RECORD_VERSION = 1
RECORD_BYTES_MAX = 1024 * 1024
"""All parts of one session's head together; larger state belongs in attachments."""

PARTS: Mapping[str, type[Model]] = {
    "meta": SessionMeta,
    "policy": SessionPolicy,
    "tool_state": ToolState,
    "plugin_snapshot": PluginSessionSnapshot,
}
"""Stored parts of a head, each a versioned record of its own."""


class SessionBindingError(NotDoneError):
    """A store bound to one session was asked for another."""

    code = "session_binding_mismatch"

    def __init__(self, bound: str, asked: str) -> None:
        super().__init__(
            f"session store is bound to session `{bound}`, not to `{asked}`", field="session_id", value=asked
        )


class HeadRevisionConflictError(NotDoneError):
    """Somebody else committed in between; read the head again. ``actual`` is None when the session is gone."""

    code = "head_revision_conflict"

    def __init__(self, session_id: str, expected: int, actual: int | None) -> None:
        there = "the session is gone" if actual is None else f"it is {actual}"
        super().__init__(
            f"session `{session_id}` head revision conflict: expected {expected}, {there}",
            field="expected_head_revision",
            value=expected,
            limit=actual,
        )
        self.expected = expected
        self.actual = actual


class PersistedSession(Model):
    """What is stored of a session. ``head_revision`` only rises, over deletion of the session too."""

    session_id: str
    head_revision: int
    meta: SessionMeta
    policy: SessionPolicy
    tool_state: ToolState | None = None
    plugin_snapshot: PluginSessionSnapshot | None = None


class RuntimeCommit(Model):
    """A change of a session's head. Parts that are None stay as they are."""

    session_id: str
    expected_head_revision: int
    policy: SessionPolicy | None = None
    tool_state: ToolState | None = None
    plugin_snapshot: PluginSessionSnapshot | None = None

    def changed_parts(self) -> dict[str, Model]:
        """The parts to write, by name."""
        parts = {
            "policy": self.policy,
            "tool_state": self.tool_state,
            "plugin_snapshot": self.plugin_snapshot,
        }
        return {name: part for name, part in parts.items() if part is not None}


class RuntimeCommitResult(Model):
    """The revision after a commit."""

    head_revision: int


@runtime_checkable
class RuntimePersistence(Protocol):
    """The store of one session."""

    @property
    def session_id(self) -> str:
        """The session it is bound to."""
        ...

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def load_session(self) -> PersistedSession | None:
        """The session as stored, or None when it was deleted.

        Raises:
            NewerRecordError: a part of a newer release. CorruptRecordError: a part that cannot be decoded.
        """
        ...

    async def commit_runtime_state(self, commit: RuntimeCommit) -> RuntimeCommitResult:
        """Write the changed parts and raise the head revision, if it is still the expected one. Atomic.

        Not safe to repeat blindly: the repeat of a commit that went through is a conflict; read the head back.

        Raises:
            SessionBindingError: another session's commit. HeadRevisionConflictError: nothing was written.
            InvalidArgumentError: over ``RECORD_BYTES_MAX`` bytes. OutcomeUnknownError: the reply was lost.
        """
        ...


@runtime_checkable
class SessionStoreFactory(Protocol):
    """Opens the stores of sessions."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def create_store(self, request: SessionStoreCreateRequest) -> RuntimePersistence:
        """Open the store of a session and create the session if it is not there. Atomic, safe to repeat.

        What is stored wins: meta and policy of an existing session are never overwritten.

        Raises:
            InvalidArgumentError: the session id is not a legal id.
        """
        ...

    async def open_existing(self, session_id: str) -> RuntimePersistence | None:
        """The store of a session that exists, else None."""
        ...

    async def delete_session(self, session_id: str) -> None:
        """Delete what this store knows of a session. Atomic, safe to repeat."""
        ...


def encode_part(name: str, part: Model) -> str:
    """A part as stored: canonical JSON with its record version ``v``."""
    return canonical_json({"v": RECORD_VERSION, **part.to_json_value()}, field=name)


def encode_parts(parts: Mapping[str, Model]) -> dict[str, str]:
    """Parts as stored.

    Raises:
        InvalidArgumentError: over ``RECORD_BYTES_MAX`` bytes together.
    """
    encoded = {name: encode_part(name, part) for name, part in parts.items()}
    size = sum(len(text.encode()) for text in encoded.values())
    if size > RECORD_BYTES_MAX:
        raise InvalidArgumentError(
            f"session state has {size} bytes; the limit is {RECORD_BYTES_MAX}",
            field="session_state",
            value=size,
            limit=RECORD_BYTES_MAX,
        )
    return encoded


def decode_session(session_id: str, head_revision: int, fields: Mapping[str, str], *, key: str) -> PersistedSession:
    """Decode a stored head.

    Raises:
        NewerRecordError: a part's version is above ``RECORD_VERSION``.
        CorruptRecordError: a part has no version, one that is no number, or cannot be decoded.
    """
    parts = {name: _decode_part(name, fields[name], key) for name in PARTS if name in fields}
    if "meta" not in parts or "policy" not in parts:
        raise CorruptRecordError(f"session `{session_id}` has no meta or policy", key=key)
    return PersistedSession.model_validate({"session_id": session_id, "head_revision": head_revision, **parts})


def _decode_part(name: str, text: str, key: str) -> Model:
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise CorruptRecordError(f"session part `{name}` is not JSON", key=key) from error
    if not isinstance(value, dict) or "v" not in value:
        raise CorruptRecordError(f"session part `{name}` has no record version", key=key)
    version = value.pop("v")
    if not isinstance(version, int) or isinstance(version, bool):
        raise CorruptRecordError(f"session part `{name}` has the record version {version!r}, no whole number", key=key)
    if version > RECORD_VERSION:
        raise NewerRecordError(
            f"session part `{name}` has record version {version}; this release knows {RECORD_VERSION}", key=key
        )
    if version < RECORD_VERSION:
        raise CorruptRecordError(f"session part `{name}` has the unknown record version {version}", key=key)
    try:
        return PARTS[name].model_validate(value)
    except ValidationError as error:
        raise CorruptRecordError(
            f"session part `{name}` cannot be decoded: {error.errors()[0]['msg']}", key=key
        ) from error
