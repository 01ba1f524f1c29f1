"""The store of one session, and the factory of such stores (``docs/contracts/sessions.md`` 2.1, 2.2, 2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lash_core.model.disposition import DurabilityTier
from lash_core.model.session import SessionMeta, SessionStoreCreateRequest
from lash_core.model.session_commit import (
    FullGraph,
    GcReport,
    PersistedSessionRead,
    RuntimeCommit,
    RuntimeCommitResult,
    SessionHead,
    SessionReadScope,
    VacuumReport,
)
from lash_core.model.session_node import SessionNodeRecord
from lash_core.store.queued_work_store import QueuedWorkStore
from lash_core.store.session_execution_lease import SessionExecutionLeases
from lash_core.store.turn_input_store import TurnInputStore
from lash_core.store.turn_journal import TurnJournal

SESSION_BLOB_INLINE_MAX = 16 * 1024
"""Larger blobs are stored once for all sessions, by their content; smaller ones once in their session."""
SESSION_NODE_BYTES_MAX = 1024 * 1024
SESSION_BLOB_BYTES_MAX = 4 * 1024 * 1024
SESSION_COMMIT_BYTES_MAX = 16 * 1024 * 1024
"""All nodes, frames and small blobs of one commit: it is one script call."""


@runtime_checkable
class RuntimePersistence(SessionExecutionLeases, QueuedWorkStore, TurnInputStore, TurnJournal, Protocol):
    """The store of one session. Every call that names another session is ``SessionBindingMismatchError``."""

    @property
    def session_id(self) -> str:
        """The session it is bound to."""
        ...

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def commit_runtime_state(self, commit: RuntimeCommit) -> RuntimeCommitResult:
        """Write a commit, all of it or nothing, in the order of checks of the contract (2.1). One round trip.

        With a turn stamp it is safe to repeat: a stamped turn with the same hash answers the first result and needs no
        live lease. Without a stamp a repeat is a head revision conflict.

        Raises:
            SessionBindingMismatchError, RuntimeTurnCommitConflictError, SessionExecutionLeaseExpiredError,
            HeadRevisionConflictError, QueuedWorkClaimSupersededError, TurnInputClaimSupersededError: in this order.
            LimitExceededError: a node, blob or the whole is over its limit; it names which.
            InvalidArgumentError: the checkpoint refers to a blob that is neither brought nor stored (after the claims).
            OutcomeUnknownError: the reply was lost and there is no stamp.
        """
        ...

    async def load_session(self, scope: SessionReadScope = FullGraph()) -> PersistedSessionRead | None:  # noqa: B008 - immutable
        """The session as stored, or None when nothing was committed yet. Nodes are read in pages of 500.

        A tombstoned node ends the active path: a leaf that is one is reported as None. A stored leaf that never existed
        is reported as it is, so that it can be healed. The ledger is merged and sorted by source and model.

        Raises:
            UnsupportedReadScopeError: the store cannot read this scope; there is no fallback.
            InvalidArgumentError: an explicit leaf that does not exist (it names it); a tombstoned one is an empty path.
            MissingRecordSchemaVersionError, InvalidRecordSchemaVersionError, UnsupportedRecordSchemaVersionError.
        """
        ...

    async def load_session_head(self) -> SessionHead | None:
        """What the session stands on, without its nodes; None when nothing was committed yet. One small read.

        The leaf is the committed one, also when it is tombstoned.
        """
        ...

    async def load_node(self, node_id: str) -> SessionNodeRecord | None:
        """One node; None when it is unknown or tombstoned."""
        ...

    async def tombstone_nodes(self, node_ids: Sequence[str]) -> int:
        """Hide nodes from all reads; answers how many were hidden now. Safe to repeat.

        A commit of the id brings one back, as it is committed then and in its old place of the append order.
        """
        ...

    async def vacuum(self) -> VacuumReport:
        """Remove tombstoned nodes, and inputs that are cancelled or completed, for good. Safe to repeat.

        Receipts of settled source keys go too. A head that stood on a removed node stands nowhere then.
        """
        ...

    async def gc_unreachable(self) -> GcReport:
        """Remove blobs that neither checkpoint nor frames refer to. Safe to repeat.

        ``root_count`` is 1 with a head, else 0; blobs are its checkpoint and the stored snapshots (tool state, plugins,
        execution state).
        """
        ...

    async def save_session_meta(self, meta: SessionMeta) -> None:
        """Write the meta. Raises: UnknownSessionError, LimitExceededError: it is over the payload limit."""
        ...

    async def load_session_meta(self) -> SessionMeta | None:
        """The meta, or None when the session is not there."""
        ...


class SessionSummary(SessionMeta):
    """One line of a listing. ``model``: of the head, and before the first commit of the create request."""

    head_revision: int = 0
    queued: int = 0
    lease_owner_id: str | None = None


@runtime_checkable
class SessionStoreFactory(Protocol):
    """Opens the stores of sessions."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def create_store(self, request: SessionStoreCreateRequest) -> RuntimePersistence:
        """Open the store of a session and create the session if it is not there. Atomic, safe to repeat.

        The meta of an existing session is never overwritten. Nothing is committed: there is no head yet.

        Raises:
            InvalidArgumentError: the session id is not legal. LimitExceededError: the meta is over the payload limit.
        """
        ...

    async def open_existing_store(self, session_id: str) -> RuntimePersistence | None:
        """The store of a session that exists, else None."""
        ...

    async def delete_session(self, session_id: str) -> None:
        """Delete a session: head, nodes, queue, inputs, lease, journals, attachments' references, triggers, promises.

        Its lease's fencing numbers go on rising (decision 9). Safe to repeat. Processes and grants are the registry's
        (``delete_session_process_state``).
        """
        ...

    async def list_sessions(
        self, cursor: str | None = None, limit: int = 100
    ) -> tuple[tuple[SessionSummary, ...], str | None]:
        """About ``limit`` sessions and the cursor of the next page (None: there is none); the order is not specified.

        A session that was there all the time is on some page; one may be on two.

        Raises:
            InvalidArgumentError: ``limit`` is not 1 to the limit of a page.
            InvalidCursorError: no cursor of this listing.
        """
        ...

    async def live_attachment_refs(self, cutoff_ms: int) -> frozenset[str]:
        """Digests of attachments that sessions refer to: committed, or intended after ``cutoff_ms``."""
        ...

    async def has_live_attachment_ref(self, digest: str) -> bool:
        """True when some session refers to the attachment."""
        ...
