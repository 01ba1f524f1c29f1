"""The entries of one turn's journal in memory: read once, written through under the session's lease."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import LimitExceededError, RuntimeFailure
from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectWrite
from lash_core.runtime.journal.entries import EffectEntries
from lash_core.runtime.journal.writer import BatchedWriter
from lash_core.store.effect_host import TurnRun

TURN_JOURNAL_FULL = "turn_journal_full"


class TurnJournalWriter(BatchedWriter):
    """The write side of a turn's journal.

    Attributes:
        taken: replay key → batch ids that its entry takes in.
    """

    __slots__ = ("_run", "taken")

    def __init__(self, run: TurnRun) -> None:
        super().__init__()
        self._run = run
        self.taken: dict[str, tuple[str, ...]] = {}

    async def _record(self, writes: list[EffectWrite]) -> tuple[EffectAnswer, ...]:
        taken = [batch_id for write in writes for batch_id in self.taken.get(write.key, ())]
        fence, run = self._run.require(), self._run
        try:
            answers = await run.journal.record_turn_effects(fence, run.turn_id, writes, taken_batch_ids=taken)
        except SessionExecutionLeaseExpiredError as error:
            run.lose(error.message)
            run.require()
            raise
        for write in writes:
            self.taken.pop(write.key, None)
        return answers


class TurnEntries(EffectEntries):
    """The entries of a turn, written under its session's lease."""

    __slots__ = ("_run", "_turn_writer")

    def __init__(self, run: TurnRun, backend: str) -> None:
        self._run = run
        self._turn_writer = TurnJournalWriter(run)
        super().__init__(backend, self._turn_writer, is_fresh=run.is_fresh)

    def take(self, key: str, batch_ids: Sequence[str]) -> None:
        """The entry of ``key`` takes these batches in."""
        self._turn_writer.taken[key] = tuple(batch_ids)

    async def _load(self) -> dict[str, EffectRecord]:
        found = await self._run.journal.load_turn_effects(self._run.session_id, self._run.turn_id)
        return {record.key: record for record in found}

    def _full(self, error: LimitExceededError) -> RuntimeFailure:
        text = f"{error.message}; a turn of fewer rounds, or a child process, has room"
        return RuntimeFailure(TURN_JOURNAL_FULL, text, raw={"limit": error.limit, "what": error.field})
