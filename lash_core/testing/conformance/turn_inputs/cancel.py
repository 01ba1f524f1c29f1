"""Cancelling pending inputs: by id, by source key, and a row with all that came after it.

``docs/contracts/sessions.md`` 2.5.
"""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError
from lash_core.errors.session import SessionBindingMismatchError
from lash_core.model.turn_input import ActiveTurnIngress, TurnInputCancelTarget
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import SessionStores, committed, leased, opened, put_in


async def each_target_has_its_outcome(stores: SessionStores) -> None:
    """In the order of the targets, whatever became of each."""
    store = await opened(stores)
    free, keyed = await put_in(store, "free"), await put_in(store, "keyed", source_key="k")
    held = await put_in(store, "held", ActiveTurnIngress("t"))
    lease = await leased(store)
    claim = await store.claim_active_turn_inputs(lease.fence, "t", "after_work")
    assert claim is not None
    targets = [
        TurnInputCancelTarget(source_key="k"),
        TurnInputCancelTarget(input_id=held.input_id),
        TurnInputCancelTarget(input_id=unique("absent")),
        TurnInputCancelTarget(input_id=free.input_id),
        TurnInputCancelTarget(input_id=free.input_id),
    ]

    outcomes = await store.cancel_pending_turn_inputs(store.session_id, targets)

    assert ["cancelled", "already_claimed", "not_found", "cancelled", "already_cancelled"] == [
        one.outcome for one in outcomes
    ]
    assert [keyed.input_id, held.input_id, None, free.input_id, free.input_id] == [
        None if one.input is None else one.input.input_id for one in outcomes
    ]
    assert outcomes[1].claim is not None
    assert claim.claim_id == outcomes[1].claim.claim_id
    states = [row.state for row in await store.list_pending_turn_inputs(store.session_id)]
    assert ["cancelled", "cancelled", "accepted"] == states


async def a_completed_input_cannot_be_cancelled(stores: SessionStores) -> None:
    """It is said that it was completed; it stays so."""
    store = await opened(stores)
    row = await put_in(store)
    lease = await leased(store)
    claim = await store.claim_next_turn_inputs(lease.fence)
    assert claim is not None
    await committed(store, lease, completed_turn_input_claims=(claim.completion,))

    (outcome,) = await store.cancel_pending_turn_inputs(
        store.session_id, [TurnInputCancelTarget(input_id=row.input_id)]
    )

    assert "already_completed" == outcome.outcome
    assert outcome.input is not None
    assert "completed" == outcome.input.state


async def a_claim_that_is_over_does_not_protect(stores: SessionStores) -> None:
    """Its lease was released, or another generation is live."""
    store = await opened(stores)
    rows = [await put_in(store, f"{n}") for n in range(2)]
    lease = await leased(store)
    assert await store.claim_next_turn_inputs(lease.fence) is not None
    assert await store.release_session_execution_lease(lease.completion)
    first = await store.cancel_pending_turn_inputs(store.session_id, [TurnInputCancelTarget(input_id=rows[0].input_id)])
    await leased(store)

    second = await store.cancel_pending_turn_inputs(
        store.session_id, [TurnInputCancelTarget(input_id=rows[1].input_id)]
    )

    assert ["cancelled", "cancelled"] == [first[0].outcome, second[0].outcome]


async def cancelled_inputs_are_never_claimed(stores: SessionStores) -> None:
    """Of either kind."""
    store = await opened(stores)
    rows = [await put_in(store), await put_in(store, "x", ActiveTurnIngress("t"))]
    targets = [TurnInputCancelTarget(input_id=row.input_id) for row in rows]
    await store.cancel_pending_turn_inputs(store.session_id, targets)
    fence = (await leased(store)).fence

    assert await store.claim_next_turn_inputs(fence) is None
    assert await store.claim_active_turn_inputs(fence, "t", "before_completion") is None


async def a_suffix_is_the_anchor_and_all_later_rows(stores: SessionStores) -> None:
    """Of both kinds; claimed ones are reported and left, and it goes on behind them."""
    store = await opened(stores)
    before = await put_in(store, "before")
    held = await put_in(store, "held", ActiveTurnIngress("t"))
    after = [await put_in(store, "after"), await put_in(store, "more", ActiveTurnIngress("u"))]
    lease = await leased(store)
    assert await store.claim_active_turn_inputs(lease.fence, "t", "after_work") is not None

    suffix = await store.cancel_pending_turn_input_suffix(
        store.session_id, TurnInputCancelTarget(input_id=held.input_id)
    )

    assert suffix.anchor_found
    assert [("already_claimed", held.input_id), *(("cancelled", row.input_id) for row in after)] == [
        (one.outcome, one.input.input_id) for one in suffix.outcomes if one.input is not None
    ]
    assert before == (await store.list_pending_turn_inputs(store.session_id))[0]


async def an_anchor_that_is_over_still_anchors(stores: SessionStores) -> None:
    """By its source key too; what is over is said as it is."""
    store = await opened(stores)
    anchor, later = await put_in(store, "a", source_key="k"), await put_in(store, "b")
    target = TurnInputCancelTarget(source_key="k")
    await store.cancel_pending_turn_inputs(store.session_id, [target])

    suffix = await store.cancel_pending_turn_input_suffix(store.session_id, target)

    assert [("already_cancelled", anchor.input_id), ("cancelled", later.input_id)] == [
        (one.outcome, one.input.input_id) for one in suffix.outcomes if one.input is not None
    ]


async def an_unknown_anchor_touches_nothing(stores: SessionStores) -> None:
    """It is said that there is none."""
    store = await opened(stores)
    row = await put_in(store)

    suffix = await store.cancel_pending_turn_input_suffix(
        store.session_id, TurnInputCancelTarget(source_key=unique("absent"))
    )

    assert (False, ()) == (suffix.anchor_found, suffix.outcomes)
    assert (row,) == await store.list_pending_turn_inputs(store.session_id)


async def a_target_names_one_row(stores: SessionStores) -> None:
    """By exactly one of id and source key; another session's rows are refused."""
    store, other = await opened(stores), await opened(stores)
    row = await put_in(store, source_key="k")
    wrong = (TurnInputCancelTarget(), TurnInputCancelTarget(input_id=row.input_id, source_key="k"))

    for target in wrong:
        with refused(InvalidArgumentError):
            await store.cancel_pending_turn_inputs(store.session_id, [target])
        with refused(InvalidArgumentError):
            await store.cancel_pending_turn_input_suffix(store.session_id, target)
    with refused(SessionBindingMismatchError):
        await store.cancel_pending_turn_inputs(other.session_id, [TurnInputCancelTarget(input_id=row.input_id)])

    assert (row,) == await store.list_pending_turn_inputs(store.session_id)
    assert () == await store.cancel_pending_turn_inputs(store.session_id, [])
