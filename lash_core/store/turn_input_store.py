"""The lane of pending turn inputs (``docs/contracts/sessions.md`` 2.5). Part of ``RuntimePersistence``.

It shares the session's ``enqueue_seq`` with queued work, so that the two lanes have one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.turn_input import (
    CheckpointKind,
    PendingTurnInput,
    PendingTurnInputDraft,
    TurnInputCancelOutcome,
    TurnInputCancelTarget,
    TurnInputClaim,
    TurnInputSuffixOutcome,
)


@runtime_checkable
class TurnInputStore(Protocol):
    """Inputs that wait for a turn. Claims are fenced by the lease generation, as those of queued work."""

    async def enqueue_pending_turn_input(self, draft: PendingTurnInputDraft) -> PendingTurnInput:
        """Put an input into the lane. The same source key or input id with the same content answers the row there is.

        An input for a turn that is committed already goes to the next turn: nobody would ever claim it.

        Raises:
            PendingTurnInputSourceKeyConflictError: the key stands for another content or ingress.
            InvalidArgumentError: live parts cannot be stored.
        """
        ...

    async def list_pending_turn_inputs(self, session_id: str) -> tuple[PendingTurnInput, ...]:
        """All rows, terminal ones included, in the order of the lane."""
        ...

    async def claim_active_turn_inputs(
        self, lease: SessionExecutionLeaseFence, turn_id: str, checkpoint: CheckpointKind, max_inputs: int = 64
    ) -> TurnInputClaim | None:
        """Claim the inputs for the running turn that this checkpoint admits; they are ``accepted``."""
        ...

    async def claim_next_turn_inputs(
        self, lease: SessionExecutionLeaseFence, max_inputs: int = 64
    ) -> TurnInputClaim | None:
        """Claim inputs for the next turn, in order."""
        ...

    async def abandon_turn_input_claim(self, claim: TurnInputClaim) -> tuple[str, ...]:
        """Give the rows back: accepted ones become ``pending_active`` again. A stale abandon does nothing."""
        ...

    async def cancel_pending_turn_inputs(
        self, session_id: str, targets: Sequence[TurnInputCancelTarget]
    ) -> tuple[TurnInputCancelOutcome, ...]:
        """Cancel rows; one outcome a target, in order."""
        ...

    async def cancel_pending_turn_input_suffix(
        self, session_id: str, anchor: TurnInputCancelTarget
    ) -> TurnInputSuffixOutcome:
        """Cancel the anchor and every later row; claimed ones are reported and left."""
        ...
