"""Effects of a turn, journaled under its session's lease (DESIGN 5; docs/adr/0185; ``docs/contracts/turns.md`` 2).

No effect has a lease of its own and none an in-progress record: its outcome is one fenced write. A turn that is redone
asks for the same effects under the same keys; what is recorded is answered, the first that is not is the frontier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lash_core.errors import RuntimeFailure
from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_digest import envelope_hash
from lash_core.model.effect_record import EffectRecord
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.journal.controller import ScopedController
from lash_core.runtime.journal.ends import end_of
from lash_core.runtime.journal.errors import (
    STORE_ERRORS,
    NotRecordedError,
)
from lash_core.runtime.journal.replay import outcome_of, with_argument
from lash_core.runtime.sent_commands import is_process_command
from lash_core.runtime.session.lease_guard import SessionLeaseLostError
from lash_core.runtime.turns.turn_entries import TurnEntries
from lash_core.store.effect_host import AwaitEventResolver, RuntimeEffectLocalExecutor, TurnRun

NEVER_RECORDED = (*STORE_ERRORS, SessionExecutionLeaseExpiredError, SessionLeaseLostError, NotRecordedError)
"""Not the effect's fault: the effect runs again when the turn is redone."""

MACHINE_KINDS = frozenset({EffectKind.LLM_CALL, EffectKind.TOOL_ATTEMPT, EffectKind.EXEC_CODE, EffectKind.CHECKPOINT})
"""Of effects that machines ask for. All others happen inside an attempt of a tool, or before the machine begins."""

ATTEMPT = "attempt:"


class TurnEffects(ScopedController):
    """``TurnScopedEffects`` of one physical turn. Belongs to the turn's event loop; made by ``scoped_turn``.

    Args:
        run: the turn and its lease.
        await_events: the promises of the host.
        backend: first word of the codes of replay errors.
        tier: what survives the loss of this OS process.
    """

    __slots__ = ("_entries", "_run", "_tier", "_under_way", "on_frontier")

    def __init__(
        self,
        run: TurnRun,
        await_events: AwaitEventResolver,
        *,
        backend: str,
        tier: DurabilityTier = DurabilityTier.INLINE,
    ) -> None:
        super().__init__(ExecutionScope.turn(run.session_id, run.turn_id).validated(), await_events)
        self._run = run
        self._entries = TurnEntries(run, backend)
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._tier = tier
        self.on_frontier: Callable[[], None] | None = None

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        return self._tier

    @property
    def mismatch(self) -> RuntimeFailure | None:
        """The first effect that was recorded for another request, or the journal's end; None while all is well."""
        return self._entries.fatal

    @property
    def is_replaying(self) -> bool:
        """True while recorded entries of the machine are left that were not asked for, and nothing new was.

        What a tool did inside an attempt is asked for by that attempt alone: nobody asks for it where the attempt is
        answered itself.
        """
        return any(self._is_of_the_machine(key) for key in self._entries.unasked)

    async def load(self) -> None:
        """Read the journal unless it was read. Raises: store errors; the next call tries again."""
        await self._entries.known()

    def find(self, key: str) -> EffectRecord | None:
        """The entry of a replay key, among those that were read or written."""
        return self._entries.find(key)

    def taking(self, key: str, batch_ids: Sequence[str]) -> None:
        """The entry that will be written under ``key`` takes these batches in."""
        self._entries.take(key, batch_ids)

    # -- effects ---------------------------------------------------------------------------------------

    async def execute_effect(
        self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """Answer the recorded outcome or error; else run the effect, record how it ended and answer that.

        Raises:
            RuntimeFailure: ``<backend>_effect_replay_hash_conflict``, ``turn_journal_full``,
                ``session_execution_lease_lost``. StepFailed, Failure, RuntimeFailure: the effect's own error.
            StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: the journal; the effect may have run and is
                not recorded.
        """
        known = await self._entries.known()
        key, digest = envelope.replay_key, envelope_hash(envelope)
        while True:
            if self._entries.fatal is not None:
                raise self._entries.fatal
            record = known.get(key)
            if record is not None:
                if record.envelope_hash != digest:
                    raise self._entries.conflict(record, envelope)
                self._entries.unasked.discard(key)
                if record.is_final:
                    self._forget_inner(record)
                    return outcome_of(record)
            other = self._under_way.get(key)
            if other is None:
                break
            # The same effect is under way in another task: its outcome is the answer for both.
            await asyncio.wait([other])
        done = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            return await self._execute(envelope, digest, self._at_own_promises(local_executor))
        finally:
            del self._under_way[key]
            done.set_result(None)

    async def _execute(
        self, envelope: RuntimeEffectEnvelope, digest: str, executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        await self._begin()
        match envelope.kind:
            case EffectKind.SLEEP:
                left_ms = await self._entries.record_wait(
                    envelope, digest, int(envelope.command.args.get("duration_ms", 0))
                )
                if left_ms is not None and left_ms <= 0:
                    return RuntimeEffectOutcome(EffectKind.SLEEP)
                return await executor(with_argument(envelope, "duration_ms", left_ms))
            case EffectKind.AWAIT_EVENT if envelope.command.args.get("timeout_ms") is not None:
                left_ms = await self._entries.record_wait(envelope, digest, envelope.command.args["timeout_ms"])
                asked = with_argument(envelope, "timeout_ms", max(0, left_ms or 0))
                return await self._run_and_record(envelope, digest, executor, asked)
            case _ if is_process_command(envelope):
                return await self._commands.finish(self._run_and_record(envelope, digest, executor, envelope))
            case _:
                return await self._run_and_record(envelope, digest, executor, envelope)

    def _is_of_the_machine(self, key: str) -> bool:
        record = self._entries.find(key)
        return record is not None and record.kind in MACHINE_KINDS

    def _forget_inner(self, record: EffectRecord) -> None:
        """Calls that a tool made itself have ids that begin with its own (``docs/contracts/tools.md`` 4)."""
        if record.kind is EffectKind.TOOL_ATTEMPT:
            call = record.key.rpartition(ATTEMPT)[0]
            unasked = self._entries.unasked
            unasked -= {key for key in unasked if key.startswith(call) and not key.startswith(f"{call}{ATTEMPT}")}

    async def _begin(self) -> None:
        self._entries.unasked.clear()
        call, self.on_frontier = self.on_frontier, None
        if call is not None:
            call()
            # A cancel that waited for the replay to be over arrives here.
            await asyncio.sleep(0)
        self._run.require()

    async def _run_and_record(
        self,
        envelope: RuntimeEffectEnvelope,
        digest: str,
        executor: RuntimeEffectLocalExecutor,
        asked: RuntimeEffectEnvelope,
    ) -> RuntimeEffectOutcome:
        return await self._entries.record_end(envelope, digest, await end_of(executor(asked), NEVER_RECORDED))
