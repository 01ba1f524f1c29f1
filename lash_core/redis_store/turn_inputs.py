"""The lane of pending turn inputs of one session over Redis (``docs/contracts/sessions.md`` 2.5; decision 19)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from lash_core.errors import LimitExceededError
from lash_core.errors.session import PendingTurnInputSourceKeyConflictError
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_queue_ids import input_id_of
from lash_core.model.turn_input import (
    CheckpointKind,
    PendingTurnInput,
    PendingTurnInputDraft,
    TurnInputCancelOutcome,
    TurnInputCancelTarget,
    TurnInputClaim,
    TurnInputSuffixOutcome,
)
from lash_core.redis_store.commands import Command
from lash_core.redis_store.leased_session import LeasedSession
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.turn_input_codec import (
    CHECKPOINT_LETTERS,
    decode_input,
    decode_input_claim,
    encode_input,
)
from lash_core.store.queued_work_store import CLAIM_BATCHES_MAX, QUEUED_BATCHES_MAX
from lash_core.store.session_bounds import check_cancel_target, check_checkpoint, check_claim_limit, check_input_draft

ROWS_A_READ = 64
"""Rows of one HMGET: at most 16 MB."""


class SessionInputs(LeasedSession):
    """Inputs that wait for a turn."""

    async def enqueue_pending_turn_input(self, draft: PendingTurnInputDraft) -> PendingTurnInput:
        """Put an input into the lane, or answer the row that its key or id stands for, terminal or not. Atomic.

        Safe to repeat with a source key or an input id. One for a turn that is committed already goes to the next turn.

        Raises:
            PendingTurnInputSourceKeyConflictError: it stands for another content or ingress.
            SessionBindingMismatchError, UnknownSessionError, InvalidArgumentError.
            LimitExceededError: the payload limit, or ``QUEUED_BATCHES_MAX`` inputs wait. OutcomeUnknownError.
        """
        check_input_draft(draft, self._session_id, self._context.settings.limits)
        nonce = secrets.token_hex(16)
        input_id = draft.input_id or input_id_of(self._session_id, source_key=draft.source_key, nonce=nonce)
        content_hash, letter, turn_id, body = encode_input(draft)
        source = draft.source_key or ""
        args = (self._session_id, input_id, content_hash, letter, turn_id, source, QUEUED_BATCHES_MAX, body)
        # The id is made here, so that a repeat after a lost reply finds the row.
        names = (*self._script_keys, self._keys.session_stamps(self._session_id))
        reply = (await self._context.scripts.run([Call("enqueue_turn_input", names, args)], durable=True))[0]
        match reply[0]:
            case "queued":
                return self._input(input_id, reply[1], body)
            case "again":
                return self._input(reply[1], reply[2], reply[3])
            case "conflict":
                named = draft.source_key or input_id
                raise PendingTurnInputSourceKeyConflictError(self._session_id, named, reply[1])
            case "full":
                raise LimitExceededError(
                    f"session `{self._session_id}` has {reply[1]} pending inputs; the limit is {QUEUED_BATCHES_MAX}",
                    field="pending_inputs",
                    value=reply[1],
                    limit=QUEUED_BATCHES_MAX,
                )
            case word:
                raise self._refused(word)

    async def list_pending_turn_inputs(self, session_id: str) -> tuple[PendingTurnInput, ...]:
        """All rows, terminal ones too, in the order of the lane."""
        self._check_bound(session_id)
        key, order = self._keys.session_inputs(session_id), self._keys.session_input_order(session_id)
        (ids,) = await self._context.connection.read([Command(order, ("ZRANGE", order, 0, -1))])
        rows: list[PendingTurnInput] = []
        for start in range(0, len(ids), ROWS_A_READ):
            part = ids[start : start + ROWS_A_READ]
            fields = [f"{letter}{input_id}" for input_id in part for letter in "hb"]
            (texts,) = await self._context.connection.read([Command(key, ("HMGET", key, *fields))])
            rows += [
                self._input(input_id, header, body)
                for input_id, header, body in zip(part, texts[::2], texts[1::2], strict=True)
                if header is not None and body is not None
            ]
        return tuple(sorted(rows, key=lambda row: row.enqueue_seq))

    async def claim_active_turn_inputs(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        checkpoint: CheckpointKind,
        max_inputs: int = CLAIM_BATCHES_MAX,
    ) -> TurnInputClaim | None:
        """Claim the running turn's inputs that this checkpoint admits; they are ``accepted``. Atomic.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        check_claim_limit(max_inputs, field="max_inputs")
        args = (turn_id, CHECKPOINT_LETTERS[check_checkpoint(checkpoint)], max_inputs)
        return await self._claim_inputs("claim_active_inputs", lease, *args)

    async def claim_next_turn_inputs(
        self, lease: SessionExecutionLeaseFence, max_inputs: int = CLAIM_BATCHES_MAX
    ) -> TurnInputClaim | None:
        """Claim inputs for the next turn, in order. Atomic.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        check_claim_limit(max_inputs, field="max_inputs")
        return await self._claim_inputs("claim_next_inputs", lease, max_inputs)

    async def abandon_turn_input_claim(self, claim: TurnInputClaim) -> tuple[str, ...]:
        """Give the rows back that are still this claim's; answers their ids. A repeat answers none."""
        self._check_bound(claim.session_id)
        ids = [row.input_id for row in claim.inputs]
        return tuple(
            await self._run_script("abandon_input_claim", self._session_id, claim.claim_id, claim.lease_token, *ids)
        )

    async def cancel_pending_turn_inputs(
        self, session_id: str, targets: Sequence[TurnInputCancelTarget]
    ) -> tuple[TurnInputCancelOutcome, ...]:
        """Cancel rows in one unit; one outcome a target, in order. Safe to repeat.

        Raises:
            InvalidArgumentError: a target names none or two.
        """
        return await self._cancel(session_id, targets, suffix=False)

    async def cancel_pending_turn_input_suffix(
        self, session_id: str, anchor: TurnInputCancelTarget
    ) -> TurnInputSuffixOutcome:
        """Cancel the anchor and every later row in one unit; claimed ones are reported and left. Safe to repeat."""
        outcomes = await self._cancel(session_id, [anchor], suffix=True)
        return TurnInputSuffixOutcome(anchor_found=bool(outcomes), outcomes=outcomes)

    async def _cancel(
        self, session_id: str, targets: Sequence[TurnInputCancelTarget], *, suffix: bool
    ) -> tuple[TurnInputCancelOutcome, ...]:
        self._check_bound(session_id)
        names: list[str] = []
        for target in targets:
            check_cancel_target(target)
            names.append(f"s{target.source_key}" if target.input_id is None else f"h{target.input_id}")
        if not names:
            return ()
        replies = await self._run_script("cancel_turn_inputs", session_id, int(suffix), *names)
        return tuple(self._outcome(reply) for reply in replies)

    def _outcome(self, reply: list[Any]) -> TurnInputCancelOutcome:
        if reply[0] == "not_found":
            return TurnInputCancelOutcome(outcome="not_found")
        row = self._input(reply[1], reply[2], reply[3])
        claim = row.claim if reply[0] == "already_claimed" else None
        return TurnInputCancelOutcome(outcome=reply[0], input=row, claim=claim)

    async def _claim_inputs(
        self, script: str, lease: SessionExecutionLeaseFence, *further: str | int
    ) -> TurnInputClaim | None:
        reply = await self._run_claim(script, *self._fence_args(lease), secrets.token_hex(8), *further)
        return None if reply is None else self._input_claim(lease, reply)

    def _input(self, input_id: str, header: str, body: str) -> PendingTurnInput:
        return decode_input(self._session_id, input_id, header, body, key=self._keys.session_inputs(self._session_id))

    def _input_claim(self, lease: SessionExecutionLeaseFence, reply: list[Any]) -> TurnInputClaim:
        return decode_input_claim(lease, reply, key=self._keys.session_inputs(self._session_id))
