"""What a commit writes, as text, with the checks that need no store: binding, limits, JSON (``sessions.md`` 2.1).

Both back ends begin a commit here, so that they refuse the same commits with the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.errors.session import RuntimeTurnCommitConflictError, SessionBindingMismatchError
from lash_core.model.agent_frame import AgentFrameRecord
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.ids import check_id
from lash_core.model.session_commit import (
    SESSION_RECORD_VERSION,
    CommitManifest,
    GraphUnchanged,
    RuntimeCommit,
    SessionCheckpoint,
    SessionHeadMeta,
)
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.usage import TokenLedgerEntry, merge_ledger
from lash_core.store.runtime_persistence import (
    SESSION_BLOB_BYTES_MAX,
    SESSION_COMMIT_BYTES_MAX,
    SESSION_NODE_BYTES_MAX,
)
from lash_core.store.session_records import (
    BlobName,
    blob_ref,
    blobs_of,
    build_record,
    checkpoint_of,
    checkpoint_ref,
    encode_record,
    manifest_of,
    record_facts,
    refs_of,
)

TURN_RESULT_BYTES_MAX = 256 * 1024
"""Of the result that is kept beside a turn's stamp: one payload. Messages of the turn are in its nodes already."""


class FrameRecords(Model):
    """All frames of a session, as stored."""

    frames: tuple[AgentFrameRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A node as stored: its JSON is without its id and its parent, which stand beside it."""

    node_id: str
    parent_node_id: str | None
    text: str


@dataclass(frozen=True, slots=True)
class PreparedCommit:
    """A commit that may be written as far as it can be told without the store.

    Attributes:
        commit: what it was made of.
        head: of ``SessionHeadMeta`` without the leaf, which is stored beside it.
        config: of ``PersistedSessionConfig``.
        frames: of ``FrameRecords``.
        checkpoint_text: of ``checkpoint``.
        checkpoint_ref: of that text.
        blobs: ref → canonical JSON of the snapshots that the commit brings.
        kept_refs: name → ref of the blobs that it names and does not bring: they must be stored already.
        nodes: to write, in order.
        replaces_graph: they are all resident nodes, so most are stored already.
        usage: merged.
        turn_result: canonical JSON, '' = none.
    """

    commit: RuntimeCommit
    head: str
    config: str
    frames: str
    checkpoint: SessionCheckpoint
    checkpoint_text: str
    checkpoint_ref: str
    blobs: dict[str, str]
    kept_refs: dict[BlobName, str]
    nodes: tuple[StoredNode, ...]
    replaces_graph: bool
    usage: tuple[TokenLedgerEntry, ...]
    turn_result: str

    @property
    def leaf_node_id(self) -> str | None:
        """Where the session stands after the commit."""
        return self.commit.graph.leaf_node_id

    @property
    def manifest(self) -> CommitManifest:
        """The refs that the session has after the commit."""
        return manifest_of(self.checkpoint)


def prepare_commit(bound_session_id: str, commit: RuntimeCommit) -> PreparedCommit:
    """Check a commit as far as it can be checked without the store, and make its texts.

    Raises:
        SessionBindingMismatchError: it names another session, or its outbox or one of its completions does.
        RuntimeTurnCommitConflictError: its stamp names another session.
        InvalidArgumentError: its stamp cannot be kept.
        LimitExceededError: a node, blob, turn result or the whole is over its limit.
        InvalidJsonError: something in it is not canonical JSON.
    """
    check_bindings(bound_session_id, commit)
    texts = blobs_of(commit.checkpoint)
    for name, text in texts.items():
        _check_size(f"the {name} of a commit", f"checkpoint.{name}", len(text.encode()), SESSION_BLOB_BYTES_MAX)
    refs = {name: blob_ref(text) for name, text in texts.items()}
    checkpoint = checkpoint_of(commit.checkpoint, refs)
    checkpoint_text = encode_record(checkpoint, field="checkpoint")
    head = SessionHeadMeta(
        current_agent_frame_id=commit.current_agent_frame_id, checkpoint_ref=checkpoint_ref(checkpoint_text)
    )
    result = "" if commit.turn_result is None else canonical_json(commit.turn_result, field="turn_result")
    _check_size("the result of a turn", "turn_result", len(result.encode()), TURN_RESULT_BYTES_MAX)
    records = () if isinstance(commit.graph, GraphUnchanged) else commit.graph.nodes
    return PreparedCommit(
        commit=commit,
        head=encode_record(head, field="head"),
        config=encode_record(commit.config, field="config"),
        frames=encode_record(FrameRecords(frames=commit.agent_frames), field="agent_frames"),
        checkpoint=checkpoint,
        checkpoint_text=checkpoint_text,
        checkpoint_ref=checkpoint_ref(checkpoint_text),
        blobs={refs[name]: text for name, text in texts.items()},
        kept_refs={name: ref for name, ref in refs_of(checkpoint).items() if name not in texts},
        nodes=tuple(_stored_node(node) for node in records),
        replaces_graph=commit.graph.type == "replace_full",
        usage=merge_ledger(commit.usage_deltas),
        turn_result=result,
    )


def check_bindings(bound_session_id: str, commit: RuntimeCommit) -> None:
    """Checks 1 to 3 of the contract's order, as far as they need no store.

    Raises:
        SessionBindingMismatchError, RuntimeTurnCommitConflictError.
        InvalidArgumentError: the stamp's turn id or hash cannot be kept.
    """
    named = [commit.session_id, *(draft.session_id for draft in commit.enqueued_queue_batches)]
    named += [completion.session_id for completion in commit.completed_queue_claims]
    named += [completion.session_id for completion in commit.completed_turn_input_claims]
    for session_id in named:
        if session_id != bound_session_id:
            raise SessionBindingMismatchError(bound_session_id, session_id)
    stamp = commit.turn_commit
    if stamp is not None and stamp.session_id != bound_session_id:
        raise RuntimeTurnCommitConflictError(
            f"the stamp of turn `{stamp.turn_id}` names session `{stamp.session_id}`, the commit names "
            f"`{bound_session_id}`",
            field="turn_commit.session_id",
            value=stamp.session_id,
        )
    if stamp is not None:
        check_id(stamp.turn_id, field="turn_commit.turn_id", subject="turn id")
        if not stamp.turn_commit_hash or ";" in stamp.turn_commit_hash:
            raise InvalidArgumentError(
                "a turn commit hash must be a non-empty text without `;`",
                field="turn_commit.turn_commit_hash",
                value=stamp.turn_commit_hash,
            )


def check_commit_size(parts: dict[str, int]) -> None:
    """Refuse a commit whose texts are too large for one script call.

    Args:
        parts: bytes by what they are: ``nodes``, ``agent_frames``, …

    Raises:
        LimitExceededError: naming the largest part.
    """
    total = sum(parts.values())
    if total > SESSION_COMMIT_BYTES_MAX:
        largest = max(parts, key=lambda name: parts[name])
        raise LimitExceededError(
            f"a commit of {total} bytes is over the limit of {SESSION_COMMIT_BYTES_MAX}; its {largest} have "
            f"{parts[largest]} of them",
            field=largest,
            value=total,
            limit=SESSION_COMMIT_BYTES_MAX,
        )


def decode_node(node_id: str, parent_node_id: str | None, text: str | bytes, *, key: str) -> SessionNodeRecord:
    """A node read back.

    Raises:
        MissingRecordSchemaVersionError, InvalidRecordSchemaVersionError, UnsupportedRecordSchemaVersionError,
        CorruptRecordError.
    """
    subject = f"session node `{node_id}`"
    facts = record_facts(text, "v", subject=subject, key=key)
    facts["node_id"] = node_id
    if parent_node_id is not None:
        facts["parent_node_id"] = parent_node_id
    return build_record(SessionNodeRecord, facts, subject, key)


def _stored_node(node: SessionNodeRecord) -> StoredNode:
    subject = f"session node `{node.node_id}`"
    facts = node.to_plain_value()
    del facts["node_id"]
    facts.pop("parent_node_id", None)
    text = canonical_json({"v": SESSION_RECORD_VERSION, **facts}, field=subject)
    _check_size(subject, "nodes", len(text.encode()), SESSION_NODE_BYTES_MAX)
    return StoredNode(node.node_id, node.parent_node_id, text)


def _check_size(what: str, field: str, size: int, limit: int) -> None:
    if size > limit:
        raise LimitExceededError(f"{what} has {size} bytes; the limit is {limit}", field=field, value=size, limit=limit)
