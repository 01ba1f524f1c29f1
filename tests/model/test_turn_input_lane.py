"""The lane of pending inputs: which rows a claim takes, and how they change (2.5). Pure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lash_core.model.queue_selection import ClaimRef
from lash_core.model.turn_input import (
    ActiveTurnIngress,
    NextTurnIngress,
    PendingTurnInput,
    PendingTurnInputState,
    TextInput,
    TurnInput,
    TurnInputClaim,
    TurnInputIngress,
)
from lash_core.model.turn_input_lane import (
    abandoned_input,
    deferred_input,
    first_state,
    select_active_inputs,
    select_next_turn_inputs,
)

MINE, OTHERS = 7, 6
STATES: tuple[PendingTurnInputState, ...] = (
    "pending_active",
    "deferred_next_turn",
    "accepted",
    "cancelled",
    "completed",
)
INGRESS: tuple[TurnInputIngress, ...] = (
    NextTurnIngress(),
    ActiveTurnIngress("t"),
    ActiveTurnIngress("t", "before_completion"),
    ActiveTurnIngress("u"),
)


def _row(seq: int, state: PendingTurnInputState, ingress: TurnInputIngress, held: int | None) -> PendingTurnInput:
    claim = None if held is None else ClaimRef(claim_id="c", lease_token="t", session_lease_generation=held)
    return PendingTurnInput(
        input_id=f"i{seq}",
        session_id="s",
        enqueue_seq=seq,
        ingress=ingress,
        state=state,
        input=TurnInput.text(f"{seq}"),
        enqueued_at_ms=1,
        claim=claim,
    )


FACTS = st.tuples(st.sampled_from(STATES), st.sampled_from(INGRESS), st.sampled_from((None, None, MINE, OTHERS)))
LANES = st.lists(FACTS, max_size=8).map(lambda facts: [_row(n, *fact) for n, fact in enumerate(facts)])


@given(LANES, st.sampled_from(("after_work", "before_completion")), st.integers(0, 4))
def test_a_checkpoint_takes_what_it_admits(lane: list[PendingTurnInput], checkpoint: str, most: int) -> None:
    """Rows of that turn that nobody of this generation holds, in order; the last checkpoint takes all of them."""
    early = select_active_inputs(lane, MINE, "t", "after_work", 64)
    late = select_active_inputs(lane, MINE, "t", "before_completion", 64)
    bounded = select_active_inputs(lane, MINE, "t", checkpoint, most)  # type: ignore[arg-type]

    assert [row for row in late if row in early] == early
    assert all(row.ingress in INGRESS[1:3] and row.state in ("pending_active", "accepted") for row in late)
    assert all(row.claim is None or row.claim.session_lease_generation == OTHERS for row in late)
    assert all(row.ingress == INGRESS[1] for row in early)
    assert bounded == (early if checkpoint == "after_work" else late)[:most]


@given(LANES)
def test_no_row_belongs_to_both_kinds(lane: list[PendingTurnInput]) -> None:
    """Of a running turn or of the next one; what is over belongs to neither."""
    active = select_active_inputs(lane, MINE, "t", "before_completion", 64)
    following = select_next_turn_inputs(lane, MINE, 64)

    assert not [row for row in active if row in following]
    assert all(row.state == "deferred_next_turn" for row in following)


def test_rows_begin_and_go_on() -> None:
    """As their ingress says; given back, or left to the next turn."""
    assert ("deferred_next_turn", "pending_active") == (first_state(INGRESS[0]), first_state(INGRESS[1]))

    accepted = _row(1, "accepted", INGRESS[1], MINE)
    following = _row(2, "deferred_next_turn", INGRESS[0], MINE)
    given_back = [abandoned_input(row) for row in (accepted, following)]
    assert [("pending_active", None), ("deferred_next_turn", None)] == [(row.state, row.claim) for row in given_back]

    left = deferred_input(_row(3, "pending_active", INGRESS[1], None))
    assert ("deferred_next_turn", NextTurnIngress()) == (left.state, left.ingress)


def test_a_claim_becomes_one_input() -> None:
    """Items in order; the first options and trace id that are set win."""
    inputs = [
        TurnInput.text("a"),
        TurnInput((TextInput("b"),), protocol_turn_options={"n": 1}),
        TurnInput((TextInput("c"),), protocol_turn_options={"n": 2}, trace_turn_id="t"),
    ]
    rows = [_row(n, "accepted", INGRESS[0], MINE).model_copy(update={"input": value}) for n, value in enumerate(inputs)]
    claim = TurnInputClaim(
        session_id="s",
        claim_id="c",
        lease_token="t",
        fencing_token=1,
        session_lease_generation=MINE,
        inputs=tuple(rows),
    )

    one = claim.materialize_for_turn()

    assert (["a", "b", "c"], {"n": 1}, "t") == (
        [item.text for item in one.items if isinstance(item, TextInput)],
        one.protocol_turn_options,
        one.trace_turn_id,
    )
    assert ("i0", "i1", "i2") == claim.completion.input_ids
