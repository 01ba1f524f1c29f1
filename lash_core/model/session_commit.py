"""What a commit of a session writes (``docs/contracts/sessions.md`` 1.8, 2.1; decisions 11-14). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from lash_core.model.agent_frame import AgentFrameRecord
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.plugin_snapshot import PluginSessionSnapshot
from lash_core.model.queued_work import QueuedWorkBatch, QueuedWorkCompletion, QueuedWorkDraft
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_lease import SessionExecutionLeaseCompletion, SessionExecutionLeaseFence
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.tool_state import ToolState
from lash_core.model.turn_input import TurnInputCompletion
from lash_core.model.usage import TokenLedgerEntry, TokenUsage

if TYPE_CHECKING:
    from lash_core.model.session_state import RuntimeSessionState

SESSION_RECORD_VERSION = 1
NODES_PAGE_MAX = 500
"""Nodes of one page of a read (decision 11)."""


class PersistedSessionConfig(Model):
    """What a session runs with, as data: no provider is bound by reading it. ``policy`` is the whole policy."""

    provider_id: str = ""
    model: ModelSpec = Field(default_factory=ModelSpec)
    policy: SessionPolicy = Field(default_factory=SessionPolicy)

    @classmethod
    def of_policy(cls, policy: SessionPolicy) -> PersistedSessionConfig:
        """The config of a policy."""
        return cls(provider_id=policy.provider_id, model=policy.model, policy=policy)


class TurnState(Model):
    """The counters of a session."""

    turn_index: int = 0
    token_usage: TokenUsage = Field(default_factory=TokenUsage)
    last_prompt_usage: TokenUsage | None = None
    protocol_turn_options: JsonValue = None


class _CheckpointStates(Model):
    """Counters, and of each of the three states its snapshot or the ref of it."""

    turn_state: TurnState = Field(default_factory=TurnState)
    tool_state: ToolState | None = None
    tool_state_ref: str | None = None
    tool_state_generation: int | None = None
    plugin_snapshot: PluginSessionSnapshot | None = None
    plugin_snapshot_ref: str | None = None
    plugin_snapshot_revision: int | None = None
    execution_state: JsonValue = None
    execution_state_ref: str | None = None


class CheckpointDraft(_CheckpointStates):
    """The checkpoint of a commit.

    Of each of the three states either the snapshot, stored as a blob by its content, or the ref of what is stored
    already; neither = the session has none.
    """


class SessionCheckpoint(Model):
    """The checkpoint as stored: counters and refs. Its own ref is ``sha256:<hex>`` of its canonical JSON."""

    schema_version: int = SESSION_RECORD_VERSION
    turn_state: TurnState = Field(default_factory=TurnState)
    tool_state_ref: str | None = None
    tool_state_generation: int | None = None
    plugin_snapshot_ref: str | None = None
    plugin_snapshot_revision: int | None = None
    execution_state_ref: str | None = None


class HydratedSessionCheckpoint(_CheckpointStates):
    """A checkpoint with its blobs."""


class SessionHeadMeta(Model):
    """The head as stored, beside its revision."""

    schema_version: int = SESSION_RECORD_VERSION
    leaf_node_id: str | None = None
    current_agent_frame_id: str = ""
    checkpoint_ref: str | None = None


class SessionHead(Model):
    """What tells two stored states of a session apart: revision, leaf as it was committed, checkpoint."""

    head_revision: int
    leaf_node_id: str | None = None
    checkpoint_ref: str | None = None


class GraphUnchanged(Model):
    """No new nodes; the leaf may have moved."""

    type: Literal["unchanged"] = "unchanged"
    leaf_node_id: str | None = Field(default=None, kw_only=False)


class GraphAppend(Model):
    """New nodes, in order."""

    type: Literal["append"] = "append"
    nodes: tuple[SessionNodeRecord, ...] = Field(kw_only=False)
    leaf_node_id: str | None = Field(default=None, kw_only=False)


class GraphReplaceFull(Model):
    """All resident nodes. What is stored and not among them stays, as orphans (decision 13)."""

    type: Literal["replace_full"] = "replace_full"
    nodes: tuple[SessionNodeRecord, ...] = Field(kw_only=False)
    leaf_node_id: str | None = Field(default=None, kw_only=False)


GraphCommitDelta = Annotated[GraphUnchanged | GraphAppend | GraphReplaceFull, Field(discriminator="type")]


class TurnCommitStamp(Model):
    """Names the turn that a commit ends; a second commit of it with the same hash answers the first one's result."""

    session_id: str
    turn_id: str
    turn_commit_hash: str


class RuntimeCommit(Model):
    """One atomic change of a session.

    Attributes:
        expected_head_revision: 0 where there is no head yet; None = whatever it is.
        session_execution_lease: must be the live one.
        release_session_execution_lease: released within the commit.
        usage_deltas: added to the ledger.
        turn_commit: makes the commit safe to repeat.
        turn_result: kept with the stamp and answered to a turn that is redone after its commit: an ``AssembledTurn``'s
            JSON, without its messages where that is over the limit.
        completed_queue_claims: settled: the batches leave the queue.
        enqueued_queue_batches: the outbox: work that appears with the commit.
        interrupted_turn_input_turn_id: inputs for this turn that it did not take go to the next one.
        committed_attachment_ids: marked as committed, beside all intents of the turn.
    """

    session_id: str
    expected_head_revision: int | None = None
    session_execution_lease: SessionExecutionLeaseFence | None = None
    release_session_execution_lease: SessionExecutionLeaseCompletion | None = None
    config: PersistedSessionConfig = Field(default_factory=PersistedSessionConfig)
    agent_frames: tuple[AgentFrameRecord, ...] = ()
    current_agent_frame_id: str = ""
    graph: GraphCommitDelta = Field(default_factory=GraphUnchanged)
    checkpoint: CheckpointDraft = Field(default_factory=CheckpointDraft)
    usage_deltas: tuple[TokenLedgerEntry, ...] = ()
    turn_commit: TurnCommitStamp | None = None
    turn_result: JsonValue = None
    completed_queue_claims: tuple[QueuedWorkCompletion, ...] = ()
    completed_turn_input_claims: tuple[TurnInputCompletion, ...] = ()
    enqueued_queue_batches: tuple[QueuedWorkDraft, ...] = ()
    interrupted_turn_input_turn_id: str | None = None
    committed_attachment_ids: tuple[str, ...] = ()

    @classmethod
    def persisted_state(cls, state: RuntimeSessionState, usage: Sequence[TokenLedgerEntry] = ()) -> RuntimeCommit:
        """The commit of a state: see ``session_persisting.persisted_state``."""
        from lash_core.model import session_persisting  # noqa: PLC0415 - that module builds on this one

        return session_persisting.persisted_state(state, usage)

    def turn_commit_hash(self) -> str:
        """64 hex digits: the identity of what a turn commits (``docs/contracts/sessions.md`` 1.8, decision 12).

        Equal for a turn that is redone elsewhere: revisions, leases, claim ids and tokens, node and message ids and
        times are left out.
        """
        facts = self.to_json_value()
        for name in _NOT_HASHED:
            facts.pop(name, None)
        return hashlib.sha256(canonical_json_bytes(_without_volatile(facts, ""))).hexdigest()

    def stamped(self, turn_id: str) -> RuntimeCommit:
        """A copy that ends this turn."""
        stamp = TurnCommitStamp(session_id=self.session_id, turn_id=turn_id, turn_commit_hash=self.turn_commit_hash())
        return self.model_copy(update={"turn_commit": stamp})


_NOT_HASHED = (
    "expected_head_revision",
    "session_execution_lease",
    "release_session_execution_lease",
    "turn_commit",
    "turn_result",
)
_VOLATILE = frozenset(
    {
        "node_id",
        "parent_node_id",
        "leaf_node_id",
        "timestamp_ms",
        "claim_id",
        "lease_token",
        "session_lease_generation",
        "fencing_token",
        "created_at_ms",
    }
)


def _without_volatile(value: Any, under: str) -> Any:
    """``id`` is volatile in messages and in their parts only: batch ids and frame ids are part of the turn."""
    if isinstance(value, dict):
        names = set(value)
        in_message = under in ("message", "parts")
        return {
            name: _without_volatile(part, name)
            for name, part in value.items()
            if name not in _VOLATILE and not (name == "id" and in_message and names)
        }
    if isinstance(value, list):
        return [_without_volatile(part, under) for part in value]
    return value


class CommitManifest(Model):
    """The refs of the blobs that a commit stored or kept."""

    tool_state_ref: str | None = None
    tool_state_generation: int | None = None
    plugin_snapshot_ref: str | None = None
    plugin_snapshot_revision: int | None = None
    execution_state_ref: str | None = None


class RuntimeCommitResult(Model):
    """What a commit made. A repeat of a stamped commit answers the first one's.

    ``manifest`` names the blobs that the session refers to now.
    """

    head_revision: int
    checkpoint_ref: str | None = None
    manifest: CommitManifest = Field(default_factory=CommitManifest)
    enqueued_queue_batches: tuple[QueuedWorkBatch, ...] = ()


class TurnStampRecord(Model):
    """A turn that was committed: its hash, the commit's result and the turn's own."""

    turn_id: str
    turn_commit_hash: str
    result: RuntimeCommitResult
    turn_result: JsonValue = None


class FullGraph(Model):
    """All nodes that are not tombstoned, in append order."""

    type: Literal["full_graph"] = "full_graph"


class ActivePath(Model):
    """The ancestry of a leaf; None = of the stored one."""

    type: Literal["active_path"] = "active_path"
    leaf_node_id: str | None = Field(default=None, kw_only=False)


SessionReadScope = FullGraph | ActivePath


class PersistedSessionRead(Model):
    """What a load answers. ``nodes`` in append order (full) or from the root to the leaf (active path).

    ``token_ledger`` is merged.
    """

    session_id: str
    head_revision: int
    config: PersistedSessionConfig
    agent_frames: tuple[AgentFrameRecord, ...]
    current_agent_frame_id: str
    nodes: tuple[SessionNodeRecord, ...]
    leaf_node_id: str | None = None
    checkpoint: HydratedSessionCheckpoint
    checkpoint_ref: str | None = None
    token_ledger: tuple[TokenLedgerEntry, ...] = ()

    @property
    def graph(self) -> SessionGraph:
        """The graph; a new one with each call."""
        return SessionGraph(self.nodes, self.leaf_node_id)


class VacuumReport(Model):
    """What one vacuum removed."""

    removed_node_count: int = 0
    removed_pending_turn_input_tombstone_count: int = 0


class GcReport(Model):
    """What one sweep of a session's blobs found and did."""

    root_count: int = 0
    retained_blob_count: int = 0
    deleted_blob_count: int = 0
