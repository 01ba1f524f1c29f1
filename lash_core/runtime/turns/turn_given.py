"""What a physical turn is given, and what of it is noted for a redo (`docs/contracts/turns.md` 4, 7)."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from lash_core.errors import RuntimeFailure
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.ids import ID_BYTES_MAX, check_id
from lash_core.model.message import Message
from lash_core.model.queued_work import QueuedWorkBatch, QueuedWorkClaim
from lash_core.model.session import SessionPolicy
from lash_core.model.turn_input import TurnInput, TurnInputClaim
from lash_core.model.turn_outcome import TurnIssue
from lash_core.runtime.turns.turn_messages import (
    ingress_message_id,
    message_of_input,
    messages_of_batches,
    options_of_batches,
    turn_message_id,
)
from lash_core.store.turn_journal import OpenTurn

TurnOrigin = Literal["input", "queue", "lane"]
TRACE_ID_MISMATCH = "execution_scope_turn_id_mismatch"
NOTED_POLICY_BYTES_MAX = 16 * 1024
"""A policy is noted beside the input, within the limit of one payload: a longer one is left to who redoes the turn."""


def follow_on_id(root_turn_id: str, ordinal: int) -> str:
    """The id of a logical turn's physical turn after its first."""
    return fitting_turn_id(f"{root_turn_id}:agent-frame:{ordinal}")


def fitting_turn_id(turn_id: str) -> str:
    """An id made of another one, whose length nobody chose: too long a one becomes its digest."""
    if len(turn_id.encode()) <= ID_BYTES_MAX:
        return turn_id
    return f"t_{hashlib.sha256(turn_id.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class TurnGiven:
    """One physical turn's work.

    Attributes:
        turn_id: of the physical turn.
        root_turn_id: of the logical turn's first one.
        ordinal: its place in the logical turn, from 0.
        origin: a caller's input, batches of the queue, or the lane of pending inputs.
        input: of a caller, or of the lane put together; None for batches.
        batches: of the queue.
        queue_claim: that has them; None without a store.
        input_claim: rows of the lane.
        base_revision: the head's when the turn was begun first; part of what names its prompts.
        is_redo: it was begun before.
        refusal: why no model is to be called: the turn is stopped with this issue.
        policy: that it was begun with, where nothing is stored of the session that says so.
    """

    turn_id: str
    root_turn_id: str
    origin: TurnOrigin
    ordinal: int = 0
    input: TurnInput | None = None
    batches: tuple[QueuedWorkBatch, ...] = ()
    queue_claim: QueuedWorkClaim | None = None
    input_claim: TurnInputClaim | None = None
    base_revision: int | None = None
    is_redo: bool = False
    refusal: TurnIssue | None = None
    policy: SessionPolicy | None = None

    @classmethod
    def of_input(cls, given: TurnInput, turn_id: str | None) -> TurnGiven:
        """A caller's turn; without an id the input's trace id, else a fresh one.

        Raises:
            RuntimeFailure: ``execution_scope_turn_id_mismatch``. InvalidArgumentError: the id is not legal.
        """
        trace_id = given.trace_turn_id
        if turn_id is not None and trace_id is not None and turn_id != trace_id:
            raise RuntimeFailure(
                TRACE_ID_MISMATCH, f"the input belongs to turn `{trace_id}`, it cannot run as turn `{turn_id}`"
            )
        if turn_id or trace_id:
            check_id(turn_id or trace_id or "", field="turn_id", subject="turn id")
        chosen = turn_id or trace_id or f"t_{uuid.uuid4().hex}"
        return cls(chosen, chosen, "input", input=given)

    @classmethod
    def of_queue(cls, claim: QueuedWorkClaim, turn_id: str) -> TurnGiven:
        """A drain of claimed batches."""
        return cls(turn_id, turn_id, "queue", batches=claim.batches, queue_claim=claim)

    @classmethod
    def of_lane(cls, claim: TurnInputClaim, turn_id: str) -> TurnGiven:
        """A drain of the lane of pending inputs."""
        return cls(turn_id, turn_id, "lane", input=claim.materialize_for_turn(), input_claim=claim)

    @property
    def protocol_turn_options(self) -> JsonValue:
        """The options that it brings, or None."""
        return options_of_batches(self.batches) if self.input is None else self.input.protocol_turn_options

    @property
    def batch_ids(self) -> tuple[str, ...]:
        """The batches that it begins with."""
        return tuple(batch.batch_id for batch in self.batches)

    def messages(self) -> tuple[Message, ...]:
        """The messages that it begins with.

        Raises:
            InvalidArgumentError: the input cannot be used.
        """
        if self.input is None:
            return messages_of_batches(self.batches)
        if self.input_claim is not None and self.input_claim.inputs:
            return (message_of_input(self.input, ingress_message_id(self.input_claim.inputs[0].input_id)),)
        return (message_of_input(self.input, turn_message_id(self.turn_id)),)

    def open_turn(self, base_revision: int, policy: SessionPolicy) -> OpenTurn:
        """What is noted before the first effect. A live input cannot be noted: nobody else can redo that turn.

        Args:
            base_revision: the head's; 0 = nothing of the session is stored, its policy neither: it is noted here.
            policy: in effect for the turn.
        """
        facts: dict[str, Any] = {
            "root": self.root_turn_id,
            "ordinal": self.ordinal,
            "origin": self.origin,
            "base_revision": base_revision,
        }
        if self.origin == "queue":
            facts["batch_ids"] = list(self.batch_ids)
        elif self.input_claim is not None:
            facts["input_ids"] = [row.input_id for row in self.input_claim.inputs]
        elif self.input is not None and self.input.is_durable:
            facts["input"] = self.input.to_json_value()
        if not base_revision:
            noted = policy.to_json_value()
            if len(canonical_json_bytes(noted, field="policy")) <= NOTED_POLICY_BYTES_MAX:
                facts["policy"] = noted
        return OpenTurn(self.turn_id, facts=facts, batch_ids=self.batch_ids)


@dataclass(frozen=True, slots=True)
class NotedTurn:
    """The facts of an open turn."""

    turn_id: str
    root_turn_id: str
    ordinal: int
    origin: TurnOrigin
    base_revision: int
    input: TurnInput | None
    batch_ids: tuple[str, ...]
    input_ids: tuple[str, ...]
    deaths: int
    policy: SessionPolicy | None = None

    @classmethod
    def of(cls, turn: OpenTurn) -> NotedTurn:
        """What was noted; facts of a later release that are not known here are left alone."""
        facts: dict[str, Any] = turn.facts if isinstance(turn.facts, dict) else {}
        given, policy = facts.get("input"), facts.get("policy")
        return cls(
            turn_id=turn.turn_id,
            root_turn_id=str(facts.get("root", turn.turn_id)),
            ordinal=int(facts.get("ordinal", 0)),
            origin=facts.get("origin", "input"),
            base_revision=int(facts.get("base_revision", 0)),
            input=None if given is None else TurnInput.model_validate(given),
            batch_ids=tuple(facts.get("batch_ids", ())),
            input_ids=tuple(facts.get("input_ids", ())),
            deaths=turn.deaths,
            policy=None if policy is None else SessionPolicy.model_validate(policy),
        )
