"""Commits of a session in memory (``docs/contracts/sessions.md`` 2.1): every check in its order, then every write."""

from __future__ import annotations

import json
import secrets

from lash_core.errors.session import HeadRevisionConflictError
from lash_core.memory_store.detach import detached
from lash_core.memory_store.session_journal import close_turn, drop_turn_journal, keep_stamp
from lash_core.memory_store.session_part import SessionPart
from lash_core.memory_store.session_queue import append_batch, known_batch, settle_batch
from lash_core.memory_store.session_rows import StoredHead, StoredSession
from lash_core.model.attachment import AttachmentOwner, AttachmentOwnerKind
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session_commit import RuntimeCommit, RuntimeCommitResult, TurnStampRecord
from lash_core.model.session_queue_ids import batch_id_of
from lash_core.model.turn_input import ActiveTurnIngress
from lash_core.model.turn_input_lane import deferred_input
from lash_core.model.usage import merge_ledger
from lash_core.store.attachment_store import ATTACHMENT_FAMILY
from lash_core.store.content_address import digest_of
from lash_core.store.runtime_persistence import SESSION_BLOB_INLINE_MAX
from lash_core.store.session_bounds import check_draft, check_queue_room
from lash_core.store.session_commit_records import PreparedCommit, check_commit_size, prepare_commit
from lash_core.store.session_records import refs_of
from lash_core.store.session_refusals import (
    batch_not_held,
    blob_not_stored,
    input_not_held,
    turn_committed_otherwise,
)


class CommitOperations(SessionPart):
    """The one way in which a session's state changes."""

    async def commit_runtime_state(self, commit: RuntimeCommit) -> RuntimeCommitResult:
        """Write a commit, all of it or nothing.

        Raises:
            SessionBindingMismatchError, RuntimeTurnCommitConflictError, SessionExecutionLeaseExpiredError,
            HeadRevisionConflictError, QueuedWorkClaimSupersededError, TurnInputClaimSupersededError,
            LimitExceededError, InvalidArgumentError.
        """
        prepared = prepare_commit(self._session_id, commit)
        check_commit_size(_sizes(prepared))
        for draft in commit.enqueued_queue_batches:
            check_draft(draft, self._session_id, self._state.limits)
        for attachment_id in commit.committed_attachment_ids:
            digest_of(attachment_id, ATTACHMENT_FAMILY, field="committed_attachment_ids")
        with self._state.lock:
            repeated = self._stamped(commit)
            if repeated is not None:
                return detached(repeated)
            session = self._state.require_lease(self._session_id, commit.session_execution_lease)
            self._check_claims(session, commit)
            _check_refs(self._session_id, session, prepared)
            result = self._write(session, prepared)
        self._state.notices.tell(self._session_id)
        return detached(result)

    # -- checks ----------------------------------------------------------------------------------------

    def _stamped(self, commit: RuntimeCommit) -> RuntimeCommitResult | None:
        """The result of the commit that ended this turn before; its lease is released if it is still that one."""
        stamp = commit.turn_commit
        if stamp is None:
            return None
        session = self._found()
        known = None if session is None else session.stamps.get(stamp.turn_id)
        if known is None:
            return None
        if known.turn_commit_hash != stamp.turn_commit_hash:
            raise turn_committed_otherwise(self._session_id, stamp.turn_id)
        if commit.release_session_execution_lease is not None:
            self._state.release_lease(self._session_id, commit.release_session_execution_lease)
        return known.result

    def _check_claims(self, session: StoredSession, commit: RuntimeCommit) -> None:
        expected = commit.expected_head_revision
        if expected is not None and expected != session.revision:
            raise HeadRevisionConflictError(self._session_id, expected, session.revision)
        for completion in commit.completed_queue_claims:
            for batch_id in completion.batch_ids:
                if not session.owns_batch(batch_id, completion.claim_id, completion.lease_token):
                    raise batch_not_held(self._session_id, batch_id)
        for completion in commit.completed_turn_input_claims:
            for input_id in completion.input_ids:
                if not session.owns_input(input_id, completion.claim_id, completion.lease_token):
                    raise input_not_held(self._session_id, input_id)
        settled = {batch_id for completion in commit.completed_queue_claims for batch_id in completion.batch_ids}
        added = [draft for draft in commit.enqueued_queue_batches if known_batch(session, draft) is None]
        if added:
            check_queue_room(self._session_id, len(session.rows) - len(settled), len(added))

    # -- writes ----------------------------------------------------------------------------------------

    def _write(self, session: StoredSession, prepared: PreparedCommit) -> RuntimeCommitResult:
        commit = prepared.commit
        _settle(session, commit)
        for node in prepared.nodes:
            session.nodes[node.node_id] = node
            session.tombstones.discard(node.node_id)
        session.blobs.update(prepared.blobs)
        ledger = merge_ledger((*session.ledger, *prepared.usage))
        session.ledger = tuple(sorted(ledger, key=lambda entry: (entry.source, entry.model)))
        session.head = StoredHead(
            config=prepared.config,
            frames=prepared.frames,
            current_frame_id=commit.current_agent_frame_id,
            leaf_node_id=prepared.leaf_node_id,
            checkpoint=prepared.checkpoint_text,
            checkpoint_ref=prepared.checkpoint_ref,
            blob_refs=_blob_refs(prepared),
        )
        session.revision += 1
        result = RuntimeCommitResult(
            head_revision=session.revision,
            checkpoint_ref=prepared.checkpoint_ref,
            manifest=prepared.manifest,
            enqueued_queue_batches=self._enqueue_outbox(session, commit),
        )
        session.note_progress()
        self._end_turn(session, prepared, result)
        if commit.release_session_execution_lease is not None:
            self._state.release_lease(self._session_id, commit.release_session_execution_lease)
        return result

    def _enqueue_outbox(self, session: StoredSession, commit: RuntimeCommit) -> tuple[QueuedWorkBatch, ...]:
        now_ms = self._state.clock.now_ms()
        batches: list[QueuedWorkBatch] = []
        for draft in commit.enqueued_queue_batches:
            nonce = secrets.token_hex(16) if draft.source_key is None else ""
            batch_id = batch_id_of(self._session_id, source_key=draft.source_key, nonce=nonce)
            batches.append(known_batch(session, draft) or append_batch(session, draft, batch_id, now_ms))
        return tuple(batches)

    def _end_turn(self, session: StoredSession, prepared: PreparedCommit, result: RuntimeCommitResult) -> None:
        """Stamp the turn, stamp its attachments, and forget what it recorded."""
        commit, manifest = prepared.commit, self._state.manifest
        stamp = commit.turn_commit
        if manifest is not None and (stamp is not None or commit.committed_attachment_ids):
            owner = None if stamp is None else AttachmentOwner(AttachmentOwnerKind.TURN, stamp.turn_id)
            manifest.stamp(self._session_id, owner, commit.committed_attachment_ids)
        if stamp is None:
            return
        keep_stamp(
            session,
            TurnStampRecord(
                turn_id=stamp.turn_id,
                turn_commit_hash=stamp.turn_commit_hash,
                result=result,
                turn_result=json.loads(prepared.turn_result or "null"),
            ),
        )
        if session.open_turn is not None and session.open_turn.turn_id == stamp.turn_id:
            close_turn(self._state, self._session_id, session)
        drop_turn_journal(self._state, self._session_id, stamp.turn_id)


def _settle(session: StoredSession, commit: RuntimeCommit) -> None:
    """Claims that the commit completes, and inputs that its turn leaves behind."""
    settled = (batch_id for completion in commit.completed_queue_claims for batch_id in completion.batch_ids)
    for batch_id in dict.fromkeys(settled):
        settle_batch(session, batch_id)
    for completion in commit.completed_turn_input_claims:
        for input_id in completion.input_ids:
            stored = session.inputs[input_id]
            stored.row = stored.row.model_copy(update={"state": "completed", "claim": None})
    turn_id = commit.interrupted_turn_input_turn_id
    for stored in session.inputs.values():
        ingress = stored.row.ingress
        addressed = isinstance(ingress, ActiveTurnIngress) and ingress.turn_id == turn_id
        if addressed and stored.row.state == "pending_active":
            stored.row = deferred_input(stored.row)


def _check_refs(session_id: str, session: StoredSession, prepared: PreparedCommit) -> None:
    for name, ref in prepared.kept_refs.items():
        if ref not in session.blobs and ref not in prepared.blobs:
            raise blob_not_stored(session_id, name, ref)


def _blob_refs(prepared: PreparedCommit) -> frozenset[str]:
    """What checkpoint and frames name."""
    frames = prepared.commit.agent_frames
    framed = {frame.execution_state_ref for frame in frames if frame.execution_state_ref is not None}
    return frozenset(refs_of(prepared.checkpoint).values()) | framed


def _sizes(prepared: PreparedCommit) -> dict[str, int]:
    """Bytes of what one script would carry."""
    blobs = [len(text.encode()) for text in prepared.blobs.values()]
    return {
        "nodes": sum(len(node.text.encode()) for node in prepared.nodes),
        "agent_frames": len(prepared.frames.encode()),
        "checkpoint": sum(size for size in blobs if size <= SESSION_BLOB_INLINE_MAX),
        "config": len(prepared.config.encode()),
        "turn_result": len(prepared.turn_result.encode()),
    }
