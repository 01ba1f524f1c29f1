"""What a store keeps is its own: who changes what was given or answered changes nothing stored.

JSON inside a record can be changed by whoever has it. A store on a server cannot share it; one in memory must not.
"""

from __future__ import annotations

import copy
from typing import Any

from lash_core.model.base import Model
from lash_core.model.queued_work import ClaimBoundary, HostEventPayload, QueuedWorkDraft
from lash_core.model.session_commit import CheckpointDraft, GraphAppend, TurnCommitStamp
from lash_core.model.session_graph import SessionGraph
from lash_core.model.turn_input import PendingTurnInputDraft, TurnInput, TurnInputCancelTarget
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.expectations import spoil
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    commit_of,
    committed,
    draft,
    leased,
    loaded,
    opened,
)

FACTS: dict[str, Any] = {"list": [1, {"deep": 2}]}


async def queued_work_is_the_stores_own(stores: SessionStores) -> None:
    """As enqueued, listed, claimed, cancelled and answered to a late relay."""
    store = await opened(stores)
    lease, given = await leased(store), _event(store)
    spoil(await store.enqueue_queued_work(given))
    spoil(given)
    spoil(await store.list_queued_work(store.session_id))
    spoil(await store.list_pending_queued_work(store.session_id))
    claim = await store.claim_ready_queued_work(lease, ClaimBoundary.IDLE)
    assert claim is not None
    spoil(claim)
    await store.abandon_queued_work_claim(claim)
    (batch,) = await store.list_queued_work(store.session_id)
    spoil(await store.cancel_queued_work_batch(store.session_id, batch.batch_id))

    late = await store.enqueue_queued_work(_event(store))

    for found in (batch, late):
        assert [FACTS] == [payload.body for payload in found.payloads if isinstance(payload, HostEventPayload)]


async def pending_inputs_are_the_stores_own(stores: SessionStores) -> None:
    """As enqueued, listed, claimed and cancelled."""
    store = await opened(stores)
    lease, given = await leased(store), _input(store)
    spoil(await store.enqueue_pending_turn_input(given))
    spoil(given)
    spoil(await store.list_pending_turn_inputs(store.session_id))
    claim = await store.claim_next_turn_inputs(lease)
    assert claim is not None
    spoil(claim)
    await store.abandon_turn_input_claim(claim)
    spoil(await store.cancel_pending_turn_inputs(store.session_id, [TurnInputCancelTarget(source_key="key")]))
    spoil(await store.enqueue_pending_turn_input(_input(store)))

    (row,) = await store.list_pending_turn_inputs(store.session_id)

    assert FACTS == row.input.protocol_turn_options


async def an_open_turn_is_the_stores_own(stores: SessionStores) -> None:
    """As noted and as read by who redoes it."""
    store = await opened(stores)
    lease, turn = await leased(store), OpenTurn("t", facts=copy.deepcopy(FACTS))
    spoil(await store.open_turn(lease, turn))
    spoil(turn)
    spoil(await store.load_open_turn(store.session_id))

    found = await store.load_open_turn(store.session_id)

    assert found is not None
    assert FACTS == found.facts == (await store.open_turn(lease, OpenTurn("t"))).facts


async def a_commit_is_the_stores_own(stores: SessionStores) -> None:
    """History, snapshots, the turn's result and work put out: as given, as read, as answered to a repeat."""
    store = await opened(stores)
    lease, graph = await leased(store), SessionGraph()
    node = graph.append_plugin_node("notes", copy.deepcopy(FACTS))
    commit = commit_of(
        store,
        lease,
        graph=GraphAppend((node,), node.node_id),
        checkpoint=CheckpointDraft(execution_state=copy.deepcopy(FACTS)),
        turn_commit=TurnCommitStamp(session_id=store.session_id, turn_id="t", turn_commit_hash="hash"),
        turn_result=copy.deepcopy(FACTS),
        enqueued_queue_batches=(_event(store),),
    )
    spoil(await store.commit_runtime_state(commit))
    spoil(await store.commit_runtime_state(commit))
    spoil(commit)
    spoil(await loaded(store))
    spoil(await store.load_node(node.node_id))
    spoil(await store.find_turn_stamp(store.session_id, "t"))

    read, stamp = await loaded(store), await store.find_turn_stamp(store.session_id, "t")

    assert stamp is not None
    assert FACTS == read.checkpoint.execution_state == stamp.turn_result
    assert [FACTS] == [body for found in read.nodes for body in _bodies(found)]
    assert [FACTS] == [body for batch in stamp.result.enqueued_queue_batches for body in _bodies(batch)]
    assert [FACTS] == [body for batch in await store.list_queued_work(store.session_id) for body in _bodies(batch)]


async def what_a_commit_put_out_is_the_stores_own(stores: SessionStores) -> None:
    """Without a stamp too."""
    store = await opened(stores)
    spoil(await committed(store, enqueued_queue_batches=(_event(store),)))

    assert [FACTS] == [body for batch in await store.list_queued_work(store.session_id) for body in _bodies(batch)]


# -- arrange ---------------------------------------------------------------------------------------------


def _event(store: RuntimePersistence) -> QueuedWorkDraft:
    payload = HostEventPayload("event", body=copy.deepcopy(FACTS))
    return draft(store.session_id, payloads=(payload,), source_key="key")


def _input(store: RuntimePersistence) -> PendingTurnInputDraft:
    found = TurnInput(protocol_turn_options=copy.deepcopy(FACTS))
    return PendingTurnInputDraft(session_id=store.session_id, input=found, source_key="key")


def _bodies(record: Model) -> list[Any]:
    """Every ``body`` within a record."""
    found: list[Any] = []
    stack: list[Any] = [record.to_json_value()]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            items: dict[str, Any] = value
            found += [items["body"]] if "body" in items else []
            stack += [item for name, item in items.items() if name != "body"]
        elif isinstance(value, list):
            stack += value
    return found
