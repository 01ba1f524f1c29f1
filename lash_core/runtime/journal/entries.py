"""The entries of one run's or turn's journal in memory: read once, written through, and what is known by them."""

from __future__ import annotations

import asyncio

from lash_core.errors import LimitExceededError, RuntimeFailure
from lash_core.model.effect import RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_digest import digest_tree
from lash_core.model.effect_record import ChildStart, EffectAnswer, EffectRecord, EffectState, EffectWrite
from lash_core.runtime.journal.ends import EffectEnd
from lash_core.runtime.journal.errors import JOURNAL_FULL
from lash_core.runtime.journal.replay import mismatch_of
from lash_core.runtime.journal.writer import BatchedWriter, JournalWriter
from lash_core.store.effect_host import EffectRun
from lash_core.store.effect_journal import EffectJournal

JOURNAL_LIMITS = ("journal_entries", "journal_bytes")
"""Limits whose end is the end of the journal; another limit concerns one outcome."""


class EffectEntries:
    """Entries by replay key, whatever lease they are written under. Belongs to one event loop.

    Args:
        backend: first word of the codes of replay errors.
        writer: the journal's write side.
        is_fresh: nothing was recorded yet, so there is nothing to read.

    Attributes:
        fatal: the first mismatch, or the journal's end: no further effect is executed.
        unasked: keys of the entries that were read and not asked for yet: the replay is not over before.
    """

    __slots__ = ("_backend", "_entries", "_loading", "_now_ms", "_writer", "fatal", "unasked")

    def __init__(self, backend: str, writer: BatchedWriter, *, is_fresh: bool) -> None:
        self._backend = backend
        self._writer = writer
        self._entries: dict[str, EffectRecord] | None = {} if is_fresh else None
        self._loading = asyncio.Lock()
        self._now_ms = 0
        self.fatal: RuntimeFailure | None = None
        self.unasked: set[str] = set()

    async def _load(self) -> dict[str, EffectRecord]:
        """Read all entries of the journal."""
        raise NotImplementedError

    def _full(self, error: LimitExceededError) -> RuntimeFailure:
        """What whoever asks for an effect is told at the journal's end."""
        raise NotImplementedError

    async def known(self) -> dict[str, EffectRecord]:
        """All entries; reads them when they were not read yet. Raises: store errors; the next call tries again."""
        if self._entries is None:
            async with self._loading:
                if self._entries is None:
                    entries = await self._load()
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
            RuntimeFailure: a mismatch, the journal is full, or the lease of a turn was lost.
            LimitExceededError: this outcome is too large. LeaseLostError, StoreBehindError and other store errors.
        """
        write = EffectWrite(
            envelope.replay_key, envelope.kind, state, digest, digest_tree(envelope), outcome_json=outcome_json
        )
        return (await self._write(write, envelope)).record

    async def record_end(self, envelope: RuntimeEffectEnvelope, digest: str, end: EffectEnd) -> RuntimeEffectOutcome:
        """Write how an effect ended, and answer the outcome that stands; one that is too large becomes an error.

        Raises:
            Exception: as ``record``, and the recorded error.
        """
        try:
            record = await self.record(envelope, digest, end.state, end.outcome_json)
        except LimitExceededError as error:
            end = EffectEnd.too_large(error.message)
            record = await self.record(envelope, digest, end.state, end.outcome_json)
        return end.answer(record)

    async def record_wait(self, envelope: RuntimeEffectEnvelope, digest: str, delay_ms: int | None) -> int | None:
        """Write that a wait begins; for a recorded one ask for the server's time, which writes nothing.

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

    async def _write(self, write: EffectWrite, envelope: RuntimeEffectEnvelope) -> EffectAnswer:
        known = await self.known()
        try:
            answer = await self._writer.write(write)
        except LimitExceededError as error:
            if error.field in JOURNAL_LIMITS:
                failure = self._full(error)
                self.fatal = self.fatal or failure
                raise failure from error
            raise
        self._now_ms = max(self._now_ms, answer.now_ms)
        if answer.conflict:
            raise self.conflict(answer.record, envelope)
        known[write.key] = answer.record
        return answer


class RunEntries(EffectEntries):
    """The entries of a run, written under its lease."""

    __slots__ = ("_journal", "_run", "writer")

    def __init__(self, run: EffectRun, journal: EffectJournal) -> None:
        self._run = run
        self._journal = journal
        self.writer = JournalWriter(run, journal)
        super().__init__(journal.backend, self.writer, is_fresh=run.is_fresh)

    @property
    def is_filled(self) -> bool:
        """True when entries were read or written."""
        return bool(self._entries)

    def failed_keys(self) -> tuple[str, ...]:
        """Keys of the recorded failures."""
        return tuple(key for key, record in (self._entries or {}).items() if record.state == "failed")

    async def record_start(self, envelope: RuntimeEffectEnvelope, digest: str, start: ChildStart) -> EffectRecord:
        """Start a child in one unit with its entry, and answer how that ended."""
        write = EffectWrite(envelope.replay_key, envelope.kind, "starting", digest, digest_tree(envelope), start=start)
        return (await self._write(write, envelope)).record

    def past_ms(self) -> int:
        """A time by the server's clock that is over for certain, as late as is known without asking."""
        return max(self._now_ms, self._run.require().claimed_at_epoch_ms)

    async def _load(self) -> dict[str, EffectRecord]:
        return dict(await self._journal.load_effects(self._run.process_id))

    def _full(self, error: LimitExceededError) -> RuntimeFailure:
        text = f"{error.message}; go on in a child process, which has a journal of its own (ctx.start_child)"
        return RuntimeFailure(JOURNAL_FULL, text, raw={"limit": error.limit, "what": error.field})
