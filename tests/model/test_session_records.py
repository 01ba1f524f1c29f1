"""Records of sessions: what is stored comes back, versions are checked, what is too large is named."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from lash_core.errors import CorruptRecordError, InvalidJsonError, LimitExceededError
from lash_core.errors.session import (
    InvalidRecordSchemaVersionError,
    MissingRecordSchemaVersionError,
    RuntimeTurnCommitConflictError,
    SessionBindingMismatchError,
    UnsupportedRecordSchemaVersionError,
)
from lash_core.model.agent_frame import AgentFrameRecord
from lash_core.model.base import Model
from lash_core.model.message import Message
from lash_core.model.queued_work import QueuedWorkCompletion, QueuedWorkDraft, TurnInputPayload
from lash_core.model.session_commit import (
    CheckpointDraft,
    GraphAppend,
    GraphReplaceFull,
    GraphUnchanged,
    RuntimeCommit,
    SessionCheckpoint,
    SessionHeadMeta,
    TurnCommitStamp,
    TurnState,
)
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.tool_state import ToolEntry, ToolManifest, ToolState
from lash_core.model.turn_input import TurnInput, TurnInputCompletion
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.store import session_commit_records
from lash_core.store.session_commit_records import (
    TURN_RESULT_BYTES_MAX,
    FrameRecords,
    check_commit_size,
    decode_node,
    prepare_commit,
)
from lash_core.store.session_records import decode_record, encode_record, hydrated

FRAME = AgentFrameRecord(frame_id="f", session_id="s")


def _nodes() -> tuple[SessionNodeRecord, ...]:
    graph = SessionGraph()
    graph.append_message(Message.user("hé", message_id="m1"), agent_frame_id="f", timestamp_ms=3)
    graph.append_protocol_event({"null": None, "list": [None, 1.5]}, node_id="p1")
    graph.append_plugin_node("notes", {"text": "x"}, node_id="n1")
    return tuple(graph.nodes)


@pytest.mark.parametrize("record", [SessionHeadMeta(), SessionCheckpoint(), FrameRecords(frames=(FRAME,))])
def test_a_record_comes_back(record: Model) -> None:
    """With its version beside its fields."""
    text = encode_record(record, field="record")

    assert record == decode_record(type(record), text, subject="the record", key="k")
    assert 1 == json.loads(text)["schema_version" if "schema_version" in type(record).model_fields else "v"]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("{}", MissingRecordSchemaVersionError, "has no `schema_version`"),
        ('{"v":1}', MissingRecordSchemaVersionError, "has no `schema_version`"),
        ('{"schema_version":"1"}', InvalidRecordSchemaVersionError, "'1', which is no whole number"),
        ('{"schema_version":1.0}', InvalidRecordSchemaVersionError, "1.0, which is no whole number"),
        ('{"schema_version":null}', InvalidRecordSchemaVersionError, "None, which is no whole number"),
        ('{"schema_version":true}', InvalidRecordSchemaVersionError, "True, which is no whole number"),
        ('{"schema_version":2}', UnsupportedRecordSchemaVersionError, "2; this release knows 1"),
        ('{"schema_version":-1}', UnsupportedRecordSchemaVersionError, "-1; this release knows 1"),
        ('{"schema_version":1,"other":1}', CorruptRecordError, "other"),
        ('"text"', CorruptRecordError, "no JSON object"),
        ("", CorruptRecordError, "is not JSON"),
    ],
)
def test_versions_are_checked_before_anything_else(text: str, error: type[CorruptRecordError], words: str) -> None:
    """Three errors for three faults of the version; each names the record and the key."""
    with pytest.raises(error, match="the head") as raised:
        decode_record(SessionHeadMeta, text, subject="the head", key="k")

    assert error is type(raised.value)
    assert words in str(raised.value)
    assert "k" == raised.value.key


def test_nodes_come_back() -> None:
    """With values that look like nothing."""
    nodes = _nodes()
    prepared = prepare_commit("s", RuntimeCommit(session_id="s", graph=GraphAppend(nodes, "n1")))

    back = [decode_node(node.node_id, node.parent_node_id, node.text, key="k") for node in prepared.nodes]

    assert list(nodes) == back
    assert all('"node_id"' not in node.text and '"parent_node_id"' not in node.text for node in prepared.nodes)


def test_a_checkpoint_comes_back_with_its_blobs() -> None:
    """Equal blobs have equal refs; a ref that is named without its blob is kept."""
    tools = ToolState(generation=4, tools={"t": ToolEntry(manifest=ToolManifest("t", "t"))})
    turn = TurnState(turn_index=2, token_usage=TokenUsage(input=1), protocol_turn_options={"a": None})
    kept = f"session-blob:sha256:{'0' * 64}"
    draft = CheckpointDraft(turn_state=turn, tool_state=tools, execution_state={"a": [None]}, plugin_snapshot_ref=kept)
    commit = RuntimeCommit(session_id="s", checkpoint=draft)

    prepared = prepare_commit("s", commit)

    stored = {**prepared.blobs, kept: '{"plugins":{}}'}
    back = hydrated(prepared.checkpoint, stored, key="k")
    assert (turn, tools, 4, {"a": [None]}) == (
        back.turn_state,
        back.tool_state,
        back.tool_state_generation,
        back.execution_state,
    )
    assert back.plugin_snapshot is not None
    assert {"plugin_snapshot": kept} == prepared.kept_refs
    assert kept == prepared.manifest.plugin_snapshot_ref
    assert prepared.blobs == prepare_commit("s", commit).blobs
    with pytest.raises(CorruptRecordError, match="plugin_snapshot"):
        hydrated(prepared.checkpoint, prepared.blobs, key="k")


def test_a_snapshot_wins_over_the_ref_beside_it() -> None:
    """What is brought is what is stored."""
    draft = CheckpointDraft(tool_state=ToolState(), tool_state_ref="old", tool_state_generation=9)

    prepared = prepare_commit("s", RuntimeCommit(session_id="s", checkpoint=draft))

    assert (tuple(prepared.blobs), 1) == (
        (prepared.checkpoint.tool_state_ref,),
        prepared.checkpoint.tool_state_generation,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": "other"},
        {"enqueued_queue_batches": (QueuedWorkDraft(session_id="other", payloads=(TurnInputPayload(TurnInput()),)),)},
        {
            "completed_queue_claims": (
                QueuedWorkCompletion(session_id="other", claim_id="c", lease_token="t", batch_ids=()),
            )
        },
        {
            "completed_turn_input_claims": (
                TurnInputCompletion(session_id="other", claim_id="c", lease_token="t", input_ids=()),
            )
        },
    ],
)
def test_other_sessions_are_refused(changes: dict[str, Any]) -> None:
    """Wherever a commit names one; before anything is looked at."""
    commit = RuntimeCommit(session_id="s").model_copy(update=changes)

    with pytest.raises(SessionBindingMismatchError, match="bound to session `s`, not to `other`"):
        prepare_commit("s", commit)


def test_a_stamp_of_another_session_is_a_conflict() -> None:
    """It is checked after the bindings."""
    stamp = TurnCommitStamp(session_id="other", turn_id="t", turn_commit_hash="0")

    with pytest.raises(RuntimeTurnCommitConflictError, match="turn `t` names session `other`"):
        prepare_commit("s", RuntimeCommit(session_id="s", turn_commit=stamp))
    with pytest.raises(SessionBindingMismatchError):
        prepare_commit("s", RuntimeCommit(session_id="x", turn_commit=stamp))


def test_what_is_too_large_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Node, blob, turn result, the whole: with size and limit."""
    monkeypatch.setattr(session_commit_records, "SESSION_NODE_BYTES_MAX", 200)
    monkeypatch.setattr(session_commit_records, "SESSION_BLOB_BYTES_MAX", 200)
    graph = SessionGraph()
    graph.append_message(Message.user("x" * 300, message_id="m1"))
    large: list[tuple[dict[str, Any], str]] = [
        ({"graph": GraphReplaceFull(tuple(graph.nodes))}, "session node `m1` has "),
        ({"checkpoint": CheckpointDraft(execution_state="x" * 300)}, "the execution_state of a commit has 302 bytes"),
        ({"turn_result": "x" * TURN_RESULT_BYTES_MAX}, f"the result of a turn has {TURN_RESULT_BYTES_MAX + 2} bytes"),
    ]
    for changes, words in large:
        with pytest.raises(LimitExceededError, match=words):
            prepare_commit("s", RuntimeCommit(session_id="s", **changes))

    check_commit_size({"nodes": 16 * 1024 * 1024})
    with pytest.raises(LimitExceededError, match="its agent_frames have 16777216 of them") as raised:
        check_commit_size({"nodes": 1, "agent_frames": 16 * 1024 * 1024})
    assert ("agent_frames", 16 * 1024 * 1024) == (raised.value.field, raised.value.limit)


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", {1: 2}, object()])
def test_what_is_not_json_is_refused(value: Any) -> None:
    """In nodes, snapshots, options and results, with the path."""
    graph = SessionGraph()
    graph.append_protocol_event({"deep": [value]}, node_id="n")
    changes: list[dict[str, Any]] = [
        {"graph": GraphAppend(tuple(graph.nodes))},
        {"checkpoint": CheckpointDraft(execution_state=[value])},
        {"checkpoint": CheckpointDraft(turn_state=TurnState(protocol_turn_options=[value]))},
        {"agent_frames": (FRAME.model_copy(update={"protocol_turn_options": [value]}),)},
        {"turn_result": {"x": value}},
    ]
    for one in changes:
        with pytest.raises(InvalidJsonError):
            prepare_commit("s", RuntimeCommit(session_id="s", **one))


def test_usage_is_merged_and_an_unchanged_graph_has_no_nodes() -> None:
    """One entry a source and model."""
    usage = (TokenLedgerEntry("turn", "m", TokenUsage(input=1)), TokenLedgerEntry("turn", "m", TokenUsage(input=2)))
    commit = RuntimeCommit(session_id="s", usage_deltas=usage, graph=GraphUnchanged(leaf_node_id="x"))

    prepared = prepare_commit("s", commit)

    assert (TokenLedgerEntry("turn", "m", TokenUsage(input=3)),) == prepared.usage
    assert ((), "x", False) == (prepared.nodes, prepared.leaf_node_id, prepared.replaces_graph)
