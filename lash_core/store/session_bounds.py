"""What every session store refuses before it writes: sizes, numbers, foreign sessions (DESIGN 3.3 rule 11)."""

from __future__ import annotations

import unicodedata
from typing import get_args

from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.errors.session import SessionBindingMismatchError
from lash_core.model.canonical_json import canonical_json, check_json
from lash_core.model.ids import check_id
from lash_core.model.limits import Limits
from lash_core.model.queued_work import ClaimBoundary, QueuedWorkDraft, TurnInputPayload
from lash_core.model.session import SessionMeta
from lash_core.model.turn_input import (
    ActiveTurnIngress,
    CheckpointKind,
    PendingTurnInputDraft,
    TurnInput,
    TurnInputCancelTarget,
)
from lash_core.store.queued_work_store import CLAIM_BATCHES_MAX, QUEUED_BATCHES_MAX
from lash_core.store.ready_sessions import CLAIM_SESSIONS_MAX
from lash_core.store.session_records import encode_record

SOURCE_KEY_BYTES_MAX = 512
"""Longest source key, in bytes of UTF-8: as a replay key's, since wakes and commands are named after such ids."""
SESSION_DELAY_MS_MAX = 600_000
"""Longest deferral of a session, in ms: a worker that can serve it may start meanwhile."""


def check_draft(draft: QueuedWorkDraft, session_id: str, limits: Limits) -> None:
    """Refuse a batch that no store can keep.

    Raises:
        SessionBindingMismatchError: it names another session. LimitExceededError: its payloads, or its source key.
        InvalidArgumentError: a turn input with live parts. InvalidJsonError: a payload, or the merge key.
    """
    if draft.session_id != session_id:
        raise SessionBindingMismatchError(session_id, draft.session_id)
    for payload in draft.payloads:
        if isinstance(payload, TurnInputPayload):
            check_durable_input(payload.input)
    _check_source_key(draft.source_key)
    check_json(draft.merge_key.group, field="merge_key.group")
    size = sum(len(canonical_json(item.to_json_value(), field="payloads").encode()) for item in draft.payloads)
    limits.check_payload_size(size, field="payloads")


def check_input_draft(draft: PendingTurnInputDraft, session_id: str, limits: Limits) -> None:
    """Refuse an input that no store can keep. Raises: as ``check_draft``."""
    if draft.session_id != session_id:
        raise SessionBindingMismatchError(session_id, draft.session_id)
    check_durable_input(draft.input)
    _check_source_key(draft.source_key)
    if isinstance(draft.ingress, ActiveTurnIngress):
        check_json(draft.ingress.turn_id, field="ingress.turn_id")
    if draft.input_id is not None:
        check_id(draft.input_id, field="input_id", subject="input id")
    limits.check_payload_size(len(canonical_json(draft.input.to_json_value(), field="input").encode()), field="input")


def check_durable_input(value: TurnInput) -> None:
    """Refuse what lives only as long as a turn.

    Raises:
        InvalidArgumentError: a protocol extension or live plugin inputs.
    """
    if not value.is_durable:
        raise InvalidArgumentError(
            "a queued turn input must not have a live protocol extension or live plugin inputs: no queue can keep them",
            field="input",
        )


def encode_meta(meta: SessionMeta, limits: Limits) -> str:
    """The stored text of a session's meta. Raises: LimitExceededError, InvalidJsonError."""
    text = encode_record(meta, field="meta")
    limits.check_payload_size(len(text.encode()), field="meta")
    return text


def check_queue_room(session_id: str, queued: int, adding: int = 1) -> None:
    """Refuse a batch that the queue has no room for.

    Raises:
        LimitExceededError: over ``QUEUED_BATCHES_MAX``.
    """
    if queued + adding > QUEUED_BATCHES_MAX:
        raise LimitExceededError(
            f"session `{session_id}` has {queued} batches of queued work; the limit is {QUEUED_BATCHES_MAX}",
            field="queued_batches",
            value=queued + adding,
            limit=QUEUED_BATCHES_MAX,
        )


def check_claim_limit(value: int, *, field: str) -> int:
    """Return ``value`` when it is 0 to ``CLAIM_BATCHES_MAX``; 0 claims nothing.

    Raises:
        InvalidArgumentError: outside of that.
    """
    if not 0 <= value <= CLAIM_BATCHES_MAX:
        raise InvalidArgumentError(
            f"{field} is {value}; it must be 0 to {CLAIM_BATCHES_MAX}",
            field=field,
            value=value,
            limit=CLAIM_BATCHES_MAX,
        )
    return value


def check_boundary(value: ClaimBoundary | str) -> ClaimBoundary:
    """The boundary of that name. Raises: InvalidArgumentError: there is none."""
    names = [boundary.value for boundary in ClaimBoundary]
    if value not in names:
        raise InvalidArgumentError(
            f"boundary {value!r} must be one of {', '.join(names)}", field="boundary", value=value
        )
    return ClaimBoundary(value)


def check_checkpoint(value: CheckpointKind) -> CheckpointKind:
    """Return ``value`` when it names a checkpoint. Raises: InvalidArgumentError."""
    names = get_args(CheckpointKind)
    if value not in names:
        raise InvalidArgumentError(
            f"checkpoint {value!r} must be one of {', '.join(names)}", field="checkpoint", value=value
        )
    return value


def check_page_limit(value: int, limits: Limits) -> int:
    """Return ``value`` when a page may have so many lines. Raises: InvalidArgumentError."""
    if not 1 <= value <= limits.page_max:
        raise InvalidArgumentError(
            f"limit {value} must be between 1 and {limits.page_max}", field="limit", value=value, limit=limits.page_max
        )
    return value


def check_ready_limit(value: int) -> int:
    """Return ``value`` when it is 0 to ``CLAIM_SESSIONS_MAX``. Raises: InvalidArgumentError."""
    return _in_range(value, CLAIM_SESSIONS_MAX, field="limit")


def check_delay(delay_ms: int) -> int:
    """Return ``delay_ms`` when it is 0 to ``SESSION_DELAY_MS_MAX``. Raises: InvalidArgumentError."""
    return _in_range(delay_ms, SESSION_DELAY_MS_MAX, field="delay_ms")


def check_turn_journal_room(session_id: str, entries: int, size: int, limits: Limits) -> None:
    """Refuse entries that a turn's journal has no room for.

    Raises:
        LimitExceededError: over ``journal_entries_max`` or ``journal_bytes_max``.
    """
    bounds = (
        ("journal_entries", entries, limits.journal_entries_max),
        ("journal_bytes", size, limits.journal_bytes_max),
    )
    for field, value, limit in bounds:
        if value > limit:
            raise LimitExceededError(
                f"a turn of session `{session_id}` would pass the limit of its journal: {field} {limit}",
                field=field,
                value=value,
                limit=limit,
            )


def check_cancel_target(target: TurnInputCancelTarget) -> None:
    """Refuse a target that names no row or two.

    Raises:
        InvalidArgumentError: not exactly one of ``input_id`` and ``source_key``.
    """
    if (target.input_id is None) == (target.source_key is None):
        raise InvalidArgumentError(
            "a cancel names an input by exactly one of `input_id` and `source_key`", field="target", value=str(target)
        )


def _check_source_key(source_key: str | None) -> None:
    if source_key is None:
        return
    if not source_key.strip():
        raise InvalidArgumentError(
            f"source key {source_key[:80]!r} must not be blank", field="source_key", value=source_key
        )
    size = len(source_key.encode(errors="surrogatepass"))
    if size > SOURCE_KEY_BYTES_MAX:
        raise LimitExceededError(
            f"source key has {size} bytes; the limit is {SOURCE_KEY_BYTES_MAX}",
            field="source_key",
            value=source_key,
            limit=SOURCE_KEY_BYTES_MAX,
        )
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in source_key):
        raise InvalidArgumentError(
            f"source key {source_key[:80]!r} has a control character or a lone surrogate",
            field="source_key",
            value=source_key,
        )


def _in_range(value: int, limit: int, *, field: str) -> int:
    if not 0 <= value <= limit:
        raise InvalidArgumentError(
            f"{field} is {value}; it must be 0 to {limit}", field=field, value=value, limit=limit
        )
    return value
