"""Input of a turn, and the lane of pending inputs behind queued work.

``docs/contracts/sessions.md`` 1.11, 2.5; decisions 1, 19.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model


class TextInput(Model):
    """Text of a user."""

    type: Literal["text"] = "text"
    text: str = Field(kw_only=False)


class AttachmentInput(Model):
    """An attachment of the session: an ``AttachmentRef``'s JSON."""

    type: Literal["attachment"] = "attachment"
    reference: JsonValue = Field(default=None, kw_only=False)


TurnInputItem = Annotated[TextInput | AttachmentInput, Field(discriminator="type")]


class TurnInput(Model):
    """What a turn is given. The two last fields live only as long as the turn and are never stored.

    Attributes:
        items: in order; adjacent texts become one.
        protocol_turn_options: for this turn and the frame's later ones.
        trace_turn_id: the turn's id must be this one when it is set.
    """

    items: tuple[TurnInputItem, ...] = Field(default=(), kw_only=False)
    protocol_turn_options: JsonValue = None
    trace_turn_id: str | None = None
    protocol_extension: Any = Field(default=None, exclude=True)
    turn_context: Any = Field(default=None, exclude=True)

    @classmethod
    def text(cls, text: str) -> TurnInput:
        """One text."""
        return cls((TextInput(text),))

    @property
    def is_durable(self) -> bool:
        """False with a live extension or live plugin inputs, which no queue can keep."""
        context_is_empty = self.turn_context is None or bool(getattr(self.turn_context, "is_empty", False))
        return self.protocol_extension is None and context_is_empty


CheckpointKind = Literal["after_work", "before_completion"]


class ActiveTurnIngress(Model):
    """For one turn that runs now, at a checkpoint of this kind or a later one."""

    type: Literal["active_turn"] = "active_turn"
    turn_id: str = Field(kw_only=False)
    min_boundary: CheckpointKind = Field(default="after_work", kw_only=False)


class NextTurnIngress(Model):
    """For the next turn."""

    type: Literal["next_turn"] = "next_turn"


TurnInputIngress = Annotated[ActiveTurnIngress | NextTurnIngress, Field(discriminator="type")]
PendingTurnInputState = Literal["pending_active", "deferred_next_turn", "accepted", "cancelled", "completed"]


class PendingTurnInputDraft(Model):
    """An input to put into the lane. ``source_key`` and ``input_id`` make it safe to repeat."""

    session_id: str
    input: TurnInput
    ingress: TurnInputIngress = Field(default_factory=NextTurnIngress)
    source_key: str | None = None
    input_id: str | None = None


class TurnInputClaimRef(Model):
    """Which claim has a row: claim id, token and the lease generation it is pinned to."""

    claim_id: str
    lease_token: str
    session_lease_generation: int


class PendingTurnInput(Model):
    """One row of the lane. ``cancelled`` and ``completed`` rows stay until vacuum: they answer a repeated enqueue."""

    input_id: str
    session_id: str
    enqueue_seq: int
    source_key: str | None = None
    ingress: TurnInputIngress
    state: PendingTurnInputState
    input: TurnInput
    enqueued_at_ms: int
    claim: TurnInputClaimRef | None = None


class TurnInputClaim(Model):
    """Rows taken for a turn under one lease generation."""

    session_id: str
    claim_id: str
    lease_token: str
    fencing_token: int
    session_lease_generation: int
    inputs: tuple[PendingTurnInput, ...]

    @property
    def completion(self) -> TurnInputCompletion:
        """What a commit names to settle it."""
        return TurnInputCompletion(
            session_id=self.session_id,
            claim_id=self.claim_id,
            lease_token=self.lease_token,
            input_ids=tuple(row.input_id for row in self.inputs),
        )

    def materialize_for_turn(self) -> TurnInput:
        """One input: items in order; the first protocol options and trace id that are set win."""
        inputs = [row.input for row in self.inputs]
        options = (one.protocol_turn_options for one in inputs if one.protocol_turn_options is not None)
        return TurnInput(
            tuple(item for one in inputs for item in one.items),
            protocol_turn_options=next(options, None),
            trace_turn_id=next((one.trace_turn_id for one in inputs if one.trace_turn_id is not None), None),
        )


class TurnInputCompletion(Model):
    """Settles rows of a claim within a commit."""

    session_id: str
    claim_id: str
    lease_token: str
    input_ids: tuple[str, ...]


class TurnInputCancelTarget(Model):
    """A row by its id, or by its source key: exactly one of the two."""

    input_id: str | None = None
    source_key: str | None = None


class TurnInputCancelOutcome(Model):
    """What a cancel found. ``input`` is None only for ``not_found``; ``claim`` is set for ``already_claimed``."""

    outcome: Literal["cancelled", "already_claimed", "already_completed", "already_cancelled", "not_found"]
    input: PendingTurnInput | None = None
    claim: TurnInputClaimRef | None = None


class TurnInputSuffixOutcome(Model):
    """What a cancel of an input and all later ones found. ``anchor_found`` False: nothing was touched."""

    anchor_found: bool
    outcomes: tuple[TurnInputCancelOutcome, ...] = ()
