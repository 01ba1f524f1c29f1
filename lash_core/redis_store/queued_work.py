"""Queued work of one session over Redis (``docs/contracts/sessions.md`` 2.4; decisions 2, 19-22)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from lash_core.errors import LimitExceededError
from lash_core.model.queued_work import ClaimBoundary, QueuedWorkBatch, QueuedWorkClaim, QueuedWorkDraft
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.turn_input import CheckpointKind
from lash_core.redis_store.commands import Command
from lash_core.redis_store.queued_work_codec import (
    DraftRow,
    claimed_generation,
    decode_batch,
    decode_claim,
    encode_draft,
)
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import time_commands, time_us
from lash_core.redis_store.turn_input_codec import CHECKPOINT_LETTERS
from lash_core.redis_store.turn_inputs import ROWS_A_READ, SessionInputs
from lash_core.store.queued_work_store import (
    CLAIM_BATCHES_MAX,
    QUEUED_BATCHES_MAX,
    SOURCE_KEY_RECEIPT_BYTES_MAX,
    SOURCE_KEY_RECEIPTS_MAX,
    CheckpointClaims,
)
from lash_core.store.session_bounds import check_boundary, check_checkpoint, check_claim_limit, check_draft


class SessionQueue(SessionInputs):
    """The queue of the session. A claim pins the generation of the session's lease and has no end of its own."""

    async def enqueue_queued_work(self, draft: QueuedWorkDraft) -> QueuedWorkBatch:
        """Append a batch and make the session ready for the fleet, or answer the first batch of the source key. Atomic.

        Raises:
            SessionBindingMismatchError, UnknownSessionError, InvalidArgumentError.
            LimitExceededError: the payload limit, or ``QUEUED_BATCHES_MAX`` batches wait.
            OutcomeUnknownError: the reply was lost and there is no source key.
        """
        check_draft(draft, self._session_id, self._context.settings.limits)
        row = encode_draft(draft, nonce=secrets.token_hex(16))
        call = enqueue_call(self._session_id, self._script_keys, row)
        repeatable = draft.source_key is not None
        reply = (await self._context.scripts.run([call], durable=True, repeatable=repeatable))[0]
        match reply[0]:
            case "queued":
                return self._batch(row.batch_id, reply[1], row.body)
            case "again":
                return self._batch(reply[1], reply[2], reply[3])
            case "full":
                raise LimitExceededError(
                    f"session `{self._session_id}` has {reply[1]} batches of queued work; the limit is "
                    f"{QUEUED_BATCHES_MAX}",
                    field="queued_batches",
                    value=int(reply[1]) + 1,
                    limit=QUEUED_BATCHES_MAX,
                )
            case word:
                raise self._refused(word)

    async def list_queued_work(self, session_id: str) -> tuple[QueuedWorkBatch, ...]:
        """All that is not settled, in the order of the queue; empty for a session that is not there."""
        self._check_bound(session_id)
        return tuple([self._batch(*row) for row in await self._rows()])

    async def list_pending_queued_work(self, session_id: str) -> tuple[QueuedWorkBatch, ...]:
        """What no live claim has: a claim is live while the lease of its generation is."""
        self._check_bound(session_id)
        rows = await self._rows()
        live = await self._live_generation()
        return tuple([self._batch(*row) for row in rows if not live or claimed_generation(row[1]) != live])

    async def cancel_queued_work_batch(self, session_id: str, batch_id: str) -> QueuedWorkBatch | None:
        """Take a batch out. None: it is not there, a live claim has it, or an open turn has taken it in. Atomic.

        After a lost reply the repeat answers None, though the first try took it out.
        """
        self._check_bound(session_id)
        args = (session_id, batch_id, SOURCE_KEY_RECEIPTS_MAX, SOURCE_KEY_RECEIPT_BYTES_MAX)
        reply = await self._run_script("cancel_queued_work", *args)
        return self._batch(batch_id, reply[1], reply[2]) if reply[0] == "cancelled" else None

    # -- claims ----------------------------------------------------------------------------------------

    async def claim_leading_ready_session_command(self, lease: SessionExecutionLeaseFence) -> QueuedWorkClaim | None:
        """Claim the earliest ready row if it is a command: exactly that one. Atomic.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        return await self._claim_rows("claim_session_command", lease)

    async def claim_ready_queued_work(
        self, lease: SessionExecutionLeaseFence, boundary: ClaimBoundary, max_batches: int = CLAIM_BATCHES_MAX
    ) -> QueuedWorkClaim | None:
        """Claim the group at the head of the queue (2.4). None: nothing ready, a command leads, or it may not be taken.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        check_claim_limit(max_batches, field="max_batches")
        return await self._claim_rows("claim_queued_work", lease, check_boundary(boundary).value, max_batches)

    async def claim_ready_queued_work_by_batch_ids(
        self, lease: SessionExecutionLeaseFence, boundary: ClaimBoundary, batch_ids: Sequence[str]
    ) -> QueuedWorkClaim | None:
        """Claim exactly these, all or none; earlier rows may be passed over. Atomic.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        check_claim_limit(len(batch_ids), field="batch_ids")
        return await self._claim_rows("claim_queued_batches", lease, check_boundary(boundary).value, *batch_ids)

    async def claim_checkpoint_work(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        checkpoint: CheckpointKind,
        max_inputs: int = CLAIM_BATCHES_MAX,
        max_batches: int = CLAIM_BATCHES_MAX,
    ) -> CheckpointClaims:
        """Claim of both lanes what may reach the running turn now: one script, which only reads while both are quiet.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        check_claim_limit(max_inputs, field="max_inputs")
        check_claim_limit(max_batches, field="max_batches")
        args = (
            secrets.token_hex(8),
            turn_id,
            CHECKPOINT_LETTERS[check_checkpoint(checkpoint)],
            max_inputs,
            max_batches,
        )
        reply = await self._run_claim("claim_checkpoint_work", *self._fence_args(lease), *args)
        if reply is None:
            return CheckpointClaims((None, None))
        rows, inputs = reply
        return CheckpointClaims(
            (
                decode_claim(lease, rows, key=self._queue_key) if rows else None,
                self._input_claim(lease, inputs) if inputs else None,
            )
        )

    async def abandon_queued_work_claim(self, claim: QueuedWorkClaim) -> tuple[str, ...]:
        """Give the rows back that are still this claim's; answers their ids. A repeat answers none."""
        self._check_bound(claim.session_id)
        named = (claim.session_id, claim.claim_id, claim.lease_token)
        return tuple(await self._run_script("abandon_queue_claim", *named, *(one.batch_id for one in claim.batches)))

    async def _claim_rows(
        self, script: str, lease: SessionExecutionLeaseFence, *further: str | int
    ) -> QueuedWorkClaim | None:
        reply = await self._run_claim(script, *self._fence_args(lease), secrets.token_hex(8), *further)
        return None if reply is None else decode_claim(lease, reply, key=self._queue_key)

    # -- rows as stored --------------------------------------------------------------------------------

    @property
    def _queue_key(self) -> str:
        return self._keys.session_queue(self._session_id)

    async def _rows(self) -> list[tuple[str, str, str]]:
        """Id, header and body of every row, in the order of the queue, read page by page."""
        key, order = self._queue_key, self._keys.session_queue_order(self._session_id)
        (ids,) = await self._context.connection.read([Command(order, ("ZRANGE", order, 0, -1))])
        rows: list[tuple[str, str, str]] = []
        for start in range(0, len(ids), ROWS_A_READ):
            part = ids[start : start + ROWS_A_READ]
            fields = [f"{letter}{batch_id}" for batch_id in part for letter in "hb"]
            (texts,) = await self._context.connection.read([Command(key, ("HMGET", key, *fields))])
            rows += [row for row in zip(part, texts[::2], texts[1::2], strict=True) if None not in row]
        return rows

    async def _live_generation(self) -> str:
        """Of the lease that is live now, blank = there is none."""
        keys = self._keys
        commands = [
            Command(keys.session_leases, ("HGET", keys.session_leases, self._session_id)),
            Command(keys.session_expiries, ("ZSCORE", keys.session_expiries, self._session_id)),
            *time_commands(self._context, keys.session_leases),
        ]
        value, expiry, *clock = await self._context.connection.read(commands)
        if value is None or expiry is None or int(float(expiry)) <= time_us(clock) // 1_000:
            return ""
        return value.partition(";")[0]

    def _batch(self, batch_id: str, header: str, body: str) -> QueuedWorkBatch:
        return decode_batch(self._session_id, batch_id, header, body, key=self._queue_key)


def enqueue_call(session_id: str, script_keys: tuple[str, ...], row: DraftRow) -> Call:
    """The call that puts a row into a session's queue."""
    args = (session_id, row.batch_id, row.facts, row.available_at_ms, row.source_key, QUEUED_BATCHES_MAX, row.body)
    return Call("enqueue_queued_work", script_keys, args)
