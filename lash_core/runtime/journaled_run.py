"""Effects of a process under its run's lease: journaled by fenced writes of the run (decision 18, DESIGN 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lash_core.errors import LimitExceededError, RuntimeFailure
from lash_core.model.canonical_json import canonical_json
from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_digest import digest_tree, envelope_hash
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectState, EffectWrite
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.fast_build import fast_build
from lash_core.runtime.await_event_door import HasAwaitEvents
from lash_core.runtime.journaled_errors import (
    JOURNAL_FULL,
    OUTCOME_TOO_LARGE,
    STORE_ERRORS,
    NotRecordedError,
    raised_again,
    recorded_error,
)
from lash_core.runtime.journaled_replay import mismatch_of, outcome_of, with_argument
from lash_core.runtime.journaled_writer import JournalWriter
from lash_core.store.effect_host import (
    AwaitEventResolver,
    EffectRun,
    EffectSource,
    RuntimeEffectLocalExecutor,
    StartsProcess,
)
from lash_core.store.effect_journal import EffectJournal

SIGNAL_WAIT_TIMEOUT = "signal_wait_timeout"
"""The one way a wait ends that no log or promise keeps: it is recorded as failed before anybody sees it."""

_JOURNAL_LIMITS = ("journal_entries", "journal_bytes")


class RunEffects(HasAwaitEvents):
    """``RunScopedEffects``: the journal of one run. Belongs to the run's event loop; made by ``scoped_run``.

    Attributes:
        on_frontier: see ``RunScopedEffects``.
        on_effect: see ``RunScopedEffects``.
    """

    __slots__ = (
        "_await_events",
        "_commands",
        "_entries",
        "_journal",
        "_loading",
        "_mismatch",
        "_now_ms",
        "_refused",
        "_run",
        "_scope",
        "_unasked",
        "_under_way",
        "_writer",
        "on_effect",
        "on_frontier",
    )

    def __init__(self, run: EffectRun, journal: EffectJournal, await_events: AwaitEventResolver) -> None:
        self._run = run
        self._journal = journal
        self._await_events = await_events
        self._scope = ExecutionScope.process(run.process_id)
        self._writer = JournalWriter(run, journal)
        self._entries: dict[str, EffectRecord] | None = {} if run.is_fresh else None
        self._unasked: set[str] = set()
        self._loading = asyncio.Lock()
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._commands: set[asyncio.Future[RuntimeEffectOutcome]] = set()
        self._mismatch: RuntimeFailure | None = None
        self._refused = False
        self._now_ms = 0
        self.on_frontier: Callable[[], None] | None = None
        self.on_effect: Callable[[EffectKind, EffectSource], None] | None = None

    # -- what engine and worker ask ------------------------------------------------------------------

    @property
    def scope(self) -> ExecutionScope:
        """``process(<pid>)``."""
        return self._scope

    @property
    def scope_id(self) -> str:
        """The process id."""
        return self._scope.id

    @property
    def await_events(self) -> AwaitEventResolver:
        """The promises of the host; a wait of the run that is cancelled leaves its promise open."""
        return self._await_events

    def durability_tier(self) -> DurabilityTier:
        """The journal's tier."""
        return self._journal.durability_tier()

    @property
    def mismatch(self) -> RuntimeFailure | None:
        """The first effect that was recorded for another request, or the journal's end; None while all is well."""
        return self._mismatch

    @property
    def is_replaying(self) -> bool:
        """True while recorded entries are left that were not asked for, and nothing new was."""
        return bool(self._unasked)

    @property
    def refused(self) -> bool:
        """True once ``refuse`` was called."""
        return self._refused

    async def load(self) -> None:
        """Read the journal unless it was read. Raises: store errors; the next call tries again."""
        await self._known()

    async def has_entries(self) -> bool:
        """True when the journal has an entry. Raises: store errors."""
        return bool(await self._known())

    def find(self, key: str) -> EffectRecord | None:
        """The entry of a replay key, among those that were read or written by this run."""
        return None if self._entries is None else self._entries.get(key)

    def failed_keys(self) -> tuple[str, ...]:
        """Replay keys of the recorded failures: a retry of the whole process drops them."""
        return tuple(key for key, record in (self._entries or {}).items() if record.state == "failed")

    def unrecorded_start(self) -> ProcessStarted | None:
        """The start fact as long as no write of this run carried it."""
        return self._writer.unrecorded_start()

    def refuse(self) -> None:
        """From now on every effect raises ``asyncio.CancelledError``. May be called twice."""
        self._refused = True

    # -- effects -------------------------------------------------------------------------------------

    async def execute_effect(
        self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """Answer the recorded outcome or error; else run the effect, record how it ended and answer that.

        Raises:
            RuntimeFailure: ``<backend>_effect_replay_hash_conflict``: recorded for another request;
                ``process_journal_full``. StepFailed, Failure, RuntimeFailure: the effect's own error.
            asyncio.CancelledError: ``refuse`` was called.
            LeaseLostError, StoreBehindError, StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: the
                journal; the effect may have run and is not recorded.
        """
        self._check_open()
        known = self._entries if self._entries is not None else await self._known()
        key, digest = envelope.replay_key, envelope_hash(envelope)
        while True:
            record = known.get(key)
            if record is not None:
                if record.envelope_hash != digest:
                    raise self._conflict(record, envelope)
                self._unasked.discard(key)
                if record.is_final:
                    self._tell(envelope.kind, "replay")
                    return outcome_of(record)
            other = self._under_way.get(key)
            if other is None:
                break
            # The same effect is under way in another task: its outcome is the answer for both.
            await asyncio.wait([other])
            self._check_open()
        done = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            return await self._execute(envelope, digest, record, local_executor)
        finally:
            del self._under_way[key]
            done.set_result(None)

    async def _execute(
        self,
        envelope: RuntimeEffectEnvelope,
        digest: str,
        record: EffectRecord | None,
        executor: RuntimeEffectLocalExecutor,
    ) -> RuntimeEffectOutcome:
        args = envelope.command.args
        match envelope.kind:
            case EffectKind.SLEEP:
                return await self._sleep(envelope, digest, record, executor)
            case EffectKind.AWAIT_EVENT:
                return await self._await(envelope, digest, record, executor)
            case EffectKind.PROCESS if isinstance(executor, StartsProcess):
                return await self._survive(self._start(envelope, digest, executor))
            case EffectKind.PROCESS if args.get("op") != "await":
                return await self._survive(self._record_run(envelope, digest, executor))
            case _:
                return await self._record_run(envelope, digest, executor)

    async def _survive(self, command: Any) -> RuntimeEffectOutcome:
        """A command that was sent is not left half done when its caller is cancelled (contract 5.4)."""
        task = asyncio.ensure_future(command)
        self._commands.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Future[RuntimeEffectOutcome]) -> None:
        self._commands.discard(task)
        if not task.cancelled():
            task.exception()

    async def _record_run(
        self, envelope: RuntimeEffectEnvelope, digest: str, executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        await self._begin(envelope.kind)
        cause: Exception | None = None
        try:
            outcome = await executor(envelope)
            state, text = "completed", canonical_json(outcome.value, field="outcome")
        except (*STORE_ERRORS, NotRecordedError):
            raise
        except Exception as error:  # noqa: BLE001 - errors of effects are outcomes too
            state, text, cause = "failed", canonical_json(recorded_error(error)), error
        try:
            record = await self._record(envelope, digest, state, text)
        except LimitExceededError as error:
            if error.field in _JOURNAL_LIMITS:
                raise self._full(error) from error
            # The effect was done: without a record it would be done again in every attempt.
            facts = {"code": OUTCOME_TOO_LARGE, "message": error.message, "type": "RuntimeFailure"}
            record = await self._record(envelope, digest, "failed", canonical_json(facts))
        if record.state == "failed":
            raise raised_again(record.outcome) from cause
        return outcome_of(record)

    async def _sleep(
        self,
        envelope: RuntimeEffectEnvelope,
        digest: str,
        record: EffectRecord | None,
        executor: RuntimeEffectLocalExecutor,
    ) -> RuntimeEffectOutcome:
        """Due time first; a replay waits the remainder, and nothing is written when it is over."""
        left_ms = await self._left_ms(envelope, digest, record, int(envelope.command.args.get("duration_ms", 0)))
        if left_ms is None or left_ms > 0:
            return await executor(with_argument(envelope, "duration_ms", left_ms))
        return fast_build(RuntimeEffectOutcome, {"kind": EffectKind.SLEEP, "value": None})

    async def _await(
        self,
        envelope: RuntimeEffectEnvelope,
        digest: str,
        record: EffectRecord | None,
        executor: RuntimeEffectLocalExecutor,
    ) -> RuntimeEffectOutcome:
        """A wait for a signal or promise. Its value stands in the log or the promise; its due time is recorded here."""
        args, asked = envelope.command.args, envelope
        timeout_ms: int | None = args.get("timeout_ms")
        if timeout_ms is None and "key" not in args:
            await self._begin(envelope.kind)
            return await executor(envelope)
        left_ms = await self._left_ms(envelope, digest, record, timeout_ms)
        if left_ms is not None:
            envelope = with_argument(envelope, "timeout_ms", max(0, left_ms))
        try:
            return await executor(envelope)
        except RuntimeFailure as error:
            if error.code != SIGNAL_WAIT_TIMEOUT:
                raise
            ended = await self._record(asked, digest, "failed", canonical_json(recorded_error(error)))
            raise raised_again(ended.outcome) from None

    async def _left_ms(
        self, envelope: RuntimeEffectEnvelope, digest: str, record: EffectRecord | None, delay_ms: int | None
    ) -> int | None:
        """Time left of a wait by the server's clock; negative when it is over, None when it has no end."""
        if record is not None and (record.due_at_ms is None or record.due_at_ms <= self._past_ms()):
            self._tell(envelope.kind, "replay")
            if record.due_at_ms is None:
                if self._reach_frontier():
                    await asyncio.sleep(0)
                return None
            return record.due_at_ms - self._past_ms()
        await self._begin(envelope.kind)
        write = EffectWrite(
            envelope.replay_key, envelope.kind, "waiting", digest, digest_tree(envelope), delay_ms=delay_ms
        )
        # For a recorded wait this asks for the server's time and writes nothing.
        answer = self._checked(await self._write(write), envelope)
        due_at_ms = answer.record.due_at_ms
        return None if due_at_ms is None else due_at_ms - answer.now_ms

    async def _start(
        self, envelope: RuntimeEffectEnvelope, digest: str, executor: StartsProcess
    ) -> RuntimeEffectOutcome:
        """A child: its start and the journal entry are one unit of the journal; the executor is not called."""
        await self._begin(envelope.kind)
        write = EffectWrite(
            envelope.replay_key,
            envelope.kind,
            "starting",
            digest,
            digest_tree(envelope),
            start=executor.child_start,
        )
        record = self._checked(await self._write(write), envelope).record
        if record.state == "failed":
            raise raised_again(record.outcome)
        value = record.outcome if record.outcome is not None else {"id": executor.child_start.registration.id}
        return fast_build(RuntimeEffectOutcome, {"kind": EffectKind.PROCESS, "value": value})

    # -- the journal ---------------------------------------------------------------------------------

    async def _known(self) -> dict[str, EffectRecord]:
        if self._entries is None:
            async with self._loading:
                if self._entries is None:
                    entries = dict(await self._journal.load_effects(self._run.process_id))
                    self._unasked = set(entries)
                    self._entries = entries
        return self._entries

    async def _record(
        self, envelope: RuntimeEffectEnvelope, digest: str, state: EffectState, outcome_json: str
    ) -> EffectRecord:
        write = EffectWrite(
            envelope.replay_key, envelope.kind, state, digest, digest_tree(envelope), outcome_json=outcome_json
        )
        return self._checked(await self._write(write), envelope).record

    async def _write(self, write: EffectWrite) -> EffectAnswer:
        try:
            answer = await self._writer.write(write)
        except LimitExceededError as error:
            if error.field in _JOURNAL_LIMITS:
                raise self._full(error) from error
            raise
        self._now_ms = max(self._now_ms, answer.now_ms)
        if self._entries is not None and not answer.conflict:
            self._entries[write.key] = answer.record
        return answer

    def _checked(self, answer: EffectAnswer, envelope: RuntimeEffectEnvelope) -> EffectAnswer:
        if answer.conflict:
            raise self._conflict(answer.record, envelope)
        return answer

    async def _begin(self, kind: EffectKind) -> None:
        """Before anything that is not recorded: the replay is over, and the lease must have margin."""
        if self._reach_frontier():
            # A cancel that waited for the replay to be over arrives here.
            await asyncio.sleep(0)
        await self._run.ready_for_effects()
        self._check_open()
        self._tell(kind, "run")

    def _reach_frontier(self) -> bool:
        """The replay is over: True when somebody waited for that."""
        self._unasked.clear()
        call, self.on_frontier = self.on_frontier, None
        if call is not None:
            call()
        return call is not None

    def _past_ms(self) -> int:
        """A time by the server's clock that is over for certain."""
        return max(self._now_ms, self._run.require().claimed_at_epoch_ms)

    def _check_open(self) -> None:
        if self._refused:
            raise asyncio.CancelledError("the run ends here: it starts no effect any more")
        if self._mismatch is not None:
            raise self._mismatch

    def _conflict(self, record: EffectRecord, envelope: RuntimeEffectEnvelope) -> RuntimeFailure:
        failure = mismatch_of(self._journal.backend, record, envelope)
        self._mismatch = self._mismatch or failure
        return failure

    def _full(self, error: LimitExceededError) -> RuntimeFailure:
        text = f"{error.message}; go on in a child process, which has a journal of its own (ctx.start_child)"
        failure = RuntimeFailure(JOURNAL_FULL, text, raw={"limit": error.limit, "what": error.field})
        self._mismatch = self._mismatch or failure
        return failure

    def _tell(self, kind: EffectKind, source: EffectSource) -> None:
        if self.on_effect is not None:
            self.on_effect(kind, source)
