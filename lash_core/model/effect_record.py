"""What a journal keeps of an effect, and what a run asks it to keep (decision 18, ``docs/contracts/effects.md``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from lash_core.model.base import JsonValue
from lash_core.model.effect import EffectKind
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope

EffectState = Literal["waiting", "starting", "completed", "failed"]
"""``waiting``: has a due time and no outcome yet. ``starting``: a child start on its way. The other two are final."""

WriteAnswer = Literal["written", "replayed", "conflict"]
"""``replayed``: the key has this effect already. ``conflict``: it has another one. Neither writes anything."""


@dataclass(frozen=True)
class EffectRecord:
    """One entry of a journal.

    Attributes:
        key: the effect's replay key, unique in its scope.
        kind: of the effect.
        state: final once ``completed`` or ``failed``.
        envelope_hash: 32 hex digits; see ``lash_core.model.effect_digest``.
        digests: the digest tree of the envelope, as text; names differing paths.
        outcome_json: canonical JSON: of the outcome's value when completed, of ``{"code", "message", …}`` when failed.
        due_at_ms: of a wait, by the server's clock.
    """

    key: str
    kind: EffectKind
    state: EffectState
    envelope_hash: str
    digests: str = ""
    outcome_json: str | None = None
    due_at_ms: int | None = None

    @property
    def is_final(self) -> bool:
        """True when the outcome stands."""
        return self.state in ("completed", "failed")

    @cached_property
    def outcome(self) -> JsonValue:
        """The decoded outcome; decoded when first asked for, as a replay reads thousands."""
        return None if self.outcome_json is None else json.loads(self.outcome_json)


@dataclass(frozen=True, slots=True)
class ChildStart:
    """A process that a run starts: carried by the journal entry, written to its own partition by the outbox.

    Attributes:
        registration: complete, validated.
        grant_to: scope that gets a handle, or None.
        descriptor: of that handle.
    """

    registration: ProcessRegistration
    grant_to: SessionScope | None = None
    descriptor: ProcessHandleDescriptor | None = None


@dataclass(frozen=True, slots=True)
class EffectWrite:
    """One entry to write. What is recorded under the key already is answered instead, when it is the same effect.

    A ``waiting`` entry may become final; a final one never changes.

    Attributes:
        delay_ms: of a ``waiting`` entry: it is due this long after the write, by the server's clock.
        start: of a ``starting`` entry.
    """

    key: str
    kind: EffectKind
    state: EffectState
    envelope_hash: str
    digests: str = ""
    outcome_json: str | None = None
    delay_ms: int | None = None
    start: ChildStart | None = None

    def answer_over(self, stored: EffectRecord | None) -> WriteAnswer:
        """What a journal does with this entry where ``stored`` is under its key."""
        if stored is None:
            return "written"
        if (stored.kind, stored.envelope_hash) != (self.kind, self.envelope_hash):
            return "conflict"
        ends_wait = stored.state == "waiting" and self.state in ("completed", "failed")
        return "written" if ends_wait else "replayed"

    def taken_over(self, stored: EffectRecord | None, now_ms: int) -> tuple[EffectRecord, WriteAnswer]:
        """What stands under the key behind this entry, and what the journal did with it."""
        word = self.answer_over(stored)
        # As it stands after this entry: a later one of the same call may change it again.
        return self.record_over(stored, now_ms) if stored is None or word == "written" else stored, word

    def record_over(self, stored: EffectRecord | None, now_ms: int) -> EffectRecord:
        """The record of this entry once it is written; one that ends a wait keeps the wait's due time."""
        due_at_ms = None if stored is None else stored.due_at_ms
        return EffectRecord(
            key=self.key,
            kind=self.kind,
            state=self.state,
            envelope_hash=self.envelope_hash,
            digests=self.digests,
            outcome_json=self.outcome_json,
            due_at_ms=due_at_ms if self.delay_ms is None else now_ms + self.delay_ms,
        )


@dataclass(frozen=True, slots=True)
class EffectAnswer:
    """Answer of one ``EffectWrite``.

    Attributes:
        record: what is stored now; with ``conflict`` the entry of the other effect.
        now_ms: the server's clock at the write.
        replayed: it was stored before.
        conflict: the key stands for another envelope; nothing was written for this item.
    """

    record: EffectRecord
    now_ms: int
    replayed: bool = False
    conflict: bool = False

    @classmethod
    def of_word(cls, record: EffectRecord, now_ms: int, word: WriteAnswer) -> EffectAnswer:
        """The answer where the journal did what ``word`` says."""
        return cls(record, now_ms, replayed=word == "replayed", conflict=word == "conflict")


@dataclass(frozen=True, slots=True)
class EffectClaimed:
    """The caller is to execute the effect. ``due_at_ms`` is kept over takeovers."""

    token: str
    now_ms: int
    due_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EffectRecorded:
    """The effect has an outcome."""

    record: EffectRecord
    now_ms: int


@dataclass(frozen=True, slots=True)
class EffectInProgress:
    """Somebody else executes it; ask again after a pause. Its lease ends at ``until_ms`` by the server's clock."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class EffectConflict:
    """The key stands for another envelope."""

    record: EffectRecord


EffectClaim = EffectClaimed | EffectRecorded | EffectInProgress | EffectConflict
