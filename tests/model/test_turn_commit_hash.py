"""The hash of a turn's commit: the same turn hashes the same, another one does not (1.8; decision 12)."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.model.agent_frame import AgentFrameRecord
from lash_core.model.message import Message, TextPart, ToolCallPart
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import QueuedWorkCompletion
from lash_core.model.session_commit import GraphAppend, GraphCommitDelta, RuntimeCommit
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.turn_input import TurnInputCompletion
from lash_core.model.usage import TokenLedgerEntry, TokenUsage


def _graph(text: str, message_id: str, part_id: str, after: str | None, at_ms: int) -> GraphCommitDelta:
    graph = SessionGraph(leaf_node_id=after)
    message = Message(id=message_id, role="user", parts=(TextPart(text, id=part_id), ToolCallPart("c", "t", {"id": 1})))
    node = graph.append_message(message, timestamp_ms=at_ms)
    return GraphAppend((node,), node.node_id)


def _commit(generation: int, **changes: Any) -> RuntimeCommit:
    fence = SessionExecutionLeaseFence(
        session_id="s",
        owner=LeaseOwnerIdentity.opaque("o", f"i{generation}"),
        lease_token=f"token{generation}",
        fencing_token=generation,
    )
    facts: dict[str, Any] = {
        "session_id": "s",
        "expected_head_revision": generation,
        "session_execution_lease": fence,
        "release_session_execution_lease": fence if generation % 2 else None,
        "agent_frames": (AgentFrameRecord(frame_id="f", session_id="s", created_at_ms=generation),),
        "graph": _graph("hi", f"m{generation}", f"p{generation}", f"n{generation}", generation),
        "completed_queue_claims": (
            QueuedWorkCompletion(
                session_id="s", claim_id=f"qwc:1:{generation}", lease_token=f"t{generation}", batch_ids=("b1",)
            ),
        ),
        "completed_turn_input_claims": (
            TurnInputCompletion(
                session_id="s", claim_id=f"tic:1:{generation}", lease_token=f"t{generation}", input_ids=("i1",)
            ),
        ),
        "usage_deltas": (TokenLedgerEntry("turn", "m", TokenUsage(input=1)),),
        "turn_result": {"n": generation},
    }
    return RuntimeCommit(**{**facts, **changes})


def test_a_turn_that_is_redone_elsewhere_hashes_the_same() -> None:
    """Revisions, leases, claims, ids of nodes, messages and parts, and times are not part of it."""
    assert _commit(1).turn_commit_hash() == _commit(2).turn_commit_hash()
    assert 64 == len(_commit(1).turn_commit_hash())


def test_the_stamp_is_not_part_of_what_it_stamps() -> None:
    """A stamped commit hashes as before; its stamp has that hash."""
    commit = _commit(1)
    stamped = commit.stamped("t")

    assert commit.turn_commit_hash() == stamped.turn_commit_hash()
    assert stamped.turn_commit is not None
    assert ("s", "t", commit.turn_commit_hash()) == (
        stamped.turn_commit.session_id,
        stamped.turn_commit.turn_id,
        stamped.turn_commit.turn_commit_hash,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"graph": _graph("other", "m1", "p1", "n1", 1)},
        {"session_id": "other"},
        {"current_agent_frame_id": "other"},
        {"usage_deltas": ()},
        {"completed_turn_input_claims": ()},
        {"interrupted_turn_input_turn_id": "t"},
        {"committed_attachment_ids": ("a",)},
        {
            "completed_queue_claims": (
                QueuedWorkCompletion(session_id="s", claim_id="qwc:1:1", lease_token="t1", batch_ids=("b2",)),
            )
        },
    ],
)
def test_another_turn_hashes_differently(changes: dict[str, Any]) -> None:
    """Texts, frames, usage, what was settled: all of it is the turn's."""
    assert _commit(1).turn_commit_hash() != _commit(1, **changes).turn_commit_hash()


def test_ids_in_what_users_wrote_count() -> None:
    """Only messages' and parts' own ids are left out."""
    message = Message(id="m", role="assistant", parts=(ToolCallPart("c", "t", {"id": 1}),))
    other = message.model_copy(update={"parts": (ToolCallPart("c", "t", {"id": 2}),)})
    hashes: set[str] = set()
    for one in (message, other):
        graph = SessionGraph()
        node = graph.append_message(one)
        hashes.add(_commit(1, graph=GraphAppend((node,), node.node_id)).turn_commit_hash())

    assert 2 == len(hashes)
