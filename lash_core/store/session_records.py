"""Records of a session as stored, by every back end alike: versions, blobs by content, limits of a commit (1.8).

A record is canonical JSON with its version: ``schema_version`` where the model has that field, else ``v``. Reading
tells three things apart: no version, one that is no whole number, one that this release does not know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from lash_core.errors import CorruptRecordError
from lash_core.errors.session import (
    InvalidRecordSchemaVersionError,
    MissingRecordSchemaVersionError,
    UnsupportedRecordSchemaVersionError,
)
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.plugin_snapshot import PluginSessionSnapshot
from lash_core.model.session_commit import (
    SESSION_RECORD_VERSION,
    CheckpointDraft,
    CommitManifest,
    HydratedSessionCheckpoint,
    SessionCheckpoint,
)
from lash_core.model.tool_state import ToolState
from lash_core.store.content_address import content_ref

SESSION_BLOB_FAMILY = "session-blob"
"""The word before ``:sha256:`` in the refs of a session's snapshots."""

BlobName = str
"""``tool_state``, ``plugin_snapshot`` or ``execution_state``."""
RecordT = TypeVar("RecordT", bound=Model)

BLOB_NAMES: tuple[BlobName, ...] = ("tool_state", "plugin_snapshot", "execution_state")


def version_field(model: type[Model]) -> str:
    """The name under which records of this model carry their version."""
    return "schema_version" if "schema_version" in model.model_fields else "v"


def encode_record(record: Model, *, field: str) -> str:
    """The stored text of a record.

    Args:
        record: to be stored.
        field: what it is called in errors.

    Raises:
        InvalidJsonError: something in it is not canonical JSON.
    """
    return canonical_json({version_field(type(record)): SESSION_RECORD_VERSION, **record.to_plain_value()}, field=field)


def record_facts(text: str | bytes, version_name: str, *, subject: str, key: str) -> dict[str, Any]:
    """A stored record's fields without its version, which is checked.

    Args:
        text: as stored.
        version_name: the field of the version.
        subject: what it is, for people.
        key: where it is stored.

    Raises:
        MissingRecordSchemaVersionError, InvalidRecordSchemaVersionError, UnsupportedRecordSchemaVersionError.
        CorruptRecordError: no JSON object.
    """
    try:
        facts: Any = json.loads(text)
    except ValueError as error:
        raise CorruptRecordError(f"{subject} is not JSON", key=key) from error
    if not isinstance(facts, dict):
        raise CorruptRecordError(f"{subject} is no JSON object", key=key)
    found: dict[str, Any] = facts
    if version_name not in found:
        raise MissingRecordSchemaVersionError(f"{subject} has no `{version_name}`", key=key)
    version = found.pop(version_name)
    if not isinstance(version, int) or isinstance(version, bool):
        raise InvalidRecordSchemaVersionError(
            f"{subject} has the `{version_name}` {version!r}, which is no whole number", key=key
        )
    if version != SESSION_RECORD_VERSION:
        raise UnsupportedRecordSchemaVersionError(
            f"{subject} has the `{version_name}` {version}; this release knows {SESSION_RECORD_VERSION}", key=key
        )
    return found


def decode_record(model: type[RecordT], text: str | bytes, *, subject: str, key: str) -> RecordT:
    """A record read back. Raises: as ``record_facts``; CorruptRecordError: fields that do not fit."""
    return build_record(model, record_facts(text, version_field(model), subject=subject, key=key), subject, key)


def build_record(model: type[RecordT], facts: Mapping[str, Any], subject: str, key: str) -> RecordT:
    """A model from stored fields. Raises: CorruptRecordError."""
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise CorruptRecordError(
            f"{subject} cannot be decoded: {place or 'value'}: {error.errors()[0]['msg']}", key=key
        ) from error


# -- checkpoints and their blobs ---------------------------------------------------------------------


def blob_ref(text: str) -> str:
    """The ref of a snapshot's canonical JSON."""
    return content_ref(SESSION_BLOB_FAMILY, text.encode())


def checkpoint_ref(text: str) -> str:
    """The ref of a stored checkpoint: ``sha256:<hex>`` of its text."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def blobs_of(draft: CheckpointDraft) -> dict[BlobName, str]:
    """The canonical JSON of the snapshots that a draft brings, by name.

    Raises:
        InvalidJsonError: something in one is not canonical JSON.
    """
    values: dict[BlobName, JsonValue] = {
        "tool_state": None if draft.tool_state is None else draft.tool_state.to_json_value(),
        "plugin_snapshot": None if draft.plugin_snapshot is None else draft.plugin_snapshot.to_json_value(),
        "execution_state": draft.execution_state,
    }
    return {name: canonical_json(value, field=name) for name, value in values.items() if value is not None}


def checkpoint_of(draft: CheckpointDraft, refs: Mapping[BlobName, str]) -> SessionCheckpoint:
    """The checkpoint to store. A snapshot's ref wins over the ref that the draft names.

    Args:
        draft: of the commit.
        refs: of the snapshots that it brings.
    """
    generation = draft.tool_state_generation
    return SessionCheckpoint(
        turn_state=draft.turn_state,
        tool_state_ref=refs.get("tool_state", draft.tool_state_ref),
        tool_state_generation=generation if draft.tool_state is None else draft.tool_state.generation,
        plugin_snapshot_ref=refs.get("plugin_snapshot", draft.plugin_snapshot_ref),
        plugin_snapshot_revision=draft.plugin_snapshot_revision,
        execution_state_ref=refs.get("execution_state", draft.execution_state_ref),
    )


def manifest_of(checkpoint: SessionCheckpoint) -> CommitManifest:
    """The refs that a session has with this checkpoint."""
    return CommitManifest(
        tool_state_ref=checkpoint.tool_state_ref,
        tool_state_generation=checkpoint.tool_state_generation,
        plugin_snapshot_ref=checkpoint.plugin_snapshot_ref,
        plugin_snapshot_revision=checkpoint.plugin_snapshot_revision,
        execution_state_ref=checkpoint.execution_state_ref,
    )


def refs_of(checkpoint: SessionCheckpoint) -> dict[BlobName, str]:
    """The blobs that a checkpoint refers to, by name."""
    named = {name: getattr(checkpoint, f"{name}_ref") for name in BLOB_NAMES}
    return {name: ref for name, ref in named.items() if ref is not None}


def hydrated(checkpoint: SessionCheckpoint, blobs: Mapping[str, str | bytes], *, key: str) -> HydratedSessionCheckpoint:
    """A checkpoint with its blobs.

    Args:
        checkpoint: as stored.
        blobs: ref → text, of all refs of the checkpoint.
        key: where the checkpoint is stored.

    Raises:
        CorruptRecordError: a blob is missing or cannot be decoded.
    """
    values: dict[BlobName, Any] = {}
    for name, ref in refs_of(checkpoint).items():
        if ref not in blobs:
            raise CorruptRecordError(f"the checkpoint's {name} `{ref}` is not stored", key=key)
        try:
            values[name] = json.loads(blobs[ref])
        except ValueError as error:
            raise CorruptRecordError(f"the checkpoint's {name} `{ref}` is not JSON", key=key) from error
    tools, plugins = values.get("tool_state"), values.get("plugin_snapshot")
    return HydratedSessionCheckpoint(
        turn_state=checkpoint.turn_state,
        tool_state=None if tools is None else build_record(ToolState, tools, "tool state", key),
        tool_state_ref=checkpoint.tool_state_ref,
        tool_state_generation=checkpoint.tool_state_generation,
        plugin_snapshot=None
        if plugins is None
        else build_record(PluginSessionSnapshot, plugins, "plugin snapshot", key),
        plugin_snapshot_ref=checkpoint.plugin_snapshot_ref,
        plugin_snapshot_revision=checkpoint.plugin_snapshot_revision,
        execution_state=values.get("execution_state"),
        execution_state_ref=checkpoint.execution_state_ref,
    )
