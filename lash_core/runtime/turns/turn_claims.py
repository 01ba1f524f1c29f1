"""The claims that a turn has made, and that its last commit settles.

``docs/contracts/sessions.md`` 2.1 guard, 3.4; docs/adr/0188.
"""

from __future__ import annotations

import logging

from lash_core.errors import LashError
from lash_core.errors.session import UnsettledQueuedWorkClaimError, UnsettledTurnInputClaimError
from lash_core.model.queued_work import QueuedWorkClaim
from lash_core.model.session_commit import RuntimeCommit
from lash_core.model.turn_input import PendingTurnInput, TurnInputClaim
from lash_core.store.runtime_persistence import RuntimePersistence

_log = logging.getLogger(__name__)


class TurnClaims:
    """Claims of one physical turn.

    Attributes:
        queue: of queued work; all of it is in the turn's messages.
        inputs: of the lane: rows whose content is in the turn.
        spare: rows that were claimed and not delivered: a redo may claim more than it was given first.
    """

    __slots__ = ("inputs", "queue", "spare")

    def __init__(self) -> None:
        self.queue: list[QueuedWorkClaim] = []
        self.inputs: list[TurnInputClaim] = []
        self.spare: list[TurnInputClaim] = []

    def take_queue(self, claim: QueuedWorkClaim | None) -> None:
        """Content of these batches is in the turn."""
        if claim is not None:
            self.queue.append(claim)

    def take_inputs(self, claim: TurnInputClaim | None, delivered: frozenset[str] | None = None) -> None:
        """Content of these rows is in the turn; None = of all. The others are kept for a later checkpoint."""
        if claim is None:
            return
        taken = [row for row in claim.inputs if delivered is None or row.input_id in delivered]
        left = [row for row in claim.inputs if delivered is not None and row.input_id not in delivered]
        if taken:
            self.inputs.append(_part(claim, taken))
        if left:
            self.spare.append(_part(claim, left))

    def take_spare(self) -> tuple[PendingTurnInput, ...]:
        """Deliver what was left over; its rows are in the turn now."""
        spare, self.spare = self.spare, []
        self.inputs += spare
        return tuple(row for claim in spare for row in claim.inputs)

    def settle_in(self, commit: RuntimeCommit) -> RuntimeCommit:
        """A copy of the commit that settles them all."""
        return commit.model_copy(
            update={
                "completed_queue_claims": tuple(claim.completion for claim in self.queue),
                "completed_turn_input_claims": tuple(claim.completion for claim in self.inputs),
            }
        )

    def require_settled(self, commit: RuntimeCommit) -> None:
        """A final commit must settle what its content came from: else it would be answered twice.

        Raises:
            UnsettledQueuedWorkClaimError, UnsettledTurnInputClaimError: nothing reached the store.
        """
        settled = {batch_id for one in commit.completed_queue_claims for batch_id in one.batch_ids}
        for claim in self.queue:
            missing = [batch.batch_id for batch in claim.batches if batch.batch_id not in settled]
            if missing:
                raise UnsettledQueuedWorkClaimError(
                    f"the commit has content of claim `{claim.claim_id}` and does not settle batch `{missing[0]}`",
                    field="completed_queue_claims",
                    value=missing[0],
                )
        accepted = {input_id for one in commit.completed_turn_input_claims for input_id in one.input_ids}
        for claim in self.inputs:
            missing = [row.input_id for row in claim.inputs if row.input_id not in accepted]
            if missing:
                raise UnsettledTurnInputClaimError(
                    f"the commit has content of claim `{claim.claim_id}` and does not settle input `{missing[0]}`",
                    field="completed_turn_input_claims",
                    value=missing[0],
                )

    async def give_back_spare(self, store: RuntimePersistence) -> None:
        """Give back what no checkpoint delivered, so that the next turn has it. Raises: store errors."""
        spare, self.spare = self.spare, []
        for claim in spare:
            await store.abandon_turn_input_claim(claim)

    async def abandon(self, store: RuntimePersistence) -> None:
        """Give everything back, as far as the store lets: claims of a lost generation are free anyway."""
        try:
            for claim in self.queue:
                await store.abandon_queued_work_claim(claim)
            for claim in (*self.inputs, *self.spare):
                await store.abandon_turn_input_claim(claim)
        except (LashError, OSError):
            _log.debug("claims of session %s were not given back", store.session_id, exc_info=True)


def _part(claim: TurnInputClaim, rows: list[PendingTurnInput]) -> TurnInputClaim:
    return claim.model_copy(update={"inputs": tuple(rows)})
