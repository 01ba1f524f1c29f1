"""The process registry: durable rows, event logs, leases, grants (``docs/contracts/processes.md`` sections 1 and 2).

Every operation is one atomic unit unless its docstring says otherwise. "Unknown" is ``UnknownProcessError``. An
operation that takes ``lease=`` and gets one is fenced: with a lost lease it writes nothing (``LeaseLostError``), and it
checks in this order: unknown; replay of the same content answers with what is stored; the lease; the rest (decision
24).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lash_core.model.audit import AuditEntry
from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.disposition import DurabilityTier
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest, ProcessEventAppendResult
from lash_core.model.facts import (
    AbandonRequest,
    ProcessExternalRef,
    ProcessHandleDescriptor,
    ProcessHandleGrant,
    ProcessStarted,
    WaitState,
)
from lash_core.model.lease import (
    ClaimedProcess,
    ClaimOutcome,
    ProcessLease,
    ProcessLeaseCompletion,
    RenewOutcome,
)
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import (
    ChangeCursor,
    CompletionAuthority,
    LiveReference,
    ProcessChanges,
    ProcessPage,
    ProcessSegmentHandover,
    PruneReport,
    SessionDeleteReport,
)
from lash_core.model.scope import SessionScope
from lash_core.store.process_batches import BatchOutcome, LeasedCompletion, LeasedRelease, RegisterOutcome


@runtime_checkable
class ProcessRegistry(Protocol):
    """The contract that the in-memory and the Redis registry keep; conformance: ``lash_core.testing.conformance``."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    # -- start ---------------------------------------------------------------------------------

    async def register_process(
        self,
        registration: ProcessRegistration,
        *,
        grant_to: SessionScope | None = None,
        descriptor: ProcessHandleDescriptor | None = None,
    ) -> ProcessRecord:
        """Start a process: insert the row, or return the existing one of equal registration hash unchanged.

        Safe to repeat. With ``grant_to`` the grant is recorded in the same unit and is in place when the call returns.

        Raises:
            InvalidRegistrationError: contract 2.1's rules. RegistrationConflictError: the id has other content.
            LimitExceededError: the registration is over the payload limit.
        """
        ...

    async def register_processes(self, registrations: Sequence[ProcessRegistration]) -> tuple[RegisterOutcome, ...]:
        """Start many processes, one answer per item in order: created, exists, or the item's error. Safe to repeat.

        Atomic per item, not over the batch.
        """
        ...

    async def set_external_ref(self, process_id: str, external_ref: ProcessExternalRef) -> ProcessRecord:
        """Name the process in another system. The first assignment sticks; the same again changes nothing.

        Raises:
            UnknownProcessError. ExternalRefConflictError: another reference is there.
        """
        ...

    # -- handle grants ---------------------------------------------------------------------------

    async def grant_handle(
        self, scope: SessionScope, process_id: str, descriptor: ProcessHandleDescriptor
    ) -> ProcessHandleGrant:
        """Give a scope a handle.

        A second grant replaces the descriptor. Never touches the row. Raises: UnknownProcessError.
        """
        ...

    async def revoke_handle(self, scope: SessionScope, process_id: str) -> None:
        """Take a handle away; a missing one is success."""
        ...

    async def transfer_handles(self, source: SessionScope, target: SessionScope, process_ids: Sequence[str]) -> None:
        """Move handles, all or nothing; descriptors travel, grants at ``target`` are overwritten.

        Raises:
            HandleNotGrantedError: one of the ids is not granted to ``source``; nothing moved.
        """
        ...

    async def list_handles(self, scope: SessionScope) -> tuple[tuple[ProcessHandleGrant, ProcessRecord], ...]:
        """Grants of a scope with their rows, terminal ones too, by process id."""
        ...

    async def list_live_handles(self, scope: SessionScope) -> tuple[tuple[ProcessHandleGrant, ProcessRecord], ...]:
        """Grants of a scope with their rows, without terminal ones, by process id."""
        ...

    async def has_handle(self, scope: SessionScope, process_id: str) -> bool:
        """True iff a grant and a row exist."""
        ...

    async def handles_for_process(self, process_id: str) -> tuple[ProcessHandleGrant, ...]:
        """Grants on a process, by session id, then scope id. Raises: UnknownProcessError."""
        ...

    async def delete_session_process_state(self, session_id: str) -> SessionDeleteReport:
        """Remove a session's grants (all frames) and clear it as wake target.

        Cancels and deletes no process. Safe to repeat.
        """
        ...

    # -- events ----------------------------------------------------------------------------------

    async def append_event(
        self, process_id: str, request: ProcessEventAppendRequest, *, lease: ProcessLease | None = None
    ) -> ProcessEventAppendResult:
        """Append one event: replay lookup, sequence, event, status, change feed in one unit.

        Safe to repeat with a replay key; without one, a lost reply is ``OutcomeUnknownError``.

        Raises:
            In this order: UnknownProcessError, ReplayKeyConflictError, LeaseLostError / StoreBehindError,
            UndeclaredEventTypeError, ReplayKeyRequiredError, InvalidPayloadError, SelectorError, AlreadyTerminalError,
            LimitExceededError.
        """
        ...

    async def append_events(
        self, process_id: str, requests: Sequence[ProcessEventAppendRequest], *, lease: ProcessLease | None = None
    ) -> tuple[ProcessEventAppendResult, ...]:
        """Append several events of one process in one unit, all or nothing. Errors as ``append_event``."""
        ...

    async def events_after(self, process_id: str, sequence: int) -> tuple[ProcessEvent, ...]:
        """Events strictly after ``sequence``, ascending. Raises: UnknownProcessError."""
        ...

    async def wake_events_after(self, process_id: str, sequence: int) -> tuple[ProcessEvent, ...]:
        """Events after ``sequence`` whose wake materialized and that are not acknowledged.

        Raises: UnknownProcessError.
        """
        ...

    async def ack_wake(self, process_id: str, sequence: int) -> None:
        """Acknowledge a wake; idempotent, does not check the sequence. Raises: UnknownProcessError."""
        ...

    async def count_events_through(self, process_id: str, event_type: str, sequence: int) -> int:
        """Events of a type up to and including ``sequence``; 0 for an undeclared type. Raises: UnknownProcessError."""
        ...

    async def recent_events(self, process_id: str, limit: int) -> tuple[ProcessEvent, ...]:
        """The last ``limit`` events, ascending. Raises: UnknownProcessError."""
        ...

    async def wait_event_after(self, process_id: str, event_type: str, after_sequence: int) -> ProcessEvent:
        """Wait for the first event of a type strictly after a sequence, history first.

        The caller bounds the wait. Raises: UnknownProcessError.
        """
        ...

    async def await_terminal(self, process_id: str) -> ProcessRecord:
        """Wait until the process is terminal.

        Point read first. The caller bounds the wait. Raises: UnknownProcessError.
        """
        ...

    # -- reads -----------------------------------------------------------------------------------

    async def get_process(self, process_id: str) -> ProcessRecord | None:
        """The row, or None when there is none. A store failure raises; it never reads as absent (hazard 7)."""
        ...

    async def get_processes(self, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """Rows by id, in order, None for an absent one."""
        ...

    async def list_processes(self, filter: ProcessFilter | None = None) -> tuple[ProcessRecord, ...]:
        """All matching rows by id. Exact and O(all rows): for tools. The default filter lists running ones."""
        ...

    async def list_non_terminal(self) -> tuple[ProcessRecord, ...]:
        """All running rows by id. Exact and O(all rows): for tools; workers use ``claim_ready_processes``."""
        ...

    async def list_processes_page(
        self,
        filter: ProcessFilter | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> ProcessPage:
        """A bounded page of matching rows in no stated order.

        Raises:
            InvalidArgumentError: ``limit`` is below 1. InvalidCursorError.
        """
        ...

    async def count_processes(self, filter: ProcessFilter | None = None) -> int:
        """Number of matching rows; O(1) when only the status is given."""
        ...

    async def filter_unregistered(self, process_ids: Sequence[str]) -> tuple[str, ...]:
        """The ids without a row, in input order."""
        ...

    async def live_reference_summary(self) -> tuple[LiveReference, ...]:
        """Running rows grouped by definition and environment, in a stable order."""
        ...

    async def processes_changed_since(self, cursor: ChangeCursor, limit: int) -> ProcessChanges:
        """Rows changed after ``cursor``, latest state once per row; nothing that committed is ever skipped.

        Limit 0 answers empty with the same cursor. Raises: InvalidCursorError.
        """
        ...

    async def audit_entries(self, process_id: str) -> tuple[AuditEntry, ...]:
        """The newest audit entries of a row, oldest first. Raises: UnknownProcessError."""
        ...

    # -- completion --------------------------------------------------------------------------------

    async def complete_process(
        self, process_id: str, output: AnyAwaitOutput, authority: CompletionAuthority
    ) -> ProcessRecord:
        """Write the terminal event without a lease, by authority checked in the same unit.

        A held lease stays until it expires.

        Safe to repeat with the same output and authority.

        Raises:
            UnknownProcessError, ReplayKeyConflictError, CompletionAuthorityError, AlreadyTerminalError.
        """
        ...

    async def complete_process_with_lease(
        self, lease: ProcessLease, output: AnyAwaitOutput, *, first_started: ProcessStarted | None = None
    ) -> ProcessRecord:
        """Write the terminal event and release the lease in one fenced unit. Safe to repeat.

        Order of checks: replay, lease, terminal.

        ``first_started`` is recorded in the same unit when the row has none.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError, AlreadyTerminalError, ReplayKeyConflictError.
        """
        ...

    async def complete_processes_with_lease(self, completions: Sequence[LeasedCompletion]) -> tuple[BatchOutcome, ...]:
        """``complete_process_with_lease`` for many, one answer per item in order. Atomic per item. Safe to repeat."""
        ...

    # -- leases ------------------------------------------------------------------------------------

    async def claim_process_lease(self, process_id: str, owner: LeaseOwnerIdentity, lease_ttl_ms: int) -> ClaimOutcome:
        """Take a free or expired lease; the own live one is extended, never shortened. Raises: UnknownProcessError.

        Safe to repeat with the same owner incarnation. Works on rows that are not due and on terminal rows.
        """
        ...

    async def claim_ready_processes(
        self,
        owner: LeaseOwnerIdentity,
        limit: int,
        lease_ttl_ms: int,
        queues: Sequence[str] = ("default",),
        *,
        partitions: Sequence[int] | None = None,
    ) -> tuple[ClaimedProcess, ...]:
        """Take up to ``limit`` due rows of ``queues``, each under its own attempt's incarnation, and read them.

        ``partitions`` is where to look (None = everywhere). Due means due at or before the
        server's now. Expired leases are first given back to their queues. Rows whose
        read fails keep their lease until it expires.
        """
        ...

    async def renew_process_lease(self, lease: ProcessLease, lease_ttl_ms: int) -> ProcessLease:
        """Extend a live lease; token and fence stay. Raises: LeaseLostError."""
        ...

    async def renew_process_leases(self, leases: Sequence[ProcessLease], lease_ttl_ms: int) -> tuple[RenewOutcome, ...]:
        """Extend many leases, one answer per item in order, with the marks set since the last renewal.

        Safe to repeat.
        """
        ...

    async def mark_cancel_seen(self, lease: ProcessLease) -> None:
        """Record that the run has seen the cancel request; first time stays. Raises: LeaseLostError."""
        ...

    async def complete_process_lease(self, completion: ProcessLeaseCompletion) -> None:
        """Release by token; another token is silent success. Works after expiry while unclaimed. Safe to repeat."""
        ...

    async def release_process_leases(self, releases: Sequence[LeasedRelease]) -> tuple[BatchOutcome, ...]:
        """Give leases back before a terminal event, with the reason and the time of the next claim.

        Fenced, safe to repeat.
        """
        ...

    async def reclaim_process_lease(
        self, process_id: str, owner: LeaseOwnerIdentity, observed: ProcessLease, lease_ttl_ms: int
    ) -> ClaimOutcome:
        """Take a lease whose holder is provably dead: compare and swap on ``observed``; free or expired: like a claim.

        The caller's own process table gives the proof; without it the answer is ``Busy``. Raises: UnknownProcessError.
        """
        ...

    async def requeue_expired_leases(self, limit: int, queues: Sequence[str] | None = None) -> int:
        """Give up to ``limit`` expired leases back to their rows' queues, counting each death; returns how many."""
        ...

    async def get_process_lease(self, process_id: str) -> ProcessLease | None:
        """The raw lease, maybe expired; None when released, never claimed or unknown."""
        ...

    async def leases_of_owner(self, owner: LeaseOwnerIdentity, limit: int) -> tuple[ProcessLease, ...]:
        """Leases held by any attempt of a worker incarnation, at most ``limit``.

        Pages all partitions, for takeover and tools.
        """
        ...

    async def lease_owners(self) -> tuple[LeaseOwnerIdentity, ...]:
        """Identities that hold leases now (worker incarnations); for takeover by proof."""
        ...

    # -- facts -------------------------------------------------------------------------------------

    async def record_first_started(
        self, process_id: str, started: ProcessStarted, *, lease: ProcessLease | None = None
    ) -> ProcessRecord:
        """Record the first start; later calls change nothing. Raises: UnknownProcessError, LeaseLostError."""
        ...

    async def request_abandon(self, process_id: str, request: AbandonRequest) -> ProcessRecord:
        """Allow a process to be abandoned; the first request stays.

        Raises:
            UnknownProcessError. TerminalProcessError: ``terminal process … cannot accept an abandon request``.
        """
        ...

    async def set_wait(self, process_id: str, wait: WaitState, *, lease: ProcessLease | None = None) -> ProcessRecord:
        """Say what the process waits for; overwrites.

        Raises:
            UnknownProcessError, LeaseLostError. TerminalProcessError: ``terminal process … cannot enter a wait state``.
        """
        ...

    async def clear_wait(self, process_id: str, *, lease: ProcessLease | None = None) -> ProcessRecord:
        """Clear the wait.

        Allowed on a terminal row, always bumps updated_at. Raises: UnknownProcessError, LeaseLostError.
        """
        ...

    # -- segment handovers ---------------------------------------------------------------------------

    async def put_handover(
        self, process_id: str, handover: ProcessSegmentHandover, *, lease: ProcessLease | None = None
    ) -> None:
        """Store a continuation; the newest two ordinals are kept; identical data again changes nothing.

        Raises:
            UnknownProcessError, LeaseLostError. HandoverConflictError: the ordinal has other data.
        """
        ...

    async def get_handover(self, process_id: str, ordinal: int) -> ProcessSegmentHandover | None:
        """The continuation at an ordinal."""
        ...

    async def latest_handover(self, process_id: str) -> ProcessSegmentHandover | None:
        """The continuation of the highest ordinal."""
        ...

    async def delete_handovers(self, process_id: str) -> None:
        """Drop all continuations of a process. Safe to repeat."""
        ...

    # -- retention -----------------------------------------------------------------------------------

    async def prune_terminal_processes(
        self,
        cutoff_ms: int,
        filter: ProcessFilter | None = None,
        up_to_cursor: ChangeCursor | None = None,
        *,
        limit: int | None = None,
    ) -> PruneReport:
        """Delete terminal rows whose ``updated_at_ms < cutoff_ms``, with everything they own.

        Atomic per row. Safe to repeat.

        Without a filter every terminal row is a candidate; a filter's default status is *running* and prunes nothing.
        """
        ...
