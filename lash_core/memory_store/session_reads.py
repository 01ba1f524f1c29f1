"""Reads of a session in memory, and what removes for good what nobody reads any more.

``docs/contracts/sessions.md`` 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.memory_store.session_part import SessionPart
from lash_core.memory_store.session_rows import StoredHead, StoredSession
from lash_core.model.session import SessionMeta
from lash_core.model.session_commit import (
    ActivePath,
    FullGraph,
    GcReport,
    PersistedSessionConfig,
    PersistedSessionRead,
    SessionCheckpoint,
    SessionHead,
    SessionReadScope,
    VacuumReport,
)
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.turn_input_lane import TERMINAL_INPUT_STATES
from lash_core.store.session_bounds import encode_meta
from lash_core.store.session_commit_records import FrameRecords, decode_node
from lash_core.store.session_records import decode_record, hydrated
from lash_core.store.session_refusals import unknown_leaf


class SessionReadOperations(SessionPart):
    """What is stored of the session."""

    async def load_session(self, scope: SessionReadScope = FullGraph()) -> PersistedSessionRead | None:  # noqa: B008 - immutable
        """The session, or None when nothing was committed yet or it is gone. Raises: InvalidArgumentError."""
        with self._state.lock:
            session = self._found()
            if session is None or session.head is None:
                return None
            return self._read(session, session.head, scope)

    async def load_session_head(self) -> SessionHead | None:
        """What the session stands on; None before the first commit."""
        with self._state.lock:
            session = self._found()
            if session is None or session.head is None:
                return None
            head = session.head
            return SessionHead(
                head_revision=session.revision,
                leaf_node_id=head.leaf_node_id,
                checkpoint_ref=head.checkpoint_ref,
            )

    async def load_node(self, node_id: str) -> SessionNodeRecord | None:
        """One node; None when it is unknown or tombstoned."""
        with self._state.lock:
            session = self._found()
            return None if session is None else self._node(session, node_id)

    async def tombstone_nodes(self, node_ids: Sequence[str]) -> int:
        """Hide nodes from all reads; answers how many were hidden now."""
        with self._state.lock:
            session = self._found()
            if session is None:
                return 0
            hidden = {node_id for node_id in node_ids if node_id in session.nodes} - session.tombstones
            session.tombstones |= hidden
            return len(hidden)

    async def vacuum(self) -> VacuumReport:
        """Remove tombstoned nodes, and inputs that are cancelled or completed."""
        with self._state.lock:
            session = self._found()
            if session is None:
                return VacuumReport()
            removed = len(session.tombstones)
            if session.head is not None and session.head.leaf_node_id in session.tombstones:
                session.head.leaf_node_id = None
            for node_id in session.tombstones:
                del session.nodes[node_id]
            session.tombstones.clear()
            ended = [key for key, stored in session.inputs.items() if stored.row.state in TERMINAL_INPUT_STATES]
            for input_id in ended:
                del session.inputs[input_id]
            for source_key in session.settled_keys:
                session.receipts.pop(source_key, None)
            session.settled_keys.clear()
            return VacuumReport(removed_node_count=removed, removed_pending_turn_input_tombstone_count=len(ended))

    async def gc_unreachable(self) -> GcReport:
        """Remove blobs that the head does not name."""
        with self._state.lock:
            session = self._found()
            if session is None:
                return GcReport()
            roots = session.head.blob_refs if session.head is not None else frozenset[str]()
            before = len(session.blobs)
            session.blobs = {ref: text for ref, text in session.blobs.items() if ref in roots}
            kept = len(session.blobs)
            heads = 0 if session.head is None else 1
            # The checkpoint is a blob too: the one that each head keeps.
            return GcReport(root_count=heads, retained_blob_count=heads + kept, deleted_blob_count=before - kept)

    async def save_session_meta(self, meta: SessionMeta) -> None:
        """Write the meta. Raises: SessionBindingMismatchError, UnknownSessionError, LimitExceededError."""
        self._check_bound(meta.session_id)
        encode_meta(meta, self._state.limits)
        with self._state.lock:
            self._required().meta = meta

    async def load_session_meta(self) -> SessionMeta | None:
        """The meta, or None when the session is not there."""
        with self._state.lock:
            session = self._found()
            return None if session is None else session.meta

    # -- under the lock --------------------------------------------------------------------------------

    def _read(self, session: StoredSession, head: StoredHead, scope: SessionReadScope) -> PersistedSessionRead:
        nodes = [node for node_id in session.nodes if (node := self._node(session, node_id)) is not None]
        leaf = None if head.leaf_node_id in session.tombstones else head.leaf_node_id
        if isinstance(scope, ActivePath):
            if scope.leaf_node_id is not None:
                leaf = self._known_leaf(session, scope.leaf_node_id)
            nodes = SessionGraph(nodes, leaf).active_path_nodes()
        place = f"session {self._session_id}"
        checkpoint = decode_record(SessionCheckpoint, head.checkpoint, subject="session checkpoint", key=place)
        return PersistedSessionRead(
            session_id=self._session_id,
            head_revision=session.revision,
            config=decode_record(PersistedSessionConfig, head.config, subject="session config", key=place),
            agent_frames=decode_record(FrameRecords, head.frames, subject="agent frames", key=place).frames,
            current_agent_frame_id=head.current_frame_id,
            nodes=tuple(nodes),
            leaf_node_id=leaf,
            checkpoint=hydrated(checkpoint, session.blobs, key=place),
            checkpoint_ref=head.checkpoint_ref,
            token_ledger=session.ledger,
        )

    def _known_leaf(self, session: StoredSession, leaf_node_id: str) -> str | None:
        if leaf_node_id not in session.nodes:
            raise unknown_leaf(self._session_id, leaf_node_id)
        return None if leaf_node_id in session.tombstones else leaf_node_id

    def _node(self, session: StoredSession, node_id: str) -> SessionNodeRecord | None:
        node = None if node_id in session.tombstones else session.nodes.get(node_id)
        if node is None:
            return None
        return decode_node(node_id, node.parent_node_id, node.text, key=f"session {self._session_id}")
