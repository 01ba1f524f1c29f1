"""Queue, lane and journal of a session over Redis: lost replies, bounds, quiet probes, failovers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import EffectWrite
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queue_selection import QueueRow, select_leading_group
from lash_core.model.queued_work import (
    ClaimBoundary,
    DeliveryPolicy,
    HostEventPayload,
    MergeKey,
    QueuedWorkBatch,
    QueuedWorkDraft,
    SlotPolicy,
)
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.model.session_lease import SessionExecutionLeaseFence, SessionLeaseAcquired
from lash_core.model.turn_input import PendingTurnInputDraft, TurnInput, TurnInputClaimRef
from lash_core.redis_store import queued_work
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.session_factory import RedisSessionStoreFactory
from lash_core.redis_store.stores import RedisStores
from lash_core.store.turn_journal import OpenTurn
from tests.redis_store.rows import lose_replies, partition, redis

OWNER = LeaseOwnerIdentity.opaque("w", "i")
IDLE = ClaimBoundary.IDLE


@pytest.fixture
async def session(stores: RedisStores) -> RedisRuntimePersistence:
    """A session's store."""
    factory = RedisSessionStoreFactory(stores.context)
    return await factory.create_store(SessionStoreCreateRequest(session_id="s"))


@pytest.fixture
async def fence(session: RedisRuntimePersistence) -> SessionExecutionLeaseFence:
    """Its live lease."""
    outcome = await session.try_claim_session_execution_lease("s", OWNER, 600_000)
    assert isinstance(outcome, SessionLeaseAcquired)
    return outcome.lease.fence


async def put(session: RedisRuntimePersistence, source_key: str | None = None, body: str = "") -> QueuedWorkBatch:
    """A batch in the queue."""
    payload = HostEventPayload("event", body=body)
    return await session.enqueue_queued_work(
        QueuedWorkDraft(session_id="s", payloads=(payload,), source_key=source_key)
    )


CLAIMS: dict[str, Callable[[RedisRuntimePersistence, SessionExecutionLeaseFence], Any]] = {
    "claim_queued_work": lambda session, fence: session.claim_ready_queued_work(fence, IDLE, 1),
    "claim_next_inputs": lambda session, fence: session.claim_next_turn_inputs(fence, 1),
    "claim_checkpoint_work": lambda session, fence: session.claim_checkpoint_work(fence, "t", "after_work", 1, 1),
}


@pytest.mark.parametrize("script", CLAIMS)
async def test_a_claim_whose_reply_was_lost_gives_the_same_rows(
    session: RedisRuntimePersistence,
    fence: SessionExecutionLeaseFence,
    stores: RedisStores,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
) -> None:
    """The repeat is known by its request id; without that nobody would work off the first row until the lease ends."""
    for _ in range(2):
        await put(session)
        await session.enqueue_pending_turn_input(PendingTurnInputDraft(session_id="s", input=TurnInput.text("x")))
    lost = lose_replies(monkeypatch, stores, script)

    claim = await CLAIMS[script](session, fence)

    assert 1 == len(lost)
    found = claim[0] if script == "claim_checkpoint_work" else claim
    assert found is not None
    assert found.claim_id in ("qwc:1:1", "tic:2:1")
    assert "1" == await redis(stores, "HGET", partition(stores).session_head("s"), "cf")


async def test_an_enqueue_with_a_source_key_whose_reply_was_lost_is_one_batch(
    session: RedisRuntimePersistence, stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeat finds the first batch."""
    lost = lose_replies(monkeypatch, stores, "enqueue_queued_work")

    batch = await put(session, "k")

    assert (1, (batch,)) == (len(lost), await session.list_queued_work("s"))


async def test_a_probe_of_quiet_lanes_writes_nothing(
    session: RedisRuntimePersistence, fence: SessionExecutionLeaseFence, stores: RedisStores
) -> None:
    """Neither when there is nothing, nor when all that there is is held already."""

    async def writes() -> str:
        facts = str(await redis(stores, "INFO", "persistence"))
        return next(line for line in facts.splitlines() if line.startswith("rdb_changes_since_last_save"))

    before = await writes()
    assert (None, None) == await session.claim_checkpoint_work(fence, "t", "after_work")
    assert before == await writes()
    await put(session)
    await session.claim_ready_queued_work(fence, IDLE)
    before = await writes()

    assert (None, None) == await session.claim_checkpoint_work(fence, "t", "before_completion")
    assert before == await writes()


async def test_receipts_are_bounded_by_number_and_by_bytes(
    session: RedisRuntimePersistence, stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go first; what is left answers with the whole batch; a forgotten key is a new batch."""
    monkeypatch.setattr(queued_work, "SOURCE_KEY_RECEIPTS_MAX", 3)
    monkeypatch.setattr(queued_work, "SOURCE_KEY_RECEIPT_BYTES_MAX", 4_000)
    batches = [await put(session, f"k{number}", "x" * 100) for number in range(4)]
    for batch in batches:
        await session.cancel_queued_work_batch("s", batch.batch_id)

    assert batches[1:] == [await put(session, f"k{number}") for number in (1, 2, 3)]
    big = await put(session, "big", "x" * 3_400)
    await session.cancel_queued_work_batch("s", big.batch_id)

    assert big == await put(session, "big")
    assert await put(session, "k3") != batches[3]
    keys = partition(stores)
    stored = await redis(stores, "HVALS", keys.session_source_keys("s"))
    receipts = [text for text in stored if "\n" in text]
    assert sum(map(len, receipts)) == int(await redis(stores, "HGET", keys.session_head("s"), "rb"))


async def test_a_claim_keeps_no_payload_twice(
    session: RedisRuntimePersistence, fence: SessionExecutionLeaseFence, stores: RedisStores
) -> None:
    """A source key of a batch that waits names it; its text is there once."""
    await put(session, "k", "y" * 500)
    await session.claim_ready_queued_work(fence, IDLE)

    keys = partition(stores)
    texts = await redis(stores, "HVALS", keys.session_queue("s")) + await redis(
        stores, "HVALS", keys.session_source_keys("s")
    )
    assert 1 == sum("y" * 500 in text for text in texts)


async def test_a_store_that_lost_writes_of_a_turn_takes_no_more_of_it(
    session: RedisRuntimePersistence, fence: SessionExecutionLeaseFence, stores: RedisStores
) -> None:
    """A journal without its tail is redone; one with a hole would tell the next run a story that never was."""
    await session.open_turn(fence, OpenTurn("t"))
    for key in ("one", "two"):
        await session.record_turn_effects(fence, "t", [write(key)])
    await redis(stores, "HINCRBY", partition(stores).session_head("s"), "tw", -1)

    with pytest.raises(SessionExecutionLeaseExpiredError, match="lost writes"):
        await session.record_turn_effects(fence, "t", [write("three")])
    assert ["one", "two"] == sorted(one.key for one in await session.load_turn_effects("s", "t"))

    await session.open_turn(fence, OpenTurn("other"))
    await session.open_turn(fence, OpenTurn("t"))
    await session.record_turn_effects(fence, "t", [write("again")])
    assert ["again"] == [one.key for one in await session.load_turn_effects("s", "t")]


def write(key: str) -> EffectWrite:
    """An effect that is done."""
    return EffectWrite(key, EffectKind.TOOL_ATTEMPT, "completed", "0" * 32, outcome_json='"done"')


@pytest.mark.parametrize("due_share", [0.05, 0.6])
async def test_a_long_queue_is_chosen_from_as_the_model_says(
    session: RedisRuntimePersistence, fence: SessionExecutionLeaseFence, stores: RedisStores, due_share: float
) -> None:
    """The script finds few due rows by their times and many in the queue's order; both are the rules of the model."""
    seed = int(due_share * 100)
    dice = random.Random(seed)
    now_ms = await stores.process_registry.server_time_ms()
    rows: list[QueueRow] = []
    for _ in range(160):
        draft = QueuedWorkDraft(
            session_id="s",
            payloads=(HostEventPayload("event"),),
            delivery_policy=dice.choice(list(DeliveryPolicy)),
            slot_policy=dice.choices(list(SlotPolicy), [9, 1])[0],
            merge_key=dice.choice([MergeKey(), MergeKey.of_group("g")]),
            available_at_ms=0 if dice.random() < due_share else now_ms + 600_000,
        )
        rows.append(QueueRow(await session.enqueue_queued_work(draft)))
    for _ in range(12):
        boundary = dice.choice(list(ClaimBoundary))
        wanted = select_leading_group(rows, fence.fencing_token, now_ms, boundary, 64)
        claim = await session.claim_ready_queued_work(fence, boundary)

        found = [] if claim is None else [batch.batch_id for batch in claim.batches]
        assert [row.batch.batch_id for row in wanted] == found, f"seed {seed}"
        if claim is not None:
            mark = TurnInputClaimRef(
                claim_id=claim.claim_id, lease_token="", session_lease_generation=fence.fencing_token
            )
            rows = [QueueRow(row.batch, mark) if row.batch.batch_id in found else row for row in rows]
