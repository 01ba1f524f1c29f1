"""Pending turn inputs as scripts take them and as they are stored (``docs/contracts/redis_layout.md``). Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import ValidationError

from lash_core.errors import CorruptRecordError
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_queue_ids import input_claim_id
from lash_core.model.turn_input import (
    ActiveTurnIngress,
    CheckpointKind,
    NextTurnIngress,
    PendingTurnInput,
    PendingTurnInputDraft,
    PendingTurnInputState,
    TurnInput,
    TurnInputClaim,
    TurnInputClaimRef,
    TurnInputIngress,
)

BODY_VERSION = 1

CHECKPOINT_LETTERS: dict[CheckpointKind, str] = {"after_work": "w", "before_completion": "c"}
_CHECKPOINTS: dict[str, CheckpointKind] = {letter: kind for kind, letter in CHECKPOINT_LETTERS.items()}
_STATES: dict[str, PendingTurnInputState] = {
    "p": "pending_active",
    "d": "deferred_next_turn",
    "a": "accepted",
    "x": "cancelled",
    "c": "completed",
}


class _Body(Model):
    v: int
    input: TurnInput


def encode_input(draft: PendingTurnInputDraft) -> tuple[str, str, str, str]:
    """Hash of ingress and content, ingress letter, turn id and body of a draft.

    Raises:
        InvalidJsonError: the input is no canonical JSON.
    """
    content = draft.input.to_json_value()
    same = canonical_json([draft.ingress.to_json_value(), content], field="input")
    letter, turn_id = "n", ""
    if isinstance(draft.ingress, ActiveTurnIngress):
        letter, turn_id = CHECKPOINT_LETTERS[draft.ingress.min_boundary], draft.ingress.turn_id
    body = canonical_json({"v": BODY_VERSION, "input": content}, field="input")
    return hashlib.sha256(same.encode()).hexdigest()[:32], letter, turn_id, body


def decode_input(session_id: str, input_id: str, header: str, body: str, *, key: str) -> PendingTurnInput:
    """A row read back.

    Raises:
        CorruptRecordError: it cannot be decoded, or has a version that this release does not know.
    """
    try:
        state, letter, seq, enqueued, head_seq, number, generation, token, _, length, rest = header.split(";", 10)
        names = rest.encode()
        turn_id, source_key = names[: int(length)].decode(), names[int(length) :].decode()
        facts = _Body.model_validate_json(body)
        if facts.v != BODY_VERSION:
            raise CorruptRecordError(f"{key} has the input `{input_id}` with the unknown version {facts.v}", key=key)
        ingress: TurnInputIngress = NextTurnIngress()
        if letter != "n":
            ingress = ActiveTurnIngress(turn_id, _CHECKPOINTS[letter])
        claim = None
        if token:
            claim = TurnInputClaimRef(
                claim_id=input_claim_id(int(head_seq), int(number)),
                lease_token=token,
                session_lease_generation=int(generation),
            )
        return PendingTurnInput(
            input_id=input_id,
            session_id=session_id,
            enqueue_seq=int(seq),
            source_key=source_key or None,
            ingress=ingress,
            state=_STATES[state],
            input=facts.input,
            enqueued_at_ms=int(enqueued),
            claim=claim,
        )
    except (ValueError, KeyError, ValidationError) as error:
        raise CorruptRecordError(f"{key} has an unreadable input `{input_id}`", key=key) from error


def decode_input_claim(lease: SessionExecutionLeaseFence, reply: list[Any], *, key: str) -> TurnInputClaim:
    """The claim of a script's answer: sequence of the first row, claim number, token, then id, header and body of each.

    Raises:
        CorruptRecordError.
    """
    head_seq, number, token = int(reply[0]), int(reply[1]), str(reply[2])
    rows = zip(reply[3::3], reply[4::3], reply[5::3], strict=True)
    return TurnInputClaim(
        session_id=lease.session_id,
        claim_id=input_claim_id(head_seq, number),
        lease_token=token,
        fencing_token=number,
        session_lease_generation=lease.fencing_token,
        inputs=tuple(decode_input(lease.session_id, *row, key=key) for row in rows),
    )
