"""Effects of a process under its run's lease: journaled by fenced writes of the run (decision 18, DESIGN 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import AwaitEventKey
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_digest import envelope_hash
from lash_core.model.effect_record import EffectRecord
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.fast_build import fast_build
from lash_core.runtime.journal.controller import JournaledController
from lash_core.runtime.journal.ends import EffectEnd, end_of
from lash_core.runtime.journal.entries import RunEntries
from lash_core.runtime.journal.errors import (
    STORE_ERRORS,
    NotRecordedError,
    raised_again,
)
from lash_core.runtime.journal.replay import outcome_of, with_argument
from lash_core.runtime.journal.work import EffectWork
from lash_core.runtime.sent_commands import is_process_command, is_process_wait
from lash_core.store.effect_host import (
    AwaitEventResolver,
    EffectRun,
    EffectSource,
    RuntimeEffectLocalExecutor,
    StartsProcess,
)
from lash_core.store.effect_journal import EffectJournal

REFUSAL_PAUSE_SECONDS = 0.01
"""Before an effect is refused."""
REFUSALS_MAX = 10
"""After a mismatch or the journal's end: who catches that more often and goes on is cancelled instead."""

SIGNAL_WAIT_TIMEOUT = "signal_wait_timeout"
"""The one way a wait ends that no log or promise keeps: it is recorded as failed before anybody sees it."""


NEVER_RECORDED = (*STORE_ERRORS, NotRecordedError)
"""Not the effect's fault: it runs again."""


class RunEffects(JournaledController):
    """``RunScopedEffects``: the journal of one run. Belongs to the run's event loop; made by ``scoped_run``.

    Attributes:
        on_frontier: see ``RunScopedEffects``.
        on_effect: see ``RunScopedEffects``.
    """

    __slots__ = (
        "_entries",
        "_past_frontier",
        "_refusals",
        "_refused",
        "_run",
        "_under_way",
        "on_effect",
        "on_frontier",
    )

    def __init__(self, run: EffectRun, journal: EffectJournal, await_events: AwaitEventResolver) -> None:
        super().__init__(ExecutionScope.process(run.process_id), journal, await_events)
        self._run = run
        self._entries = RunEntries(run, journal)
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._refused = False
        self._refusals = 0
        self._past_frontier = False
        self.on_frontier: Callable[[], None] | None = None
        self.on_effect: Callable[[EffectKind, EffectSource], None] | None = None

    # -- what engine and worker ask ------------------------------------------------------------------

    @property
    def mismatch(self) -> RuntimeFailure | None:
        """The first effect that was recorded for another request, or the journal's end; None while all is well."""
        return self._entries.fatal

    @property
    def is_fresh(self) -> bool:
        """True when no attempt before this one can have recorded anything."""
        return self._run.is_fresh

    @property
    def is_replaying(self) -> bool:
        """True while recorded entries are left that were not asked for, and nothing new was."""
        return bool(self._entries.unasked)

    @property
    def is_past_frontier(self) -> bool:
        """True once something was asked for that is not recorded."""
        return self._past_frontier

    @property
    def refused(self) -> bool:
        """True once ``refuse`` was called."""
        return self._refused

    async def load(self) -> None:
        """Read the journal unless it was read. Raises: store errors; the next call tries again."""
        await self._entries.known()

    async def has_entries(self) -> bool:
        """True when the journal has an entry. Raises: store errors."""
        return bool(await self._entries.known())

    @property
    def has_loaded_entries(self) -> bool:
        """``has_entries`` of a journal that was read."""
        return self._entries.is_filled

    def find(self, key: str) -> EffectRecord | None:
        """The entry of a replay key, among those that were read or written by this run."""
        return self._entries.find(key)

    def asked(self, key: str) -> None:
        """A recorded entry will not be asked for any more: the replay does not wait for it."""
        self._entries.unasked.discard(key)

    def failed_keys(self) -> tuple[str, ...]:
        """Replay keys of the recorded failures: a retry of the whole process drops them."""
        return self._entries.failed_keys()

    def unrecorded_start(self) -> ProcessStarted | None:
        """The start fact as long as no write of this run carried it."""
        return self._entries.writer.unrecorded_start()

    def past_ms(self) -> int:
        """A time by the server's clock that is over for certain, as late as is known without asking."""
        return self._entries.past_ms()

    def refuse(self) -> None:
        """From now on every effect raises ``asyncio.CancelledError``. May be called twice."""
        self._refused = True

    async def begin(self, kind: EffectKind | None = None) -> None:
        """Before anything that is not recorded: the replay is over, and the lease must have margin.

        Args:
            kind: of an effect that runs, to be counted; None for what is no effect of the journal's.

        Raises:
            asyncio.CancelledError: the run ends here. RuntimeFailure: it met a mismatch before.
            LeaseLostError: the lease is lost.
        """
        await self._check_open()
        self._entries.unasked.clear()
        self._past_frontier = True
        call, self.on_frontier = self.on_frontier, None
        if call is not None:
            call()
            # A cancel that waited for the replay to be over arrives here.
            await asyncio.sleep(0)
        await self._run.ready_for_effects()
        await self._check_open()
        if kind is not None:
            self._tell(kind, "run")

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
        await self._check_open()
        known = await self._entries.known()
        key, digest = envelope.replay_key, envelope_hash(envelope)
        while True:
            record = known.get(key)
            if record is not None:
                if record.envelope_hash != digest:
                    raise self._entries.conflict(record, envelope)
                self._entries.unasked.discard(key)
                if record.is_final:
                    self._tell(envelope.kind, "replay")
                    return outcome_of(record)
            other = self._under_way.get(key)
            if other is None:
                break
            # The same effect is under way in another task: its outcome is the answer for both.
            await asyncio.wait([other])
            await self._check_open()
        done = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            return await self._execute(envelope, digest, record, self._at_own_promises(local_executor))
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
        match envelope.kind:
            case EffectKind.SLEEP:
                return await self._sleep(envelope, digest, record, executor)
            case EffectKind.AWAIT_EVENT:
                return await self._await(envelope, digest, record, executor)
            case EffectKind.PROCESS if isinstance(executor, StartsProcess):
                return await self._commands.finish(self._start(envelope, digest, executor))
            case _ if is_process_command(envelope):
                return await self._commands.finish(self._record_run(envelope, digest, executor))
            case _:
                return await self._record_run(envelope, digest, executor)

    async def _record_run(
        self, envelope: RuntimeEffectEnvelope, digest: str, executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        await self.begin(envelope.kind)
        with EffectWork(self._run) as work:
            effect = work.rest(executor(envelope)) if is_process_wait(envelope) else executor(envelope)
            return await self._entries.record_end(envelope, digest, await end_of(effect, NEVER_RECORDED))

    async def _sleep(
        self,
        envelope: RuntimeEffectEnvelope,
        digest: str,
        record: EffectRecord | None,
        executor: RuntimeEffectLocalExecutor,
    ) -> RuntimeEffectOutcome:
        """Due time first; a replay waits the remainder, and nothing is written when it is over."""
        over = fast_build(RuntimeEffectOutcome, {"kind": EffectKind.SLEEP, "value": None})
        if record is not None:
            self._tell(EffectKind.SLEEP, "replay")
            if self._is_over(record):
                return over
        await self.begin(EffectKind.SLEEP if record is None else None)
        with EffectWork(self._run) as work:
            delay_ms = int(envelope.command.args.get("duration_ms", 0))
            left_ms = await self._entries.record_wait(envelope, digest, delay_ms)
            if left_ms is not None and left_ms <= 0:
                return over
            return await work.rest(executor(with_argument(envelope, "duration_ms", left_ms)))

    async def _await(
        self,
        envelope: RuntimeEffectEnvelope,
        digest: str,
        record: EffectRecord | None,
        executor: RuntimeEffectLocalExecutor,
    ) -> RuntimeEffectOutcome:
        """A wait for a signal or promise. That it waits is recorded here; its value stands in the log or the promise.

        A signal without a time limit leaves its own trace on the row (``begin_signal_wait``). The promise of another
        scope may be gone before a replay: its resolution is recorded.
        """
        args = envelope.command.args
        key = AwaitEventKey.from_json_value(args["key"]) if "key" in args else None
        if record is None and (key is not None or "timeout_ms" in args):
            await self.begin(EffectKind.AWAIT_EVENT)
        else:
            # Whether a signal without a limit is there already only its log knows: the executor looks.
            self._tell(EffectKind.AWAIT_EVENT, "run" if record is None and not self.is_replaying else "replay")
            await self._run.ready_for_effects()
            await self._check_open()
        with EffectWork(self._run) as work:
            asked = await self._with_remainder(envelope, digest, record)
            if self.on_frontier is not None and key is not None and await self._await_events.peek(key) is None:
                await self.begin()
            try:
                outcome = await work.rest(executor(asked))
            except RuntimeFailure as error:
                if error.code != SIGNAL_WAIT_TIMEOUT:
                    raise
                return await self._entries.record_end(envelope, digest, EffectEnd.of_error(error))
            if key is None or key.scope == self._scope:
                return outcome
            return await self._entries.record_end(envelope, digest, EffectEnd.of_outcome(outcome))

    async def _with_remainder(
        self, envelope: RuntimeEffectEnvelope, digest: str, record: EffectRecord | None
    ) -> RuntimeEffectEnvelope:
        """Record that a wait begins, and ask for what is left of its time by the server's clock."""
        timeout_ms: int | None = envelope.command.args.get("timeout_ms")
        if record is None and (timeout_ms is not None or "key" in envelope.command.args):
            left_ms = await self._entries.record_wait(envelope, digest, timeout_ms)
        elif record is None or record.due_at_ms is None:
            return envelope
        elif self._is_over(record):
            left_ms = 0
        else:
            left_ms = await self._entries.record_wait(envelope, digest, timeout_ms)
        return envelope if left_ms is None else with_argument(envelope, "timeout_ms", max(0, left_ms))

    def _is_over(self, record: EffectRecord) -> bool:
        """True when a wait's time is over for certain, without asking for the server's time."""
        return record.due_at_ms is not None and record.due_at_ms <= self._entries.past_ms()

    async def _start(
        self, envelope: RuntimeEffectEnvelope, digest: str, executor: StartsProcess
    ) -> RuntimeEffectOutcome:
        """A child: its start and the journal entry are one unit of the journal; the executor is not called."""
        await self.begin(envelope.kind)
        start = executor.child_start
        with EffectWork(self._run):
            record = await self._entries.record_start(envelope, digest, start)
        if record.state == "failed":
            raise raised_again(record.outcome)
        value = {"id": start.registration.id} if record.outcome is None else record.outcome
        return fast_build(RuntimeEffectOutcome, {"kind": EffectKind.PROCESS, "value": value})

    async def _check_open(self) -> None:
        if self._refused:
            # The run counts what goes past its refusals, and takes its time for each.
            await self._run.ready_for_effects()
        elif self._entries.fatal is None:
            return
        # Code that catches a refusal and asks again must not keep the loop from everybody else.
        await asyncio.sleep(REFUSAL_PAUSE_SECONDS)
        self._refusals += 1
        if self._refused or self._entries.fatal is None or self._refusals > REFUSALS_MAX:
            raise asyncio.CancelledError("the run ends here: it starts no effect any more")
        raise self._entries.fatal

    def _tell(self, kind: EffectKind, source: EffectSource) -> None:
        if self.on_effect is not None:
            self.on_effect(kind, source)
