"""The entries of one turn's journal in memory: read once, written through under the session's lease."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lash_core.errors import LimitExceededError, RuntimeFailure
from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.model.effect import RuntimeEffectEnvelope
from lash_core.model.effect_digest import digest_tree
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectState, EffectWrite
from lash_core.runtime.journaled_entries import JOURNAL_LIMITS
from lash_core.runtime.journaled_replay import mismatch_of
from lash_core.runtime.journaled_writer import BatchedWriter
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


class TurnEntries:
    """Entries by replay key. Belongs to the turn's event loop.

    Attributes:
        fatal: the first mismatch, or the journal's end: no further effect is executed.
        unasked: keys that were read and not asked for yet: the replay is not over before.
    """

    __slots__ = ("_backend", "_entries", "_loading", "_run", "fatal", "unasked", "writer")

    def __init__(self, run: TurnRun, backend: str) -> None:
        self._run = run
        self._backend = backend
        self._entries: dict[str, EffectRecord] | None = {} if run.is_fresh else None
        self._loading = asyncio.Lock()
        self.writer = TurnJournalWriter(run)
        self.fatal: RuntimeFailure | None = None
        self.unasked: set[str] = set()

    async def known(self) -> dict[str, EffectRecord]:
        """All entries; reads them when they were not read yet. Raises: store errors; the next call tries again."""
        if self._entries is None:
            async with self._loading:
                if self._entries is None:
                    found = await self._run.journal.load_turn_effects(self._run.session_id, self._run.turn_id)
                    entries = {record.key: record for record in found}
                    self.unasked = set(entries)
                    self._entries = entries
        return self._entries

    def find(self, key: str) -> EffectRecord | None:
        """The entry of a key, among those that were read or written."""
        return None if self._entries is None else self._entries.get(key)

    async def record(
        self, envelope: RuntimeEffectEnvelope, digest: str, state: EffectState, outcome_json: str
    ) -> EffectRecord:
        """Write how an effect ended, and answer what stands.

        Raises:
            RuntimeFailure: a mismatch, the journal is full, or ``session_execution_lease_lost``.
            LimitExceededError: this outcome is too large. Other store errors.
        """
        write = EffectWrite(
            envelope.replay_key, envelope.kind, state, digest, digest_tree(envelope), outcome_json=outcome_json
        )
        return (await self._write(write, envelope)).record

    async def record_wait(self, envelope: RuntimeEffectEnvelope, digest: str, delay_ms: int | None) -> int | None:
        """Write that a wait begins, or ask for the server's time of a recorded one.

        Returns:
            The time left by the server's clock, not positive when it is over; None when the wait has no end.
        """
        write = EffectWrite(
            envelope.replay_key, envelope.kind, "waiting", digest, digest_tree(envelope), delay_ms=delay_ms
        )
        answer = await self._write(write, envelope)
        due_at_ms = answer.record.due_at_ms
        return None if due_at_ms is None else due_at_ms - answer.now_ms

    def conflict(self, record: EffectRecord, envelope: RuntimeEffectEnvelope) -> RuntimeFailure:
        """The error of an effect that was recorded for another request; remembered."""
        failure = mismatch_of(self._backend, record, envelope)
        self.fatal = self.fatal or failure
        return failure

    def take(self, key: str, batch_ids: Sequence[str]) -> None:
        """The entry of ``key`` takes these batches in."""
        self.writer.taken[key] = tuple(batch_ids)

    async def _write(self, write: EffectWrite, envelope: RuntimeEffectEnvelope) -> EffectAnswer:
        known = await self.known()
        try:
            answer = await self.writer.write(write)
        except LimitExceededError as error:
            if error.field in JOURNAL_LIMITS:
                text = f"{error.message}; a turn of fewer rounds, or a child process, has room"
                failure = RuntimeFailure(TURN_JOURNAL_FULL, text, raw={"limit": error.limit, "what": error.field})
                self.fatal = self.fatal or failure
                raise failure from error
            raise
        if answer.conflict:
            raise self.conflict(answer.record, envelope)
        known[write.key] = answer.record
        return answer
