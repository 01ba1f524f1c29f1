"""The journal of turns under a session's lease (DESIGN 5; docs/adr/0161). Part of ``RuntimePersistence``.

Its entries live in the journal of the scope ``turn(<session>, <turn>)`` and are deleted by the commit that ends the
turn. An open turn remembers what it was given, so that a peer redoes the same turn and not another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectWrite
from lash_core.model.session_commit import TurnStampRecord
from lash_core.model.session_lease import SessionExecutionLeaseFence

TURN_STAMPS_MAX = 1_000
"""Newest stamps that a session keeps: who redoes an older turn than that is too late to be told apart."""
TURN_RESULTS_MAX = 128
"""Newest stamps that have the turn's own result: who redoes a turn does it right after its commit."""


class OpenTurn(Model):
    """A turn that began and has not been committed.

    Attributes:
        turn_id: of the physical turn.
        facts: what it was given, as JSON: input, batch ids, base revision; opaque to the store.
        batch_ids: queued work that it has taken in; such a batch cannot be cancelled any more.
        deaths: leases in a row that ended by expiry or proof of death while this turn was open and wrote nothing.
    """

    turn_id: str = Field(kw_only=False)
    facts: JsonValue = None
    batch_ids: tuple[str, ...] = ()
    deaths: int = 0


@runtime_checkable
class TurnJournal(Protocol):
    """Effects of one session's turns, fenced by its execution lease."""

    async def load_open_turn(self, session_id: str) -> OpenTurn | None:
        """The turn that is to be redone, or None."""
        ...

    async def open_turn(self, lease: SessionExecutionLeaseFence, turn: OpenTurn) -> OpenTurn:
        """Note the beginning of a turn; one that is open under this id already is answered as it was noted.

        Another turn that was open is forgotten with its journal: whoever opens a turn has decided that.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        ...

    async def record_turn_effects(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        writes: Sequence[EffectWrite],
        *,
        taken_batch_ids: Sequence[str] = (),
    ) -> tuple[EffectAnswer, ...]:
        """Write entries; what is recorded already is answered instead. One atomic, fenced write; safe to repeat.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live. LimitExceededError: the journal is full.
        """
        ...

    async def load_turn_effects(self, session_id: str, turn_id: str) -> tuple[EffectRecord, ...]:
        """All entries of a turn."""
        ...

    async def list_stamped_turns(self, session_id: str, offset: int, limit: int) -> tuple[str, ...]:
        """Ids of the turns that have a stamp, newest first, from ``offset`` on: at most ``limit``; none below 1."""
        ...

    async def find_turn_stamp(self, session_id: str, turn_id: str) -> TurnStampRecord | None:
        """What a turn committed, or None: it was not committed, or that is too long ago.

        The turn's own result is None for all but the newest ``TURN_RESULTS_MAX`` stamps.
        """
        ...
