"""Batches of queued work as scripts take them and as they are stored (``docs/contracts/redis_layout.md``). Pure.

A row is a header of ``;`` fields, which scripts read, and a body of JSON, which they never decode.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from lash_core.errors import CorruptRecordError
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.queued_work import (
    DeliveryPolicy,
    MergeKey,
    QueuedWorkBatch,
    QueuedWorkClaim,
    QueuedWorkDraft,
    QueuedWorkItem,
    SlotPolicy,
    WorkClass,
)
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_queue_ids import batch_id_of, item_id_of, queue_claim_id

BODY_VERSION = 1

_DELIVERIES = {DeliveryPolicy.EARLIEST_SAFE_BOUNDARY: "e", DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT: "a"}
_SLOTS = {SlotPolicy.JOIN: "j", SlotPolicy.EXCLUSIVE: "x"}
_CLASSES = {WorkClass.TURN_WORK: "t", WorkClass.SESSION_COMMAND: "c"}
_DELIVERY_OF = {letter: policy for policy, letter in _DELIVERIES.items()}
_SLOT_OF = {letter: policy for policy, letter in _SLOTS.items()}


class _Body(Model):
    """The JSON of a row."""

    v: int
    items: tuple[QueuedWorkItem, ...]
    merge_key: MergeKey = Field(default_factory=MergeKey)


class DraftRow(NamedTuple):
    """A draft as ``put_row`` of ``includes/session_queue.lua`` takes it."""

    batch_id: str
    facts: str
    available_at_ms: int
    source_key: str
    body: str


def encode_draft(draft: QueuedWorkDraft, *, nonce: str) -> DraftRow:
    """The row of a draft that was checked (``store/session_bounds.py``).

    Args:
        draft: to be enqueued.
        nonce: makes the batch's id another one with each call; blank = the same for the same source key.

    Raises:
        InvalidJsonError: a payload is no canonical JSON.
    """
    batch_id = batch_id_of(draft.session_id, source_key=draft.source_key, nonce=nonce)
    items = [
        {"item_id": item_id_of(batch_id, index), "payload": payload.to_json_value()}
        for index, payload in enumerate(draft.payloads)
    ]
    body: dict[str, Any] = {"v": BODY_VERSION, "items": items}
    if draft.merge_key.type != "never":
        body["merge_key"] = draft.merge_key.to_json_value()
    text = canonical_json(body, field="payloads")
    facts = ";".join(
        (
            _DELIVERIES[draft.delivery_policy],
            _SLOTS[draft.slot_policy],
            _CLASSES[draft.work_class],
            _merge_tag(draft.merge_key),
        )
    )
    return DraftRow(batch_id, facts, draft.available_at_ms, draft.source_key or "", text)


def decode_batch(session_id: str, batch_id: str, header: str, body: str, *, key: str) -> QueuedWorkBatch:
    """The batch of a stored row.

    Raises:
        CorruptRecordError: header or body cannot be decoded, or the body has a version that this release does not know.
    """
    try:
        delivery, slot, _, _, available, enqueued, seq, _, _, _, _, source_key = header.split(";", 11)
        facts = _Body.model_validate_json(body)
        if facts.v != BODY_VERSION:
            raise CorruptRecordError(f"{key} has the batch `{batch_id}` with the unknown version {facts.v}", key=key)
        return QueuedWorkBatch(
            batch_id=batch_id,
            session_id=session_id,
            enqueue_seq=int(seq),
            source_key=source_key or None,
            delivery_policy=_DELIVERY_OF[delivery],
            slot_policy=_SLOT_OF[slot],
            merge_key=facts.merge_key,
            available_at_ms=int(available),
            enqueued_at_ms=int(enqueued),
            items=facts.items,
        )
    except (ValueError, KeyError, ValidationError) as error:
        raise CorruptRecordError(f"{key} has an unreadable batch `{batch_id}`", key=key) from error


def claimed_generation(header: str) -> str:
    """The generation of the lease under which a row was claimed last, blank = it is not claimed."""
    return header.split(";", 11)[9]


def decode_claim(lease: SessionExecutionLeaseFence, reply: list[Any], *, key: str) -> QueuedWorkClaim:
    """The claim of a script's answer: sequence of the first row, claim number, token, then id, header and body of each.

    Raises:
        CorruptRecordError.
    """
    head_seq, number, token = int(reply[0]), int(reply[1]), str(reply[2])
    rows = zip(reply[3::3], reply[4::3], reply[5::3], strict=True)
    return QueuedWorkClaim(
        session_id=lease.session_id,
        claim_id=queue_claim_id(head_seq, number),
        owner=lease.owner.to_json_value(),
        lease_token=token,
        fencing_token=number,
        session_lease_generation=lease.fencing_token,
        batches=tuple(decode_batch(lease.session_id, *row, key=key) for row in rows),
    )


def _merge_tag(merge_key: MergeKey) -> str:
    if merge_key.type == "group":
        return f"g{hashlib.sha256((merge_key.group or '').encode()).hexdigest()[:16]}"
    return "n" if merge_key.type == "never" else "d"
