"""``commit_runtime_state``: what it writes, all in one step (``docs/contracts/sessions.md`` 2.1; guarantees G3, G4)."""

from __future__ import annotations

from typing import Any

from lash_core.model.agent_frame import AgentFrameRecord
from lash_core.model.attachment import AttachmentOwner, AttachmentOwnerKind
from lash_core.model.queued_work import ClaimBoundary, DeliveryPolicy, SlotPolicy
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_commit import CheckpointDraft, PersistedSessionConfig, TurnState
from lash_core.model.turn_input import ActiveTurnIngress
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.store.attachment_store import ATTACHMENT_FAMILY
from lash_core.store.content_address import content_ref
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    claimed,
    commit_of,
    committed,
    draft,
    enqueued,
    ids_of,
    leased,
    loaded,
    opened,
    put_in,
)


async def the_first_commit_makes_revision_one(stores: SessionStores) -> None:
    """And each one after it exactly one more."""
    store = await opened(stores)
    lease = await leased(store)

    revisions = [(await committed(store, lease)).head_revision for _ in range(3)]

    assert [1, 2, 3] == revisions
    assert 3 == (await loaded(store)).head_revision


async def config_and_frames_are_those_of_the_last_commit(stores: SessionStores) -> None:
    """Whole; loading binds no provider."""
    store = await opened(stores)
    policy = SessionPolicy(model=ModelSpec("m", variant="high"), provider_id=" p ", max_turns=3, prompt={"a": [1]})
    frames = tuple(
        AgentFrameRecord(frame_id=f"f{n}", session_id=store.session_id, status=status, protocol_turn_options={"n": n})
        for n, status in enumerate(("superseded", "active"))
    )
    await committed(store, current_agent_frame_id="f0")

    await committed(
        store, config=PersistedSessionConfig.of_policy(policy), agent_frames=frames, current_agent_frame_id="f1"
    )

    read = await loaded(store)
    assert (frames, "f1") == (read.agent_frames, read.current_agent_frame_id)
    assert ("p", policy) == (read.config.provider_id, read.config.policy)


async def counters_are_stored(stores: SessionStores) -> None:
    """Turn index, usage and options."""
    store = await opened(stores)
    state = TurnState(
        turn_index=4,
        token_usage=TokenUsage(input=5, cache_read=2),
        last_prompt_usage=TokenUsage(output=1),
        protocol_turn_options={"effort": "low"},
    )

    result = await committed(store, checkpoint=CheckpointDraft(turn_state=state))

    read = await loaded(store)
    assert state == read.checkpoint.turn_state
    assert result.checkpoint_ref == read.checkpoint_ref
    assert result.checkpoint_ref is not None
    assert result.checkpoint_ref.startswith("sha256:")


async def usage_is_added_up(stores: SessionStores) -> None:
    """By source and model; entries of nothing are left out."""
    store = await opened(stores)
    entries = [("turn", "m", 1), ("sub", "m", 2), ("turn", "m", 4), ("turn", "n", 0), ("turn", "n;|\u00e9", 8)]
    for source, model, tokens in entries:
        await committed(store, usage_deltas=(TokenLedgerEntry(source, model, TokenUsage(input=tokens)),))

    found = {(one.source, one.model): one.usage.input for one in (await loaded(store)).token_ledger}

    assert {("turn", "m"): 5, ("sub", "m"): 2, ("turn", "n;|\u00e9"): 8} == found


async def settled_work_leaves_with_the_commit(stores: SessionStores) -> None:
    """Both lanes; the rest stays."""
    store = await opened(stores)
    await enqueued(store, "a")
    row = await put_in(store, "x", ActiveTurnIngress("t"))
    lease = await leased(store)
    work, inputs = await store.claim_checkpoint_work(lease.fence, "t", "after_work")
    assert work is not None
    assert inputs is not None
    rest = await enqueued(store, "rest")

    await committed(
        store,
        lease,
        completed_queue_claims=(work.completion,),
        completed_turn_input_claims=(inputs.completion,),
    )

    assert (rest,) == await store.list_queued_work(store.session_id)
    (stored,) = await store.list_pending_turn_inputs(store.session_id)
    assert (row.input_id, "completed", None) == (stored.input_id, stored.state, stored.claim)


async def the_outbox_appears_with_the_commit(stores: SessionStores) -> None:
    """At the end of the queue, in order; the answer has the batches, and the same lease can claim them by their ids."""
    store = await opened(stores)
    first = await enqueued(store, "first")
    lease = await leased(store)
    handoff = draft(
        store.session_id,
        "handoff",
        delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT,
        slot_policy=SlotPolicy.EXCLUSIVE,
        source_key="agent-frame-handoff:t",
    )

    result = await committed(store, lease, enqueued_queue_batches=(handoff, draft(store.session_id, "more")))

    batches = result.enqueued_queue_batches
    assert (first, *batches) == await store.list_queued_work(store.session_id)
    assert ["agent-frame-handoff:t", None] == [batch.source_key for batch in batches]
    claim = await store.claim_ready_queued_work_by_batch_ids(lease.fence, ClaimBoundary.IDLE, [batches[0].batch_id])
    assert [batches[0].batch_id] == ids_of(claim)


async def an_outbox_of_a_known_source_key_answers_its_batch(stores: SessionStores) -> None:
    """Settled or not: nothing is enqueued twice."""
    store = await opened(stores)
    known = await enqueued(store, "known", source_key="k")
    lease = await leased(store)
    claim = await claimed(store, lease)

    result = await committed(
        store,
        lease,
        completed_queue_claims=(claim.completion,),
        enqueued_queue_batches=(draft(store.session_id, "again", source_key="k"),),
    )

    assert (known,) == result.enqueued_queue_batches
    assert () == await store.list_queued_work(store.session_id)


async def a_repeated_stamp_answers_its_outbox(stores: SessionStores) -> None:
    """The same batches, once in the queue."""
    store = await opened(stores)
    lease = await leased(store)
    commit = commit_of(store, lease, enqueued_queue_batches=(draft(store.session_id, "out"),)).stamped("t")

    first, again = [await store.commit_runtime_state(commit) for _ in range(2)]

    assert first == again
    assert first.enqueued_queue_batches == await store.list_queued_work(store.session_id)


async def the_lease_goes_with_the_commit_when_asked(stores: SessionStores) -> None:
    """Only then, and only the one that is named."""
    store = await opened(stores)
    lease = await leased(store)
    await committed(store, lease)
    stale = lease.completion.model_copy(update={"lease_token": "0123456789abcdef"})
    await committed(store, lease, release_session_execution_lease=stale)
    assert lease == await store.get_session_execution_lease(store.session_id)

    await committed(store, lease, release_session_execution_lease=lease.completion)

    assert await store.get_session_execution_lease(store.session_id) is None


async def attachments_are_stamped(stores: SessionStores) -> None:
    """Those that it names, and every intent of its turn; others wait, and an earlier stamp stays."""
    store = await opened(stores)
    manifest = _manifest(stores)
    named, of_turn, of_other, unknown = (content_ref(ATTACHMENT_FAMILY, unique("bytes").encode()) for _ in range(4))
    await manifest.record_intent(store.session_id, named)
    for attachment_id, turn_id in ((of_turn, "t"), (of_other, "u")):
        owner = AttachmentOwner(AttachmentOwnerKind.TURN, turn_id)
        await manifest.record_intent(store.session_id, attachment_id, owner=owner)
    lease = await leased(store)

    await store.commit_runtime_state(commit_of(store, lease, committed_attachment_ids=(named, unknown)).stamped("t"))

    refs = {ref.attachment_id: ref.committed_at_epoch_ms for ref in await manifest.list_refs(store.session_id)}
    assert {named: True, of_turn: True, of_other: False} == {key: ms is not None for key, ms in refs.items()}
    await committed(store, lease, committed_attachment_ids=(named,))
    after = {ref.attachment_id: ref.committed_at_epoch_ms for ref in await manifest.list_refs(store.session_id)}
    assert refs == after


def _manifest(stores: Any) -> Any:
    return stores.attachment_manifest
