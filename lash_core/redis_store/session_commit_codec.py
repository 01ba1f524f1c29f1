"""Commits of sessions as script arguments, stamps and ledgers as stored (``docs/contracts/redis_layout.md``). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import CorruptRecordError
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session_commit import CommitManifest, RuntimeCommitResult, TurnStampRecord
from lash_core.model.usage import TokenLedgerEntry, TokenUsage, merge_ledger
from lash_core.redis_store.queued_work_codec import decode_batch
from lash_core.store.session_commit_records import StoredNode

STAMP_VERSION = "1"

_LETTERS = {"input": "i", "output": "o", "cache_read": "c", "cache_write": "w", "reasoning": "r"}
_COUNTERS = {letter: counter for counter, letter in _LETTERS.items()}


class CommitFacts(Model):
    """What a commit answers beside its revision and its outbox."""

    checkpoint_ref: str
    manifest: CommitManifest


# -- nodes -------------------------------------------------------------------------------------------


def node_value(node: StoredNode) -> str:
    """``<bytes of the parent's id, or nothing for a root>;<parent's id><JSON>``."""
    parent = node.parent_node_id
    length = "" if parent is None else str(len(parent.encode()))
    return f"{length};{parent or ''}{node.text}"


def parse_node(value: str, *, key: str) -> tuple[str | None, str]:
    """Parent id and JSON of a stored node.

    Raises:
        CorruptRecordError.
    """
    length, separator, rest = value.partition(";")
    if separator and not length:
        return None, rest
    if not separator or not length.isdigit():
        raise CorruptRecordError(f"{key} has an unreadable node {value[:80]!r}", key=key)
    if rest.isascii():
        return rest[: int(length)], rest[int(length) :]
    data = rest.encode()
    return data[: int(length)].decode(), data[int(length) :].decode()


# -- ledgers -----------------------------------------------------------------------------------------


def usage_fields(entries: Sequence[TokenLedgerEntry]) -> list[tuple[str, int]]:
    """What is added to which field: ``<counter's letter>;<JSON of [source, model]>``."""
    return [
        (f"{letter};{canonical_json([entry.source, entry.model])}", amount)
        for entry in entries
        for counter, letter in _LETTERS.items()
        if (amount := getattr(entry.usage, counter))
    ]


def decode_usage(fields: Mapping[str, str], *, key: str) -> tuple[TokenLedgerEntry, ...]:
    """The ledger, merged, sorted by source and model.

    Raises:
        CorruptRecordError.
    """
    counted: dict[tuple[str, str], dict[str, int]] = {}
    try:
        for field, amount in fields.items():
            letter, _, pair = field.partition(";")
            source, model = json.loads(pair)
            counted.setdefault((source, model), {})[_COUNTERS[letter]] = int(amount)
        entries = [
            TokenLedgerEntry(source, model, TokenUsage(**counters)) for (source, model), counters in counted.items()
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecordError(f"{key} has an unreadable ledger: {error!r}", key=key) from error
    return tuple(sorted(merge_ledger(entries), key=lambda entry: (entry.source, entry.model)))


# -- stamps ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredStamp:
    """A stamp as stored: ``1;<hash>;<JSON list: revision, facts, then id, header and body of each batch>``."""

    turn_commit_hash: str
    result: RuntimeCommitResult

    def record(self, turn_id: str, turn_result: JsonValue) -> TurnStampRecord:
        """The record of the turn."""
        return TurnStampRecord(
            turn_id=turn_id, turn_commit_hash=self.turn_commit_hash, result=self.result, turn_result=turn_result
        )


def decode_stamp(session_id: str, text: str, *, key: str) -> StoredStamp:
    """A stamp read back.

    Raises:
        CorruptRecordError.
    """
    version, _, rest = text.partition(";")
    turn_commit_hash, _, parts_text = rest.partition(";")
    if version != STAMP_VERSION:
        raise CorruptRecordError(f"{key} has a stamp of the unknown version {version[:20]!r}", key=key)
    try:
        parts: list[str] = json.loads(parts_text)
        facts = CommitFacts.model_validate_json(parts[1])
        result = commit_result(session_id, int(parts[0]), facts, parts[2:], key=key)
    except (ValueError, IndexError, TypeError) as error:
        raise CorruptRecordError(f"{key} has an unreadable stamp: {error!r}", key=key) from error
    return StoredStamp(turn_commit_hash, result)


def commit_result(
    session_id: str, revision: int, facts: CommitFacts, batches: Sequence[str], *, key: str
) -> RuntimeCommitResult:
    """The answer of a commit; ``batches``: id, header and body of each one of the outbox."""
    return RuntimeCommitResult(
        head_revision=revision,
        checkpoint_ref=facts.checkpoint_ref,
        manifest=facts.manifest,
        enqueued_queue_batches=_batches(session_id, batches, key),
    )


def _batches(session_id: str, flat: Sequence[str], key: str) -> tuple[QueuedWorkBatch, ...]:
    rows: list[tuple[Any, ...]] = list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    return tuple(decode_batch(session_id, batch_id, header, body, key=key) for batch_id, header, body in rows)
