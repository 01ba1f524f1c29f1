"""What the in-memory store keeps of one session. Texts are kept as stored, so that a test sees what a codec loses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lash_core.model.queue_selection import ClaimRef, QueueRow
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session import SessionMeta
from lash_core.model.session_commit import TurnStampRecord
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_queue_ids import claim_token
from lash_core.model.turn_input import PendingTurnInput, TurnInputIngress
from lash_core.model.usage import TokenLedgerEntry
from lash_core.store.ready_sessions import DEATH_WAITS_MS
from lash_core.store.session_commit_records import StoredNode
from lash_core.store.turn_journal import OpenTurn


@dataclass(slots=True)
class StoredHead:
    """What the last commit left. The texts are JSON records of the parts with these names."""

    config: str
    frames: str
    current_frame_id: str
    leaf_node_id: str | None
    checkpoint: str
    checkpoint_ref: str
    blob_refs: frozenset[str]
    """Blobs that checkpoint and frames name."""


@dataclass(slots=True)
class StoredInput:
    """A row of the lane of pending inputs; ``first_ingress`` as it was enqueued, to know a repeat after a deferral."""

    row: PendingTurnInput
    first_ingress: TurnInputIngress


@dataclass(slots=True)
class StoredSession:
    """One session.

    Attributes:
        revision: of the head; 0 before the first commit.
        nodes: by id, in append order; tombstoned ones stay until vacuum.
        blobs: ref → JSON.
        rows: queued work by batch id, in the order of the queue.
        receipts: batch of each source key, settled ones too; ``settled_keys`` in the order in which they were settled.
        inputs: the lane of pending inputs by input id, in its order.
        losses: leases in a row that ended without a release or a write.
        deaths: those of them that ended while a turn was open (poison).
        not_before_ms: nobody of the fleet may claim it before: a back-off after losses, or a deferral.
    """

    meta: SessionMeta
    revision: int = 0
    head: StoredHead | None = None
    nodes: dict[str, StoredNode] = field(default_factory=dict[str, StoredNode])
    tombstones: set[str] = field(default_factory=set[str])
    blobs: dict[str, str] = field(default_factory=dict[str, str])
    ledger: tuple[TokenLedgerEntry, ...] = ()
    stamps: dict[str, TurnStampRecord] = field(default_factory=dict[str, TurnStampRecord])
    rows: dict[str, QueueRow] = field(default_factory=dict[str, QueueRow])
    receipts: dict[str, QueuedWorkBatch] = field(default_factory=dict[str, QueuedWorkBatch])
    settled_keys: dict[str, None] = field(default_factory=dict[str, None])
    inputs: dict[str, StoredInput] = field(default_factory=dict[str, StoredInput])
    enqueue_seq: int = 0
    claim_count: int = 0
    open_turn: OpenTurn | None = None
    losses: int = 0
    deaths: int = 0
    not_before_ms: int = 0

    def next_seq(self) -> int:
        """The next number of the order that both lanes share."""
        self.enqueue_seq += 1
        return self.enqueue_seq

    def new_claim(
        self, lease: SessionExecutionLeaseFence, head_seq: int, claim_id_of: Callable[[int, int], str]
    ) -> tuple[int, ClaimRef]:
        """The next fencing token of the claims of both lanes (decision 22), and what marks the rows of that claim."""
        self.claim_count += 1
        claim_id = claim_id_of(head_seq, self.claim_count)
        token = claim_token(lease.session_id, claim_id, lease.lease_token, lease.fencing_token)
        mark = ClaimRef(claim_id=claim_id, lease_token=token, session_lease_generation=lease.fencing_token)
        return self.claim_count, mark

    def owns_batch(self, batch_id: str, claim_id: str, lease_token: str) -> bool:
        """True when this claim has the batch now."""
        row = self.rows.get(batch_id)
        return row is not None and _names(row.claim, claim_id, lease_token)

    def owns_input(self, input_id: str, claim_id: str, lease_token: str) -> bool:
        """True when this claim has the input now."""
        stored = self.inputs.get(input_id)
        return stored is not None and _names(stored.row.claim, claim_id, lease_token)

    def due_ms(self) -> int | None:
        """When the fleet should look at the session; None when neither lane has work for an idle session."""
        due = [row.batch.available_at_ms or row.batch.enqueued_at_ms for row in self.rows.values()]
        waiting = (stored.row for stored in self.inputs.values() if stored.row.state == "deferred_next_turn")
        due += [row.enqueued_at_ms for row in waiting]
        return max(min(due), self.not_before_ms) if due else None

    def note_progress(self) -> None:
        """A write of its holder was accepted: what went wrong before counts no more."""
        self.losses = self.deaths = self.not_before_ms = 0

    def note_loss(self, now_ms: int) -> None:
        """A lease ended without a release. The first takeover is at once, the next ones later and later."""
        self.losses += 1
        self.deaths += self.open_turn is not None
        wait_ms = DEATH_WAITS_MS[min(self.losses, len(DEATH_WAITS_MS)) - 1]
        if wait_ms:
            self.not_before_ms = max(self.not_before_ms, now_ms + wait_ms)


def _names(claim: ClaimRef | None, claim_id: str, lease_token: str) -> bool:
    return claim is not None and (claim.claim_id, claim.lease_token) == (claim_id, lease_token)
