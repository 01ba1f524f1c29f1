"""Journal entries as stored (``docs/contracts/redis_layout.md``). Pure.

An entry is ``<letter>;<kind>;<envelope hash>;<due ms or ''>;<digest tree>;<tail>``. The tail is the outcome's JSON,
``@`` when the outcome is in the blob store, the outbox entry's id of a child start on its way, else nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from lash_core.errors import CorruptRecordError, InvalidArgumentError
from lash_core.model.effect import EffectKind
from lash_core.model.effect_record import EffectRecord, EffectState, EffectWrite
from lash_core.model.ids import check_replay_key

BLOB_BYTES_MIN = 16 * 1024
"""Longer outcomes go to the blob store, so that a page of a journal stays small."""

BLOB_TAIL = "@"

STATE_LETTERS: dict[EffectState, str] = {"waiting": "w", "starting": "s", "completed": "c", "failed": "f"}
_STATES: dict[str, EffectState] = {letter: state for state, letter in STATE_LETTERS.items()}
_STATES["i"] = "waiting"
_KINDS = {kind.value: kind for kind in EffectKind}


def journal_field(process_id: str, key: str) -> str:
    """Field of an entry: a key of the process's own without ``process:<pid>``, another one after ``=``.

    Raises:
        InvalidArgumentError: the key is over 512 bytes.
    """
    check_replay_key(key)
    prefix = f"process:{process_id}:"
    return key[len(prefix) - 1 :] if key.startswith(prefix) else f"={key}"


def journal_key(process_id: str, field: str) -> str:
    """The replay key of a field."""
    return f"process:{process_id}{field}" if field.startswith(":") else field[1:]


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A decoded entry; ``tail`` as it stands."""

    record: EffectRecord
    tail: str

    @property
    def in_blob(self) -> bool:
        """True when the outcome is in the blob store."""
        return self.tail == BLOB_TAIL


def effect_head(write: EffectWrite) -> str:
    """``<kind>;<envelope hash>``: what makes two effects of one key the same.

    Raises:
        InvalidArgumentError: hash or digest tree contain the separator.
    """
    if ";" in write.envelope_hash or ";" in write.digests:
        raise InvalidArgumentError(
            f"effect `{write.key}`: envelope hash and digest tree must not contain ';'", field="digests"
        )
    return f"{write.kind.value};{write.envelope_hash}"


def decode_entry(replay_key: str, text: str, *, key: str, blob: str | None = None) -> StoredEntry:
    """The entry behind a stored text.

    Args:
        replay_key: of the effect.
        text: as stored.
        key: the journal's key, for errors.
        blob: the outcome from the blob store, when it was read.

    Raises:
        CorruptRecordError: it cannot be decoded.
    """
    try:
        letter, kind, envelope_hash, due, digests, tail = text.split(";", 5)
        state = _STATES[letter]
        outcome: str | None = None
        if state in ("completed", "failed"):
            outcome = blob if tail == BLOB_TAIL else tail
        record = EffectRecord(
            key=replay_key,
            kind=_KINDS[kind],
            state=state,
            envelope_hash=envelope_hash,
            digests=digests,
            outcome_json=outcome,
            due_at_ms=int(due) if due else None,
        )
    except (ValueError, KeyError) as error:
        raise CorruptRecordError(f"{key} has an unreadable entry for {replay_key!r}", key=key) from error
    return StoredEntry(record, tail)


def record_of(
    write: EffectWrite, *, due_at_ms: int | None = None, outcome_json: str | None = None, failed: bool = False
) -> EffectRecord:
    """The record of a write that was accepted; of a child start with how it was carried out."""
    state = write.state
    if state == "starting":
        state = "failed" if failed else "completed"
    return EffectRecord(
        key=write.key,
        kind=write.kind,
        state=state,
        envelope_hash=write.envelope_hash,
        digests=write.digests,
        outcome_json=write.outcome_json if outcome_json is None else outcome_json,
        due_at_ms=due_at_ms,
    )
