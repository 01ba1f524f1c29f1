"""Turns as a worker commits them, made by hand: what a client reads of a session does not need a model."""

from __future__ import annotations

from typing import Any

from lash_core.model.message import Message
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import ClaimBoundary, TurnInputPayload
from lash_core.model.scope import CausalRef
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_commit import GraphAppend, PersistedSessionConfig, RuntimeCommit
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_lease import SessionLeaseAcquired
from lash_core.model.turn_input import TextInput
from lash_core.model.turn_outcome import AssembledTurn, AssistantMessageFinish, FinishedOutcome, TurnOutcome
from lash_core.store.runtime_persistence import RuntimePersistence

OWNER = LeaseOwnerIdentity.opaque("worker", "worker-1")
POLICY = SessionPolicy(model=ModelSpec("tiny"), provider_id="local")


async def answer_queue(
    store: RuntimePersistence,
    text: str = "hello back",
    *,
    outcome: TurnOutcome | None = None,
    stamped: bool = True,
    result: bool = True,
) -> AssembledTurn:
    """Take what leads the queue and commit a turn that answers it."""
    session_id = store.session_id
    taken = await store.try_claim_session_execution_lease(session_id, OWNER, 30_000)
    assert isinstance(taken, SessionLeaseAcquired)
    claim = await store.claim_ready_queued_work(taken.lease.fence, ClaimBoundary.IDLE)
    assert claim is not None
    turn_id = f"t_{claim.batches[0].batch_id}"
    read = await store.load_session()
    graph = SessionGraph() if read is None else read.graph
    caused_by = CausalRef(kind="turn", session_id=session_id, turn_id=turn_id)
    nodes: list[Any] = []
    for batch in claim.batches:
        asked = "".join(
            item.text
            for payload in batch.payloads
            if isinstance(payload, TurnInputPayload)
            for item in payload.input.items
            if isinstance(item, TextInput)
        )
        message = Message.user(asked, message_id=f"m_batch_{batch.batch_id}")
        nodes.append(graph.append_message(message, caused_by=caused_by))
    nodes.append(graph.append_message(Message.assistant(text), caused_by=caused_by))
    turn = AssembledTurn(
        session_id=session_id, turn_id=turn_id, outcome=outcome or FinishedOutcome(AssistantMessageFinish(text))
    )
    commit = RuntimeCommit(
        session_id=session_id,
        expected_head_revision=0 if read is None else read.head_revision,
        session_execution_lease=taken.lease.fence,
        release_session_execution_lease=taken.lease.completion,
        config=PersistedSessionConfig.of_policy(POLICY),
        graph=GraphAppend(tuple(nodes), graph.leaf_node_id),
        turn_result=turn.to_json_value() if result else None,
        completed_queue_claims=(claim.completion,),
    )
    committed = await store.commit_runtime_state(commit.stamped(turn_id) if stamped else commit)
    return turn.model_copy(update={"session_revision": committed.head_revision})
