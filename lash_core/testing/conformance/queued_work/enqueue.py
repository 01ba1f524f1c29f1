"""``enqueue_queued_work``: appended once per source key (``docs/contracts/sessions.md`` 2.4; decisions 19, 20)."""

from __future__ import annotations

import asyncio
from typing import Any

from lash_core.errors import InvalidArgumentError, LimitExceededError, UnknownSessionError
from lash_core.errors.session import SessionBindingMismatchError
from lash_core.model.queued_work import (
    ClaimBoundary,
    DeliveryPolicy,
    HostEventPayload,
    MergeKey,
    SlotPolicy,
    TimerPayload,
    TurnInputPayload,
    process_wake_draft,
)
from lash_core.model.turn_input import TurnInput
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    claimed,
    command_draft,
    committed,
    draft,
    enqueued,
    factory_of,
    ids_of,
    leased,
    opened,
    put_in,
)


async def a_batch_is_stored_as_it_was_drafted(stores: SessionStores) -> None:
    """Policies, merge key, payloads, source key; an id, a number, a time and an id per item are given."""
    store = await opened(stores)
    payloads = (
        TurnInputPayload(TurnInput.text("é {x}\n;|")),
        HostEventPayload("deployed", {"n": [1, None]}),
        TimerPayload("tick"),
    )
    wanted = draft(
        store.session_id,
        payloads=payloads,
        delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT,
        slot_policy=SlotPolicy.EXCLUSIVE,
        merge_key=MergeKey.of_group("g;1\n"),
        available_at_ms=5,
        source_key="a;b c|é",
    )

    batch = await store.enqueue_queued_work(wanted)

    assert (wanted.delivery_policy, wanted.slot_policy, wanted.merge_key) == (
        batch.delivery_policy,
        batch.slot_policy,
        batch.merge_key,
    )
    assert (store.session_id, 5, "a;b c|é", payloads) == (
        batch.session_id,
        batch.available_at_ms,
        batch.source_key,
        batch.payloads,
    )
    assert batch.batch_id.startswith("qwb:")
    assert batch.enqueued_at_ms > 0
    assert 3 == len({item.item_id for item in batch.items})
    assert (batch,) == await store.list_queued_work(store.session_id)


async def numbers_rise_and_give_the_order(stores: SessionStores) -> None:
    """Strictly, over settled batches too; both lanes share them."""
    store = await opened(stores)
    first, second = await enqueued(store), await enqueued(store)
    between = await put_in(store)
    lease = await leased(store)
    claim = await claimed(store, lease)
    await committed(store, lease, completed_queue_claims=(claim.completion,))

    last = await enqueued(store)

    numbers = [first.enqueue_seq, second.enqueue_seq, between.enqueue_seq, last.enqueue_seq]
    assert sorted(set(numbers)) == numbers


async def a_source_key_enqueues_once(stores: SessionStores) -> None:
    """The first batch is answered untouched, whatever the second draft carries."""
    store = await opened(stores)
    first = await enqueued(store, "one", source_key="k")

    again = await enqueued(store, "two", source_key="k", slot_policy=SlotPolicy.EXCLUSIVE)

    assert first == again
    assert (first,) == await store.list_queued_work(store.session_id)


async def many_at_once_enqueue_a_source_key_once(stores: SessionStores) -> None:
    """Relays may race."""
    store = await opened(stores)

    batches = await asyncio.gather(*(enqueued(store, f"{n}", source_key="k") for n in range(6)))

    assert 1 == len({batch.batch_id for batch in batches})
    assert 1 == len(await store.list_queued_work(store.session_id))


async def a_settled_source_key_still_answers(stores: SessionStores) -> None:
    """A late relay gets the original batch and enqueues nothing, after completion and after a cancel (decision 20)."""
    store = await opened(stores)
    done, dropped = await enqueued(store, source_key="done"), await enqueued(store, source_key="dropped")
    lease = await leased(store)
    claim = await store.claim_ready_queued_work_by_batch_ids(lease.fence, ClaimBoundary.IDLE, [done.batch_id])
    assert claim is not None
    await committed(store, lease, completed_queue_claims=(claim.completion,))
    assert dropped == await store.cancel_queued_work_batch(store.session_id, dropped.batch_id)

    assert done == await enqueued(store, "late", source_key="done")
    assert dropped == await enqueued(store, "late", source_key="dropped")
    assert () == await store.list_queued_work(store.session_id)


async def source_keys_of_sessions_do_not_meet(stores: SessionStores) -> None:
    """A key is unique in its session only; without a key equal drafts are two batches."""
    one, two = await opened(stores), await opened(stores)

    batches = [
        await enqueued(one, source_key="k"),
        await enqueued(two, source_key="k"),
        await enqueued(one),
        await enqueued(one),
    ]

    assert 4 == len({batch.batch_id for batch in batches})


async def a_wake_is_exclusive_and_once(stores: SessionStores) -> None:
    """At the earliest safe boundary, once per event of a process."""
    store = await opened(stores)
    wanted = process_wake_draft(store.session_id, "p1", 3, {"n": 1})

    batch = await store.enqueue_queued_work(wanted)

    assert (DeliveryPolicy.EARLIEST_SAFE_BOUNDARY, SlotPolicy.EXCLUSIVE) == (batch.delivery_policy, batch.slot_policy)
    assert "process:p1:event:3:wake" == batch.source_key
    assert batch == await store.enqueue_queued_work(wanted)


async def a_command_is_exclusive_and_once(stores: SessionStores) -> None:
    """After the current turn's commit, once per idempotency key."""
    store = await opened(stores)

    batch = await store.enqueue_queued_work(command_draft(store.session_id, "x"))

    assert (DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT, SlotPolicy.EXCLUSIVE) == (
        batch.delivery_policy,
        batch.slot_policy,
    )
    assert "command:refresh_tool_catalog:x" == batch.source_key
    with refused(InvalidArgumentError, "idempotency"):
        command_draft(store.session_id, " ")


async def mixed_classes_and_nothing_at_all_are_refused(stores: SessionStores) -> None:
    """A batch is commands or turn work."""
    store = await opened(stores)
    command = command_draft(store.session_id).payloads

    for payloads in ((), (*command, TurnInputPayload(TurnInput.text("hi")))):
        with refused(InvalidArgumentError):
            draft(store.session_id, payloads=payloads)


async def live_parts_are_refused(stores: SessionStores) -> None:
    """No queue can keep a protocol extension or live plugin inputs."""
    store = await opened(stores)
    for live in ({"protocol_extension": object()}, {"turn_context": object()}):
        value = TurnInput.text("hi").model_copy(update=live)
        with refused(InvalidArgumentError):
            await enqueued(store, payloads=(TurnInputPayload.model_construct(input=value),))

    assert () == await store.list_queued_work(store.session_id)


async def a_payload_over_the_limit_is_refused(stores: SessionStores) -> None:
    """256 KB; nothing is stored."""
    store = await opened(stores)

    with refused(InvalidArgumentError, "must not be blank"):
        await enqueued(store, source_key=" ")
    with refused(LimitExceededError, "source key has 513 bytes; the limit is 512"):
        await enqueued(store, source_key="k" * 513)
    with refused(LimitExceededError, str(256 * 1024)):
        await enqueued(store, "x" * 256 * 1024)

    assert () == await store.list_queued_work(store.session_id)


async def text_that_no_store_can_keep_is_refused(stores: SessionStores) -> None:
    """A lone surrogate in the merge key or the source key."""
    store = await opened(stores)

    unkept: tuple[dict[str, Any], ...] = ({"merge_key": MergeKey.of_group("\ud800")}, {"source_key": "\ud800"})
    for changes in unkept:
        with refused(InvalidArgumentError):
            await enqueued(store, **changes)

    assert () == await store.list_queued_work(store.session_id)


async def another_session_is_refused(stores: SessionStores) -> None:
    """A store is bound to one session."""
    store, other = await opened(stores), await opened(stores)

    with refused(SessionBindingMismatchError, other.session_id):
        await store.enqueue_queued_work(draft(other.session_id))
    for read in (store.list_queued_work, store.list_pending_queued_work):
        with refused(SessionBindingMismatchError, other.session_id):
            await read(other.session_id)

    assert [] == ids_of(await other.list_queued_work(other.session_id))


async def a_session_that_is_gone_is_refused(stores: SessionStores) -> None:
    """It gets no queue; its lists are empty."""
    store = await opened(stores)
    await enqueued(store)
    await factory_of(stores).delete_session(store.session_id)

    with refused(UnknownSessionError, store.session_id):
        await enqueued(store)

    assert () == await store.list_queued_work(store.session_id)
    assert () == await store.list_pending_queued_work(store.session_id)
