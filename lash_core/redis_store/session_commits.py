"""``commit_runtime_state`` over Redis: one script, with every check before every write (docs/adr/0164)."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from lash_core.errors import CorruptRecordError, LimitExceededError, UnknownSessionError
from lash_core.errors.session import HeadRevisionConflictError
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.session_commit import RuntimeCommit, RuntimeCommitResult
from lash_core.redis_store.attachment_manifest import turn_token
from lash_core.redis_store.keys import scope_hash
from lash_core.redis_store.leased_session import LeasedSession, session_fence_argument
from lash_core.redis_store.queued_work_codec import DraftRow, encode_draft
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.session_blobs import ELSEWHERE, RedisSessionBlobs, blob_digest, is_large
from lash_core.redis_store.session_commit_codec import (
    CommitFacts,
    commit_result,
    decode_stamp,
    node_value,
    usage_fields,
)
from lash_core.redis_store.session_upkeep import BLOB_REF_HEAD
from lash_core.store.attachment_store import ATTACHMENT_FAMILY
from lash_core.store.content_address import digest_of
from lash_core.store.queued_work_store import QUEUED_BATCHES_MAX, SOURCE_KEY_RECEIPT_BYTES_MAX, SOURCE_KEY_RECEIPTS_MAX
from lash_core.store.session_bounds import check_draft
from lash_core.store.session_commit_records import PreparedCommit, check_commit_size, prepare_commit
from lash_core.store.session_records import BLOB_NAMES, refs_of
from lash_core.store.session_refusals import (
    batch_not_held,
    blob_not_stored,
    input_not_held,
    session_lease_lost,
    turn_committed_otherwise,
)
from lash_core.store.turn_journal import TURN_RESULTS_MAX, TURN_STAMPS_MAX

SESSION_BLOBS_MAX = 64
"""A commit that finds more blobs of its session removes the unused ones; three are in use as a rule."""


COMPARED_BYTES_MIN = 1024 * 1024
"""A replace with more bytes of nodes sends those alone that are not stored yet; below it asking costs more."""

COMPARED_NODES_A_CALL = 500
"""Nodes of one comparison: about 1 ms."""

NodeValue = tuple[str, str]
"""Id, and what is stored under it."""


class SessionCommits(LeasedSession):
    """The part of ``RedisRuntimePersistence`` that commits."""

    async def commit_runtime_state(self, commit: RuntimeCommit) -> RuntimeCommitResult:
        """Write a commit, all of it or nothing. One round trip; large blobs are put before, in one more.

        A replace of more than 1 MB asks first which of its nodes are stored already, and sends the others.

        Raises:
            SessionBindingMismatchError, RuntimeTurnCommitConflictError, SessionExecutionLeaseExpiredError,
            UnknownSessionError: the session was deleted.
            HeadRevisionConflictError, QueuedWorkClaimSupersededError, TurnInputClaimSupersededError: in this order.
            InvalidArgumentError: it refers to a blob that is not stored.
            LimitExceededError: a part, the whole, or the session's queue with the outbox.
            OutcomeUnknownError: the reply was lost and there is no stamp.
        """
        prepared = prepare_commit(self._session_id, commit)
        large = {ref: text for ref, text in prepared.blobs.items() if is_large(text)}
        nodes = [(node.node_id, node_value(node)) for node in prepared.nodes]
        if prepared.replaces_graph and sum(len(value) for _, value in nodes) > COMPARED_BYTES_MIN:
            nodes = await self._not_stored(nodes)
        call = self._call(prepared, nodes, frozenset(large))
        await RedisSessionBlobs(self._context).put_all(large)
        stamped = commit.turn_commit is not None
        reply: list[Any] = (await self._context.scripts.run([call], durable=True, repeatable=stamped))[0]
        if reply[0] == "committed":
            return commit_result(self._session_id, int(reply[1]), _facts(prepared), reply[2:], key=call.keys[5])
        if reply[0] == "replayed":
            return decode_stamp(self._session_id, reply[1], key=call.keys[5]).result
        raise self._refusal(prepared, reply)

    async def _not_stored(self, nodes: list[NodeValue]) -> list[NodeValue]:
        """The nodes that are not stored like this.

        Who hides or removes one of the others before the commit could as well have done it after.
        """
        keys = (self._keys.session_nodes(self._session_id), self._keys.session_tombstones(self._session_id))
        parts = [nodes[at : at + COMPARED_NODES_A_CALL] for at in range(0, len(nodes), COMPARED_NODES_A_CALL)]
        calls = [Call("compare_nodes", keys, tuple(text for node in part for text in _named(*node))) for part in parts]
        replies = await self._context.scripts.run(calls)
        return [part[int(place)] for part, places in zip(parts, replies, strict=True) for place in places]

    def _call(self, prepared: PreparedCommit, nodes: list[NodeValue], large: frozenset[str]) -> Call:
        """The script call. Raises: LimitExceededError, InvalidArgumentError."""
        commit, stamp = prepared.commit, prepared.commit.turn_commit
        scope = "" if stamp is None else scope_hash(ExecutionScope.turn(self._session_id, stamp.turn_id))
        args: list[str | bytes | int] = [
            self._session_id,
            "" if commit.expected_head_revision is None else commit.expected_head_revision,
            *self._lease_args(commit),
            *(("", "") if stamp is None else (stamp.turn_id, stamp.turn_commit_hash)),
            _facts_text(prepared),
            prepared.turn_result,
            prepared.head,
            prepared.config,
            prepared.frames,
            prepared.checkpoint_text,
            "" if prepared.leaf_node_id is None else f"={prepared.leaf_node_id}",
            scope,
            "" if stamp is None else turn_token(stamp.turn_id),
            commit.interrupted_turn_input_turn_id or "",
            BLOB_REF_HEAD,
            TURN_STAMPS_MAX,
            TURN_RESULTS_MAX,
            SESSION_BLOBS_MAX,
            QUEUED_BATCHES_MAX,
            SOURCE_KEY_RECEIPTS_MAX,
            SOURCE_KEY_RECEIPT_BYTES_MAX,
        ]
        for items in self._lists(prepared, nodes, large):
            args.append(len(items))
            for item in items:
                args += item
        return Call("commit_runtime_state", self._commit_keys(scope), tuple(args))

    def _lists(
        self, prepared: PreparedCommit, nodes: list[NodeValue], large: frozenset[str]
    ) -> list[list[tuple[str | int, ...]]]:
        """What the script is given any number of, in its order. Raises: LimitExceededError, InvalidArgumentError."""
        commit, refs = prepared.commit, refs_of(prepared.checkpoint)
        outbox = self._outbox(commit)
        blobs = [(blob_digest(ref), ELSEWHERE if ref in large else text) for ref, text in prepared.blobs.items()]
        check_commit_size(
            {
                "nodes": sum(len(value.encode()) for _, value in nodes),
                "agent_frames": len(prepared.frames.encode()),
                "config": len(prepared.config.encode()),
                "checkpoint": len(prepared.checkpoint_text.encode()) + sum(len(text.encode()) for _, text in blobs),
                "enqueued_queue_batches": sum(len(row.body.encode()) for row in outbox),
            }
        )
        return [
            [(blob_digest(refs[name]) if name in refs else "",) for name in BLOB_NAMES],
            [(blob_digest(ref),) for ref in prepared.kept_refs.values()],
            [*blobs],
            [*nodes],
            [*usage_fields(prepared.usage)],
            [
                (one.claim_id, one.lease_token, batch)
                for one in commit.completed_queue_claims
                for batch in one.batch_ids
            ],
            [
                (one.claim_id, one.lease_token, row)
                for one in commit.completed_turn_input_claims
                for row in one.input_ids
            ],
            [*outbox],
            [
                (digest_of(ref, ATTACHMENT_FAMILY, field="committed_attachment_ids"),)
                for ref in commit.committed_attachment_ids
            ],
        ]

    def _outbox(self, commit: RuntimeCommit) -> list[DraftRow]:
        for draft in commit.enqueued_queue_batches:
            check_draft(draft, self._session_id, self._context.settings.limits)
        return [
            encode_draft(draft, nonce="" if draft.source_key else secrets.token_hex(8))
            for draft in commit.enqueued_queue_batches
        ]

    def _lease_args(self, commit: RuntimeCommit) -> tuple[str, str, str, str]:
        """Fence and token of the lease and of its release; a lease of another session is none."""
        lease, released = commit.session_execution_lease, commit.release_session_execution_lease
        held, given_back = ("", ""), ("", "")
        if lease is not None and lease.session_id == self._session_id:
            held = (session_fence_argument(lease), lease.lease_token)
        if released is not None and released.session_id == self._session_id:
            given_back = (session_fence_argument(released), released.lease_token)
        return (*held, *given_back)

    def _commit_keys(self, scope: str) -> tuple[str, ...]:
        keys, session_id = self._keys, self._session_id
        return (
            keys.session_nodes(session_id),
            keys.session_node_order(session_id),
            keys.session_tombstones(session_id),
            keys.session_usage(session_id),
            keys.session_blobs(session_id),
            keys.session_stamps(session_id),
            keys.session_stamp_order(session_id),
            keys.session_attachments(session_id),
            keys.scope_journal(scope),
            keys.scopes,
            *self._script_keys,
        )

    def _refusal(self, prepared: PreparedCommit, reply: list[Any]) -> Exception:
        """What a refusal of the script means."""
        commit, what = prepared.commit, reply[1] if len(reply) > 1 else ""
        match reply[0]:
            case "turn_conflict":
                stamp = commit.turn_commit
                turn_id = "" if stamp is None else stamp.turn_id
                return turn_committed_otherwise(self._session_id, turn_id)
            case "lease":
                return session_lease_lost(self._session_id, what)
            case "absent":
                return UnknownSessionError(self._session_id)
            case "head":
                return HeadRevisionConflictError(self._session_id, commit.expected_head_revision or 0, int(what))
            case "queue":
                return batch_not_held(self._session_id, what)
            case "input":
                return input_not_held(self._session_id, what)
            case "ref":
                names = [name for name, ref in prepared.kept_refs.items() if blob_digest(ref) == what]
                return blob_not_stored(self._session_id, names[0], prepared.kept_refs[names[0]])
            case "full":
                return LimitExceededError(
                    f"the queue of session `{self._session_id}` is full: at most {QUEUED_BATCHES_MAX} batches",
                    field="enqueued_queue_batches",
                    value=len(commit.enqueued_queue_batches),
                    limit=QUEUED_BATCHES_MAX,
                )
            case word:
                return CorruptRecordError(f"the commit script answered {word!r}")


def _named(node_id: str, value: str) -> tuple[str, str]:
    """A node's id and the SHA-1 of what would be stored, as a script computes it."""
    return node_id, hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()


def _facts(prepared: PreparedCommit) -> CommitFacts:
    return CommitFacts(checkpoint_ref=prepared.checkpoint_ref, manifest=prepared.manifest)


def _facts_text(prepared: PreparedCommit) -> str:
    return _facts(prepared).model_dump_json(exclude_none=True)
