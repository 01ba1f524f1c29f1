"""``claim_checkpoint_work``: what may reach the running turn now, of both lanes at once.

``docs/contracts/sessions.md`` 2.4.
"""

from __future__ import annotations

from typing import Any, cast

from lash_core.errors import InvalidArgumentError
from lash_core.model.queued_work import DeliveryPolicy
from lash_core.model.turn_input import ActiveTurnIngress
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    command_draft,
    enqueued,
    ids_of,
    leased,
    opened,
    put_in,
)


async def both_lanes_are_claimed_together(stores: SessionStores) -> None:
    """One claim each, both under the lease's generation; a second look finds nothing."""
    store = await opened(stores)
    batch = await enqueued(store)
    row = await put_in(store, "x", ActiveTurnIngress("t"))
    await put_in(store, "next")
    lease = await leased(store)

    work, inputs = await store.claim_checkpoint_work(lease.fence, "t", "after_work")

    assert work is not None
    assert inputs is not None
    assert [batch.batch_id] == ids_of(work)
    assert [row.input_id] == [one.input_id for one in inputs.inputs]
    assert lease.fencing_token == work.session_lease_generation == inputs.session_lease_generation
    assert (None, None) == tuple(await store.claim_checkpoint_work(lease.fence, "t", "after_work"))


async def quiet_lanes_give_nothing(stores: SessionStores) -> None:
    """Empty ones, and ones whose rows wait for the end of the turn."""
    store = await opened(stores)
    lease = await leased(store)
    assert (None, None) == tuple(await store.claim_checkpoint_work(lease.fence, "t", "before_completion"))
    await enqueued(store, delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT)
    await enqueued(store)
    await put_in(store)
    await put_in(store, "other", ActiveTurnIngress("another turn"))

    assert (None, None) == tuple(await store.claim_checkpoint_work(lease.fence, "t", "before_completion"))


async def a_command_holds_the_queue_back_not_the_inputs(stores: SessionStores) -> None:
    """The lanes are judged each by itself."""
    store = await opened(stores)
    await store.enqueue_queued_work(command_draft(store.session_id))
    await enqueued(store)
    row = await put_in(store, "x", ActiveTurnIngress("t", "before_completion"))
    lease = await leased(store)
    assert (None, None) == tuple(await store.claim_checkpoint_work(lease.fence, "t", "after_work"))

    work, inputs = await store.claim_checkpoint_work(lease.fence, "t", "before_completion")

    assert work is None
    assert inputs is not None
    assert [row.input_id] == [one.input_id for one in inputs.inputs]


async def the_limits_are_those_of_the_lanes(stores: SessionStores) -> None:
    """Each its own; 0 leaves a lane alone."""
    store = await opened(stores)
    rows = [await enqueued(store, f"{n}") for n in range(3)]
    inputs = [await put_in(store, f"{n}", ActiveTurnIngress("t")) for n in range(3)]
    lease = await leased(store)

    work, taken = await store.claim_checkpoint_work(lease.fence, "t", "after_work", max_inputs=2, max_batches=0)

    assert work is None
    assert taken is not None
    assert [row.input_id for row in inputs[:2]] == [row.input_id for row in taken.inputs]
    work, taken = await store.claim_checkpoint_work(lease.fence, "t", "after_work", max_inputs=0, max_batches=1)
    assert taken is None
    assert [rows[0].batch_id] == ids_of(work)


async def boundaries_and_checkpoints_have_names(stores: SessionStores) -> None:
    """A name is as good as its member; one that means nothing is refused, and nothing is claimed."""
    store = await opened(stores)
    lease, nothing = await leased(store), cast("Any", "whenever")
    work = await enqueued(store, delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT)
    await put_in(store, "x", ActiveTurnIngress("t"))

    for refused_call in (
        store.claim_ready_queued_work(lease.fence, nothing),
        store.claim_ready_queued_work_by_batch_ids(lease.fence, nothing, (work.batch_id,)),
        store.claim_checkpoint_work(lease.fence, "t", nothing),
        store.claim_active_turn_inputs(lease.fence, "t", nothing),
    ):
        with refused(InvalidArgumentError, "whenever"):
            await refused_call

    assert [work.batch_id] == ids_of(await store.claim_ready_queued_work(lease.fence, cast("Any", "idle")))
