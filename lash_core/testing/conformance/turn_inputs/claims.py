"""Claims of pending inputs: of the running turn, of the next one, and given back.

``docs/contracts/sessions.md`` 2.5.
"""

from __future__ import annotations

from lash_core.errors.session import SessionExecutionLeaseExpiredError, TurnInputClaimSupersededError
from lash_core.model.turn_input import ActiveTurnIngress, TextInput, TurnInput, TurnInputClaim
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import SessionStores, committed, leased, opened, put_in, taken_over


async def a_checkpoint_admits_what_is_due_there(stores: SessionStores) -> None:
    """``after_work`` rows at both checkpoints, ``before_completion`` rows at the last one; others' rows never."""
    store = await opened(stores)
    late = await put_in(store, "late", ActiveTurnIngress("t", "before_completion"))
    early = await put_in(store, "early", ActiveTurnIngress("t", "after_work"))
    await put_in(store, "other", ActiveTurnIngress("u"))
    await put_in(store, "next")
    lease = await leased(store)

    first = await store.claim_active_turn_inputs(lease.fence, "t", "after_work")
    also_early = await put_in(store, "also", ActiveTurnIngress("t", "after_work"))
    second = await store.claim_active_turn_inputs(lease.fence, "t", "before_completion")

    assert [early.input_id] == _ids(first)
    assert [late.input_id, also_early.input_id] == _ids(second)


async def claimed_inputs_are_accepted(stores: SessionStores) -> None:
    """Under a claim of the lease's generation; a second look finds nothing more."""
    store = await opened(stores)
    row = await put_in(store, "x", ActiveTurnIngress("t"))
    lease = await leased(store)

    claim = await store.claim_active_turn_inputs(lease.fence, "t", "after_work")

    assert claim is not None
    assert [(row.input_id, "accepted")] == [(one.input_id, one.state) for one in claim.inputs]
    assert (store.session_id, lease.fencing_token) == (claim.session_id, claim.session_lease_generation)
    (stored,) = await store.list_pending_turn_inputs(store.session_id)
    assert claim.inputs == (stored,)
    assert stored.claim is not None
    assert (claim.claim_id, claim.lease_token, claim.session_lease_generation) == (
        stored.claim.claim_id,
        stored.claim.lease_token,
        stored.claim.session_lease_generation,
    )
    assert await store.claim_active_turn_inputs(lease.fence, "t", "before_completion") is None


async def inputs_of_the_next_turn_come_in_order(stores: SessionStores) -> None:
    """Up to the limit; they stay deferred until they are settled."""
    store = await opened(stores)
    await put_in(store, "x", ActiveTurnIngress("t"))
    rows = [await put_in(store, f"{n}") for n in range(3)]
    lease = await leased(store)

    first = await store.claim_next_turn_inputs(lease.fence, 2)
    second = await store.claim_next_turn_inputs(lease.fence)

    assert [row.input_id for row in rows[:2]] == _ids(first)
    assert [rows[2].input_id] == _ids(second)
    assert first is not None
    assert second is not None
    assert {"deferred_next_turn"} == {row.state for row in first.inputs}
    assert second.fencing_token > first.fencing_token
    assert await store.claim_next_turn_inputs(lease.fence) is None
    assert await store.claim_next_turn_inputs(lease.fence, 0) is None


async def the_next_generation_takes_them_again(stores: SessionStores) -> None:
    """Of both kinds: this is how a turn is redone."""
    store = await opened(stores)
    row, later = await put_in(store, "x", ActiveTurnIngress("t")), await put_in(store)
    lease = await leased(store)
    assert [row.input_id] == _ids(await store.claim_active_turn_inputs(lease.fence, "t", "after_work"))
    assert [later.input_id] == _ids(await store.claim_next_turn_inputs(lease.fence))

    fence = (await taken_over(store, lease)).fence

    assert [row.input_id] == _ids(await store.claim_active_turn_inputs(fence, "t", "after_work"))
    assert [later.input_id] == _ids(await store.claim_next_turn_inputs(fence))


async def abandoned_inputs_wait_again(stores: SessionStores) -> None:
    """Accepted ones as pending for their turn, the others as deferred; a repeat does nothing."""
    store = await opened(stores)
    row, later = await put_in(store, "x", ActiveTurnIngress("t")), await put_in(store)
    lease = await leased(store)
    active = await store.claim_active_turn_inputs(lease.fence, "t", "after_work")
    following = await store.claim_next_turn_inputs(lease.fence)
    assert active is not None
    assert following is not None

    given = [await store.abandon_turn_input_claim(claim) for claim in (active, following)]

    assert [(row.input_id,), (later.input_id,)] == given
    assert (row, later) == await store.list_pending_turn_inputs(store.session_id)
    assert () == await store.abandon_turn_input_claim(active)
    assert [row.input_id] == _ids(await store.claim_active_turn_inputs(lease.fence, "t", "after_work"))


async def a_stale_abandon_does_nothing(stores: SessionStores) -> None:
    """The rows are somebody else's now."""
    store = await opened(stores)
    await put_in(store)
    lease = await leased(store)
    stale = await store.claim_next_turn_inputs(lease.fence)
    live = await store.claim_next_turn_inputs((await taken_over(store, lease)).fence)
    assert stale is not None
    assert live is not None

    assert () == await store.abandon_turn_input_claim(stale)

    assert live.inputs == await store.list_pending_turn_inputs(store.session_id)


async def a_superseded_claim_settles_nothing(stores: SessionStores) -> None:
    """The commit is refused whole."""
    store = await opened(stores)
    row = await put_in(store)
    lease = await leased(store)
    stale = await store.claim_next_turn_inputs(lease.fence)
    assert stale is not None
    lease = await taken_over(store, lease)

    live = await store.claim_next_turn_inputs(lease.fence)

    with refused(TurnInputClaimSupersededError, row.input_id):
        await committed(store, lease, completed_turn_input_claims=(stale.completion,))
    assert live is not None
    assert await store.load_session() is None
    await committed(store, lease, completed_turn_input_claims=(live.completion,))


async def a_lease_that_is_not_live_claims_nothing(stores: SessionStores) -> None:
    """Both claims are refused."""
    store = await opened(stores)
    await put_in(store)
    stale = await leased(store)
    lease = await taken_over(store, stale)

    with refused(SessionExecutionLeaseExpiredError):
        await store.claim_active_turn_inputs(stale.fence, "t", "after_work")
    with refused(SessionExecutionLeaseExpiredError):
        await store.claim_next_turn_inputs(stale.fence)

    assert await store.claim_next_turn_inputs(lease.fence) is not None


async def a_claim_becomes_one_input(stores: SessionStores) -> None:
    """Items in order; the first protocol options and the first trace id that are set win."""
    store = await opened(stores)
    await put_in(store, "a")
    await put_in(store, input=TurnInput((TextInput("b"),), protocol_turn_options={"n": 1}, trace_turn_id="t1"))
    await put_in(store, input=TurnInput((TextInput("c"),), protocol_turn_options={"n": 2}, trace_turn_id="t2"))

    claim = await store.claim_next_turn_inputs((await leased(store)).fence)

    assert claim is not None
    assert claim.materialize_for_turn() == TurnInput(
        (TextInput("a"), TextInput("b"), TextInput("c")), protocol_turn_options={"n": 1}, trace_turn_id="t1"
    )


async def an_interrupted_turn_leaves_its_inputs_to_the_next(stores: SessionStores) -> None:
    """Rows that it did not take; what it accepted, and rows of other turns and other states, stay as they are."""
    store = await opened(stores)
    accepted = await put_in(store, "accepted", ActiveTurnIngress("t"))
    lease = await leased(store)
    claim = await store.claim_active_turn_inputs(lease.fence, "t", "after_work")
    assert claim is not None
    left = await put_in(store, "left", ActiveTurnIngress("t"))
    other = await put_in(store, "other", ActiveTurnIngress("u"))

    await committed(store, lease, interrupted_turn_input_turn_id="t", completed_turn_input_claims=(claim.completion,))

    rows = {row.input_id: row for row in await store.list_pending_turn_inputs(store.session_id)}
    assert ("completed", None) == (rows[accepted.input_id].state, rows[accepted.input_id].claim)
    assert ("deferred_next_turn", "next_turn") == (rows[left.input_id].state, rows[left.input_id].ingress.type)
    assert other == rows[other.input_id]
    assert [left.input_id] == _ids(await store.claim_next_turn_inputs(lease.fence))


async def an_accepted_input_is_not_deferred(stores: SessionStores) -> None:
    """It belongs to the claim that has it."""
    store = await opened(stores)
    await put_in(store, "accepted", ActiveTurnIngress("t"))
    lease = await leased(store)
    claim = await store.claim_active_turn_inputs(lease.fence, "t", "after_work")
    assert claim is not None

    await committed(store, lease, interrupted_turn_input_turn_id="t")

    assert claim.inputs == await store.list_pending_turn_inputs(store.session_id)


def _ids(claim: TurnInputClaim | None) -> list[str]:
    return [] if claim is None else [row.input_id for row in claim.inputs]
