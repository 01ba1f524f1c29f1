"""Records of a session as stored: versions are told apart, what cannot be read is said (1.8)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lash_core.errors import CorruptRecordError, LimitExceededError
from lash_core.errors.session import (
    InvalidRecordSchemaVersionError,
    MissingRecordSchemaVersionError,
    UnsupportedRecordSchemaVersionError,
)
from lash_core.model.message import Message
from lash_core.model.plugin_snapshot import PluginSessionSnapshot
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_commit import (
    CheckpointDraft,
    GraphAppend,
    PersistedSessionConfig,
    RuntimeCommit,
    SessionCheckpoint,
    SessionHeadMeta,
)
from lash_core.model.session_graph import SessionGraph
from lash_core.model.tool_state import ToolState
from lash_core.store.runtime_persistence import SESSION_COMMIT_BYTES_MAX
from lash_core.store.session_commit_records import check_commit_size, decode_node, prepare_commit
from lash_core.store.session_records import blob_ref, blobs_of, checkpoint_of, decode_record, encode_record, hydrated

CONFIG = PersistedSessionConfig.of_policy(SessionPolicy(model=ModelSpec("m"), provider_id="p", prompt={"a": ["é"]}))


@pytest.mark.parametrize("record", [SessionHeadMeta(leaf_node_id="a"), SessionCheckpoint(), CONFIG])
def test_a_record_comes_back(record: Any) -> None:
    """With its version, under the name that its model has for it."""
    text = encode_record(record, field="x")

    assert record == decode_record(type(record), text, subject="x", key="k")
    assert 1 == json.loads(text)["schema_version" if "schema_version" in type(record).model_fields else "v"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"leaf_node_id":"a"}', MissingRecordSchemaVersionError),
        ('{"schema_version":"1"}', InvalidRecordSchemaVersionError),
        ('{"schema_version":true}', InvalidRecordSchemaVersionError),
        ('{"schema_version":1.0}', InvalidRecordSchemaVersionError),
        ('{"schema_version":2}', UnsupportedRecordSchemaVersionError),
        ('{"schema_version":0}', UnsupportedRecordSchemaVersionError),
        ('{"schema_version":1,"other":1}', CorruptRecordError),
        ("[1]", CorruptRecordError),
        ("{", CorruptRecordError),
    ],
)
def test_what_cannot_be_read_is_told_apart(text: str, error: type[CorruptRecordError]) -> None:
    """No version, no whole number, one that is not known; the error names where it stands."""
    with pytest.raises(error) as refusal:
        decode_record(SessionHeadMeta, text, subject="session head", key="the key")

    assert error is type(refusal.value)
    assert "session head" in str(refusal.value)


def test_a_checkpoint_comes_back_with_its_blobs() -> None:
    """A snapshot's ref wins over the one that the draft names; the generation is the snapshot's."""
    draft = CheckpointDraft(
        tool_state=ToolState(generation=4),
        tool_state_ref="old",
        tool_state_generation=1,
        plugin_snapshot=PluginSessionSnapshot(),
        execution_state=[1],
    )
    texts = blobs_of(draft)
    checkpoint = checkpoint_of(draft, {name: blob_ref(text) for name, text in texts.items()})

    found = hydrated(checkpoint, {blob_ref(text): text for text in texts.values()}, key="k")

    assert (draft.tool_state, draft.plugin_snapshot, [1]) == (
        found.tool_state,
        found.plugin_snapshot,
        found.execution_state,
    )
    assert (4, blob_ref(texts["tool_state"])) == (found.tool_state_generation, found.tool_state_ref)


def test_a_blob_that_is_missing_is_said() -> None:
    """By its name and its ref."""
    checkpoint = SessionCheckpoint(tool_state_ref="session-blob:sha256:00")

    with pytest.raises(CorruptRecordError, match="tool_state `session-blob:sha256:00`"):
        hydrated(checkpoint, {}, key="k")


def test_a_node_stands_without_its_id_and_parent() -> None:
    """They are given again when it is read."""
    graph = SessionGraph(leaf_node_id="before")
    node = graph.append_message(Message.user("hi", message_id="m"))
    commit = RuntimeCommit(session_id="s", graph=GraphAppend((node,), "m"))

    (stored,) = prepare_commit("s", commit).nodes

    assert ("m", "before") == (stored.node_id, stored.parent_node_id)
    assert "before" not in stored.text
    assert node == decode_node("m", "before", stored.text, key="k")


def test_a_commit_is_bounded() -> None:
    """The error names the largest part, the size and the limit."""
    check_commit_size({"nodes": SESSION_COMMIT_BYTES_MAX})

    with pytest.raises(LimitExceededError, match=str(SESSION_COMMIT_BYTES_MAX)) as refusal:
        check_commit_size({"nodes": SESSION_COMMIT_BYTES_MAX, "config": 1})

    assert "nodes" == refusal.value.field
