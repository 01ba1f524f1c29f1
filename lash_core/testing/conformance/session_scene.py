"""Sessions, leases, queued work and commits for the cases of session stores: each with its own ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from lash_core.model.message import Message
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import (
    ClaimBoundary,
    QueuedWorkBatch,
    QueuedWorkClaim,
    QueuedWorkDraft,
    SessionCommandPayload,
    TurnInputPayload,
    session_command_draft,
)
from lash_core.model.session import ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.session_commit import (
    GraphAppend,
    PersistedSessionConfig,
    PersistedSessionRead,
    RuntimeCommit,
    RuntimeCommitResult,
)
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_lease import SessionExecutionLease, SessionExecutionLeaseFence, SessionLeaseAcquired
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.turn_input import (
    NextTurnIngress,
    PendingTurnInput,
    PendingTurnInputDraft,
    TurnInput,
    TurnInputIngress,
)
from lash_core.store.ready_sessions import ReadySessions
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import ConformanceStores

TTL_MS = 600_000
"""A lease that no case outlives by accident."""

POLICY = SessionPolicy(model=ModelSpec("model-1"), provider_id="provider-1")


class SessionStores(ConformanceStores, Protocol):
    """Stores with sessions. The factory is a ``ReadySessions`` too."""

    @property
    def session_store_factory(self) -> Any:
        """The factory under test."""
        ...


def factory_of(stores: Any) -> SessionStoreFactory:
    """The factory under test.

    Raises:
        AssertionError: the stores have none that keeps the contract.
    """
    for name in ("session_store_factory", "sessions"):
        factory = getattr(stores, name, None)
        if isinstance(factory, SessionStoreFactory):
            return factory
    raise AssertionError(f"{type(stores).__name__} has no SessionStoreFactory")


def ready_sessions_of(stores: Any) -> ReadySessions:
    """What the fleet asks for sessions.

    Raises:
        AssertionError: the stores have no such thing.
    """
    for name in ("ready_sessions", "session_store_factory", "sessions"):
        ready = getattr(stores, name, None)
        if isinstance(ready, ReadySessions):
            return ready
    raise AssertionError(f"{type(stores).__name__} has no ReadySessions")


def owner() -> LeaseOwnerIdentity:
    """An owner that nobody can prove dead."""
    return LeaseOwnerIdentity.opaque(unique("owner"), unique("incarnation"))


async def opened(stores: Any, session_id: str | None = None) -> RuntimePersistence:
    """The store of a session, created when it is not there."""
    request = SessionStoreCreateRequest(session_id or unique("session"), policy=POLICY)
    return await factory_of(stores).create_store(request)


async def leased(
    store: RuntimePersistence, by: LeaseOwnerIdentity | None = None, *, ttl_ms: int = TTL_MS
) -> SessionExecutionLease:
    """A lease that must be given."""
    outcome = await store.try_claim_session_execution_lease(store.session_id, by or owner(), ttl_ms)
    assert isinstance(outcome, SessionLeaseAcquired), f"expected a lease, got {outcome!r}"
    return outcome.lease


async def taken_over(store: RuntimePersistence, lease: SessionExecutionLease) -> SessionExecutionLease:
    """The next lease: the one that is held is released."""
    assert await store.release_session_execution_lease(lease.completion)
    return await leased(store)


# -- queued work ---------------------------------------------------------------------------------------


def draft(session_id: str, text: str = "hi", **changes: Any) -> QueuedWorkDraft:
    """A user's input as work: at the earliest boundary, joinable, at once."""
    facts: dict[str, Any] = {"session_id": session_id, "payloads": (TurnInputPayload(TurnInput.text(text)),)}
    return QueuedWorkDraft(**{**facts, **changes})


def command_draft(session_id: str, key: str = "k") -> QueuedWorkDraft:
    """A command that a session does without a model."""
    return session_command_draft(session_id, SessionCommandPayload(command="refresh_tool_catalog"), key)


async def enqueued(store: RuntimePersistence, text: str = "hi", **changes: Any) -> QueuedWorkBatch:
    """A batch in the queue."""
    return await store.enqueue_queued_work(draft(store.session_id, text, **changes))


async def claimed(
    store: RuntimePersistence,
    lease: SessionExecutionLeaseFence,
    *,
    boundary: ClaimBoundary = ClaimBoundary.IDLE,
    max_batches: int = 64,
) -> QueuedWorkClaim:
    """A claim that must be given."""
    claim = await store.claim_ready_queued_work(lease, boundary, max_batches)
    assert claim is not None, "expected a claim of queued work"
    return claim


def ids_of(work: QueuedWorkClaim | Sequence[QueuedWorkBatch] | None) -> list[str]:
    """Batch ids in order; none for None."""
    if work is None:
        return []
    batches = work.batches if isinstance(work, QueuedWorkClaim) else work
    return [batch.batch_id for batch in batches]


# -- pending inputs ------------------------------------------------------------------------------------


async def put_in(
    store: RuntimePersistence, text: str = "hi", ingress: TurnInputIngress | None = None, **changes: Any
) -> PendingTurnInput:
    """An input in the lane; for the next turn unless told otherwise."""
    return await store.enqueue_pending_turn_input(input_draft(store.session_id, text, ingress, **changes))


def input_draft(
    session_id: str, text: str = "hi", ingress: TurnInputIngress | None = None, **changes: Any
) -> PendingTurnInputDraft:
    """A draft for the lane."""
    facts: dict[str, Any] = {"session_id": session_id, "input": TurnInput.text(text)}
    facts["ingress"] = ingress or NextTurnIngress()
    return PendingTurnInputDraft(**{**facts, **changes})


# -- commits -------------------------------------------------------------------------------------------


def chain(*texts: str, after: str | None = None) -> tuple[SessionNodeRecord, ...]:
    """User messages, each under the one before, the first under ``after``; their ids are their texts."""
    graph = SessionGraph(leaf_node_id=after)
    return tuple(graph.append_message(Message.user(text, message_id=text)) for text in texts)


def appending(*texts: str, after: str | None = None) -> GraphAppend:
    """A delta of such messages; the session stands on the last one."""
    nodes = chain(*texts, after=after)
    return GraphAppend(nodes, nodes[-1].node_id if nodes else after)


def commit_of(store: RuntimePersistence, lease: SessionExecutionLease | None, **changes: Any) -> RuntimeCommit:
    """A commit under a lease, whatever the head revision is."""
    facts: dict[str, Any] = {
        "session_id": store.session_id,
        "session_execution_lease": None if lease is None else lease.fence,
        "config": PersistedSessionConfig.of_policy(POLICY),
        "current_agent_frame_id": f"{store.session_id}:frame:initial",
    }
    return RuntimeCommit(**{**facts, **changes})


async def committed(
    store: RuntimePersistence, lease: SessionExecutionLease | None = None, **changes: Any
) -> RuntimeCommitResult:
    """Commit; under a lease of its own, which is released again, when none is given."""
    held = lease or await leased(store)
    if lease is None:
        changes.setdefault("release_session_execution_lease", held.completion)
    return await store.commit_runtime_state(commit_of(store, held, **changes))


async def loaded(store: RuntimePersistence) -> PersistedSessionRead:
    """The session, which must have been committed."""
    read = await store.load_session()
    assert read is not None, "expected a session that was committed"
    return read
