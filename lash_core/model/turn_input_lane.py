"""Which pending inputs a claim takes, and how rows of the lane change. Pure.

``docs/contracts/sessions.md`` 2.5; decision 19.
"""

from __future__ import annotations

from collections.abc import Iterable

from lash_core.model.turn_input import (
    ActiveTurnIngress,
    CheckpointKind,
    NextTurnIngress,
    PendingTurnInput,
    PendingTurnInputDraft,
    PendingTurnInputState,
    TurnInputIngress,
)

TERMINAL_INPUT_STATES: frozenset[PendingTurnInputState] = frozenset({"cancelled", "completed"})


def first_state(ingress: TurnInputIngress) -> PendingTurnInputState:
    """How a row begins."""
    return "pending_active" if isinstance(ingress, ActiveTurnIngress) else "deferred_next_turn"


def is_same_input(row: PendingTurnInput, draft: PendingTurnInputDraft, first_ingress: TurnInputIngress) -> bool:
    """True when a draft repeats what the row was enqueued with; a deferral since then changes nothing."""
    return first_ingress == draft.ingress and row.input.to_json_value() == draft.input.to_json_value()


def is_input_claimable(row: PendingTurnInput, generation: int) -> bool:
    """Not terminal, and unclaimed or claimed under another lease generation."""
    if row.state in TERMINAL_INPUT_STATES:
        return False
    return row.claim is None or row.claim.session_lease_generation != generation


def is_input_held(row: PendingTurnInput, live_generation: int | None) -> bool:
    """True while the lease of its claim's generation is the live one; None = there is no live lease."""
    return row.claim is not None and row.claim.session_lease_generation == live_generation


def select_active_inputs(
    rows: Iterable[PendingTurnInput], generation: int, turn_id: str, checkpoint: CheckpointKind, max_inputs: int
) -> list[PendingTurnInput]:
    """Inputs for the running turn that this checkpoint admits, in the order of the lane."""
    found = [
        row
        for row in rows
        if is_input_claimable(row, generation)
        and row.state in ("pending_active", "accepted")
        and isinstance(row.ingress, ActiveTurnIngress)
        and row.ingress.turn_id == turn_id
        and (row.ingress.min_boundary == "after_work" or checkpoint == "before_completion")
    ]
    return found[: max(max_inputs, 0)]


def select_next_turn_inputs(
    rows: Iterable[PendingTurnInput], generation: int, max_inputs: int
) -> list[PendingTurnInput]:
    """Inputs for the next turn, in the order of the lane."""
    found = [row for row in rows if row.state == "deferred_next_turn" and is_input_claimable(row, generation)]
    return found[: max(max_inputs, 0)]


def abandoned_input(row: PendingTurnInput) -> PendingTurnInput:
    """A claimed row that is given back."""
    state = "pending_active" if row.state == "accepted" else row.state
    return row.model_copy(update={"state": state, "claim": None})


def deferred_input(row: PendingTurnInput) -> PendingTurnInput:
    """A row whose turn ended without it: it goes to the next turn."""
    return row.model_copy(update={"state": "deferred_next_turn", "ingress": NextTurnIngress(), "claim": None})
